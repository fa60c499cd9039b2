"""The verb finetune: a task over labelled records, the encoder and a new head together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from albatross.atomic import check_free, write_json, writing
from albatross.checkpoints.model_folder import (
    CARD,
    TRAINING_STATE,
    read_config,
    write_model,
)
from albatross.config import AlbertConfig
from albatross.data.packing import Example, IntArray, PackedBatch, pack
from albatross.data.records import TextRecord, read_text_records
from albatross.engine.open import find_model, open_tokenizer
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import FolderError
from albatross.evaluation import score_records
from albatross.modeling.heads import cross_entropy
from albatross.modeling.model import AlbertWithHeads
from albatross.modeling.packed import PackedInputs
from albatross.report import file_digest, model_card, run_record
from albatross.rng import stream
from albatross.settings import FinetuneSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task_file import write_tasks
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.trainer import Losses, Optimization, Position, Trainer
from albatross.training.workspace import open_workspace, plain_settings, set_threads


class ExampleBatches:
    """Batches of a fixed number of examples, in an order of its own every epoch."""

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int) -> None:
        """Keep the examples; they are few beside a corpus."""
        self._examples, self._size, self._seed = examples, batch_size, seed
        self._order_of: tuple[int, IntArray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the last one smaller."""
        return math.ceil(len(self._examples) / self._size)

    def batch(self, position: Position) -> tuple[PackedBatch, Position]:
        """Return the batch at (epoch, index), and where the next one starts."""
        epoch, index = position
        if self._order_of is None or self._order_of[0] != epoch:
            order = stream(self._seed, "examples", epoch).permutation(len(self._examples))
            self._order_of = (epoch, order)
        chosen = self._order_of[1][index : index + self._size]
        following = index + len(chosen)
        after = (epoch, following) if following < len(self._examples) else (epoch + 1, 0)
        return pack([self._examples[i] for i in chosen]), after


@dataclass(frozen=True)
class _Run:
    """What a fine-tuning run carries about itself to the end."""

    settings: FinetuneSettings
    task: ClassificationTask
    tokenizer: UnigramTokenizer
    num_records: int


def finetune(settings: FinetuneSettings) -> Path:
    """Fine-tune a model on labelled records and write a model folder.

    Raises:
        FolderError: no model folder, or the output's place is taken.
        DataError: the records cannot be used.
        TrainingError: the run was interrupted (its state is saved) or its loss is no number.
    """
    set_threads(settings.threads)
    check_free(settings.out)
    source = find_model(settings.model)
    tokenizer = open_tokenizer(source)
    if not isinstance(tokenizer, UnigramTokenizer):
        raise FolderError(
            f"Fine-tuning needs a folder with `spiece.model`. Received: {str(source)!r}, which has"
            " `tokenizer.json` alone. Copy the vocabulary's `spiece.model` into it."
        )
    records = limit_records(read_text_records(settings.train), settings.limit, settings.seed)
    task = ClassificationTask.from_records(
        settings.name,
        records,
        tokenizer,
        label_names=settings.labels,
        max_length=settings.max_length,
    )
    dev = task.read(settings.dev) if settings.dev is not None else []
    model = _model(source, settings, task)
    run = _Run(settings, task, tokenizer, len(records))
    trainer = _trainer(model, run, [e for record in records for e in task.features(record)])
    open_workspace(settings.out, settings, trainer)
    trainer.run()
    metrics = {}
    if dev:
        metrics = score_records(TorchEngine(model), task, dev, batch_tokens=8_192)
    with writing(settings.out) as folder:
        _write_folder(folder, trainer, run, metrics)
    return settings.out


