"""The verb finetune: a task over labelled records, the encoder and a new head together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import CONFIG, read_config, weight_files
from albatross.config import AlbertConfig
from albatross.data.packing import Example, IntArray, pack
from albatross.data.records import TextRecord, read_text_records
from albatross.data.sampling import Position, StepBatch
from albatross.engine.open import open_tokenizer
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import ConfigError
from albatross.evaluation import score_records
from albatross.modeling.model import AlbertWithHeads
from albatross.report import file_digest
from albatross.rng import stream
from albatross.settings.training import FinetuneSettings
from albatross.tasks.classification import ClassificationTask
from albatross.training.distributed import World, joined
from albatross.training.heap import tune_heap
from albatross.training.objectives import HeadLosses
from albatross.training.schedules import Extent
from albatross.training.workspace import (
    Workspace,
    check_length,
    check_place,
    optimization_of,
    set_threads,
)

# Tokens computed together when the finished model is scored.
_SCORING_TOKENS = 8_192


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

    @property
    def start(self) -> Position:
        """The first epoch's first example."""
        return (0, 0)

    def step(self, position: Position, fraction: float) -> StepBatch:
        """Return the batch at (epoch, index), and where the next one starts."""
        epoch, index = position
        if self._order_of is None or self._order_of[0] != epoch:
            order = stream(self._seed, "examples", epoch).permutation(len(self._examples))
            self._order_of = (epoch, order)
        chosen = self._order_of[1][index : index + self._size]
        following = index + len(chosen)
        after = (epoch, following) if following < len(self._examples) else (epoch + 1, 0)
        batch = pack([self._examples[i] for i in chosen])
        return StepBatch([batch], after, len(batch.input_ids), batch.num_sequences)


def finetune(settings: FinetuneSettings) -> Path:
    """Fine-tune a model on labelled records and write a model folder.

    Raises:
        FolderError: no model folder, or the output's place is taken.
        DataError: the records cannot be used.
        ConfigError: sequences longer than the model's positions, or an interrupted run of other
            settings in the output's place.
        TrainingError: the run was interrupted (its state is saved) or has diverged.
    """
    set_threads(settings.threads)
    tune_heap("speed")
    with joined(settings.device) as world:
        return _finetune(settings, world)


def _finetune(settings: FinetuneSettings, world: World) -> Path:
    """Fine-tune in this process."""
    if world.size > 1:
        raise ConfigError(
            "Fine-tuning runs in one process. Received: a group of"
            f" {world.size}. Start it without torchrun."
        )
    source = find_model(settings.model)
    check_place(settings.out, [source])
    config = _with_dropout(read_config(source), settings.dropout)
    check_length(settings.max_length, config)
    tokenizer = open_tokenizer(source, config)
    records = limit_records(read_text_records(settings.train), settings.limit, settings.seed)
    task = ClassificationTask.from_records(
        settings.name,
        records,
        tokenizer,
        label_names=settings.labels,
        max_length=settings.max_length,
    )
    dev = task.read(settings.dev) if settings.dev is not None else []
    task.expected(dev)
    model = _model(source, config, settings, task)
    data = _data_record(source, settings, len(records))
    workspace = Workspace(
        "finetune", settings, data, tokenizer, _label_keys(task), [task], world=world
    )
    examples = [example for record in records for example in task.features(record)]
    batches = ExampleBatches(examples, settings.batch_size, settings.seed)
    steps = max(1, round(batches.steps_per_epoch * settings.epochs))
    optimization = optimization_of(settings, Extent(steps=steps))
    trainer = workspace.train(HeadLosses(model), batches, optimization)
    metrics: dict[str, float] = {}
    if dev:
        with trainer.averages.in_place():
            metrics = score_records(TorchEngine(model), task, dev, _SCORING_TOKENS)
    return workspace.finish(trainer, metrics)


def limit_records(records: Sequence[TextRecord], limit: int | None, seed: int) -> list[TextRecord]:
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


def _model(
    source: Path, config: AlbertConfig, settings: FinetuneSettings, task: ClassificationTask
) -> AlbertWithHeads:
    """Open the encoder under a new head, or make all of it anew when asked to."""
    # Of an earlier head; transformers would believe it before the new labels.
    extra = {key: value for key, value in config.extra.items() if key != "num_labels"}
    config = replace(config, extra=extra)
    if settings.from_scratch:
        return AlbertWithHeads(config, heads=task.heads, seed=settings.seed)
    return AlbertWithHeads.from_pretrained(
        source, heads=task.heads, initialize=tuple(task.heads), config=config, seed=settings.seed
    )


def _with_dropout(config: AlbertConfig, dropout: float | None) -> AlbertConfig:
    """Set both dropouts of the encoder, if one is given."""
    if dropout is None:
        return config
    return replace(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)


def _data_record(source: Path, settings: FinetuneSettings, num_records: int) -> dict[str, Any]:
    """Return what `run.json` says of the model and the records that the run starts from."""
    data: dict[str, Any] = {
        "model": file_digest(source / CONFIG if settings.from_scratch else weight_files(source)[0]),
        "train": file_digest(settings.train),
        "train_records": num_records,
    }
    if settings.dev is not None:
        data["dev"] = file_digest(settings.dev)
    return data


def _label_keys(task: ClassificationTask) -> dict[str, Any]:
    """Return the keys by which transformers knows a classifier and its labels."""
    return {
        "architectures": ["AlbertForSequenceClassification"],
        "id2label": {str(index): label for index, label in enumerate(task.labels)},
        "label2id": {label: index for index, label in enumerate(task.labels)},
        "problem_type": "single_label_classification",
    }
