"""``scalmarl config``: the parameters of a run and where each came from, their schema, and what two runs differ in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from scalmarl.launch.config import SWITCH_KEYS, Config, Origins, all_keys, resolve
from scalmarl.launch.errors import NoSuchRun, UsageProblem
from scalmarl.launch.planning import draw_plan
from scalmarl.launch.report_problem import guarded
from scalmarl.launch.run_directory import SCHEMA, RunDirectory, find, read_plan
from scalmarl.launch.voice import console

DIALECT = "https://json-schema.org/draft/2020-12/schema"
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def config() -> None:
    """Parameters: what a run was started with, and where each value came from.

    \b
    scalmarl config show
    scalmarl config show --config mine.toml --set learner.clip=0.1
    scalmarl config diff runs/a runs/b
    scalmarl config schema > scalmarl.schema.json
    """


@config.command()
@click.option(
    "--run", "run_path", type=click.Path(path_type=Path), help="Run directory; default: the live or the latest run."
)
@click.option("--config", "file", type=click.Path(path_type=Path), help="Of no run, but of this TOML file.")
@click.option("--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="Of no run; repeatable.")
@json_option
@guarded
def show(run_path: Path | None, file: Path | None, assignments: tuple[str, ...], as_json: bool) -> None:
    """Every parameter with its value and its origin.

    Origins: default, the name of a file, --set, flag; task or algorithm where these decide; resume.
    """
    if run_path is not None and (file is not None or assignments):
        raise UsageProblem("--run is given with --config or --set", "leave one out")
    if file is not None or assignments:
        planned = draw_plan(*resolve(file, assignments, {}))
        where, values = str(file or "--set"), rows(planned.config, planned.origins)
    else:
        run = find(run_path)
        where, values = str(run.path), rows(*stored(run))
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "of": where, "values": values}))
        return
    out = console()
    out.print(where, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("parameter", "value", "origin"):
        table.add_column(name, overflow="fold")
    for row in values:
        table.add_row(row["key"], value_text(row["value"]), row["origin"])
    out.print(table)


def stored(run: RunDirectory) -> tuple[Config, Origins]:
    """The configuration of a run. Raises ``UserProblem``."""
    run.read_state()
    plan = read_plan(run)
    found, _ = resolve(run.config, (), {})
    try:
        origins: Origins = json.loads(run.origin.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoSuchRun(f"{run.origin} cannot be read ({error})", "put back a copy") from None
    if plan.rounds != found.run.rounds:
        found = found.model_copy(update={"run": found.run.model_copy(update={"rounds": plan.rounds})})
        origins = {**origins, "run.rounds": "resume"}
    return found, origins


def rows(found: Config, origins: Origins) -> list[dict[str, Any]]:
    """Every parameter, in the order of ``--help-config``."""
    data = found.model_dump()
    return [
        {
            "key": key,
            "value": (value := data[key.partition(".")[0]][key.partition(".")[2]]),
            "origin": origins.get(key) or _decided_by(key, value, field.default),
            "default": field.default,
            "description": field.description,
        }
        for key, field in all_keys().items()
    ]


def _decided_by(key: str, value: Any, default: Any) -> str:
    if value == default:
        return "default"
    return "algorithm" if key in SWITCH_KEYS else "task"


def value_text(value: Any) -> str:
    """A value for a table."""
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


@config.command()
def schema() -> None:
    """The JSON Schema of a configuration file, for editors and checks."""
    document = {"$schema": DIALECT, "title": "scalmarl configuration", **Config.model_json_schema()}
    click.echo(json.dumps({**document, "title": "scalmarl configuration"}, indent=1))


@config.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@json_option
@guarded
def diff(one: Path, other: Path, as_json: bool) -> None:
    """What two runs or configuration files differ in, and whether it decides the bits."""
    a, b = (_of(path) for path in (one, other))
    data = {row["key"]: row["value"] for row in rows(b, {})}
    differences = [
        {"key": row["key"], "one": row["value"], "other": data[row["key"]]}
        for row in rows(a, {})
        if row["value"] != data[row["key"]]
    ]
    same = a.digest() == b.digest()
    if as_json:
        document = {"one": str(one), "other": str(other), "same_numbers": same, "differences": differences}
        click.echo(json.dumps({"schema": SCHEMA, **document}))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("parameter", str(one), str(other)):
        table.add_column(name, overflow="fold")
    for row in differences:
        table.add_row(row["key"], value_text(row["one"]), value_text(row["other"]))
    out = console()
    if differences:
        out.print(table)
    words = "nothing that decides the numbers differs" if same else "what decides the numbers differs"
    out.print(words if differences else "no difference")


def _of(path: Path) -> Config:
    """The configuration of a run, or what a file comes to. Raises ``UserProblem``."""
    if path.is_dir():
        return stored(RunDirectory(path))[0]
    return draw_plan(*resolve(path, (), {})).config
