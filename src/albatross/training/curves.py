"""What a run looked like, or will look like, as one page that a person can look at.

The page needs no network and no program but a browser. It is made of the log alone.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from albatross.training.charts import MOST_LINES, Chart, Line, Numbers, smoothed, thinned
from albatross.training.page import write_page
from albatross.training.run_log import log_lines

_BANDS = {band: f"masked_lm_accuracy_{band}" for band in ("common", "middle", "rare")}
_TITLES = {
    "loss": "Loss",
    "masked_lm_loss": "Masked words: loss",
    "sentence_order_loss": "Pairs of segments: loss",
    "replaced_token_loss": "Replaced words: loss",
    "masked_lm_accuracy": "masked words",
    "sentence_order_accuracy": "pairs of segments",
    "replaced_token_accuracy": "replaced words",
    **{name: f"{band} masked words" for band, name in _BANDS.items()},
    "learning_rate": "Learning rate",
    "batch_tokens": "Tokens of a step",
    "length": "Longest sequence of a step",
    "depth": "Layers applied",
    "norm": "Gradient norm",
}
_Growing = defaultdict[str, tuple["array[float]", "array[float]"]]
_COUNTS = (("steps", "step"), ("tokens", "tokens"))
_POWERS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_SPANS = ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "min"), (60, 1, "min", "s"))
_WHOLE_NUMBERS = ("length", "depth")
_MOST_PLANNED, _MOST_SPEEDS = 1_000, 101
_HELD_OUT = "held-out text"
# What a task is measured by, by the last word of its name.
_OF_TASKS = (
    "mean",
    "accuracy",
    "f1",
    "matthews",
    "pearson",
    "spearman",
    "kappa",
    "exact",
    "bleu",
    "rougeL",
)


class Columns:
    """The figures of a log by name: where each stands, and its values.

    Attributes:
        training: of the lines of steps
        evaluation: of the lines of evaluations
        skipped: the steps that were not learned from
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Read the lines; a million of them need a few hundred megabytes."""
        training: _Growing = defaultdict(lambda: (array("d"), array("d")))
        evaluation: _Growing = defaultdict(lambda: (array("d"), array("d")))
        skipped = array("d")
        for line in lines:
            figures, into = line, training
            if "evaluation" in line:
                figures, into = line["evaluation"], evaluation
            for name, value in figures.items():
                if isinstance(value, int | float):
                    steps, values = into[name]
                    steps.append(line["step"])
                    values.append(value)
            if "skipped" in line:
                skipped.append(line["step"])
        self.training, self.evaluation = _arrays(training), _arrays(evaluation)
        self.skipped = np.frombuffer(skipped)


def write_curves(log: Path, out: Path, title: str) -> None:
    """Write the page of a run.

    Args:
        log: of the run.
        out: the page.
        title: of the page.

    Raises:
        FolderError: the log is missing or damaged.
        MissingDependencyError: matplotlib is not installed.
    """
    columns = Columns(log_lines(log))
    write_page(out, title, _summary(columns), _charts(columns))


def write_plan(points: Sequence[Mapping[str, float]], out: Path, title: str) -> None:
    """Write the page of a run that has not begun.

    Args:
        points: over the run, in order: its `fraction`, and what holds there by name, such as
            `learning_rate` and `batch_tokens`.
        out: the page.
        title: of the page.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    shown = [points[at] for at in _spread(len(points), _MOST_PLANNED)]
    names = dict.fromkeys(name for point in shown for name in point if name != "fraction")
    charts, summary = [], {}
    for name in names:
        having = [point for point in shown if name in point]
        x = np.array([100 * point["fraction"] for point in having])
        y = np.array([point[name] for point in having], dtype=np.float64)
        line = Line("", x, y, shape="steps" if name in _WHOLE_NUMBERS else "curve")
        charts.append(Chart(_title(name), [line], "from zero", across="percent of the run"))
        low, high = _figure(y.min()), _figure(y.max())
        summary[_title(name).lower()] = low if low == high else f"{low} to {high}"
    write_page(out, title, summary, charts)


