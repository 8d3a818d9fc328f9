"""The report: claims.json, claims.md, and a picture for every claim that has curves."""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from scalmarl.launch.claims.battery import EXACT, Measured
from scalmarl.launch.claims.claim import Claim
from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.versions import commit, hardware, versions
from scalmarl.protocol.files import write_durably

ORDINATES = {"T7": "wire bytes a round", "T11": "phases, most of all rounds", "T12": "per episode"}
UNKNOWN = "not known (no work tree)"
VERDICTS = ("holds", "fails", "undecided")


@dataclass(frozen=True)
class Battery:
    """What was asked, and what came of it so far; ``commits``: of the runs that were read -> how many."""

    command: str
    budget: str
    expected_s: float
    took_s: float
    stopped: str
    found: Sequence[Measured]
    commits: Mapping[str, int] = field(default_factory=dict)


def document(found: Sequence[Measured]) -> dict[str, Any]:
    """The document of claims.json and of ``--json``."""
    return {"schema": SCHEMA, "claims": [measured.claim.to_data() for measured in found]}


def write_report(directory: Path, battery: Battery) -> list[Path]:
    """Write or replace the report; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / "claims.json", directory / "claims.md"]
    write_durably(paths[0], json.dumps(document(battery.found), indent=1).encode() + b"\n")
    pictures, missing = _pictures(directory, [measured.claim for measured in battery.found])
    write_durably(paths[1], as_markdown(battery, pictures, missing).encode())
    return [*paths, *pictures.values()]


def as_markdown(battery: Battery, pictures: dict[str, Path], missing: str = "") -> str:
    """The report for a reader."""
    claims = [measured.claim for measured in battery.found]
    counts = ", ".join(f"{sum(c.verdict == verdict for c in claims)} {verdict}" for verdict in VERDICTS)
    lines = [
        "# Claims put to the test", "",
        f"{len(claims)} claims: {counts}. A claim that fails is a result, not an error; an undecided one was measured, "
        "and the measurement does not settle it.", "",
        f"- Command: `{battery.command}`",
        f"- Versions: {', '.join(f'{name} {value}' for name, value in versions().items())}",
        f"- Commit of this report: {commit() or UNKNOWN}; of the runs that it read: {_commits(battery.commits)}",
        f"- Hardware: {hardware()}, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory, {platform.system()}",
        f"- Budget of what is learnt: {battery.budget} (T17: three tenths of the rounds, at least 8)",
        f"- Time: {battery.took_s:,.0f} s; expected beforehand: about {battery.expected_s:,.0f} s. Runs that were "
        "finished already are read again and cost no time.",
    ]  # fmt: skip
    if battery.stopped:
        lines.append(f"- Incomplete: {battery.stopped}")
    if missing:
        lines.append(f"- Pictures: {missing}")
    sampled = [m for m in battery.found if m.claim.family not in EXACT]
    exact = [m for m in battery.found if m.claim.family in EXACT]
    for title, rows in (
        ("Exact: small games, solved", exact),
        ("Sampled: real processes", sampled),
    ):
        lines += ["", f"## {title}", "", *(_table(rows) if rows else ["Nothing was measured here."])]
    if pictures:
        lines += ["", "## Pictures", ""]
        lines += [f"{id}\n\n![{id}]({path.name})\n" for id, path in pictures.items()]
    return "\n".join(lines).rstrip() + "\n"


def _commits(commits: Mapping[str, int]) -> str:
    return ", ".join(f"{name or UNKNOWN} ({count})" for name, count in sorted(commits.items())) or "none was read"


def _table(rows: Sequence[Measured]) -> list[str]:
    lines = ["| id | claim | variant | setting | measured | bound | verdict | seconds |", "|" + "---|" * 8]
    for measured in rows:
        cells = [_cell(value) for value in measured.claim.to_data().values()]
        cells[-1] = f"**{cells[-1]}**"
        lines.append(f"| {' | '.join([*cells, f'{measured.seconds:.1f}'])} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _pictures(directory: Path, claims: Sequence[Claim]) -> tuple[dict[str, Path], str]:
    drawn = [claim for claim in claims if claim.figures]
    if not drawn:
        return {}, ""
    try:
        import matplotlib
    except ImportError:
        return {}, "none, since matplotlib is not installed: pip install 'scalmarl[plot]'"
    matplotlib.use("Agg")
    names = {re.sub(r"[^\w.]+", "-", f"{claim.id}-{claim.variant}").strip("-"): claim for claim in drawn}
    return {name: _picture(directory / f"{name}.png", claim) for name, claim in names.items()}, ""


def _picture(path: Path, claim: Claim) -> Path:
    """One panel per scale: curves that differ a hundredfold would lie on the axis of the others."""
    from matplotlib import pyplot

    (abscissa, points), *curves = claim.figures.items()
    figure, panels = pyplot.subplots(
        1, len(curves) if _scales_apart([values for _, values in curves]) else 1,
        squeeze=False, figsize=(9, 4), layout="constrained",
    )  # fmt: skip
    for index, (name, values) in enumerate(curves):
        panel = panels[0][index % panels.shape[1]]
        # A curve of a smaller graph ends earlier.
        panel.plot(points[: len(values)], values, marker="o", color=f"C{index % 10}", label=name)
    for panel in panels[0]:
        panel.set_xlabel(abscissa)
        panel.set_ylabel(ORDINATES.get(claim.family, ""))
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)
        if panels.size == 1 and _decades([values for _, values in curves]) > 2.0:
            panel.set_yscale("log")
        elif panel.dataLim.ymin >= 0:
            panel.set_ylim(bottom=0)
    figure.suptitle(f"{claim.id}  {claim.claim} ({claim.variant}): {claim.verdict}", fontsize=9, wrap=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _decades(curves: Sequence[Sequence[float]]) -> float:
    """Powers of ten between the least and the largest positive value; 0 where one is negative."""
    values = [value for curve in curves for value in curve if value == value and value != 0]
    if not values or min(values) < 0:
        return 0.0
    return math.log10(max(values) / min(values))


def _scales_apart(curves: Sequence[Sequence[float]]) -> bool:
    """Whether two or three curves are of such different signs or sizes that they need a panel each."""
    sizes = [max((abs(value) for value in values if value == value), default=0.0) for values in curves]
    below = [any(value < 0 for value in values) for values in curves]
    return 1 < len(curves) <= 3 and (len(set(below)) > 1 or max(sizes) > 100 * max(min(sizes), 1e-12))