def head_losses(model: AlbertWithHeads, batch: PackedBatch) -> Losses:
    """Return the loss of every head that the batch has labels for, and their sum."""
    outputs = model(PackedInputs.from_batch(batch))
    losses = {
        f"{name}_loss": cross_entropy(logits, torch.from_numpy(batch.labels[name]))
        for name, logits in outputs.items()
        if name in batch.labels
    }
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def limit_records(
    records: Sequence[TextRecord], limit: int | None, seed: int
) -> list[TextRecord]:
    """Draw so many records that the limit allows, classes in proportion, in the file's order."""
    if limit is None or limit >= len(records):
        return list(records)
    rng = stream(seed, "limit")
    by_label: dict[str | None, list[int]] = {}
    for index, record in enumerate(records):
        by_label.setdefault(record.label, []).append(index)
    # Largest remainders: the shares of the classes add up to the limit exactly.
    exact = {k: limit * len(v) / len(records) for k, v in by_label.items()}
    counts = {k: int(share) for k, share in exact.items()}
    by_remainder = sorted(exact, key=lambda k: (counts[k] - exact[k], str(k)))
    for label in by_remainder[: limit - sum(counts.values())]:
        counts[label] += 1
    chosen = [rng.choice(by_label[k], counts[k], replace=False) for k in sorted(by_label, key=str)]
    return [records[i] for i in np.sort(np.concatenate(chosen))]


def _trainer(model: AlbertWithHeads, run: _Run, examples: Sequence[Example]) -> Trainer:
    """Put the loop together."""
    settings = run.settings
    batches = ExampleBatches(examples, settings.batch_size, settings.seed)
    total_steps = max(1, round(batches.steps_per_epoch * settings.epochs))

    def losses(batch: PackedBatch) -> Losses:
        return head_losses(model, batch)

    def save(trainer: Trainer) -> None:
        with writing(settings.out) as folder:
            _write_folder(folder, trainer, run, {})
            trainer.save_state(folder / TRAINING_STATE)

    optimization = Optimization(
        total_steps=total_steps,
        learning_rate=settings.learning_rate,
        warmup_steps=max(1, round(total_steps * settings.warmup)),
        weight_decay=settings.weight_decay,
        beta2=settings.beta2,
        clip_norm=settings.clip_norm,
        seed=settings.seed,
        save_every_seconds=settings.save_minutes * 60,
    )
    return Trainer(model, losses, batches, optimization, title="fine-tuning", save=save)


def _model(source: Path, settings: FinetuneSettings, task: ClassificationTask) -> AlbertWithHeads:
    """Open the encoder under a new head, or make all of it anew when asked to."""
    config = _with_dropout(read_config(source), settings.dropout)
    if settings.from_scratch:
        return AlbertWithHeads(config, heads=task.heads, seed=settings.seed)
    model = AlbertWithHeads.from_pretrained(
        source, heads=task.heads, initialize=tuple(task.heads), config=config, seed=settings.seed
    )
    return model


def _with_dropout(config: AlbertConfig, dropout: float | None) -> AlbertConfig:
    """Set both dropouts of the encoder, if one is given."""
    if dropout is None:
        return config
    return replace(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)


def _write_folder(folder: Path, trainer: Trainer, run: _Run, metrics: dict[str, float]) -> None:
    """Write the model, its tokenizer and task, what was done, and the card."""
    model, settings, task = trainer.model, run.settings, run.task
    assert isinstance(model, AlbertWithHeads)
    data: dict[str, Any] = {"train_records": run.num_records, "train": file_digest(settings.train)}
    if settings.dev is not None:
        data["dev"] = file_digest(settings.dev)
    record = run_record(
        "finetune",
        plain_settings(settings),
        data=data,
        metrics=metrics,
        progress={k: v for k, v in asdict(trainer.progression).items() if k != "log"},
    )
    run.tokenizer.save(folder)
    names = {str(i): label for i, label in enumerate(task.labels)}
    extra = {
        "architectures": ["AlbertForSequenceClassification"],
        "id2label": names,
        "label2id": {label: int(i) for i, label in names.items()},
        "problem_type": "single_label_classification",
    }
    config = replace(model.config, extra={**model.config.extra, **extra})
    write_model(folder, config, model.to_arrays(), record)
    write_tasks(folder, [task])
    write_json(folder / "log.json", {"steps": trainer.progression.log})
    (folder / CARD).write_text(model_card(record, config.to_dict()), encoding="utf-8")
