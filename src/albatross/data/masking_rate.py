"""How much is masked in truth: a cap, a long word or a short sample may take from what was asked.

Google's cap of 20 predictions leaves 4 % of the tokens at a length of 512, which no log ever said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from albatross.data.packing import IGNORED_LABEL
from albatross.data.segments import SampleSource


@dataclass(frozen=True)
class MaskingFigures:
    """What samples predict.

    Attributes:
        asked: share of the tokens that the rule asks for
        effective: share that is predicted, of the tokens that may be
        with_specials: share that is predicted, of all tokens, [CLS] and [SEP] included
        most_in_a_sample: tokens that one sample predicts at most
    """

    asked: float
    effective: float
    with_specials: float
    most_in_a_sample: int

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{100 * self.asked:.1f} % asked, {100 * self.effective:.1f} % effective"
            f" ({100 * self.with_specials:.1f} % with [CLS] and [SEP]), at most"
            f" {self.most_in_a_sample} in a sample"
        )


def effective_masking(source: SampleSource, samples: int = 1_000) -> MaskingFigures:
    """Measure on the first samples of training how much is masked."""
    indices = np.arange(min(samples, len(source.plan(0))))
    found = source.samples(0, indices)
    predicted = [
        int(np.count_nonzero(example.labels["labels"] != IGNORED_LABEL)) for example in found
    ]
    total = sum(len(example.input_ids) for example in found)
    ordinary = len(source.text(0, indices).ids)
    return MaskingFigures(
        asked=source.rule.masking.rate,
        effective=sum(predicted) / ordinary,
        with_specials=sum(predicted) / total,
        most_in_a_sample=max(predicted),
    )
