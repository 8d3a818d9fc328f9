"""What commands print with --json is what docs/schemas says, of every command that has --json, and of every error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from scalmarl.launch.cli import main

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
RATIOS, CALIBRATION = ROOT / "benchmarks" / "ratios" / "e3ac70b.json", ROOT / "benchmarks" / "calibration.json"
ACTING = {
    "launch", "resume", "kill", "restart", "stop", "runs rm", "runs export", "completion", "config schema",
    "dash", "replay",
}  # fmt: skip
"""Commands that do something instead of telling, or whose output is a file of another kind."""
TINY = ("--agents", "2", "--kappa", "1")
READING: dict[str, tuple[str, ...]] = {
    "ps": ("--run", "{run}"),
    "top": ("--run", "{run}"),
    "traffic": ("--run", "{run}"),
    "digest": ("--run", "{run}"),
    "events": ("--run", "{run}"),
    "logs": ("1", "--run", "{run}"),
    "explain": ("1", "--run", "{run}"),
    "runs list": ("{run}",),
    "runs show": ("--run", "{run}"),
    "config show": ("--run", "{run}"),
    "config diff": ("{run}", "{run}"),
    "env list": (),
    "env show": ("safe-ant:4x2",),
    "env rollout": ("safe-halfcheetah:6x1", "--horizon", "3", "--episodes", "1"),
    "plan": ("--task", "cheetahs", "--agents", "8", "--hosts", "2", "--calibration", str(CALIBRATION)),
    "doctor": (),
    "bench compare": (str(RATIOS), str(RATIOS)),
}
"""Arguments with which a command tells something at once."""
LONG: dict[str, tuple[str, ...]] = {
    "verify": ("{run}", "--rounds", "1"),
    "env check": ("safe-halfcheetah:6x1",),
    "compare": (
        "{scratch}/grid", "--algo", "ippo", "--seeds", "0", "--agents", "2", "--env-steps", "400",
        "--set", "world.envs=4", "--set", "world.steps=24",
    ),
    "claims": ("--quick", "--only", "T7", "--out", "{scratch}/claims"),
    "eval": ("{run}", "--episodes", "2"),
    "plot": ("{run}", "-o", "{scratch}/figures", "--format", "png"),
    "report": ("{run}", "-o", "{scratch}/report.html"),
    "bench web": (*TINY, "--rounds", "4", "--pairs", "1"),
    "bench sampling": (*TINY, "--envs", "4", "--pairs", "1"),
    "bench price": (*TINY, "--envs", "4", "--rounds", "2", "--pairs", "1"),
    "bench loop": (*TINY, "--envs", "4", "--steps", "16", "--rounds", "2", "--pairs", "1"),
    "bench startup": (*TINY, "--runs", "1"),
    "bench restart": (*TINY, "--kills", "1"),
    "bench busy": (*TINY, "--rounds", "2", "--runs", "1"),
    "bench memory": TINY,
    "bench recovery": ("--runs", "1", "--strikes", "1"),
    "bench machinery": (*TINY, "--rounds", "2", "--pairs", "1"),
    "bench absence": (
        "--agents", "3", "--kappa", "1", "--missing", "1", "--first", "3", "--last", "4", "--rounds", "6",
    ),
    "bench worlds": ("--copies", "2", "--threads", "1", "--pairs", "1", "--task", "safe-halfcheetah:6x1"),
    "bench scale": (
        "--agents", "2,3", "--kappa", "1", "--envs", "2", "--steps", "4", "--rounds", "1",
        "--calibration", str(CALIBRATION),
    ),
}  # fmt: skip
QUICK = {"eval", "plot", "report", "env check"}
"""Of these, what takes some seconds only."""
ELSEWHERE = {"chaos", "bench ratios"}
"""``chaos`` needs a live run (below); ``bench ratios`` takes ten minutes, its stored document is checked."""


def leaves(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(leaves(main))


def schema_of(command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{command.replace(' ', '-')}.json").read_text(encoding="utf-8"))
    return found


def check(command: str, text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    problems = [
        f"{list(e.path)}: {e.message[:200]}" for e in Draft202012Validator(schema_of(command)).iter_errors(document)
    ]
    assert not problems, (command, problems[:5])
    return document


def test_every_command_that_tells_something_has_json_and_a_schema() -> None:
    telling = {name for name, command in COMMANDS.items() if "as_json" in {p.name for p in command.params}}
    assert telling | ACTING >= set(COMMANDS), "a command lacks --json, or stands in ACTING"
    assert not telling & ACTING
    stored = {path.stem for path in SCHEMAS.glob("*.json")}
    assert stored == {name.replace(" ", "-") for name in telling} | {"error", "explain-course"}
    assert telling == {*READING, *LONG, *ELSEWHERE}, "each is run by a test"


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_schemas_are_schemas_that_leave_no_key_open_by_accident(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]
    assert schema["additionalProperties"] is False
    if path.stem != "error":
        assert schema["properties"]["schema"] == {"const": 1}
        assert "schema" in schema["required"]


@pytest.mark.parametrize("command", READING)
def test_a_document_is_what_its_schema_says(command: str, calm: Any) -> None:
    arguments = [word.format(run=calm.path) for word in READING[command]]
    answer = CliRunner().invoke(main, [*command.split(), *arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    check(command, answer.stdout)


@pytest.mark.parametrize("command", [pytest.param(x, marks=[] if x in QUICK else pytest.mark.chaos) for x in LONG])
def test_a_document_that_takes_long_is_what_its_schema_says(
    command: str, calm: Any, scalmarl: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = [word.format(run=calm.path, scratch=tmp_path) for word in LONG[command]]
    answer = scalmarl(*command.split(), *arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    check(command, answer.stdout)


@pytest.mark.chaos
def test_the_document_of_chaos_is_what_its_schema_says(start: Callable[..., Any], scalmarl: Callable[..., Any]) -> None:
    live = start("schema-chaos", "--agents", "2", "--kappa", "1", "--envs", "4", "--steps", "24", "--rounds", "200")
    live.wait_for_round(2)
    answer = scalmarl("chaos", "--run", str(live.path), "--kill-every", "1s", "--for", "4s", "--json")
    check("chaos", answer.stdout)
    assert scalmarl("stop", "--run", str(live.path)).returncode == 0
    assert live.end() == 143


def test_the_stored_ratios_are_what_their_schema_says() -> None:
    check("bench ratios", RATIOS.read_text(encoding="utf-8"))


def test_the_course_of_an_agent_is_what_its_schema_says(calm: Any) -> None:
    words = ["explain", "1", "--run", str(calm.path), "--course"]
    document = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert not list(Draft202012Validator(schema_of("explain-course")).iter_errors(document))
    assert document["course"][0]["first"] == 0
    assert len(document["course"]) == 5
    told = CliRunner().invoke(main, words)
    assert told.exit_code == 0
    assert max(map(len, told.stdout.splitlines()[1:])) <= 80
    assert CliRunner().invoke(main, [*words, "--round", "1"]).exit_code == 2


def test_a_schema_notices_what_is_new_and_what_is_gone(calm: Any) -> None:
    document = json.loads(CliRunner().invoke(main, ["explain", "1", "--run", str(calm.path), "--json"]).stdout)
    validator = Draft202012Validator(schema_of("explain"))
    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "new": 1})
    assert not validator.is_valid({**document, "turn": {**document["turn"], "new": 1}})
    assert not validator.is_valid({name: value for name, value in document.items() if name != "hears"})


def test_the_schema_of_the_configuration_takes_what_config_show_tells(calm: Any) -> None:
    schema = json.loads(CliRunner().invoke(main, ["config", "schema"]).stdout)
    Draft202012Validator.check_schema(schema)
    told = json.loads(CliRunner().invoke(main, ["config", "show", "--run", str(calm.path), "--json"]).stdout)
    document: dict[str, dict[str, Any]] = {}
    for row in told["values"]:
        section, _, key = row["key"].partition(".")
        document.setdefault(section, {})[key] = row["value"]
    validator = Draft202012Validator(schema)
    assert validator.is_valid(document)
    document["run"]["kapa"] = 1
    assert not validator.is_valid(document)


WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no such run": (("ps", "--run", "nowhere"), 3, "nowhere"),
    "a misspelt option": (("ps", "--rnu", "x"), 2, "Did you mean '--run'?"),
    "a misspelt command": (("trafic",), 2, "Did you mean 'traffic'?"),
    "a misspelt command of a group": (("env", "lst"), 2, "lst"),
    "a missing argument": (("explain",), 2, "AGENT"),
    "a bad number": (("explain", "three"), 2, "three"),
    "a bad choice": (("env", "rollout", "cheetahs", "--policy", "clever"), 2, "clever"),
    "no such agent": (("explain", "9", "--run", "{run}"), 2, "has no agent 9"),
    "no such round": (("explain", "1", "--round", "99", "--run", "{run}"), 2, "no record of round 99"),
    "two places": (("config", "show", "--run", "{run}", "--set", "a.b=1"), 2, "--run is given with"),
    "no directory": (("runs", "list", "nowhere"), 3, "nowhere is no directory"),
    "no run at all": (("runs", "show", "nowhere"), 3, "nowhere"),
    "a run of a newer version": (("config", "show", "--run", "{newer}"), 2, "no such key"),
    "a run of an older version": (("explain", "1", "--run", "{older}"), 3, "of another version"),
}


@pytest.fixture(scope="module")
def others(calm: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run whose plan lacks a key, and one whose configuration has a key that this version does not know."""
    found = {name: tmp_path_factory.mktemp("runs") / name for name in ("older", "newer")}
    for path in found.values():
        path.mkdir()
        for name in ("plan.json", "run.json", "config.toml", "config.origin.json", "metrics.jsonl"):
            shutil.copy(calm.path / name, path / name)
    plan = json.loads((found["older"] / "plan.json").read_text(encoding="utf-8"))
    del plan["cliques"]
    (found["older"] / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with (found["newer"] / "config.toml").open("a", encoding="utf-8") as file:
        file.write("\n[processes.later]\nkey = 1\n")
    return found


@pytest.mark.parametrize("name", WRONG)
def test_an_error_is_one_document_too(name: str, calm: Any, others: dict[str, Path]) -> None:
    words, code, what = WRONG[name]
    arguments = [word.format(run=calm.path, **others) for word in words]
    answer = CliRunner().invoke(main, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    error = check("error", answer.stdout)["error"]
    assert error["code"] == code
    assert what in error["message"]
    assert error["hint"]
    assert answer.stderr == ""


def test_without_json_a_usage_error_stays_in_words() -> None:
    answer = CliRunner().invoke(main, ["ps", "--rnu", "x"])
    assert answer.exit_code == 2
    assert "No such option" in answer.stderr
    assert answer.stdout == ""
