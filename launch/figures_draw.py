"""Pictures of the rows of ``figures_data``, one function per sort of figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scalmarl.launch.figures_data import Found, Rows
from scalmarl.launch.figures_style import (
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

BAND = 0.18
"""How dense a band is."""
ANCHORS = ("independent", "full state")
WORDS = {
    "return": "team return per episode", "cost": "cost per episode\nmean over agents",
    "largest_cost": "cost per episode\nlargest agent",
}  # fmt: skip
Drawing = Callable[[Found, float], Any]


@contextmanager
def drawn(found: Found, width: float) -> Iterator[Figure]:
    """The picture of a figure, ``width`` inches wide."""
    with _DRAWINGS[found.sort.name](found, width) as figure:
        if found.title:
            figure.suptitle(found.title)
        yield figure


def _numbers(rows: Rows, name: str) -> list[float]:
    return [row[name] for row in rows if row[name] is not None]


def _of(rows: Rows, **wanted: Any) -> Rows:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _labels(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["label"] for row in rows if row["label"]))


def _bars(rows: Rows, name: str) -> list[list[float]]:
    """Lengths of error bars below and above; none where there is no interval."""
    return [
        [abs(row[name] - row[end]) if row[end] is not None else 0.0 for row in rows]
        for end in (name.replace("iqm", "low"), name.replace("iqm", "high"))
    ]


@contextmanager
def _curves(found: Found, width: float) -> Iterator[Figure]:
    rows = found.rows
    limits = [row["iqm"] for row in _of(rows, measure="limit")]
    look = looks(_labels(rows))
    measures = [name for name in WORDS if _of(rows, measure=name)]
    with blank(width, len(measures)) as (figure, axes):
        for one, name in zip(axes, measures):
            for label in _labels(rows):
                own = _of(rows, label=label, measure=name)
                at = [row["env_steps"] for row in own]
                one.plot(at, [row["iqm"] for row in own], **look[label].line(len(own)), label=label)
                sure = [row for row in own if row["low"] is not None]
                one.fill_between(
                    [row["env_steps"] for row in sure], _numbers(sure, "low"), _numbers(sure, "high"),
                    color=look[label].color, alpha=BAND, linewidth=0,
                )  # fmt: skip
            one.set_xlabel("environment steps")
            one.set_ylabel(WORDS[name])
            one.set_xlim(left=0.0)
            short_counts(one.xaxis)
        for one, name in zip(axes[1:], measures[1:]):
            costs = _of(rows, measure=name)
            scale_costs(one, _numbers(costs, "iqm") + _numbers(costs, "high"), limits)
            draw_limits(one, limits)
        _mark_deaths(axes, rows, look)
        seeds_note(axes[0], found.seeds)
        legend_below(figure, axes)
        yield figure


def _mark_deaths(axes: list[Axes], rows: Rows, look: dict[str, Look]) -> None:
    """Crosses on the lower edge, where a process died, in the colour of its group."""
    for one in axes:
        for label in _labels(rows):
            at = [row["env_steps"] for row in _of(rows, label=label, measure="death")]
            if at:
                one.plot(
                    at, [0.0] * len(at), marker="x", linestyle="none", color=look[label].color, markersize=5,
                    transform=one.get_xaxis_transform(), clip_on=False, zorder=4,
                )  # fmt: skip
    if _of(rows, measure="death"):
        axes[0].plot([], [], marker="x", linestyle="none", color="0.2", markersize=5, label="a process died")


@contextmanager
def _tradeoff(found: Found, width: float) -> Iterator[Figure]:
    rows = [row for row in found.rows if row["label"] != "limit"]
    limits = [row["cost_iqm"] for row in _of(found.rows, label="limit")]
    look = looks(_labels(rows))
    with blank(min(width, 5.0), 1, 3.0) as (figure, (axes,)):
        for label in _labels(rows):
            one = look[label]
            mark: dict[str, Any] = {"color": one.color, "marker": one.marker, "linestyle": "none"}
            each = [row for row in _of(rows, label=label) if row["seed"] is not None]
            if len(each) > 1:
                axes.plot(_numbers(each, "cost_iqm"), _numbers(each, "return_iqm"), **mark, alpha=0.35, markersize=3)
            middle = _of(rows, label=label, seed=None)
            at = _numbers(middle, "cost_iqm"), _numbers(middle, "return_iqm")
            if _numbers(middle, "cost_low"):
                lengths: dict[str, Any] = {"xerr": _bars(middle, "cost_iqm"), "yerr": _bars(middle, "return_iqm")}
                axes.errorbar(*at, **lengths, fmt="none", ecolor=one.color, elinewidth=0.9, capsize=2)
            axes.plot(
                *at, **mark, clip_on=False, markersize=6, markeredgecolor="white", markeredgewidth=0.5, label=label
            )
        scale_costs(axes, _numbers(rows, "cost_iqm") + _numbers(rows, "cost_high"), limits, upright=True)
        axes.set_xlabel(WORDS["cost"].replace("\n", ", "))
        axes.set_ylabel(WORDS["return"])
        axes.margins(y=0.1)
        draw_limits(axes, limits, upright=True)
        seeds_note(axes, found.seeds)
        legend_below(figure, [axes])
        yield figure


@contextmanager
def _kappa(found: Found, width: float) -> Iterator[Figure]:
    rows = [row for row in found.rows if row["role"] != "limit"]
    limits = [row["iqm"] for row in _of(found.rows, role="limit")]
    kappas = sorted({row["kappa"] for row in _of(rows, role="kappa")})
    named = {row["label"]: row["role"] for row in sorted(rows, key=lambda row: row["role"] != "kappa")}
    look = looks(named)
    with blank(width, 2) as (figure, axes):
        for one, name in zip(axes, ("return", "cost")):
            for label, role in named.items():
                own = sorted(_of(rows, label=label, measure=name), key=lambda row: int(row["kappa"]))
                if role == "kappa":
                    at = [row["kappa"] for row in own]
                    one.plot(at, _numbers(own, "iqm"), **look[label].line(), label=label, zorder=3)
                    if _numbers(own, "low"):
                        one.errorbar(at, _numbers(own, "iqm"), yerr=_bars(own, "iqm"), fmt="none", capsize=2,
                                     ecolor=look[label].color, elinewidth=0.9)  # fmt: skip
                for row in own if role in ANCHORS else ():
                    style = {"color": look[label].color, "linestyle": look[label].linestyle}
                    one.axhline(row["iqm"], **style, label=f"{label} ({role})")
                    if row["low"] is not None:
                        one.axhspan(row["low"], row["high"], color=look[label].color, alpha=BAND / 2, linewidth=0)
            one.set_xlabel("kappa (hops)")
            one.set_ylabel(WORDS[name])
            plain_ticks(one.xaxis, kappas)
            one.margins(y=0.1)
        costs = _of(rows, measure="cost")
        scale_costs(axes[1], _numbers(costs, "iqm") + _numbers(costs, "high"), limits)
        draw_limits(axes[1], limits)
        seeds_note(axes[0], found.seeds)
        legend_below(figure, axes)
        yield figure


@contextmanager
def _bytes_kappa(found: Found, width: float) -> Iterator[Figure]:
    rows = found.rows
    look = looks(_labels(rows))
    with blank(min(width, 4.5), 1) as (figure, (axes,)):
        for label in _labels(rows):
            own = sorted(_of(rows, label=label), key=lambda row: int(row["kappa"]))
            at, one = [row["kappa"] for row in own], look[label]
            axes.plot(at, _numbers(own, "predicted_mean"), color=one.color, linestyle=one.linestyle,
                      label=f"{label}, formula")  # fmt: skip
            axes.plot(at, _numbers(own, "measured_mean"), color=one.color, marker=one.marker, linestyle="none",
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
    look = looks(_labels(rows))
    with blank(min(width, 4.5), 1) as (figure, (axes,)):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for label in _labels(rows):
            own, one = _of(rows, label=label), look[label]
            at = [row["agents"] for row in own]
            axes.plot(at, _numbers(own, "measured_most"), **one.line(), label=f"{label}, agent that sends most")
            axes.plot(at, _numbers(own, "measured_mean"), color=one.color, marker=one.marker, markerfacecolor="white",
                      linestyle=":", label=f"{label}, mean of agents")  # fmt: skip
            axes.plot(at, _numbers(own, "all_to_all_most"), **LIMIT_OF_ALL, label="all-to-all, formula")
        axes.set_xlabel("agents")
        axes.set_ylabel("wire bytes\nper agent and round")
        plain_ticks(axes.xaxis, sorted({row["agents"] for row in rows}))
        sizes = [x for name in ("measured_most", "measured_mean", "all_to_all_most") for x in _numbers(rows, name)]
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
            own = _numbers(rows, name)
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
    labels = _labels(found.rows)
    lines = {label: same_lines(_of(found.rows, label=label)) for label in labels}
    look = looks(words for own in lines.values() for words in own)
    with blank(width, len(labels), 1.9) as (figure, axes):
        for one, label in zip(axes, labels):
            for words, own in lines[label].items():
                at = [row["round"] for row in own]
                one.plot(at, _numbers(own, "multiplier"), **look[words].line(len(own)), label=words)
            one.set_title(label)
            one.set_xlabel("round")
            one.set_ylabel("multiplier")
            # All panels alike, so that heights compare; room below 1 where no cost has ever been above its limit.
            one.set_ylim(0.0, max(1.05 * max(_numbers(found.rows, "multiplier")), 0.1))
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
    "curves": _curves, "tradeoff": _tradeoff, "kappa": _kappa, "bytes-kappa": _bytes_kappa,
    "bytes-agents": _bytes_agents, "wall-time": _wall_time, "multipliers": _multipliers,
}  # fmt: skip
