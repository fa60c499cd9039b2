"""The folder of a run: refused, new, or gone on with; saved on the way, and finished."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from albatross.atomic import check_free, read_json, write_json, writing
from albatross.checkpoints.model_folder import CARD, RUN, TRAINING_STATE, write_model
from albatross.config import AlbertConfig
from albatross.data.packing import PackedBatch
from albatross.errors import ConfigError, FolderError
from albatross.modeling.pretrained import AlbertPreTrainedModel
from albatross.report import model_card, run_record
from albatross.settings.training import FinetuneSettings, PretrainSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task_file import write_tasks
from albatross.tokenizer.folder import AnyTokenizer
from albatross.training.trainer import BatchSource, Losses, Optimization, Trainer

# Settings that may change between the parts of a run: what they name is compared by its checksum,
# or it does not change what is learned.
_FREE = {
    *("shards", "model", "from_model", "train", "dev", "out", "recipe", "threads"),
    "save_minutes",
}
LOG = "log.json"


@dataclass(frozen=True)
class Workspace:
    """A run's place, and what its folder says beside the weights.

    Attributes:
        verb: what is done: pretrain or finetune
        settings: of the verb
        data: what is learned from, with checksums
        tokenizer: goes into the folder
        labels: keys of `config.json` that transformers reads, such as `architectures`
        tasks: what the model answers, if anything
    """

    verb: str
    settings: PretrainSettings | FinetuneSettings
    data: Mapping[str, Any]
    tokenizer: AnyTokenizer
    labels: Mapping[str, Any]
    tasks: Sequence[ClassificationTask] = field(default=())

    def train(
        self,
        model: AlbertPreTrainedModel,
        losses: Callable[[PackedBatch], Losses],
        source: BatchSource,
        total_steps: int,
    ) -> Trainer:
        """Take a model to its last step, from where an interrupted run of the same settings was.

        Raises:
            ConfigError: an interrupted run of other settings or data stands there.
            FolderError: its state is damaged.
            TrainingError: the run was interrupted (its state is saved) or its loss is no number.
        """
        settings = self.settings
        optimization = Optimization(
            total_steps=total_steps,
            learning_rate=settings.learning_rate,
            warmup_steps=max(1, round(total_steps * settings.warmup)),
            weight_decay=settings.weight_decay,
            beta2=settings.beta2,
            clip_norm=settings.clip_norm,
            seed=settings.seed,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
            decay=settings.decay,
            save_every_seconds=settings.save_minutes * 60,
        )
        trainer = Trainer(model, losses, source, optimization, title=self.verb, save=self._save)
        if (settings.out / TRAINING_STATE).is_dir():
            self._check_same_run()
            trainer.load_state(settings.out / TRAINING_STATE)
            print(f"Going on at step {trainer.progression.step:,}.", file=sys.stderr)
        trainer.run()
        return trainer

    def finish(self, trainer: Trainer, metrics: Mapping[str, float]) -> Path:
        """Write the finished folder, without the state, and return its path."""
        with writing(self.settings.out) as folder:
            self._write(folder, trainer, metrics)
        return self.settings.out

    def _save(self, trainer: Trainer) -> None:
        """Write a whole folder with the state to go on from."""
        with writing(self.settings.out) as folder:
            self._write(folder, trainer, {})
            trainer.save_state(folder / TRAINING_STATE)

    def _write(self, folder: Path, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Write the model, its tokenizer and tasks, what was done, and the card."""
        model = trainer.model
        assert isinstance(model, AlbertPreTrainedModel)
        progress = {k: v for k, v in asdict(trainer.progression).items() if k != "log"}
        run = run_record(
            self.verb,
            self.settings.to_dict(),
            data=self.data,
            metrics=metrics,
            progress=progress,
        )
        config = replace(model.config, extra={**model.config.extra, **self.labels})
        self.tokenizer.save(folder)
        write_model(folder, config, model.to_arrays(), run)
        if self.tasks:
            write_tasks(folder, self.tasks)
        write_json(folder / LOG, {"steps": trainer.progression.log})
        (folder / CARD).write_text(model_card(run, config.to_dict()), encoding="utf-8")

    def _check_same_run(self) -> None:
        """Refuse to go on with a run of another verb, other settings or other data."""
        out = self.settings.out
        before, now = read_json(out / RUN), self.settings.to_dict()
        parts = [("verb", before.get("verb"), self.verb)]
        parts += [(k, _item(before, "settings", k), v) for k, v in now.items() if k not in _FREE]
        parts += [(f"the data's {k}", _item(before, "data", k), v) for k, v in self.data.items()]
        differing = [
            f"{name}={old!r} before and {new!r} now" for name, old, new in parts if old != new
        ]
        if differing:
            raise ConfigError(
                f"An interrupted run goes on with its own settings and data. Received for"
                f" {str(out)!r}: {'; '.join(differing)}. Use those from before, or another folder."
            )


def check_place(out: Path, sources: Sequence[Path]) -> None:
    """Refuse a place that cannot become this run's folder, before anything long is begun.

    Raises:
        FolderError: it holds something other than an interrupted run, or is one of the sources.
    """
    check_free(out)
    if out.resolve() in {source.resolve() for source in sources}:
        raise FolderError(
            f"A run must not write over what it reads. Received: {str(out)!r} for both."
            " Name another folder."
        )
    if out.is_dir() and any(out.iterdir()) and not (out / TRAINING_STATE).is_dir():
        raise FolderError(
            "A run must not overwrite what another command has finished."
            f" Received: {str(out)!r}. Name another folder, or remove this one."
        )


def check_length(max_length: int, config: AlbertConfig) -> None:
    """Refuse sequences that the model has no positions for.

    Raises:
        ConfigError: they are too long.
    """
    if max_length > config.max_position_embeddings:
        raise ConfigError(
            f"`--max-length` must be at most {config.max_position_embeddings} for this model."
            f" Received: {max_length}."
        )


def set_threads(threads: int | None) -> None:
    """Use so many processor threads; torch's own choice when None."""
    if threads is not None:
        torch.set_num_threads(threads)


def _item(run: Mapping[str, Any], part: str, key: str) -> Any:
    """Return one entry of a part of `run.json`, or None."""
    entries = run.get(part)
    return entries.get(key) if isinstance(entries, dict) else None