# === What is shown ===


def _charts(columns: Columns) -> list[Chart]:
    """Return the charts for which the log has figures: more than one, which the summary tells."""
    charts = [*_losses(columns), *_accuracies(columns), *_task_figures(columns)]
    for name in ("learning_rate", "batch_tokens", "length", "depth"):
        if name in columns.training:
            x, y, _, _ = thinned(*columns.training[name])
            charts.append(Chart(_title(name), [Line("", x, y)], "from zero"))
    if "norm" in columns.training:
        charts.append(_norms(columns))
    charts += _speed(columns)
    return [chart for chart in charts if any(len(line.x) > 1 for line in chart.lines)]


def _losses(columns: Columns) -> list[Chart]:
    """Return a chart for every loss: of the steps smoothed, of held-out text as points."""
    both = dict.fromkeys([*columns.training, *columns.evaluation])
    names = [name for name in both if name.endswith("_loss")] or ["loss"]
    charts = []
    for name in names:
        lines = []
        if name in columns.training:
            lines.append(_smooth_line("training", *columns.training[name]))
        if name in columns.evaluation:
            lines.append(Line(_HELD_OUT, *columns.evaluation[name], shape="points"))
        if lines:
            note = "The band holds nine in ten steps." if name in columns.training else ""
            charts.append(Chart(_title(name), lines, note=note))
    return charts


def _accuracies(columns: Columns) -> list[Chart]:
    """Return accuracies on held-out text, and how it is with rare words.

    A run on more tasks than there are colours gets several charts.
    """
    found = columns.evaluation
    whole = {_title(name): name for name in found if name.endswith("_accuracy")}
    charts = []
    for title, names in (
        ("Accuracy, held out", whole),
        ("Masked words found, by how frequent they are", _BANDS),
    ):
        lines = [
            Line(name, *found[key], shape="points") for name, key in names.items() if key in found
        ]
        for start in range(0, len(lines), MOST_LINES):
            charts.append(Chart(title, lines[start : start + MOST_LINES], "percent"))
    return charts


def _task_figures(columns: Columns) -> list[Chart]:
    """Return a chart for every kind of figure of tasks on their dev parts.

    Of more lines than there are colours those with the shortest names are drawn: the parts and
    tasks themselves come before what they fall into.
    """
    charts = []
    for kind in _OF_TASKS:
        names = [n for n in columns.evaluation if _is_of_task(n) and n.split("_")[-1] == kind]
        drawn = sorted(names, key=len)[:MOST_LINES]
        lines = [Line(_title(name), *columns.evaluation[name], shape="points") for name in drawn]
        if lines:
            charts.append(Chart(f"{_title(kind)} on the dev part", lines))
    return charts


def _is_of_task(name: str) -> bool:
    """Whether a figure is of a task; those of pre-training name what they are the accuracy of."""
    return name.split("_")[-1] in _OF_TASKS and not name.endswith("_accuracy")


def _norms(columns: Columns) -> Chart:
    """Return the chart of gradient norms, with the steps that were skipped."""
    steps, values = columns.training["norm"]
    line = _smooth_line("", steps, np.where(values > 0, values, np.nan))
    count = len(columns.skipped)
    verb = "step was" if count == 1 else "steps were"
    note = f"{count:,} {verb} skipped, marked by a cross." if count else ""
    return Chart(_title("norm"), [line], "log", columns.skipped, note)


def _speed(columns: Columns) -> list[Chart]:
    """Return the chart of tokens a second, from what passed between the points that are shown."""
    if not {"tokens", "seconds"} <= columns.training.keys():
        return []
    steps, tokens = columns.training["tokens"]
    seconds = columns.training["seconds"][1]
    at = _spread(len(steps), _MOST_SPEEDS)
    passed = np.diff(seconds[at])
    speed = np.divide(
        np.diff(tokens[at]), passed, out=np.full(len(passed), np.nan), where=passed > 0
    )
    known = np.isfinite(speed)
    line = Line("", steps[at][1:][known], speed[known])
    return [Chart("Tokens a second", [line], "from zero")] if known.any() else []


