"""What a model that writes is trained for: the next word of every target, all given at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.data.packing import Example, IntArray, PackedBatch
from albatross.data.records import SourceRecord
from albatross.errors import ConfigError
from albatross.modeling.generation_model import AlbertForGeneration
from albatross.modeling.packed import PackedInputs
from albatross.modeling.pretrained import draw_weights
from albatross.tasks.generation import GenerationTask
from albatross.training.objectives import Draw, Objective


class TargetWords(Objective):
    """The next word of every target after the words before it.

    With smoothing, a share of the probability is asked for all words alike (Szegedy et al., 2016,
    section 7).
    """

    def __init__(self, model: AlbertForGeneration, *, smoothing: float = 0.0) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model
        self.smoothing = smoothing
        self.weights = {"target_loss": 1.0}

    def counts(self, batch: PackedBatch) -> dict[str, int]:
        """Count the words of all targets, their ends included."""
        return {"target_loss": len(self._expected(batch).rows)}

    def forward(self, batch: PackedBatch, draw: Draw) -> dict[str, Tensor]:
        """Return the sum of the loss over all words of targets."""
        model, device = self.model, self.device
        assert isinstance(model, AlbertForGeneration)
        target = None
        if batch.target is not None and model.decoder_kind == "cross":
            target = PackedInputs.from_batch(batch.target, device)
        rows = model.decode(PackedInputs.from_batch(batch, device), target)
        expected = self._expected(batch)
        logits = model.predict_words(rows[torch.from_numpy(expected.rows).to(device)])
        loss = functional.cross_entropy(
            logits.float(),
            torch.from_numpy(expected.ids).to(device),
            label_smoothing=self.smoothing,
            reduction="sum",
        )
        return {"target_loss": loss}

    def _expected(self, batch: PackedBatch) -> ExpectedWords:
        """Return where the model is to say what."""
        assert isinstance(self.model, AlbertForGeneration)
        prefix = self.model.decoder_kind == "prefix"
        read = batch if prefix or batch.target is None else batch.target
        return expected_words(read, prefix=prefix)


@dataclass(frozen=True)
class ExpectedWords:
    """The rows that tell a word, (words,), and the ids of these words, (words,)."""

    rows: IntArray
    ids: IntArray


def expected_words(batch: PackedBatch, *, prefix: bool) -> ExpectedWords:
    """Return which row tells which word: each the word after it, if that is of a target.

    Args:
        batch: the sequences that the decoder reads.
        prefix: whether sources stand in them, too, as token type 0.
    """
    told = batch.position_ids > 0
    if prefix:
        told &= batch.token_type_ids == 1
    places = np.flatnonzero(told)
    return ExpectedWords(places - 1, batch.input_ids[places])


@dataclass(frozen=True)
class GenerationParts:
    """What a run of fine-tuning needs."""

    objective: TargetWords
    examples: list[Example]


def generation_parts(
    source: Path,
    config: AlbertConfig,
    task: GenerationTask,
    records: Sequence[SourceRecord],
    *,
    smoothing: float = 0.1,
    from_scratch: bool = False,
    fresh_decoder: bool = False,
    seed: int = 0,
) -> GenerationParts:
    """Open or draw a model for a task, and make its examples.

    Args:
        source: a model folder, pre-trained or fine-tuned to generate.
        config: its configuration, perhaps with another dropout.
        task: says how targets are read.
        records: each with a target.
        smoothing: share of a word's probability that is asked for all words alike.
        from_scratch: draw all weights by the seed.
        fresh_decoder: draw those of a `cross` decoder, of a tied one its cross-attention.
        seed: of the draw.

    Raises:
        ConfigError: source and target together are longer than the model's table of positions.
        LabelError: a record has no target.
        WeightsError: the folder has no masked-word head.
    """
    check_positions(task, config)
    task.check(records)
    config = replace(config, extra={k: v for k, v in config.extra.items() if k != "num_labels"})
    kind, tied = task.decoder, task.tied
    if from_scratch:
        model = AlbertForGeneration(config, decoder=kind, tied=tied, seed=seed)
    else:
        model = AlbertForGeneration.from_pretrained(
            source, config=config, seed=seed, decoder=kind, tied=tied
        )
        if fresh_decoder:
            draw_weights(model.decoder, config.initializer_range, seed)
    examples = [example for record in records for example in task.features(record)]
    return GenerationParts(TargetWords(model, smoothing=smoothing), examples)


def check_positions(task: GenerationTask, config: AlbertConfig) -> None:
    """Refuse lengths that the model has no positions for.

    Raises:
        ConfigError: they are too long.
    """
    longest = max(task.max_length, task.target_length)
    if task.decoder == "prefix":
        longest = task.max_length + task.target_length
    if longest > config.max_position_embeddings:
        raise ConfigError(
            f"A sequence must have at most {config.max_position_embeddings} tokens for this model"
            " (`prefix` reads source and target as one). Received:"
            f" --max-length {task.max_length} and --target-length {task.target_length}. Lower one."
        )
