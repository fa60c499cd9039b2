"""The picture of ALBERT against BERT: how they learn, what they score, and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tables.pretraining import PROBES

_COLOURS = ("#0b6e4f", "#c8553d")
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "albatross",  # the same figures are the same bytes
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(path: Path, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw models side by side.

    Args:
        path: of the SVG.
        found: the runs of each model by its name, as rows keep them.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        curves, scores, sizes = figure.subplots(1, 3, width_ratios=(5, 5, 3))
        for name, colour in zip(found, _COLOURS, strict=True):
            _draw_curves(curves, name, found[name], colour)
        _draw_scores(scores, found)
        _draw_sizes(sizes, found)
        curves.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})


def _draw_curves(axes: Axes, name: str, runs: Sequence[Mapping[str, Any]], colour: str) -> None:
    """Draw the loss of masked words over the text, a line for each seed."""
    for index, run in enumerate(runs):
        label, losses = None if index else name, run["curve"]["loss"]
        read = [run["tokens"] / 1e6 * (i + 1) / len(losses) for i in range(len(losses))]
        axes.plot(read, losses, color=colour, linewidth=1.2, label=label)
    axes.set(title="masked-word loss in training", xlabel="M tokens read")
    axes.grid(alpha=0.3)


def _draw_scores(axes: Axes, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw what fine-tuning gives: the mean, and the deviation over seeds."""
    probes = [name for name in PROBES if all(name in runs[0]["probes"] for runs in found.values())]
    for shift, runs, colour in zip((0.15, -0.15), found.values(), _COLOURS, strict=True):
        values = [
            [value for run in runs for value in run["probes"][name]["by_seed"].values()]
            for name in probes
        ]
        axes.errorbar(
            [mean(each) for each in values],
            [len(probes) - 1 - place + shift for place in range(len(probes))],
            xerr=[stdev(each) if len(each) > 1 else 0.0 for each in values],
            fmt="o",
            color=colour,
            markersize=4,
            capsize=2,
        )
    axes.set_yticks(range(len(probes)), [name.partition(",")[0] for name in reversed(probes)])
    axes.set(title="fine-tuned, score and deviation")
    axes.grid(axis="x", alpha=0.3)


def _draw_sizes(axes: Axes, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the bytes of the weights."""
    sizes = [runs[0]["bytes"] / 1e6 for runs in found.values()]
    bars = axes.bar([*found], sizes, color=_COLOURS, width=0.6)
    axes.bar_label(bars, [f"{size:.1f}" for size in sizes])
    axes.set(title="MB of weights")
