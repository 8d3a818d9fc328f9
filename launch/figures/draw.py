"""Pictures of the rows of ``figures.data``, one function per sort of figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scalmarl.launch.figures.data import Found
from scalmarl.launch.figures.draw_finals import improvement, kappa, profiles, tradeoff
from scalmarl.launch.figures.scope import Rows, column, labels_of, where
from scalmarl.launch.figures.style import (
    BAND,
    WORDS,
    Look,
    blank,
    byte_ticks,
    bytes_words,
    draw_limits,
    legend_below,
    looks,
    plain_ticks,
    scale_costs,
    seeds_note,
    seeds_words,
    short_counts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Drawing = Callable[[Found, float], Any]


def about(found: Found) -> str:
    """What a figure shows, in a sentence."""
    return f"{found.sort.words}{f', {found.title}' if found.title else ''}; {seeds_words(found.seeds)}"


@contextmanager
def drawn(found: Found, width: float) -> Iterator[Figure]:
    """The picture of a figure, ``width`` inches wide."""
    with _DRAWINGS[found.sort.name](found, width) as figure:
        if found.title:
            figure.suptitle(found.title)
        yield figure


@contextmanager
def _curves(found: Found, width: float) -> Iterator[Figure]:
    rows = found.rows
    limits = [row["iqm"] for row in where(rows, measure="limit")]
    look = looks(labels_of(rows))
    measures = [name for name in WORDS if where(rows, measure=name)]
    with blank(width, len(measures)) as (figure, axes):
        for one, name in zip(axes, measures):
            for label in labels_of(rows):
                own = where(rows, label=label, measure=name)
                at = [row["env_steps"] for row in own]
                one.plot(at, [row["iqm"] for row in own], **look[label].line(len(own)), label=label)
                sure = [row for row in own if row["low"] is not None]
                one.fill_between(
                    [row["env_steps"] for row in sure], column(sure, "low"), column(sure, "high"),
                    color=look[label].color, alpha=BAND, linewidth=0,
                )  # fmt: skip
            one.set_xlabel("environment steps")
            one.set_ylabel(WORDS[name])
            one.set_xlim(left=0.0)
            short_counts(one.xaxis)
        for one, name in zip(axes[1:], measures[1:]):
            costs = where(rows, measure=name)
            scale_costs(one, column(costs, "iqm") + column(costs, "high"), limits)
            draw_limits(one, limits)
        _mark_deaths(axes, rows, look)
        seeds_note(axes[0], found.seeds)
        legend_below(figure, axes)
        yield figure


def _mark_deaths(axes: list[Axes], rows: Rows, look: dict[str, Look]) -> None:
    """Crosses on the lower edge, where a process died, in the colour of its group."""
    for one in axes:
        for label in labels_of(rows):
            at = [row["env_steps"] for row in where(rows, label=label, measure="death")]
            if at:
                one.plot(
                    at, [0.0] * len(at), marker="x", linestyle="none", color=look[label].color, markersize=5,
                    transform=one.get_xaxis_transform(), clip_on=False, zorder=4,
                )  # fmt: skip
    if where(rows, measure="death"):
        axes[0].plot([], [], marker="x", linestyle="none", color="0.2", markersize=5, label="a process died")


@contextmanager
def _bytes_kappa(found: Found, width: float) -> Iterator[Figure]:
    rows = found.rows
    look = looks(labels_of(rows))
    with blank(min(width, 4.5), 1) as (figure, (axes,)):
        for label in labels_of(rows):
            own = sorted(where(rows, label=label), key=lambda row: int(row["kappa"]))
            at, one = [row["kappa"] for row in own], look[label]
            axes.plot(at, column(own, "predicted_mean"), color=one.color, linestyle=one.linestyle,
                      label=f"{label}, formula")  # fmt: skip
            axes.plot(at, column(own, "measured_mean"), color=one.color, marker=one.marker, linestyle="none",
                      markersize=6, markerfacecolor="none", label=f"{label}, measured")  # fmt: skip
        for size in sorted({row["all_to_all_mean"] for row in rows}):
            axes.axhline(size, **LIMIT_OF_ALL, label="all-to-all, formula")
        axes.set_xlabel("kappa (hops)")
        axes.set_ylabel("wire bytes\nper agent and round")
        axes.set_ylim(bottom=0.0)
        plain_ticks(axes.xaxis, sorted({row["kappa"] for row in rows}))
        byte_ticks(axes.yaxis)
        legend_below(figure, [axes])
        yield figure


LIMIT_OF_ALL: dict[str, Any] = {"color": "0.35", "linestyle": (0, (3, 1.5, 1, 1.5, 1, 1.5)), "linewidth": 1.0}


@contextmanager
def _bytes_agents(found: Found, width: float) -> Iterator[Figure]:
    rows = found.rows
    look = looks(labels_of(rows))
    with blank(min(width, 4.5), 1) as (figure, (axes,)):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for label in labels_of(rows):
            own, one = where(rows, label=label), look[label]
            at = [row["agents"] for row in own]
            axes.plot(at, column(own, "measured_most"), **one.line(), label=f"{label}, agent that sends most")
            axes.plot(at, column(own, "measured_mean"), color=one.color, marker=one.marker, markerfacecolor="white",
                      linestyle=":", label=f"{label}, mean of agents")  # fmt: skip
            axes.plot(at, column(own, "all_to_all_most"), **LIMIT_OF_ALL, label="all-to-all, formula")
        axes.set_xlabel("agents")
        axes.set_ylabel("wire bytes\nper agent and round")
        plain_ticks(axes.xaxis, sorted({row["agents"] for row in rows}))
        sizes = [x for name in ("measured_most", "measured_mean", "all_to_all_most") for x in column(rows, name)]
        plain_ticks(axes.yaxis, log_ticks(min(sizes), max(sizes)), bytes_words)
        axes.set_ylim(min(sizes) / 1.5, max(sizes) * 1.5)
        legend_below(figure, [axes])
        yield figure


def log_ticks(least: float, most: float) -> list[float]:
    """1, 2, 5 times powers of ten from below the least to above the most; of more than eight the powers alone."""
    every = [step * 10.0**power for power in range(16) for step in (1, 2, 5)]
    kept = [tick for tick in every if least / 1.5 <= tick <= most * 1.5]
    return kept if len(kept) <= 8 else [tick for tick in kept if f"{tick:e}".startswith("1.0")]


@contextmanager
def _wall_time(found: Found, width: float) -> Iterator[Figure]:
    rows = found.rows
    parts = (
        ("sampling", "acting, simulating", "#0072B2", ""), ("wait_sampling", "waiting meanwhile", "#B3D4E8", "..."),
        ("update", "update", "#E69F00", "///"), ("wait_update", "waiting meanwhile, for the commit", "#F8E0B0", "xxx"),
        ("messages", "messages", "#333333", ""),
    )  # fmt: skip
    with blank(width, 1, 0.75 + 0.24 * len(rows)) as (figure, (axes,)):
        places = [at + 0.3 * (at // 2) for at in range(len(rows))]
        left = [0.0] * len(rows)
        for name, words, colour, hatch in parts:
            own = column(rows, name)
            axes.barh(places, own, left=left, label=words, color=colour, hatch=hatch, height=0.65, edgecolor="white",
                      linewidth=0.4)  # fmt: skip
            left = [a + b for a, b in zip(left, own)]
        axes.set_yticks(places, [f"{row['label']}: {row['who']}" for row in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("seconds of a round")
        legend_below(figure, [axes])
        yield figure


@contextmanager
def _multipliers(found: Found, width: float) -> Iterator[Figure]:
    labels = labels_of(found.rows)
    lines = {label: same_lines(where(found.rows, label=label)) for label in labels}
    look = looks(words for own in lines.values() for words in own)
    with blank(width, len(labels), 1.9) as (figure, axes):
        for one, label in zip(axes, labels):
            for words, own in lines[label].items():
                at = [row["round"] for row in own]
                one.plot(at, column(own, "multiplier"), **look[words].line(len(own)), label=words)
            one.set_title(label)
            one.set_xlabel("round")
            one.set_ylabel("multiplier")
            # All panels alike, so that heights compare; room below 1 where no cost has ever been above its limit.
            one.set_ylim(0.0, max(1.05 * max(column(found.rows, "multiplier")), 0.1))
        legend_below(
            figure, axes, f"interquartile mean over {seeds_words(found.seeds)}" if found.seeds[1] > 1 else "1 seed"
        )
        yield figure


def same_lines(rows: Rows) -> dict[str, Rows]:
    """The line of each agent by its name, ``agent 3`` or ``agent 3, cost 1``; one line, ``every agent``, where all
    have the same."""
    lines: dict[tuple[int, int], Rows] = {}
    for row in rows:
        lines.setdefault((row["cost"], row["agent"]), []).append(row)
    costs = {cost for cost, _ in lines}
    found: dict[str, Rows] = {}
    for cost in costs:
        own = {agent: rows for (of, agent), rows in lines.items() if of == cost}
        suffix = f", cost {cost}" if len(costs) > 1 else ""
        shapes = {tuple((row["round"], row["multiplier"]) for row in rows) for rows in own.values()}
        if len(shapes) == 1 and len(own) > 1:
            own = {-1: next(iter(own.values()))}
        found |= {f"{'every agent' if agent < 0 else f'agent {agent}'}{suffix}": rows for agent, rows in own.items()}
    return found


_DRAWINGS: dict[str, Drawing] = {
    "curves": _curves, "tradeoff": tradeoff, "improvement": improvement, "profiles": profiles, "kappa": kappa,
    "bytes-kappa": _bytes_kappa, "bytes-agents": _bytes_agents, "wall-time": _wall_time, "multipliers": _multipliers,
}  # fmt: skip
