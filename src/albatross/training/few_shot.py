"""The verb few-shot: a classifier from a few texts of each class.

Whatever helps on the way is trained in memory and forgotten; what is written is a classifier like
any other. An interrupted run goes through the way again, by the same draws, and on from the last
saved step of the classifier.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from albatross.atomic import made_by_one
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_config, weight_files
from albatross.data.columns import check_labels_given, columns_of
from albatross.data.records import TextRecord, read_text_records
from albatross.engine.open import open_tokenizer
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import ConfigError
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.report import file_digest
from albatross.settings.few_shot import FewShotSettings, usual_patterns, usual_rate
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.cloze import Cloze, patterns_of
from albatross.tasks.options import TaskOptions
from albatross.tasks.verbalizer import Verbalizer, parse_verbalizer
from albatross.training.augmentation import kept, varied
from albatross.training.cloze import ClozeTraining
from albatross.training.contrastive import bring_together, embedding_head
from albatross.training.dev_scores import DevScores
from albatross.training.distributed import World, joined
from albatross.training.example_batches import ExampleBatches
from albatross.training.few_texts import check_counts, texts_of
from albatross.training.head_losses import HeadLosses
from albatross.training.heap import tune_heap
from albatross.training.precision import on_devices
from albatross.training.schedules import Extent
from albatross.training.self_training import balanced, certainty_of
from albatross.training.short_run import ShortRun
from albatross.training.soft_labels import Shares, certain, shares_by, units_of
from albatross.training.workspace import (
    Workspace,
    check_length,
    check_place,
    optimization_of,
    set_threads,
)

# Steps of a model of 16 texts a step; found on TREC and CR, for all sets alike. What starts from an
# encoder that has seen the classes needs fewer.
_STEPS, _CLOZE_STEPS, _STEPS_AFTER_PAIRS = 200, 100, 60
# Passes over the texts that other models have labelled, where that is longer.
_PASSES = 3
# Texts that self-training adds in a round, as multiples of the labelled ones (iPET: 5).
_GROWTH = 5


def few_shot(settings: FewShotSettings) -> Path:
    """Learn a classification from a few texts of each class, and write a model folder.

    Raises:
        FolderError: no model folder, or the output's place is taken or worked at.
        WeightsError: the model has no head for masked words, where one is needed.
        DataError: the records cannot be used.
        ConfigError: a pattern or word that does not fit, sequences longer than the model's
            positions, or an interrupted run of other settings in the output's place.
        TrainingError: the run was interrupted, or has diverged.
    """
    set_threads(settings.threads)
    tune_heap("speed")
    with joined(settings.device) as world:
        if world.size > 1:
            raise ConfigError(
                "Few texts are learned in one process. Received: a group of"
                f" {world.size}. Start it without torchrun."
            )
        run = _Run(on_devices(settings, world), world)
        with made_by_one(settings.out):
            return run.run()


@dataclass(frozen=True)
class Lesson:
    """What the last classifier learns from.

    Attributes:
        records: the texts
        shares: of each among the classes
        model: where it starts
        steps: how long it learns
        notes: what `run.json` says of the way here
    """

    records: Sequence[TextRecord]
    shares: Shares
    model: AlbertWithHeads
    steps: int
    notes: dict[str, Any]


class _Run:
    """Everything that a run is put together from."""

    def __init__(self, settings: FewShotSettings, world: World) -> None:
        """Read model and records, and refuse what does not go together before anything is long."""
        self.settings, self.world = settings, world
        self.source = find_model(settings.model)
        check_place(settings.out, [self.source])
        config = read_config(self.source)
        check_length(settings.max_length, config)
        extra = {key: value for key, value in config.extra.items() if key != "num_labels"}
        dropout = settings.dropout
        self.config = replace(
            config, extra=extra, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
        )
        self.tokenizer = open_tokenizer(self.source, config)
        columns = columns_of(settings.columns)
        self.records = read_text_records(settings.train, columns)
        check_labels_given(settings.train, columns)
        options = TaskOptions(
            labels=settings.labels, max_length=settings.max_length, columns=columns
        )
        name, records = settings.name, self.records
        self.task = ClassificationTask.from_records(name, records, self.tokenizer, options)
        check_counts(records)
        self.classes = [self.task.class_of(record.label or "") for record in records]
        self.dev: dict[str, list[TextRecord]] = {}
        if settings.dev is not None:
            self.dev = {"dev": self.task.read(settings.dev)}
            self.task.check(self.dev["dev"])
        self.texts: list[TextRecord] = []
        if settings.unlabeled is not None:
            self.texts = texts_of(settings.unlabeled, columns, self.records)
        rate = settings.learning_rate or usual_rate(config.hidden_size)
        optimization = optimization_of(settings, Extent(steps=1), learning_rate=rate)
        self.short = ShortRun(world, optimization)
        self.clozes = self._clozes() if settings.method == "cloze" else []

    def run(self) -> Path:
        """Go the method's way, train the classifier, score it, and write its folder."""
        settings, copies = self.settings, self._copies()
        lesson = self._by_clozes(copies) if self.clozes else self._by_own_answers(copies)
        data = {
            "model": file_digest(weight_files(self.source)[0]),
            "train": file_digest(settings.train),
            "train_records": len(self.records),
        }
        for part in ("unlabeled", "dev"):
            path = getattr(settings, part)
            data |= {part: file_digest(path)} if path is not None else {}
        workspace = Workspace(
            "few-shot",
            settings,
            data,
            self.tokenizer,
            self.task.transformers_keys(),
            [self.task],
            world=self.world,
            notes={"few_shot": {**lesson.notes, "learned_from": len(lesson.records)}},
        )
        rate = self.short.optimization.learning_rate
        optimization = optimization_of(settings, Extent(steps=lesson.steps), learning_rate=rate)
        objective, batches = self._objective(lesson)
        engine, scores = TorchEngine(lesson.model), DevScores(self.task, self.dev)
        trainer = workspace.train(
            objective,
            batches,
            optimization,
            evaluate=lambda trainer: scores.measure(engine) if self.dev else {},
        )
        figures, goal = trainer.measure(), self.task.main_metric
        if goal in figures:
            workspace.say(f"{goal} {figures[goal]:.4f}")
        return workspace.finish(trainer, figures)

    # === Ways ===

    def _by_clozes(self, copies: Sequence[TextRecord]) -> Lesson:
        """Let all patterns' models label the texts, and learn from that (PET, section 3)."""
        settings = self.settings
        training = self._cloze_training()
        texts = self.texts or [replace(copy, label=None) for copy in copies]
        labelled = [*self.records, *(copies if self.texts else ())]
        shares = training.shares(
            self.clozes,
            labelled,
            [self.task.class_of(record.label or "") for record in labelled],
            texts,
            models=settings.models,
            rounds=settings.rounds,
        )
        labels = self.task.labels
        notes = [
            {
                "pattern": cloze.pattern.source,
                "words": dict(zip(labels, map(list, cloze.verbalizer.words), strict=True)),
            }
            for cloze in self.clozes
        ]
        shares = np.concatenate([certain(self.task, labelled), shares])
        records = [*labelled, *texts]
        return Lesson(
            records, shares, self._classifier(), self._steps(len(records)), {"clozes": notes}
        )

    def _by_own_answers(self, copies: Sequence[TextRecord]) -> Lesson:
        """Learn from the labelled texts, and in rounds from what the model before was sure of."""
        settings, task = self.settings, self.task
        lesson = self._first_lesson(copies)
        for number in range(settings.rounds if self.texts else 0):
            shares = shares_by(self._taught(lesson), task, self.texts)
            certainty = certainty_of(number, settings.rounds, len(task.labels))
            per_class = _GROWTH * (number + 1) * len(self.records) // len(task.labels)
            chosen = balanced(shares, per_class, certainty)
            records = [*self.records, *copies, *(self.texts[i] for i, _ in chosen)]
            own = np.eye(len(task.labels), dtype=np.float32)[[c for _, c in chosen]]
            learned = np.concatenate([certain(task, [*self.records, *copies]), own])
            notes = {**lesson.notes, "labelled_itself": len(chosen)}
            steps = self._steps(len(records))
            lesson = Lesson(records, learned, self._classifier(), steps, notes)
        return lesson

    def _first_lesson(self, copies: Sequence[TextRecord]) -> Lesson:
        """Return the labelled texts and their copies, for an encoder that may have seen pairs."""
        settings, task = self.settings, self.task
        records = [*self.records, *copies]
        shares = certain(task, records)
        if settings.method == "plain":
            return Lesson(records, shares, self._classifier(), self._steps(0), {})
        model = self._classifier(with_pairs=True)
        before, after = bring_together(
            model,
            [task.features(replace(record, label=None))[0] for record in records],
            [int(c) for c in shares.argmax(1)],
            self.short,
            pairs=settings.pairs,
            batch_size=settings.batch_size,
            steps=settings.steps,
            seed=settings.seed,
        )
        print(f"Before the pairs: {before}. After: {after}.", file=sys.stderr)
        notes = {"cosines_before": asdict(before), "cosines_after": asdict(after)}
        return Lesson(records, shares, model, settings.steps or _STEPS_AFTER_PAIRS, notes)

    def _copies(self) -> list[TextRecord]:
        """Vary the labelled texts, and keep what a classifier of them takes for its class."""
        settings, task = self.settings, self.task
        if not settings.augment:
            return []
        copies = varied(
            self._words(settings.seed),
            self.tokenizer,
            self.records,
            settings.augment,
            max_length=settings.max_length,
            seed=settings.seed,
        )
        shares = certain(task, self.records)
        first = Lesson(self.records, shares, self._classifier(), self._steps(0), {})
        classes = [task.class_of(copy.label or "") for copy in copies]
        return [copies[i] for i in kept(classes, shares_by(self._taught(first), task, copies))]

    # === Models ===

    def _taught(self, lesson: Lesson) -> AlbertWithHeads:
        """Train a classifier in memory."""
        objective, batches = self._objective(lesson)
        seed = self.settings.seed
        self.short.train(objective, batches, lesson.steps, title="teacher", seed=seed)
        return lesson.model

    def _objective(self, lesson: Lesson) -> tuple[HeadLosses, ExampleBatches]:
        """Return what a lesson is learned by, and in which steps."""
        units = units_of(self.task, lesson.records, lesson.shares)
        batches = ExampleBatches(units, self.settings.batch_size, self.settings.seed)
        return HeadLosses(lesson.model), batches

    def _steps(self, texts: int) -> int:
        """Return how long a classifier learns from so many texts."""
        passes = -(-_PASSES * texts // self.settings.batch_size)
        return self.settings.steps or max(_STEPS, passes)

    def _classifier(self, *, with_pairs: bool = False) -> AlbertWithHeads:
        """Open the encoder under a new classifier."""
        heads = dict(self.task.heads)
        if with_pairs:
            heads |= embedding_head(self.config.hidden_size)
        anew = (*self.task.heads, "albert.pooler")
        return AlbertWithHeads.from_pretrained(
            self.source,
            heads=heads,
            initialize=anew,
            config=self.config,
            seed=self.settings.seed,
        )

    def _words(self, seed: int) -> AlbertForPreTraining:
        """Open the encoder under its head for masked words."""
        return AlbertForPreTraining.from_pretrained(
            self.source, config=self.config, add_pooling_layer=False, seed=seed
        ).to(self.world.device)

    # === Clozes ===

    def _cloze_training(self) -> ClozeTraining:
        """Return how clozes are learned."""
        settings = self.settings
        return ClozeTraining(
            self._words,
            self.tokenizer,
            self.task.labels,
            settings.max_length,
            self.short,
            settings.steps or _CLOZE_STEPS,
            settings.batch_size,
            settings.mlm_weight,
            settings.weighting,
            settings.seed,
        )

    def _clozes(self) -> list[Cloze]:
        """Put patterns and words together."""
        settings, labels = self.settings, self.task.labels
        are_pairs = self.records[0].text_pair is not None
        patterns = patterns_of(settings.pattern or (usual_patterns(labels, are_pairs),))
        if settings.verbalizer:
            words = parse_verbalizer(settings.verbalizer, labels)
            verbalizer = Verbalizer.from_words(words, self.tokenizer)
        else:
            verbalizer = Verbalizer.from_labels(labels, self.tokenizer)
        length = settings.max_length
        clozes = [Cloze(one, verbalizer, self.tokenizer, length) for one in patterns]
        for cloze in clozes:
            for record in (*self.records, *self.texts):
                cloze.check(record)
        return clozes
