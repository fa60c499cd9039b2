"""What a pattern's model learns by, and in which steps: words in gaps, others beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from albatross.data.packing import IGNORED_LABEL, Example, IntArray, PackedBatch, pack
from albatross.data.sampling import Position, StepBatch
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.rng import stream
from albatross.tasks.cloze import LABEL
from albatross.tasks.verbalizer import ScoreTable
from albatross.training.example_batches import ExampleBatches
from albatross.training.masked_text import LABEL as WORDS
from albatross.training.objectives import Draw, Objective


class ClozeLosses(Objective):
    """The classes' cross entropy by the words in the gap, and masked words of texts beside it."""

    def __init__(
        self, model: AlbertForPreTraining, table: ScoreTable, mask_id: int, mlm_weight: float
    ) -> None:
        """Keep the model and how classes are scored; a batch has the labels of one loss."""
        super().__init__()
        self.model = model
        self.weights = {"cloze_loss": 1.0 - mlm_weight, "masked_lm_loss": mlm_weight}
        self._mask_id, self._masks = mask_id, int(table.columns.max()) + 1
        self._columns, self._pieces = (
            torch.from_numpy(table.columns),
            torch.from_numpy(table.pieces),
        )
        self._shares = torch.from_numpy(table.weights)

    def counts(self, batch: PackedBatch) -> dict[str, float]:
        """Count records with a class, or masked words."""
        words = int((batch.labels[WORDS] != IGNORED_LABEL).sum()) if WORDS in batch.labels else 0
        records = len(np.unique(batch.example_to_record)) if LABEL in batch.labels else 0
        return {"cloze_loss": float(records), "masked_lm_loss": float(words)}

    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the sum of the loss that the batch has labels of."""
        nothing = torch.zeros((), device=self.device)
        if WORDS in batch.labels:
            masked = np.flatnonzero(batch.labels[WORDS] != IGNORED_LABEL)
            targets = torch.from_numpy(batch.labels[WORDS][masked]).to(self.device)
            logits = self._words(batch, masked, draw.depths)
            loss = functional.cross_entropy(logits, targets, reduction="sum")
            return {"cloze_loss": nothing, "masked_lm_loss": loss}
        per_record = batch.num_sequences // len(np.unique(batch.example_to_record))
        classes = torch.from_numpy(batch.labels[LABEL][::per_record]).long().to(self.device)
        scores = self.scores(batch, draw.depths)
        loss = functional.cross_entropy(scores, classes, reduction="sum")
        return {"cloze_loss": loss, "masked_lm_loss": nothing}

    def scores(self, batch: PackedBatch, depths: tuple[int, ...] | None = None) -> Tensor:
        """Return the classes' mean log-probabilities, (records, classes), of whole records."""
        masked = np.flatnonzero(batch.input_ids == self._mask_id)
        log_probs = (
            self._words(batch, masked, depths).log_softmax(-1).unflatten(0, (-1, self._masks))
        )
        device = log_probs.device
        found = log_probs[:, self._columns.to(device), self._pieces.to(device)]
        scores: Tensor = found @ self._shares.to(device)
        return scores

    def _words(
        self,
        batch: PackedBatch,
        rows: IntArray,
        depths: tuple[int, ...] | None,
    ) -> Tensor:
        """Return the logits of words at some rows, (rows, vocab)."""
        model = self.model
        assert isinstance(model, AlbertForPreTraining)
        inputs = PackedInputs.from_batch(batch, self.device, rows)
        assert inputs.wanted is not None
        found = model.albert.encode(inputs, depths)[inputs.wanted.asked]
        return model.predict_words(found).float()


class ClozeBatches:
    """Steps of sentences with gaps, each beside so many texts with masked words."""

    def __init__(
        self,
        gaps: ExampleBatches,
        texts: Sequence[Sequence[int]],
        size: int,
        seed: int,
        mask: Callable[[Sequence[Sequence[int]], tuple[int | str, ...]], list[Example]],
    ) -> None:
        """Keep both; without texts there are gaps alone.

        Args:
            gaps: the sentences with gaps.
            texts: ids without specials.
            size: texts of a step.
            seed: of their choice.
            mask: makes examples of texts by the draws of a key.
        """
        self._gaps, self._texts, self._size = gaps, texts, size
        self._seed, self._mask = seed, mask

    @property
    def start(self) -> Position:
        """The first epoch's first sentence."""
        return self._gaps.start

    def step(self, position: Position, fraction: float) -> StepBatch:
        """Return the step at (epoch, index)."""
        found = self._gaps.step(position, fraction)
        if not self._texts:
            return found
        key: tuple[int | str, ...] = (self._seed, "masked text", *position)
        drawn = stream(*key).choice(len(self._texts), min(self._size, len(self._texts)), False)
        beside = pack(self._mask([self._texts[i] for i in drawn], key))
        tokens, sequences = found.tokens + len(beside.input_ids), found.sequences + len(drawn)
        return StepBatch([*found.batches, beside], found.position, tokens, sequences)


def packed_units(units: Sequence[Sequence[Example]]) -> PackedBatch:
    """Pack the examples of records."""
    examples = [example for unit in units for example in unit]
    return pack(examples, np.repeat(range(len(units)), [len(unit) for unit in units]).tolist())
