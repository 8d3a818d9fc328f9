"""How figures look, and how they are written: colours that the colour-blind tell apart, line styles and marks that grey
print keeps apart, and files that hold the command that made them but no time.

matplotlib is imported inside functions: every other command starts without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

from scalmarl.launch.errors import MachineNotFit
from scalmarl.launch.summary import bytes_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
DPI = 200
PANEL_IN = 2.3
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours for all kinds of sight, without yellow, which white paper swallows."""
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2, 1, 1, 1, 2)))
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<")
BAND = 0.18
"""How dense a band is."""
WORDS = {
    "return": "team return per episode", "cost": "cost per episode\nmean over agents",
    "largest_cost": "cost per episode\nlargest agent",
}  # fmt: skip
LIMIT: dict[str, Any] = {"color": "0.35", "linewidth": 1.0, "linestyle": "-", "zorder": 1.5}
_SETTINGS = {
    "font.size": 8.0, "axes.titlesize": 8.0, "legend.fontsize": 7.5, "figure.titlesize": 9.0, "lines.linewidth": 1.3,
    "lines.markersize": 3.5, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.5,
    "legend.frameon": False, "legend.handlelength": 3.0, "svg.hashsalt": "scalmarl", "pdf.fonttype": 42,
    "axes.axisbelow": True, "figure.constrained_layout.use": True,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colour, line style and mark of one line."""

    color: str
    linestyle: Any
    marker: str

    def line(self, points: int = 1) -> dict[str, Any]:
        """For ``plot``, with about ten marks on so many points, so that styles stay readable."""
        every = max(1, points // 10)
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker, "markevery": every}


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """One look per label, in order; styles and marks repeat with different periods. More labels than colours share a
    scale from dark to light."""
    from matplotlib import colormaps, colors

    unique = list(dict.fromkeys(label for label in labels if label))
    colours: tuple[str, ...] = _COLOURS
    if len(unique) > len(colours):
        colours = tuple(colors.to_hex(colormaps["viridis"](0.9 * i / (len(unique) - 1))) for i in range(len(unique)))
    return {
        label: Look(colours[i], _DASHES[i % len(_DASHES)], _MARKS[i % len(_MARKS)]) for i, label in enumerate(unique)
    }


def require_plot(command: str) -> None:
    """Raise ``MachineNotFit`` where the extra ``plot`` is missing."""
    missing = [name for name in ("matplotlib", "scipy", "jinja2") if find_spec(name) is None]
    if missing:
        raise MachineNotFit(f"{command} needs {' and '.join(missing)}", "pip install 'scalmarl[plot]'")


@contextmanager
def blank(
    width: float, panels: int, height: float = 2.4, panel: float = PANEL_IN
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of ``width`` inches with ``panels`` of ``height`` inches, none narrower than ``panel``, so a narrow
    figure has them on top of one another; whatever the user's matplotlibrc says.
    While it is open these settings hold, so write it inside."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(1, min(panels, int(width / panel)))
    rows = -(-panels // columns)
    with style.context(["default", _SETTINGS]):
        figure = Figure(figsize=(width, height * rows))
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for unused in axes[panels:]:
            unused.remove()
        yield figure, axes[:panels]


def legend_below(figure: Figure, axes: Sequence[Axes], title: str = "") -> None:
    """One legend for all panels under them, as many columns as the width takes, and room for it."""
    found = {label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels())}
    if not found:
        return
    line, letter, width = 0.6, 0.062, figure.get_figwidth()
    labels = [fill(label, int((width - line) / letter)) for label in found]
    entry = line + letter * max(len(text) for label in labels for text in label.split("\n"))
    columns = max(1, min(len(labels), int(width / entry)))
    lines = -(-len(labels) // columns) * max(1 + label.count("\n") for label in labels) + bool(title)
    figure.set_figheight(figure.get_figheight() + 0.16 * lines)
    figure.legend(list(found.values()), labels, loc="outside lower center", ncols=columns, title=title or None,
                  title_fontsize=7.0)  # fmt: skip


def draw_limits(axes: Axes, limits: Sequence[float], upright: bool = False) -> None:
    """The least and the largest limit as lines that say what they are."""
    for limit in sorted({limits[0], limits[-1]}) if limits else ():
        words: dict[str, Any] = {
            "text": f"limit {limit:g}",
            "fontsize": 7,
            "color": "0.2",
            "textcoords": "offset points",
        }
        if upright:
            axes.axvline(limit, **LIMIT)
            # Inside, where the corners above are taken, but behind what is measured.
            place: dict[str, Any] = {"xy": (limit, 1.0), "xycoords": ("data", "axes fraction"), "xytext": (-2, -2)}
            axes.annotate(**words, **place, ha="right", va="top", rotation=90, zorder=1.5)
        else:
            axes.axhline(limit, **LIMIT)
            place = {"xy": (1.0, limit), "xycoords": ("axes fraction", "data"), "xytext": (2, 0)}
            axes.annotate(**words, **place, ha="left", va="center", annotation_clip=False)


def scale_costs(axes: Axes, costs: Sequence[float], limits: Sequence[float], upright: bool = False) -> None:
    """From 0; where costs are more than ten limits, equal steps up to the limit and logarithmic above; it says so."""
    axis = axes.xaxis if upright else axes.yaxis
    most, limit = max(costs, default=0.0), max(limits, default=0.0)
    bottom: dict[str, Any] = {"left" if upright else "bottom": 0.0}
    if limit <= 0.0 or most <= 10.0 * limit:
        bottom["right" if upright else "top"] = 1.1 * max(most, limit) or 1.0
        (axes.set_xlim if upright else axes.set_ylim)(**bottom)
        return
    (axes.set_xscale if upright else axes.set_yscale)("symlog", linthresh=limit, linscale=1.0)
    ticks = [0.0, *(limit * step for step in (1, 2, 4, 10, 20, 40, 100, 200, 400, 1000) if limit * step <= 1.5 * most)]
    plain_ticks(axis, ticks)
    bottom["right" if upright else "top"] = 1.5 * most
    (axes.set_xlim if upright else axes.set_ylim)(**bottom)
    corner_note(axes, "logarithmic above the limit", left=upright)


def plain_ticks(axis: Any, ticks: Sequence[float], words: Callable[[float], str] = "{:g}".format) -> None:
    """Ticks at these values, in plain numbers, and no others."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def short_counts(axis: Any) -> None:
    """``200k``, ``1.5M`` instead of ``1e6`` in a corner."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_major_locator(MaxNLocator(5))


def byte_ticks(axis: Any) -> None:
    """``200 kB``, ``1.5 MB``."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: bytes_words(value)))


def bytes_words(count: float) -> str:
    """``bytes_text`` without needless zeros."""
    number, unit = bytes_text(count).split()
    return f"{float(number):g} {unit}"


def seeds_note(axes: Axes, seeds: tuple[int, int]) -> None:
    """In a corner, where a figure has fewer than five seeds: how many, and what that means for the bands."""
    if seeds[0] < 5:
        corner_note(axes, seeds_words(seeds) + (", no interval" if seeds[1] < 3 else ""))


def seeds_words(seeds: tuple[int, int]) -> str:
    """``1 seed``, ``2 to 3 seeds``."""
    few, many = seeds
    return f"{few if few == many else f'{few} to {many}'} seed{'' if many == 1 else 's'}"


def corner_note(axes: Axes, text: str, left: bool = False) -> None:
    """Small words above the upper right corner, or the left one."""
    axes.annotate(text, (0.0 if left else 1.0, 1.0), xycoords="axes fraction", xytext=(-1, 2), fontsize=6.5,
                  textcoords="offset points", ha="left" if left else "right", va="bottom", style="italic",
                  color="0.35")  # fmt: skip


def written(figure: Figure, kind: str, title: str, about: str, command: str) -> bytes:
    """The figure as a file of ``FORMATS``, with the command in its metadata; equal figures are equal bytes."""
    from scalmarl import __version__

    software = f"scalmarl {__version__}"
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Title": title, "Description": about, "Source": command, "Software": software},
        "pdf": {"Title": title, "Subject": about, "Keywords": command, "Creator": software, "CreationDate": None},
        "svg": {"Title": title, "Description": about, "Source": command, "Creator": software, "Date": None},
    }
    buffer = BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata[kind])
    return buffer.getvalue()
