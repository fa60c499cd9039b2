"""The verb pretrain: masked words and sentence order over shards (ALBERT, sections 3.1 and 4.1)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_config, read_weights, weight_files
from albatross.config import variant
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import IGNORED_LABEL, Example, PackedBatch, pack
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import INDEX, Shard, ShardFolder
from albatross.errors import ConfigError
from albatross.modeling.embeddings import sinusoidal_positions
from albatross.modeling.heads import cross_entropy
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.report import file_digest
from albatross.settings.training import PretrainSettings
from albatross.tokenizer.folder import AnyTokenizer, open_tokenizer
from albatross.training.trainer import Losses, Position
from albatross.training.workspace import Workspace, check_length, check_place, set_threads

# Held-out batches that the final figures are measured on: enough for the third digit of the loss.
_EVALUATION_BATCHES = 40


class PretrainingBatches:
    """Packed batches of samples up to a token budget, at any position."""

    def __init__(self, source: SampleSource, batch_tokens: int) -> None:
        """Keep where samples come from."""
        self._source, self._budget = source, batch_tokens

    def batch(self, position: Position) -> tuple[PackedBatch, Position]:
        """Return the batch that starts at (epoch, index), and where the next one starts."""
        epoch, index = position
        examples: list[Example] = []
        total = 0
        while True:
            if index == len(self._source.plan(epoch)):
                epoch, index = epoch + 1, 0
            example = self._source.sample(epoch, index)
            if examples and total + len(example.input_ids) > self._budget:
                return pack(examples), (epoch, index)
            examples.append(example)
            total += len(example.input_ids)
            index += 1


def pretrain(settings: PretrainSettings) -> Path:
    """Pre-train a variant, or go on from a model, on shards and write a model folder.

    Raises:
        FolderError: no shard folder, no such model, or the output's place is taken.
        ConfigError: samples longer than the model's positions, shards of another tokenizer than its
            own, or an interrupted run of other settings in the output's place.
        TrainingError: the run was interrupted (its state is saved) or its loss is no number.
    """
    set_threads(settings.threads)
    start = None if settings.from_model is None else find_model(settings.from_model)
    check_place(settings.out, [settings.shards, *([start] if start else [])])
    check_length(settings.max_length, read_config(start) if start else variant(settings.variant))
    shards = ShardFolder(settings.shards)
    tokenizer = open_tokenizer(settings.shards)
    if start is None:
        model = _model(settings, tokenizer.vocab_size)
    else:
        model = _started(start, tokenizer, settings)
    model.activation_checkpointing(settings.activation_checkpointing)
    workspace = Workspace(
        "pretrain",
        settings,
        _data_record(shards, tokenizer, start),
        tokenizer,
        {"architectures": ["AlbertForPreTraining"]},
    )

    def losses(batch: PackedBatch) -> Losses:
        return pretraining_losses(model, batch)

    if shards.held_out:  # too little text for a sample is refused before training, not after
        _source(shards.held_out, tokenizer, settings).plan(0)
    source = _source(shards.train, tokenizer, settings)
    batches = PretrainingBatches(source, settings.batch_tokens)
    trainer = workspace.train(model, losses, batches, settings.steps)
    metrics = evaluate_pretraining(model, shards.held_out, tokenizer, settings)
    return workspace.finish(trainer, metrics)


def pretraining_losses(model: AlbertForPreTraining, batch: PackedBatch) -> Losses:
    """Return the losses of a packed batch; only masked positions pass the vocabulary-wide head."""
    inputs = PackedInputs.from_batch(batch)
    rows = model.albert.encode(inputs)
    labels = torch.from_numpy(batch.labels["labels"])
    masked = (labels != IGNORED_LABEL).nonzero().squeeze(1)
    words = cross_entropy(model.predict_words(rows[masked]), labels[masked])
    order = torch.from_numpy(batch.labels["sentence_order_label"])
    if not (order != IGNORED_LABEL).any():
        return {"loss": words, "masked_lm_loss": words}
    order_loss = cross_entropy(model.sop_classifier(model.albert.pool(rows, inputs.layout)), order)
    total = words + order_loss
    return {"loss": total, "masked_lm_loss": words, "sentence_order_loss": order_loss}


@torch.no_grad()
def evaluate_pretraining(
    model: AlbertForPreTraining,
    shards: list[Shard],
    tokenizer: AnyTokenizer,
    settings: PretrainSettings,
) -> dict[str, float]:
    """Measure masked-LM loss and both accuracies on held-out shards, if there are any."""
    if not shards:
        return {}
    model.eval()
    sums = np.zeros(5)
    for batch in _evaluation_batches(_source(shards, tokenizer, settings), settings.batch_tokens):
        inputs = PackedInputs.from_batch(batch)
        rows = model.albert.encode(inputs)
        labels = torch.from_numpy(batch.labels["labels"])
        masked = (labels != IGNORED_LABEL).nonzero().squeeze(1)
        logits = model.predict_words(rows[masked])
        order_logits = model.sop_classifier(model.albert.pool(rows, inputs.layout))
        order = torch.from_numpy(batch.labels["sentence_order_label"])
        known = order != IGNORED_LABEL
        sums += [
            float(cross_entropy(logits, labels[masked])) * len(masked),
            _hits(logits, labels[masked]),
            len(masked),
            _hits(order_logits[known], order[known]),
            int(known.sum()),
        ]
    loss, word_hits, words, order_hits, orders = sums.tolist()
    metrics = {"masked_lm_loss": loss / words, "masked_lm_accuracy": word_hits / words}
    if orders:
        metrics["sentence_order_accuracy"] = order_hits / orders
    return metrics


def _started(
    folder: Path, tokenizer: AnyTokenizer, settings: PretrainSettings
) -> AlbertForPreTraining:
    """Open the model to go on from; heads that it lacks start anew, and are named.

    Raises:
        ConfigError: the shards were made with another tokenizer.
    """
    own = open_tokenizer(folder)
    if own.sha256 != tokenizer.sha256:
        raise ConfigError(
            "A model goes on with text cut by its own tokenizer. Received: shards of"
            f" {tokenizer!r} for {own!r}. Run `albatross build-shards` with --tokenizer"
            f" {str(folder)!r}."
        )
    names = read_weights(folder)
    parts = ("albert.pooler", "predictions", "sop_classifier")
    anew = [part for part in parts if not any(name.startswith(f"{part}.") for name in names)]
    if anew:
        print(f"Starting anew: {', '.join(anew)}, which the model lacks.", file=sys.stderr)
    return AlbertForPreTraining.from_pretrained(folder, initialize=anew, seed=settings.seed)


def _model(settings: PretrainSettings, vocab_size: int) -> AlbertForPreTraining:
    """Make the variant with random weights and, if asked for, waves for positions."""
    config = variant(settings.variant, vocab_size=vocab_size)
    model = AlbertForPreTraining(config, seed=settings.seed)
    if settings.position_start == "sinusoidal":
        table = model.albert.embeddings.position_embeddings.weight
        waves = sinusoidal_positions(config.max_position_embeddings, config.embedding_size)
        # The waves' variance is one half: as strong as the random start would be.
        table.data.copy_(waves * config.initializer_range * 2**0.5)
    return model


def _data_record(
    shards: ShardFolder, tokenizer: AnyTokenizer, start: Path | None
) -> dict[str, Any]:
    """Return what `run.json` says of the data; the index holds the checksums of all shards."""
    parts = {"train": shards.train, "held_out": shards.held_out}
    counts = {
        name: {
            "shards": len(part),
            "documents": sum(len(shard.documents) - 1 for shard in part),
            "tokens": sum(len(shard.tokens) for shard in part),
        }
        for name, part in parts.items()
    }
    index = file_digest(shards.folder / INDEX)
    model = {"model": [file_digest(path) for path in weight_files(start)]} if start else {}
    return {"shards": index, **counts, **model, "tokenizer_sha256": tokenizer.sha256}


def _evaluation_batches(source: SampleSource, batch_tokens: int) -> Iterator[PackedBatch]:
    """Yield batches of one pass over the held-out samples, or as many as suffice."""
    batches, position = PretrainingBatches(source, batch_tokens), (0, 0)
    for _ in range(_EVALUATION_BATCHES):
        batch, position = batches.batch(position)
        yield batch
        if position[0] > 0:
            return


def _hits(logits: Tensor, labels: Tensor) -> int:
    """Count the rows whose greatest logit is the label's."""
    return int((logits.argmax(-1) == labels).sum())


def _source(
    shards: list[Shard], tokenizer: AnyTokenizer, settings: PretrainSettings
) -> SampleSource:
    """Return the samples of shards by the settings' rules."""
    specials = (
        tokenizer.pad_id,
        tokenizer.unk_id,
        tokenizer.cls_id,
        tokenizer.sep_id,
        tokenizer.mask_id,
    )
    rule = SampleRule(
        max_length=settings.max_length,
        short_fraction=settings.short_fraction,
        objective=settings.objective,
        masking=MaskingRule(rate=settings.masking_rate, max_ngram=settings.max_ngram),
        seed=settings.seed,
    )
    table = PieceTable.from_pieces(
        tokenizer.pieces, tokenizer.starts_word, specials, tokenizer.mask_id
    )
    return SampleSource(shards, table, rule, tokenizer.cls_id, tokenizer.sep_id)
