"""Whether a run has collapsed: its answers no longer depend on the text.

ALBERT's larger sizes do so at rates that smaller ones learn well from (google-research, issue 151),
and any size does at a rate that is high enough. The loss then stays where a model would be that
knows nothing but how frequent each label is. A task that is too hard for a model looks alike from
the loss, and a lower rate would not help it; so the answers are looked at, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from albatross.data.packing import Example, pack
from albatross.engine.engine import Engine, run
from albatross.errors import TrainingError
from albatross.head_spec import HeadSpec
from albatross.modeling.losses import class_counts

# A mean of the loss over so many steps, at least, or such a share of the run; compared as often.
_LEAST_STEPS, _SHARE = 20, 0.05
# Such means in a row that show a collapse.
_PATIENCE = 2
# Of the loss without any knowledge. A run that learns is below within a share of its first epoch.
_MARGIN = 0.02
# Standard deviation of a logit over texts. Collapsed runs had less than 1e-5; healthy ones that had
# not begun to learn 1e-3 and more, others 0.1 and more.
_LEAST_SPREAD = 1e-4
_MOST_SKIPPED = 10


class CollapseError(TrainingError):
    """A run has collapsed; it may begin anew at a lower rate."""


class CollapseWatch:
    """Reads the log of a run line by line and raises when it has collapsed.

    How far answers differed stands in the line at which it was measured, so that an interrupted run
    is judged as one that was not.
    """

    def __init__(
        self, *, ignorant_loss: float | None, steps: int, warmup: float, spread: Callable[[], float]
    ) -> None:
        """Say what is normal.

        Args:
            ignorant_loss: of a model that knows how frequent labels are, and nothing else; None
                where that is not known, and then only what is no number is noticed.
            steps: of the run.
            warmup: share of the run in which the rate rises; nothing is judged by then.
            spread: measures how far the answers to several texts differ.
        """
        self._limit = None if ignorant_loss is None else ignorant_loss * (1 - _MARGIN)
        self._start = warmup * steps
        self._window = max(_LEAST_STEPS, round(_SHARE * steps))
        self._spread = spread
        self._losses: list[float] = []
        self._skipped = self._collapsed = 0

    def __call__(self, entry: dict[str, Any]) -> None:
        """Take note of a line; of one that ends a suspicious stretch the `spread` is put into it.

        Raises:
            CollapseError: the run has collapsed.
        """
        if "loss" not in entry:
            return
        self._skipped = self._skipped + 1 if entry.get("skipped") == "not a number" else 0
        if self._skipped == _MOST_SKIPPED:
            raise _collapse(f"{_MOST_SKIPPED} steps in a row without a number", entry)
        if self._limit is None or entry["step"] <= self._start or not math.isfinite(entry["loss"]):
            return
        self._losses.append(entry["loss"])
        if len(self._losses) < self._window:
            return
        mean, self._losses = float(np.mean(self._losses)), []
        spread = self._spread_at(entry) if mean >= self._limit else math.inf
        self._collapsed = 0 if spread >= _LEAST_SPREAD else self._collapsed + 1
        if self._collapsed == _PATIENCE:
            raise _collapse(f"a loss of {mean:.3f}, and answers that differ by {spread:.0e}", entry)

    def _spread_at(self, entry: dict[str, Any]) -> float:
        """Return how far answers differ after a line's step: as it says, or measured now."""
        if "spread" not in entry:
            spread = self._spread()
            entry["spread"] = 0.0 if math.isnan(spread) else spread  # no number is no spread
        # The log has one word for all that is not finite.
        return math.inf if math.isnan(entry["spread"]) else float(entry["spread"])


def spread_of(engine: Engine, examples: Sequence[Example], heads: Mapping[str, HeadSpec]) -> float:
    """Return the largest standard deviation of a logit over examples.

    It is infinite where no head is judged, and where the examples are all alike.
    """
    names = [name for name, spec in heads.items() if spec.kind in ("sequence", "choice")]
    if not names or len({one.input_ids.tobytes() for one in examples}) < 2:
        return math.inf
    bare = [one.bare() for one in examples]
    outputs = run(engine, pack(bare))
    return float(max(outputs[name].std(axis=0).max() for name in names))


def ignorant_loss(
    heads: Mapping[str, HeadSpec],
    units: Sequence[Sequence[Example]],
    *,
    class_weights: np.ndarray[Any, Any] | None = None,
) -> float | None:
    """Return the loss of a model that knows how frequent each label is, and nothing else.

    It is the entropy of the labels where these are classes, and their variance where the error is
    squared. None where there is another head, or several.

    Args:
        heads: of the task.
        units: the examples, with labels.
        class_weights: (classes,), by which losses are multiplied.
    """
    if len(heads) != 1:
        return None
    ((name, spec),) = heads.items()
    if spec.kind == "choice":
        sizes = [len({int(one.labels[f"{name}.choice"]) for one in unit}) for unit in units]
        return float(np.mean(np.log(sizes)))
    if spec.kind != "sequence":
        return None
    labels = np.array([np.ravel(one.labels[name]) for unit in units for one in unit])
    if spec.loss == "squared":
        return float(labels.var())
    if spec.loss == "binary":
        return float(_binary_entropy(labels.mean(0)).mean())
    if spec.loss == "ordinal":
        return float(_binary_entropy((labels > np.arange(spec.size)).mean(0)).sum())
    counts = class_counts(labels if labels.shape[1] > 1 else labels[:, 0], spec.size)
    counts *= 1.0 if class_weights is None else class_weights
    shares = counts / counts.sum()
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())


def _binary_entropy(share: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the entropy of events of these probabilities."""
    inside = np.clip(share.astype(np.float64), 1e-12, 1 - 1e-12)
    entropy: np.ndarray[Any, Any] = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside))
    return entropy


def _collapse(found: str, entry: Mapping[str, Any]) -> CollapseError:
    """Return the error for what was found at a line of the log."""
    return CollapseError(
        f"A model must learn from its texts. Received: {found}, up to step {entry['step']:,}: the"
        " run has collapsed. Start anew with a lower `--learning-rate`."
    )
