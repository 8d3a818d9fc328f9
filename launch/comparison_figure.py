"""Learning curves of a comparison: return and cost against environment steps, as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalmarl.launch.run_statistics import binned

BINS = 40
PANELS = (
    ("return_team", "team return per episode"),
    ("cost", "cost per episode, mean over agents"),
    ("largest_cost", "cost per episode, largest agent"),
)


@dataclass(frozen=True)
class Curves:
    """The runs of one algorithm and kappa: a list of metrics lines per seed."""

    label: str
    runs: list[list[dict[str, Any]]]


def draw(path: Path, curves: list[Curves], env_steps: int, limits: list[float], title: str) -> bool:
    """Write the picture; ``False`` where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    edges = np.linspace(0.0, env_steps, BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, words) in zip(figure.subplots(1, len(PANELS)), PANELS):
        for number, curve in enumerate(curves):
            colour, style = f"C{number % 10}", ("-", "--", ":")[number // 10 % 3]
            bands = np.array([binned(lines, name, edges) for lines in curve.runs]).reshape(-1, BINS)
            middle, low, high = _mean_and_range(bands)
            known = ~np.isnan(middle)
            axes.plot(middles[known], middle[known], style, color=colour, label=curve.label, linewidth=1.5)
            axes.fill_between(middles[known], low[known], high[known], color=colour, alpha=0.15, linewidth=0)
        if name != "return_team":
            for limit in sorted({limits[0], limits[-1]}):
                axes.axhline(limit, color="black", linestyle=(0, (6, 3)), linewidth=1)
                axes.annotate(f"limit {limit:g}", (0.99, limit), xycoords=("axes fraction", "data"), ha="right",
                              va="bottom", fontsize=8)  # fmt: skip
            axes.set_ylim(bottom=0)
        axes.set_xlim(0, env_steps)
        axes.set_xlabel("environment steps")
        axes.set_title(words, fontsize=10)
        axes.grid(alpha=0.25)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    return True


def _mean_and_range(bands: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean, least and largest over seeds ``[seeds, bins]``; NaN where no seed has an episode."""
    known = ~np.isnan(bands)
    count = known.sum(axis=0)
    total = np.where(known, bands, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    low = np.where(known, bands, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, bands, -np.inf).max(axis=0, initial=-np.inf)
    return mean, low, high
