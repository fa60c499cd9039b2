"""How a class is decided on by its probability: calibrated, and not at all where none is likely.

The temperature is that of Guo et al. (2017). Texts of no known class have a label of their own,
which is answered, too, where every other label is less likely than a threshold, as CLINC150's
baselines do (Larson et al., 2019, section 3).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.errors import AlbatrossWarning, ConfigError
from albatross.metrics.calibration import fit_temperature, tempered
from albatross.tasks.answers import Answer
from albatross.tasks.inputs import softmax
from albatross.tasks.labels import likeliest
from albatross.tasks.options import listed

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """From logits to an answer.

    Attributes:
        calibrate: whether the temperature is chosen on records that are not learned from
        temperature: by which logits are divided; above 1 answers are less sure
        otherwise: the label of texts that belong to no other; empty where there is none
        threshold: the probability below which no other label is answered
    """

    calibrate: bool = False
    temperature: float = 1.0
    otherwise: str = ""
    threshold: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decision:
        """Read what `to_dict` wrote; earlier versions wrote nothing."""
        return cls(
            bool(values.get("calibrate", False)),
            float(values.get("temperature", 1.0)),
            str(values.get("otherwise", "")),
            float(values.get("threshold", 0.0)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds; nothing of what is as always."""
        return {key: value for key, value in vars(self).items() if value != getattr(Decision, key)}

    def check(self, labels: Sequence[str]) -> None:
        """Refuse numbers that decide nothing, and a label that is none.

        Raises:
            ConfigError: there is one.
        """
        if not (0 < self.temperature < np.inf and 0 <= self.threshold <= 1):
            raise ConfigError(
                "A temperature must be above 0, a threshold from 0 to 1. Received:"
                f" {self.temperature} and {self.threshold}. Write the folder again."
            )
        if self.otherwise and (self.otherwise not in labels or len(labels) < 3):
            raise ConfigError(
                "`--otherwise` must be one of at least three labels. Received:"
                f" {self.otherwise!r} of {listed(labels)}. Leave it out, or name one."
            )

    @property
    def is_chosen(self) -> bool:
        """Whether records decide on something that the weights do not."""
        return self.calibrate or bool(self.otherwise)

    def answer(self, logits: FloatArray, labels: Sequence[str]) -> Answer:
        """Return the most probable label, or that of texts which belong to no other.

        The score of the latter is how probable it is that the most probable label is wrong.
        """
        found = likeliest(softmax(logits / self.temperature), labels)
        if self.otherwise not in ("", found.label) and found.score < self.threshold:
            return Answer(self.otherwise, 1 - found.score, found.probabilities)
        return found

    def fitted(
        self, shares: FloatArray, expected: NDArray[np.integer], labels: Sequence[str]
    ) -> Decision:
        """Choose temperature and threshold by records that are neither learned nor reported.

        The threshold is best for the mean of two figures: how often texts of a known class get
        theirs, and how often the others are told. What the records cannot tell stays: the threshold
        where one of these kinds is missing, the temperature where all answers are right.

        Args:
            shares: (records, labels), as the present temperature gives them.
            expected: (records,), the right classes.
            labels: names of the classes.
        """
        found = self
        if self.calibrate and (shares.argmax(1) == expected).all():
            _warn(
                "A temperature is chosen by answers of which some are wrong. Received:"
                f" {len(expected):,} right ones. It stays. Give records that it gets wrong, too."
            )
        elif self.calibrate:
            found = replace(found, temperature=self.temperature * fit_temperature(shares, expected))
            shares = tempered(shares, found.temperature / self.temperature)
        if self.otherwise:
            none = list(labels).index(self.otherwise)
            if 0 < (expected == none).sum() < len(expected):
                found = replace(found, threshold=_best_threshold(shares, expected, none))
            else:
                _warn(
                    f"A threshold is chosen by records of {self.otherwise!r} and of other labels."
                    f" Received: {len(expected):,} of one kind. It stays. Give some of both."
                )
        return found


USUAL_DECISION = Decision()
"""The most probable label, as the weights say it."""


def otherwise_figures(
    expected: FloatArray, predicted: FloatArray, otherwise: int
) -> dict[str, float]:
    """Return how often known texts get their label, and how often the others are told.

    A figure of texts that are not there is left out.
    """
    is_other, right = expected == otherwise, expected == predicted
    parts = {"inside_accuracy": right[~is_other], "otherwise_recall": right[is_other]}
    return {name: float(part.mean()) for name, part in parts.items() if len(part)}


def _warn(message: str) -> None:
    """Say that the records cannot choose."""
    warnings.warn(message, AlbatrossWarning, stacklevel=4)


def _best_threshold(shares: FloatArray, expected: NDArray[np.integer], none: int) -> float:
    """Return the middle between the two best probabilities where both kinds fare best."""
    is_none = expected == none
    best, chosen = shares.max(1), shares.argmax(1)
    order = np.argsort(best, kind="stable")
    # With the threshold above the first k answers in this order, these say that there is none.
    right_before = np.concatenate([[0], np.cumsum(_weighed(is_none, is_none)[order])])
    by_label = _weighed(is_none, chosen == expected)[order]
    right_after = by_label.sum() - np.concatenate([[0], np.cumsum(by_label)])
    figures = right_before + right_after
    ordered = best[order]
    figures[1:-1][ordered[1:] == ordered[:-1]] = -1  # equal probabilities fall on one side
    cut = int(figures.argmax())
    if cut == 0:
        return 0.0
    above = ordered[cut] if cut < len(ordered) else 1.0
    return float((ordered[cut - 1] + above) / 2)


def _weighed(is_none: NDArray[np.bool_], right: NDArray[np.bool_]) -> FloatArray:
    """Return what each record adds to the mean of both kinds' shares of right answers."""
    weights = np.where(is_none, 1 / is_none.sum(), 1 / (~is_none).sum())
    found: FloatArray = weights * right
    return found
