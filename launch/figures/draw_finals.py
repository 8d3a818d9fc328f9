"""Pictures of how runs ended: returns and costs over the final rounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from scalmarl.launch.figures.data import Found
from scalmarl.launch.figures.scope import column, error_bars, labels_of, where
from scalmarl.launch.figures.style import (
    BAND,
    WORDS,
    blank,
    draw_limits,
    legend_below,
    looks,
    plain_ticks,
    scale_costs,
    seeds_note,
    seeds_words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ANCHORS = ("independent", "full state")
_LABEL_IN, _SQUARE_IN = 1.6, 0.6
"""What a group's label takes, and a square with a share and its interval."""
_IMPROVEMENTS = {"return": "P(row has more return than column)", "cost": "P(row has less cost than column)"}


@contextmanager
def tradeoff(found: Found, width: float) -> Iterator[Figure]:
    """Every run, and the groups' middles with their intervals."""
    rows = [row for row in found.rows if row["label"] != "limit"]
    limits = [row["cost_iqm"] for row in where(found.rows, label="limit")]
    look = looks(labels_of(rows))
    with blank(min(width, 5.0), 1, 3.0) as (figure, (axes,)):
        for label in labels_of(rows):
            one = look[label]
            mark: dict[str, Any] = {"color": one.color, "marker": one.marker, "linestyle": "none"}
            each = [row for row in where(rows, label=label) if row["seed"] is not None]
            if len(each) > 1:
                axes.plot(column(each, "cost_iqm"), column(each, "return_iqm"), **mark, alpha=0.35, markersize=3)
            middle = where(rows, label=label, seed=None)
            at = column(middle, "cost_iqm"), column(middle, "return_iqm")
            if column(middle, "cost_low"):
                lengths: dict[str, Any] = {
                    "xerr": error_bars(middle, "cost_iqm"),
                    "yerr": error_bars(middle, "return_iqm"),
                }
                axes.errorbar(*at, **lengths, fmt="none", ecolor=one.color, elinewidth=0.9, capsize=2)
            axes.plot(
                *at, **mark, clip_on=False, markersize=6, markeredgecolor="white", markeredgewidth=0.5, label=label
            )
        scale_costs(axes, column(rows, "cost_iqm") + column(rows, "cost_high"), limits, upright=True)
        axes.set_xlabel(WORDS["cost"].replace("\n", ", "))
        axes.set_ylabel(WORDS["return"])
        axes.margins(y=0.1)
        draw_limits(axes, limits, upright=True)
        seeds_note(axes, found.seeds)
        legend_below(figure, [axes])
        yield figure


@contextmanager
def improvement(found: Found, width: float) -> Iterator[Figure]:
    """A square per pair of groups, its colour the probability."""
    labels = labels_of(found.rows)
    size = len(labels)
    wide = _LABEL_IN + _SQUARE_IN * size
    with blank(width, 2, 0.6 + 0.3 * size, wide) as (figure, axes):
        for one, (name, title) in zip(axes, _IMPROVEMENTS.items()):
            shares = np.full((size, size), np.nan)
            for row in where(found.rows, measure=name):
                at = labels.index(row["label"]), labels.index(row["other"])
                shares[at] = row["share"]
                words = f"{row['share']:.2f}"
                if wide <= width:
                    words += f"\n[{row['low']:.2f}, {row['high']:.2f}]"
                one.text(*at[::-1], words, ha="center", va="center", fontsize=5.5,
                         color="white" if abs(row["share"] - 0.5) > 0.3 else "0.1")  # fmt: skip
            one.imshow(shares, cmap="PuOr", vmin=0.0, vmax=1.0, aspect="auto")
            one.grid(visible=False)
            numbers = [f"{at + 1}" for at in range(size)]
            one.set_xticks(range(size), numbers)
            one.set_yticks(range(size), [f"{label} ({n})" for label, n in zip(labels, numbers)])
            one.set_title(title)
        if 2 * wide <= width:
            axes[1].set_yticks(range(size), numbers)
        interval = "; [95 % bootstrap interval]" if wide <= width else ""
        axes[-1].set_xlabel(f"{seeds_words(found.seeds)}{interval}")
        yield figure


@contextmanager
def profiles(found: Found, width: float) -> Iterator[Figure]:
    """Falling curves, from every run to none."""
    limits = [row["level"] for row in where(found.rows, label="limit")]
    rows = [row for row in found.rows if row["label"] != "limit"]
    look = looks(labels_of(rows))
    with blank(width, 2) as (figure, axes):
        for one, name in zip(axes, ("return", "cost")):
            for label in labels_of(rows):
                own = where(rows, label=label, measure=name)
                at = [row["level"] for row in own]
                one.plot(at, column(own, "share"), **look[label].line(len(own)), label=label, drawstyle="steps-post")
                one.fill_between(at, column(own, "low"), column(own, "high"), color=look[label].color,
                                 alpha=BAND / 2, linewidth=0, step="post")  # fmt: skip
            one.set_xlabel(f"level of the {WORDS[name]}".replace("\n", ", "))
            one.set_ylabel("share of runs above it")
            # Above 1 there is room for the words of the limit.
            one.set_ylim(-0.02, 1.45)
            plain_ticks(one.yaxis, (0.0, 0.25, 0.5, 0.75, 1.0))
        scale_costs(axes[1], [row["level"] for row in where(rows, measure="cost")], limits, upright=True)
        draw_limits(axes[1], limits, upright=True)
        seeds_note(axes[0], found.seeds)
        legend_below(figure, axes)
        yield figure


@contextmanager
def kappa(found: Found, width: float) -> Iterator[Figure]:
    """A line per algorithm that has a kappa, and anchors across."""
    rows = [row for row in found.rows if row["role"] != "limit"]
    limits = [row["iqm"] for row in where(found.rows, role="limit")]
    kappas = sorted({row["kappa"] for row in where(rows, role="kappa")})
    named = {row["label"]: row["role"] for row in sorted(rows, key=lambda row: row["role"] != "kappa")}
    look = looks(named)
    with blank(width, 2) as (figure, axes):
        for one, name in zip(axes, ("return", "cost")):
            for label, role in named.items():
                own = sorted(where(rows, label=label, measure=name), key=lambda row: int(row["kappa"]))
                if role == "kappa":
                    at = [row["kappa"] for row in own]
                    one.plot(at, column(own, "iqm"), **look[label].line(), label=label, zorder=3)
                    if column(own, "low"):
                        one.errorbar(at, column(own, "iqm"), yerr=error_bars(own, "iqm"), fmt="none", capsize=2,
                                     ecolor=look[label].color, elinewidth=0.9)  # fmt: skip
                for row in own if role in _ANCHORS else ():
                    style = {"color": look[label].color, "linestyle": look[label].linestyle}
                    one.axhline(row["iqm"], **style, label=f"{label} ({role})")
                    if row["low"] is not None:
                        one.axhspan(row["low"], row["high"], color=look[label].color, alpha=BAND / 2, linewidth=0)
            one.set_xlabel("kappa (hops)")
            one.set_ylabel(WORDS[name])
            plain_ticks(one.xaxis, kappas)
            one.margins(y=0.1)
        costs = where(rows, measure="cost")
        scale_costs(axes[1], column(costs, "iqm") + column(costs, "high"), limits)
        draw_limits(axes[1], limits)
        seeds_note(axes[0], found.seeds)
        legend_below(figure, axes)
        yield figure
