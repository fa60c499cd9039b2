"""Pattern-exploiting training (PET and iPET: Schick and Schuetze, 2021, section 3).

Each pattern teaches models to fill its gap; together they say how texts without labels are shared
out among the classes, and one plain classifier learns from that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import (
    Example,
    batches_by_tokens,
)
from albatross.data.records import TextRecord
from albatross.modeling.model import AlbertForPreTraining
from albatross.rng import stream
from albatross.tasks.cloze import Cloze
from albatross.tokenizer.folder import AnyTokenizer
from albatross.training.cloze_losses import ClozeBatches, ClozeLosses, packed_units
from albatross.training.example_batches import ExampleBatches
from albatross.training.masked_text import masked_examples
from albatross.training.self_training import grown
from albatross.training.short_run import ShortRun
from albatross.training.soft_labels import Shares

Weighting = Literal["accuracy", "equal"]
# Of the soft labels (PET, section 3.2).
_TEMPERATURE = 2.0
# Sentences with a gap to one text with masked words: as many of both would double the time.
_GAPS_PER_TEXT = 4
# Tokens computed together when gaps are filled.
_ANSWERING_TOKENS = 8_192


@dataclass(frozen=True)
class ClozeTraining:
    """How clozes are learned.

    Attributes:
        model: makes the pre-trained model anew, by a seed
        tokenizer: its own
        labels: of the task, in order
        max_length: tokens of a sentence
        run: how models learn
        steps: of each model
        batch_size: records of a step
        mlm_weight: of the masked words in the loss
        weighting: of the patterns: by their accuracy before training, or all alike
        seed: of all draws
    """

    model: Callable[[int], AlbertForPreTraining]
    tokenizer: AnyTokenizer
    labels: tuple[str, ...]
    max_length: int
    run: ShortRun
    steps: int
    batch_size: int
    mlm_weight: float
    weighting: Weighting
    seed: int

    def shares(
        self,
        clozes: Sequence[Cloze],
        records: Sequence[TextRecord],
        classes: Sequence[int],
        unlabeled: Sequence[TextRecord],
        *,
        models: int,
        rounds: int,
    ) -> Shares:
        """Return how texts are shared out among the classes by all patterns' models together.

        In every round after the first, each model also learns from texts that the others were
        surest of in the round before (iPET, section 3.3).

        Args:
            clozes: the patterns.
            records: with labels.
            classes: of these records.
            unlabeled: the texts.
            models: how many learn each pattern, by seeds of their own.
            rounds: how often all of them are trained.
        """
        weights = [self.weight(cloze, records, classes) for cloze in clozes]
        members = [(n, copy) for n in range(len(clozes)) for copy in range(models)]
        examples = [(list(records), list(classes))] * len(members)
        for number in range(rounds):
            scores = [
                self.train(clozes[pattern], *examples[member], unlabeled, (number, member))
                for member, (pattern, copy) in enumerate(members)
            ]
            of_members = [weights[pattern] for pattern, _ in members]
            if number + 1 == rounds:
                break
            examples = [
                self._more(records, classes, unlabeled, scores, of_members, member, number)
                for member in range(len(members))
            ]
        return _softened(np.average(scores, axis=0, weights=of_members), _TEMPERATURE)

    def train(
        self,
        cloze: Cloze,
        records: Sequence[TextRecord],
        classes: Sequence[int],
        unlabeled: Sequence[TextRecord],
        key: tuple[int, int],
    ) -> Shares:
        """Train a model on a pattern; return its scores of the texts."""
        seed = int(stream(self.seed, "cloze", *key).integers(2**31))
        losses = self.losses(cloze, seed)
        pairs = zip(records, classes, strict=True)
        units = [cloze.features(record, label) for record, label in pairs]
        batches = ExampleBatches(units, self.batch_size, seed)
        texts = self._texts(unlabeled) if self.mlm_weight else []
        beside = max(1, self.batch_size // _GAPS_PER_TEXT)
        source = ClozeBatches(batches, texts, beside, seed, self._mask)
        title = f"pattern {cloze.pattern.source!r}"
        self.run.train(losses, source, self.steps, title=title, seed=seed)
        return self.scores(losses, cloze, unlabeled)

    def scores(self, losses: ClozeLosses, cloze: Cloze, records: Sequence[TextRecord]) -> Shares:
        """Return the classes' scores of records: (records, classes)."""
        units = [cloze.features(record) for record in records]
        lengths = [sum(len(example.input_ids) for example in unit) for unit in units]
        found = np.zeros((len(records), len(self.labels)), dtype=np.float32)
        with torch.inference_mode():
            losses.eval()
            for indices in batches_by_tokens(lengths, _ANSWERING_TOKENS):
                batch = packed_units([units[i] for i in indices])
                found[indices] = losses.scores(batch).cpu().numpy()
        return found

    def losses(self, cloze: Cloze, seed: int) -> ClozeLosses:
        """Return the pre-trained model under a pattern."""
        table = cloze.verbalizer.table
        losses = ClozeLosses(self.model(seed), table, self.tokenizer.mask_id, self.mlm_weight)
        return losses.to(self.run.world.device)

    def weight(self, cloze: Cloze, records: Sequence[TextRecord], classes: Sequence[int]) -> float:
        """Return what a pattern weighs; one that is never right weighs a little."""
        if self.weighting == "equal":
            return 1.0
        scores = self.scores(self.losses(cloze, self.seed), cloze, records)
        return max(float(np.mean(scores.argmax(1) == classes)), 1e-3)

    def _more(
        self,
        records: Sequence[TextRecord],
        classes: Sequence[int],
        unlabeled: Sequence[TextRecord],
        scores: Sequence[Shares],
        weights: Sequence[float],
        member: int,
        number: int,
    ) -> tuple[list[TextRecord], list[int]]:
        """Return what a model learns from in the next round: others' surest texts as well."""
        others = [m for m in range(len(scores)) if m != member] or [member]
        mean = np.average([scores[m] for m in others], axis=0, weights=[weights[m] for m in others])
        chosen = grown(_softened(mean, 1.0), len(records), number + 1)
        added = [replace(unlabeled[i], label=self.labels[c]) for i, c in chosen]
        return [*records, *added], [*classes, *(c for _, c in chosen)]

    def _texts(self, records: Sequence[TextRecord]) -> list[list[int]]:
        """Return the ids of texts; empty ones are left out."""
        found = [self.tokenizer.encode(record.text)[: self.max_length - 2] for record in records]
        return [ids for ids in found if ids]

    def _mask(self, texts: Sequence[Sequence[int]], key: tuple[int | str, ...]) -> list[Example]:
        """Mask words of texts."""
        return masked_examples(texts, self.tokenizer, self._table, MaskingRule(), key)

    @cached_property
    def _table(self) -> PieceTable:
        """What masking knows of the vocabulary."""
        return PieceTable.from_tokenizer(self.tokenizer)


def _softened(scores: Shares, temperature: float) -> Shares:
    """Return shares of classes, (records, classes), from scores."""
    logits = scores / temperature
    shares = np.exp(logits - logits.max(1, keepdims=True))
    found: Shares = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return found
