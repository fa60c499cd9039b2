"""The verb pretrain: masked words and sentence order over shards (ALBERT, sections 3.1 and 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from albatross.atomic import check_free, write_json, writing
from albatross.checkpoints.model_folder import RUN, TRAINING_STATE, write_model
from albatross.config import variant
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import IGNORED_LABEL, PackedBatch, pack
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import Shard, ShardFolder
from albatross.errors import ConfigError
from albatross.modeling.embeddings import sinusoidal_positions
from albatross.modeling.heads import cross_entropy
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.report import model_card, run_record
from albatross.settings import PretrainSettings, check_variant
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.trainer import Losses, Optimization, Position, Trainer
from albatross.training.workspace import open_workspace, plain_settings, set_threads

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
        examples, total = [], 0
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
    """Pre-train a variant on shards and write a model folder.

    Raises:
        FolderError: no shard folder, or the output's place is taken.
        TrainingError: the run was interrupted (its state is saved) or its loss is no number.
    """
    set_threads(settings.threads)
    check_variant(settings.variant)
    check_free(settings.out)
    shards = ShardFolder(settings.shards)
    tokenizer = UnigramTokenizer.from_folder(settings.shards)
    config = variant(settings.variant, vocab_size=tokenizer.vocab_size)
    if settings.max_length > config.max_position_embeddings:
        raise ConfigError(
            f"`--max-length` must be at most {config.max_position_embeddings} for"
            f" {settings.variant}. Received: {settings.max_length}."
        )
    model = AlbertForPreTraining(config, seed=settings.seed)
    model.activation_checkpointing(settings.activation_checkpointing)
    if settings.position_start == "sinusoidal":
        table = model.albert.embeddings.position_embeddings.weight
        waves = sinusoidal_positions(config.max_position_embeddings, config.embedding_size)
        table.data.copy_(waves * config.initializer_range * 2**0.5)

    def losses(batch: PackedBatch) -> Losses:
        return pretraining_losses(model, batch)

    def save(trainer: Trainer) -> None:
        with writing(settings.out) as folder:
            _write_folder(folder, trainer, settings, tokenizer)
            trainer.save_state(folder / TRAINING_STATE)

    trainer = Trainer(
        model,
        losses,
        PretrainingBatches(_source(shards.train, tokenizer, settings), settings.batch_tokens),
        _optimization(settings),
        title="pre-training",
        save=save,
    )
    open_workspace(settings.out, settings, trainer)
    trainer.run()
    metrics = evaluate_pretraining(model, shards.held_out, tokenizer, settings)
    with writing(settings.out) as folder:
        _write_folder(folder, trainer, settings, tokenizer, metrics)
    return settings.out


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
    tokenizer: UnigramTokenizer,
    settings: PretrainSettings,
) -> dict[str, float]:
    """Measure held-out masked-LM loss and accuracy and sentence-order accuracy; empty without held-out shards."""
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
    shards: list[Shard], tokenizer: UnigramTokenizer, settings: PretrainSettings
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
    table = PieceTable.from_pieces(tokenizer.pieces, specials, tokenizer.mask_id)
    return SampleSource(shards, table, rule, tokenizer.cls_id, tokenizer.sep_id)


def _optimization(settings: PretrainSettings) -> Optimization:
    """Return how the run learns."""
    return Optimization(
        total_steps=settings.steps,
        learning_rate=settings.learning_rate,
        warmup_steps=max(1, round(settings.steps * settings.warmup)),
        weight_decay=settings.weight_decay,
        beta2=settings.beta2,
        clip_norm=settings.clip_norm,
        seed=settings.seed,
        save_every_seconds=settings.save_minutes * 60,
    )


def _write_folder(
    folder: Path,
    trainer: Trainer,
    settings: PretrainSettings,
    tokenizer: UnigramTokenizer,
    metrics: dict[str, float] | None = None,
) -> None:
    """Write the model, its tokenizer, what was done, and the card."""
    model = trainer.model
    assert isinstance(model, AlbertForPreTraining)
    progression = trainer.progression
    shards = ShardFolder(settings.shards, verify=False)
    run: dict[str, Any] = run_record(
        "pretrain",
        plain_settings(settings),
        data={"shards": shards.index, "tokenizer_sha256": tokenizer.sha256},
        metrics=metrics or {},
        progress={k: v for k, v in asdict(progression).items() if k != "log"},
    )
    tokenizer.save(folder)
    config = model.config
    extra = {**config.extra, "architectures": ["AlbertForPreTraining"]}
    config_with_class = type(config).from_dict({**config.to_dict(), **extra})
    write_model(folder, config_with_class, model.to_arrays(), run)
    write_json(folder / "log.json", {"steps": progression.log})
    (folder / "README.md").write_text(model_card(run, config.to_dict()), encoding="utf-8")
    assert (folder / RUN).is_file()
