"""Charts as SVG that takes its colours from the page around it, so that it suits light and dark.

It knows lines, bands and marks; not what they mean.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from albatross.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = NDArray[np.float64]
Scale = Literal["linear", "from zero", "log", "percent"]
# As many as a chart of this width can show.
_MOST_POINTS = 400
_WIDTH, _HEIGHT = 5.6, 2.7
# Of an axis, about; half of the time goes into drawing them.
_MOST_TICKS = 5
_MARGINS = {"left": 0.1, "right": 0.975, "top": 0.96, "bottom": 0.17}
# Colours that stand for the page's own, and are replaced by their names.
_INK, _GRID, _ALARM = "#010203", "#020304", "#030405"
_SERIES = ("#040506", "#050607", "#060708", "#070809")
MOST_LINES = len(_SERIES)
"""Lines that a chart can hold, each in a colour of its own."""
_NAMES = {_INK: "ink", _GRID: "grid", _ALARM: "alarm"}
_NAMES |= {colour: f"series-{index}" for index, colour in enumerate(_SERIES, start=1)}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "albatross",  # the same curves are the same bytes
    "font.size": 9,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
}


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: what it shows; empty for the only one of a chart
        x: (points,) in rising order
        y: (points,)
        low: (points,) lower edge of a band around it, if it has one
        high: (points,) upper edge of the band
        shape: a curve, a curve with its points marked, or a flight of steps
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    shape: Literal["curve", "points", "steps"] = "curve"


@dataclass(frozen=True)
class Chart:
    """What one picture shows.

    Attributes:
        title: above it
        lines: at most four, each in a colour of its own
        scale: of the upright axis
        marks: (marks,) places on the lying axis that are marked in the colour of alarm
        note: a sentence below it
        across: what the lying axis counts
    """

    title: str
    lines: Sequence[Line]
    scale: Scale = "linear"
    marks: Numbers = field(default_factory=lambda: np.zeros(0))
    note: str = ""
    across: str = "step"


def thinned(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return as many points as can be seen: places, means, and where nine in ten values lie.

    What is no number is left out.
    """
    kept = np.isfinite(y)
    x, y = x[kept], y[kept]
    size = max(1, -(-len(y) // _MOST_POINTS))
    ends = np.minimum(np.arange(size, len(y) + size, size), len(y)) - 1
    whole = len(y) // size * size
    blocks = [y[:whole].reshape(-1, size)]
    if whole < len(y):
        blocks.append(y[None, whole:])
    means = np.concatenate([block.mean(axis=1) for block in blocks])
    low, high = np.concatenate([np.quantile(b, (0.05, 0.95), axis=1) for b in blocks], axis=1)
    return x[ends], means, low, high


def smoothed(y: Numbers, width: int) -> Numbers:
    """Return means over so many neighbours; over fewer near the ends.

    >>> smoothed(np.array([0.0, 3.0, 6.0, 0.0]), 3)
    array([1.5, 3. , 3. , 3. ])
    """
    if width < 2:
        return y
    window = np.ones(width)
    return np.convolve(y, window, "same") / np.convolve(np.ones_like(y), window, "same")


def colour_of(index: int) -> str:
    """Return the colour of a chart's line, counted from 0, in the words of a style sheet."""
    return f"var(--{_NAMES[_SERIES[index]]})"


def draw(chart: Chart) -> str:
    """Return a chart as an SVG element; its colours are variables of the page's style sheet.

    For a script that tells values under a pointer, `data-values` holds the drawn points, and where
    in the picture they begin and end.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "train") from error
    written = io.StringIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT))
        figure.subplots_adjust(**_MARGINS)  # a layout that looks for them takes as long as drawing
        axes = figure.add_subplot()
        for line, colour in zip(chart.lines, _SERIES, strict=False):
            _draw_line(axes, line, colour)
        _draw_marks(axes, chart.marks)
        _draw_axes(axes, chart)
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, name in _NAMES.items():
        svg = svg.replace(colour, f"var(--{name})")
    # Without a size of its own it takes that of its column.
    words = f'<svg role="img" aria-label="{html.escape(chart.title)}" data-values="{{}}"'
    values = html.escape(json.dumps(_values(axes, chart), separators=(",", ":")))
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    start = f'{words.format(values)} xmlns:xlink="http://www.w3.org/1999/xlink" {view[0]}>'
    return start + svg[svg.index(">") + 1 :]


def _draw_line(axes: Axes, line: Line, colour: str) -> None:
    """Draw a line and the band around it."""
    options: dict[str, Any] = {"color": colour, "linewidth": 1.6}
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
    if line.shape == "points":
        options |= {"marker": "o", "markersize": 3.5}
    if line.shape == "steps":
        options |= {"drawstyle": "steps-post"}
    axes.plot(line.x, line.y, **options)


def _draw_marks(axes: Axes, marks: Numbers) -> None:
    """Draw crosses at the foot of a chart."""
    if not len(marks):  # an empty line would still be given room
        return
    at_foot = axes.get_xaxis_transform()
    heights = np.full(len(marks), 0.03)
    options: dict[str, Any] = {"markersize": 5, "markeredgewidth": 1.2, "clip_on": False}
    axes.plot(marks, heights, "x", transform=at_foot, color=_ALARM, **options)


def _draw_axes(axes: Axes, chart: Chart) -> None:
    """Draw what the lines are measured by."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

    axes.grid(axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, which="both")
    axes.margins(x=0.01)
    axes.set_xlabel(chart.across)
    axes.locator_params(nbins=_MOST_TICKS)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if chart.scale == "log":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    elif chart.scale == "from zero":
        axes.set_ylim(bottom=0)
    if chart.scale == "percent":
        shown: Any = FuncFormatter(lambda value, _: f"{100 * value:g}%")
    elif max(axes.get_ylim()) >= 10_000:
        shown = EngFormatter(sep="")
    else:
        shown = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(shown)


def _values(axes: Axes, chart: Chart) -> dict[str, Any]:
    """Return the drawn points, and of the picture's width and of the axis where they lie."""
    box = axes.get_position()
    return {
        "box": [round(edge, 4) for edge in (box.x0, box.x1)],
        "x": [float(f"{edge:.7g}") for edge in axes.get_xlim()],
        "across": chart.across,
        "scale": chart.scale,
        "lines": [
            [line.name, [float(f"{x:.7g}") for x in line.x], [float(f"{y:.4g}") for y in line.y]]
            for line in chart.lines
        ],
    }
