"""What ``scalmarl top`` shows: who does what and waits for whom, and the figures of the last rounds; table and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from scalmarl.launch.run_directory import SCHEMA
from scalmarl.launch.summary import LAST_ROUNDS, bytes_text, each_cost, run_figures
from scalmarl.protocol.plan import Plan

HISTORY = 60
"""Rounds that a spark line may reach back."""
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
WIDE = 110
"""Columns from which on pid, round, KL and bytes are shown too."""
FIGURES = {
    "cost": "cost_estimate_agent", "limit": "cost_limit", "multiplier": "lambda_agent", "kl": "kl_agent",
    "radius": "radius_agent", "bytes_sent": "bytes_agent",
}  # fmt: skip
"""Figure of an agent's last round -> key of ``metrics.jsonl``."""
STYLES = {"running": "green", "down": "red", "restarting": "yellow", "starting": "yellow", "exited": "dim"}


def spark(values: Sequence[float | None], width: int, bars: str = BARS) -> str:
    """The last ``width`` values as bars from the least to the greatest; a gap where there is none."""
    shown = list(values)[-width:]
    there = [value for value in shown if value is not None]
    if not there:
        return ""
    low, high = min(there), max(there)
    step = (high - low) / (len(bars) - 1)
    return "".join(" " if x is None else bars[round((x - low) / step) if step > 0 else 0] for x in shown)


def picture_data(path: str, plan: Plan, state: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of ``scalmarl top --json``: ``state`` as the launcher tells it, ``lines``: the last of
    ``metrics.jsonl``."""
    last = lines[-1] if lines else {}
    processes = []
    for process in state["processes"]:
        row = {
            key: process.get(key)
            for key in ("name", "role", "index", "pid", "state", "restarts", "round", "phase", "waits_for", "silent_s")
        }
        agent = process["index"]
        if agent is not None:
            row |= {name: last[key][agent] if last.get(key) else None for name, key in FIGURES.items()}
            row["cost_history"] = [_worst(line["cost_estimate_agent"][agent]) for line in lines]
        processes.append(row)
    return {
        "schema": SCHEMA,
        "run": path,
        "state": state["state"],
        "reason": state.get("reason", ""),
        "round": state["round"],
        "rounds": state["rounds"],
        **{name: last.get(name) for name in ("env_steps", "return_rate", "return_team", "cost_rate_team", "cost_team")},
        "round_s": _round_s(lines) if lines else None,
        "return_history": [line.get("return_rate") for line in lines],
        "cost_history": [line.get("cost_rate_team") for line in lines],
        "processes": processes,
    }


def _round_s(lines: list[dict[str, Any]]) -> float:
    recent = lines[-LAST_ROUNDS:]
    return float(sum(line["wall_s"] for line in recent)) / len(recent)


def _worst(costs: Any) -> float | None:
    return max(each_cost(costs), default=None)


def figures_of(plan: Plan, lines: list[dict[str, Any]]) -> dict[str, str]:
    """The figures of the run in words, as ``launch`` shows them."""
    return run_figures(plan, lines[-LAST_ROUNDS:], _round_s(lines)) if lines else {}


class Picture:
    """The document as rich draws it, as wide and as high as there is room; without a terminal, as high as it needs."""

    def __init__(self, found: dict[str, Any], figures: dict[str, str], hint: str = "") -> None:
        self._found, self._figures, self._hint = found, figures, hint

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        found = self._found
        bars = PLAIN_BARS if options.ascii_only else BARS
        room = options.max_width
        head = Text(f"{found['run']}: {found['state']}, {found['round']} of {found['rounds']} rounds", style="bold")
        figures = ", ".join(f"{name} {text}" for name, text in self._figures.items() if name != "round")
        parts: list[Any] = [head, *([Text(f"reason: {found['reason']}")] if found["reason"] else []), Text(figures)]
        for name in ("return", "cost"):
            if values := [value for value in found[f"{name}_history"] if value is not None]:
                ends = f" {values[0]:,.0f} -> {values[-1]:,.0f}"
                line = spark(values, min(HISTORY, room - len(ends) - 8), bars)
                parts.append(Text.assemble((f"{name:<7}", "bold"), (line, "cyan"), ends))
        rows = found["processes"]
        fits = len(rows) if not console.is_terminal else max(console.height - len(parts) - 6, 3)
        parts.append(self._table(rows[:fits], room, bars))
        if len(rows) > fits:
            parts.append(Text(f"and {len(rows) - fits} more; 'scalmarl ps' has all", style="dim"))
        yield Group(*parts, *([Text(self._hint, style="dim")] if self._hint else []))

    def _table(self, rows: list[dict[str, Any]], room: int, bars: str) -> Table:
        wide = room >= WIDE
        table = Table(box=None, padding=(0, 1, 0, 0), expand=False)
        more = ("pid", "round") if wide else ()
        for name in ("process", "state", "re.", *more):
            table.add_column(name, justify="right" if name in ("re.", *more) else "left", no_wrap=True)
        table.add_column("waits for, or (does)", no_wrap=True, overflow="ellipsis", max_width=40 if wide else 25)
        figures = ("cost", "limit", "mult.", *(("KL", "sent") if wide else ()))
        for name in figures:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("trend", no_wrap=True)
        for row in rows:
            silent = f" {row['silent_s']:.0f} s" if row["silent_s"] else ""
            cells = [Text(row["name"]), Text(row["state"] + silent, style=STYLES.get(row["state"], ""))]
            cells += [
                Text(str(row["restarts"])),
                *(Text("-" if row[name] is None else str(row[name])) for name in more),
            ]
            cells.append(Text(row["waits_for"] or (f"({row['phase']})" if row["phase"] else "-")))
            cells += [Text(text) for text in _agent_cells(row, wide, 24 if wide else 8, bars)]
            table.add_row(*cells)
        return table


def _agent_cells(row: dict[str, Any], wide: bool, width: int, bars: str) -> list[str]:
    if row["index"] is None or row["bytes_sent"] is None:
        return []
    cells = [_each(row["cost"], ".1f"), _each(row["limit"], "g"), _each(row["multiplier"], ".2f")]
    if wide:
        cells += ["-" if row["kl"] is None else f"{row['kl']:.4f}", bytes_text(row["bytes_sent"])]
    return [*cells, spark(row["cost_history"], width, bars)]


def _each(value: Any, how: str) -> str:
    return "/".join(format(x, how) for x in each_cost(value)) or "-"