def _smooth_line(name: str, steps: Numbers, values: Numbers) -> Line:
    """Return a line through the means over the neighbourhood, and a band around it."""
    x, y, low, high = thinned(steps, values)
    width = len(y) // 50
    return Line(name, x, smoothed(y, width), smoothed(low, width), smoothed(high, width))


def _summary(columns: Columns) -> dict[str, str]:
    """Return the figures above the charts, by name."""
    last = {name: float(values[-1]) for name, (_, values) in columns.training.items()}
    final = {name: float(values[-1]) for name, (_, values) in columns.evaluation.items()}
    summary = {name: _figure(last[key]) for name, key in _COUNTS if key in last}
    if last.get("seconds"):
        summary["time"] = _span(last["seconds"])
        summary["tokens a second"] = _figure(last.get("tokens", math.nan) / last["seconds"])
    for name in [name for name in last if name.endswith("_loss") and name not in final]:
        values = columns.training[name][1]
        recent = values[-max(1, len(values) // 100) :]
        if np.isfinite(recent).any():
            summary[f"{_title(name).lower()} in the last steps"] = f"{np.nanmean(recent):.3f}"
    for name, value in final.items():
        if name.endswith("_loss"):
            summary[f"{_title(name).lower()}, {_HELD_OUT}"] = f"{value:.3f}"
        elif name.endswith("_accuracy") or name in _BANDS.values():
            summary[f"accuracy: {_title(name)}"] = f"{value:.1%}"
        elif _is_of_task(name):
            summary[f"{_title(name)} on the dev part"] = f"{value:.4f}"
    if "flops_utilisation" in final:
        summary["of the machine's peak used"] = f"{final['flops_utilisation']:.1%}"
    if "energy_wh" in final:
        summary["energy"] = _energy(final["energy_wh"])
    if len(columns.skipped):
        summary["steps skipped"] = _figure(len(columns.skipped))
    return {name: text for name, text in summary.items() if "nan" not in text}


def _spread(count: int, most: int) -> list[int]:
    """Return so many indices at most, evenly over a count, the first and the last among them."""
    return [int(at) for at in np.unique(np.linspace(0, count - 1, min(count, most)).round())]


def _arrays(growing: _Growing) -> dict[str, tuple[Numbers, Numbers]]:
    """Return places and values as arrays."""
    return {name: (np.frombuffer(x), np.frombuffer(y)) for name, (x, y) in growing.items()}


# === In words ===


def _title(name: str) -> str:
    """Return a figure's name for people."""
    return _TITLES.get(name, name.removeprefix("heads.").replace("_", " "))


def _figure(value: float) -> str:
    """Return a figure as short as it can be read.

    >>> [_figure(value) for value in (0.00176, 512, 13000, 26_100_000)]
    ['0.00176', '512', '13,000', '26.1 M']
    """
    if abs(value) < 1_000_000:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    power, letter = next(pair for pair in _POWERS if abs(value) >= pair[0])
    return f"{value / power:.3g} {letter}"


def _span(seconds: float) -> str:
    """Return a span of time in the two units that matter.

    >>> [_span(seconds) for seconds in (42.4, 2700, 5460, 183600)]
    ['42 s', '45 min 0 s', '1 h 31 min', '2 d 3 h']
    """
    for large, small, name, part in _SPANS:
        if seconds >= large:
            return f"{seconds // large:.0f} {name} {seconds % large // small:.0f} {part}"
    return f"{seconds:.0f} s"


def _energy(watt_hours: float) -> str:
    """Return an energy; kilowatt-hours for what a household would notice."""
    return f"{watt_hours / 1000:,.2f} kWh" if watt_hours >= 100 else f"{watt_hours:.3g} Wh"
