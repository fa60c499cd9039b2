"""The folder of a run: refused, new, or gone on with; saved on the way, and finished.

From its first moment a run has a whole folder: what cannot be written is known before anything is
learned, and a kill at any time finds a state to go on from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from albatross.atomic import read_json, writing
from albatross.checkpoints.delta import check_not_read, write_delta
from albatross.checkpoints.model_folder import CARD, RUN, TRAINING_STATE, write_model
from albatross.config import AlbertConfig
from albatross.errors import ConfigError, FolderError, MissingDependencyError
from albatross.report import model_card, run_record
from albatross.settings.few_shot import FewShotSettings
from albatross.settings.training import FinetuneSettings, PretrainSettings
from albatross.tasks.task import Task
from albatross.tasks.task_file import write_tasks
from albatross.tokenizer.folder import AnyTokenizer
from albatross.training.curves import write_curves
from albatross.training.distributed import World, whole
from albatross.training.objectives import Objective
from albatross.training.run_log import LOG, RunLog, log_lines
from albatross.training.schedules import Extent
from albatross.training.state import gather_state, read_state, write_state
from albatross.training.tensorboard import TensorboardLog
from albatross.training.trainer import Hooks, Optimization, StepSource, Trainer

# Settings that may change between the parts of a run: what they name is compared by its checksum,
# or it does not change what is learned.
FREE = {
    *("shards", "model", "from_model", "replay", "train", "dev", "data", "tasks", "out"),
    *("recipe", "threads", "save_minutes", "device", "parallel", "tensorboard", "dry_run"),
}
CURVES = "curves.html"


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
        world: the processes of the run
        left_out: prefixes of weights that are not kept, because nothing trained them
        base: the whole model that the run's folder stands over; None where it keeps all weights
        notes: what else `run.json` says, such as how often the run began anew
    """

    verb: str
    settings: PretrainSettings | FinetuneSettings | FewShotSettings
    data: Mapping[str, Any]
    tokenizer: AnyTokenizer
    labels: Mapping[str, Any]
    tasks: Sequence[Task[Any]] = field(default=())
    world: World = field(default_factory=World)
    left_out: tuple[str, ...] = ()
    base: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def train(
        self,
        objective: Objective,
        source: StepSource,
        optimization: Optimization,
        *,
        evaluate: Callable[[Trainer], Mapping[str, float]] = lambda trainer: {},
        watch: Callable[[dict[str, Any]], None] = lambda entry: None,
        anew: bool = False,
    ) -> Trainer:
        """Take a model to its last step, from where an interrupted run of the same settings was.

        It is measured at the end, if it can be.

        Args:
            objective: the model with what it is trained for.
            source: what steps learn from.
            optimization: how it learns.
            evaluate: measures the model on what is held out.
            watch: told of every line of the log, those of an interrupted run included; may add to
                a line, and end the run by raising.
            anew: leave the state that stands there, and begin at the first step again.

        Raises:
            ConfigError: an interrupted run of other settings or data stands there.
            FolderError: its state is damaged, some process does not see it, or the folder cannot be
                written.
            MissingDependencyError: matplotlib is not installed.
            TrainingError: the run was interrupted (its state is saved) or has diverged.
        """
        if find_spec("matplotlib") is None:  # it draws the curves, when hours have gone by
            raise MissingDependencyError("matplotlib", "train")
        out = self.settings.out
        log, hooks = RunLog(out / LOG), Hooks(self._save, evaluate)
        trainer = Trainer(
            objective, source, optimization, log, hooks, title=self.verb, world=self.world
        )
        if anew:
            trainer.save()
            log.rewind(0)
        elif self._is_interrupted():
            self._check_same_run()
            read_state(out / TRAINING_STATE, trainer)
            self.world.sum([0])  # nobody cuts the log before all have read what belongs to it
            done = trainer.progression
            measured = done.measured == done.step
            dropped = log.rewind(done.step, measured=measured) if self.world.is_first else []
            if optimization.extent.seconds is not None:
                trainer.replayed = {
                    line["step"] - 1: line["fraction"] for line in dropped if "fraction" in line
                }
            self.say(f"Going on at step {trainer.progression.step:,}.")
            for line in log_lines(log.path) if log.path.is_file() else ():
                watch(line)
        else:
            trainer.save()
        hooks.watch = watch
        with ExitStack() as stack:
            if self.settings.tensorboard is not None and self.world.is_first:
                events = TensorboardLog(self.settings.tensorboard, trainer.progression.step)
                hooks.watch = _both(events.add, watch)
                stack.callback(events.close)
            trainer.run()
            trainer.measure()
        trainer.stopping.put_back(trainer.parameters, trainer.averages)
        return trainer

    def finish(self, trainer: Trainer, metrics: Mapping[str, float]) -> Path:
        """Write the finished folder, without the state, and return its path."""
        arrays = self._arrays(trainer)
        if self.world.is_first:
            with writing(self.settings.out) as folder:
                self._write(folder, trainer, arrays, metrics)
                names = [task.name for task in self.tasks] or [self.settings.out.name]
                write_curves(folder / LOG, folder / CURVES, title=", ".join(names))
        return self.settings.out

    def say(self, line: str) -> None:
        """Print a line, once for all processes."""
        if self.world.is_first:
            print(line, file=sys.stderr)

    def _is_interrupted(self) -> bool:
        """Whether the first process finds an interrupted run; then all of them must.

        Raises:
            FolderError: some do not.
        """
        state = self.settings.out / TRAINING_STATE
        found = state.is_dir()
        if not self.world.first([found])[0]:
            return False
        if missing := int(self.world.sum([not found])[0]):
            raise FolderError(
                "Every process must see the interrupted run that it goes on with. Received:"
                f" {missing} of {self.world.size} without {str(state)!r}. Put the folder where all"
                " machines read it, or copy it to each."
            )
        return True

    def _save(self, trainer: Trainer) -> None:
        """Write a whole folder with the state to go on from; every process calls it."""
        arrays, state = self._arrays(trainer), gather_state(trainer)
        if self.world.is_first:
            with writing(self.settings.out) as folder:
                self._write(folder, trainer, arrays, {})
                write_state(folder / TRAINING_STATE, trainer, state)

    def _arrays(self, trainer: Trainer) -> dict[str, Any]:
        """Return the weights that the folder keeps, whole and averaged; every process calls it."""
        with trainer.averages.in_place():
            return {
                name: whole(tensor.detach()).to("cpu", copy=True).numpy()
                for name, tensor in trainer.objective.model.state_dict().items()
                if not name.startswith(self.left_out)
            }

    def _write(
        self,
        folder: Path,
        trainer: Trainer,
        arrays: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> None:
        """Write the model, its tokenizer and tasks, what was done, the log, and the card."""
        progress = asdict(trainer.progression)
        run = run_record(
            self.verb, self.settings.to_dict(), data=self.data, metrics=metrics, progress=progress
        )
        run |= self.notes
        config = trainer.objective.model.config
        config = replace(config, extra={**config.extra, **self.labels})
        if self.base is None:
            self.tokenizer.save(folder)
            write_model(folder, config, dict(arrays), run)
        else:
            write_delta(folder, config, arrays, run, place=self.settings.out, base=self.base)
        if self.tasks:
            write_tasks(folder, self.tasks)
        RunLog(self.settings.out / LOG).copy_to(folder / LOG)
        kinds = {task.name: task.kind for task in self.tasks}
        (folder / CARD).write_text(model_card(run, config.to_dict(), kinds), encoding="utf-8")

    def _check_same_run(self) -> None:
        """Refuse to go on with a run of another verb, other settings or other data.

        A setting that the run does not know came later, and its default does as the run did.
        """
        out, run, now = self.settings.out, read_json(self.settings.out / RUN), self.settings
        before = now.defaults() | _part(run, "settings")
        data = _part(run, "data")
        parts: list[tuple[str, Any, Any]] = [("verb", run.get("verb"), self.verb)]
        parts += [(k, before.get(k), v) for k, v in now.to_dict().items() if k not in FREE]
        named = {**data, **self.data}
        parts += [(f"the data's {k}", data.get(k), self.data.get(k)) for k in named]
        differing = [
            f"{name}={old!r} before and {new!r} now" for name, old, new in parts if old != new
        ]
        if differing:
            raise ConfigError(
                f"An interrupted run goes on with its own settings and data. Received for"
                f" {str(out)!r}: {'; '.join(differing)}. Use those from before, or another folder."
            )


def optimization_of(
    settings: PretrainSettings | FinetuneSettings | FewShotSettings, extent: Extent, **more: Any
) -> Optimization:
    """Return how a run learns: what both verbs have settings for, and what one has beside them."""
    values: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "warmup": settings.warmup,
        "weight_decay": settings.weight_decay,
        "beta2": settings.beta2,
        "clip_norm": settings.clip_norm,
        "seed": settings.seed,
        "optimizer": settings.optimizer,
        "schedule": settings.schedule,
        "decay": settings.decay,
        "precision": settings.precision,
        "ema": settings.ema,
        "save_every_seconds": settings.save_minutes * 60,
    }
    return Optimization(extent=extent, **{**values, **more})


def check_place(out: Path, sources: Sequence[Path]) -> None:
    """Refuse a place that cannot become this run's folder, before anything long is begun.

    Raises:
        FolderError: it holds something other than an interrupted run, or is one of the sources.
    """
    check_not_read(out, sources)
    if out.is_dir() and any(out.iterdir()) and not (out / TRAINING_STATE).is_dir():
        raise FolderError(
            "A run must not overwrite what a command has finished, were it the same one."
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
            f" Received: {max_length}. Leave it out, or give less."
        )


def set_threads(threads: int | None) -> None:
    """Use so many processor threads; torch's own choice when None."""
    if threads is not None:
        torch.set_num_threads(threads)


def _both(
    first: Callable[[dict[str, Any]], None], second: Callable[[dict[str, Any]], None]
) -> Callable[[dict[str, Any]], None]:
    """Return what tells both of a line."""

    def watch(entry: dict[str, Any]) -> None:
        first(entry)
        second(entry)

    return watch


def _part(run: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return a part of `run.json`, empty where there is none."""
    entries = run.get(part)
    return entries if isinstance(entries, dict) else {}
