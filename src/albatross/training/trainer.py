"""The one training loop: steps, log, evaluations, checkpoints, exact resume; no text, no task.

A run is a function of its settings. What a step learns from follows from a position and from the
fraction of the run that is done, and all that is random from (seed, step); both are saved with the
weights. So a run that was killed and started again ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

import torch

from albatross.data.sampling import Position, StepBatch
from albatross.errors import FolderError, TrainingError
from albatross.progress import Progress
from albatross.training.averages import WeightAverages
from albatross.training.distributed import Parallel, World, gathered, spread, whole
from albatross.training.gradients import Gradients
from albatross.training.objectives import Objective
from albatross.training.optimizers import OptimizerName, make_optimizers
from albatross.training.precision import Precision
from albatross.training.run_log import RunLog
from albatross.training.schedules import Extent, Schedule, schedule_factor
from albatross.training.stopping import Keep, Stopping

# A spike is told from the median of so many steps before it, once there are enough of them.
_NORMS, _ENOUGH_NORMS = 100, 20
# More in a row than a bad stretch of text explains: the run has diverged.
_MOST_SKIPPED = 100
_REASONS = ("", "not a number", "spike")


class StepSource(Protocol):
    """Gives what a step learns from."""

    @property
    def start(self) -> Position:
        """Where the first step starts."""
        ...

    def step(self, position: Position, fraction: float) -> StepBatch:
        """Return the step that starts at a position when a fraction of the run is done."""
        ...


@dataclass(frozen=True)
class Optimization:
    """How a run learns; the settings of the verbs explain the fields."""

    extent: Extent
    learning_rate: float
    warmup: float
    weight_decay: float
    beta2: float
    clip_norm: float
    seed: int
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "linear"
    decay: float = 0.2
    precision: Precision = "float32"
    parallel: Parallel = "ddp"
    ema: float = 0.0
    spike_factor: float = 0.0
    evaluations: int = 0
    goal: str = ""
    """The figure of an evaluation that says which weights are the best."""
    patience: int | None = None
    keep: Keep = "last"
    rate_scales: Mapping[str, float] = field(default_factory=dict)
    """By what the rate is multiplied for single parameters of the model, by name."""
    save_every_seconds: float = 300.0
    depths_at: Callable[[int, float], tuple[int, ...] | None] = lambda step, fraction: None
    """The flat depth indices that a step applies; None for all."""


@dataclass
class Progression:
    """How far a run is; saved with the weights."""

    step: int = 0
    position: Position = ()
    tokens: int = 0
    seconds: float = 0.0
    fraction: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    watt_hours: float = 0.0
    measured: int = -1
    """The step of the last measurement."""


@dataclass
class Hooks:
    """What a run does beside learning.

    Attributes:
        save: writes the run's folder; every process calls it, the first one writes
        evaluate: measures the model on what is held out; every process calls it
        watch: told of every line of the log, to which it may add
    """

    save: Callable[[Trainer], None]
    evaluate: Callable[[Trainer], Mapping[str, float]] = lambda trainer: {}
    watch: Callable[[dict[str, Any]], None] = lambda entry: None


class Trainer:
    """Takes an objective through its steps.

    Attributes:
        parameters: what is learned, by name
        averages: of them, if any are kept
        stopping: which weights were the best so far, and whether to stop
        progression: how far the run is
        replayed: under a budget, the fractions of steps that a killed run took after its last save,
            by step; they are taken again exactly
    """

    def __init__(
        self,
        objective: Objective,
        source: StepSource,
        optimization: Optimization,
        log: RunLog,
        hooks: Hooks,
        *,
        title: str,
        world: World | None = None,
    ) -> None:
        """Spread the weights and prepare the optimizers; nothing is drawn or read yet."""
        self.world = world or World()
        self.objective, self.optimization = objective, optimization
        self.progression = Progression(position=source.start)
        self.replayed: dict[int, float] = {}
        self._measured: tuple[int, dict[str, float]] | None = None
        self._source, self._log, self._hooks, self._title = source, log, hooks, title
        self._module = spread(
            objective,
            objective.encoder,
            self.world,
            optimization.parallel,
            leaves_out=optimization.depths_at(0, 0.0) is not None,
        )
        named = objective.named_parameters()
        self.parameters = {name: p for name, p in named if p.requires_grad}
        self.averages = WeightAverages(self.parameters, optimization.ema)
        self.stopping = Stopping(
            optimization.goal, patience=optimization.patience, keep=optimization.keep
        )
        self.optimizers = make_optimizers(
            objective,
            optimization.optimizer,
            learning_rate=optimization.learning_rate,
            beta2=optimization.beta2,
            weight_decay=optimization.weight_decay,
            rate_scales={f"model.{name}": s for name, s in optimization.rate_scales.items()},
        )
        self.gradients = Gradients(
            self._module,
            objective,
            self.world,
            precision=optimization.precision,
            clip_norm=optimization.clip_norm,
            seed=optimization.seed,
        )

    def run(self) -> None:
        """Train to the end.

        Raises:
            TrainingError: the run was interrupted (its state is saved), or it has diverged.
            FolderError: its state cannot be written; the one before is whole.
        """
        done = self.progression
        meter, before_wh = self.world.energy_meter(), done.watt_hours
        last_save = moment = time.monotonic()
        with _interruptible() as interrupted, self._progress() as progress:
            while not self._finished():
                before = done.fraction
                self.step()
                self._evaluate_if_due(before)
                now = time.monotonic()
                done.seconds += now - moment
                done.watt_hours = before_wh + meter.read()
                moment = now
                is_due = now - last_save > self.optimization.save_every_seconds
                stop, save = self.world.sum([len(interrupted), self.world.is_first and is_due])
                if stop or save:
                    self.save()
                    last_save = time.monotonic()
                if stop:
                    raise TrainingError(
                        "A run goes on to its end unless it is interrupted. Received:"
                        f" {(interrupted or ['a signal'])[0]} at step {done.step:,}; the state is"
                        " saved. Run the same command again to go on."
                    )
                if progress is not None:
                    progress.advance(done.fraction - before, self._note())

    def step(self) -> dict[str, Any]:
        """Take one step and return its line of the log."""
        done, optimization = self.progression, self.optimization
        fraction = self._fraction()
        batch = self._source.step(done.position, fraction)
        depths = optimization.depths_at(done.step, fraction)
        losses = self.gradients.compute(batch, done.step, depths)
        norm = self.gradients.clip(self.parameters)
        reason = self._reason_to_skip(losses["loss"], norm)
        rate = optimization.learning_rate * schedule_factor(
            optimization.schedule,
            fraction,
            optimization.extent.unit(fraction, done.step, batch.tokens),
            warmup=optimization.warmup,
            decay=optimization.decay,
        )
        if not reason:
            self._move(rate)
        for parameter in self.parameters.values():
            parameter.grad = None
        self.gradients.rescale(overflowed=reason == "not a number")
        done.step, done.position, done.fraction = done.step + 1, batch.position, fraction
        done.tokens += batch.tokens
        done.skipped += bool(reason)
        done.skipped_in_a_row = done.skipped_in_a_row + 1 if reason else 0
        entry: dict[str, Any] = {"step": done.step, "fraction": fraction, "learning_rate": rate}
        entry |= {"tokens": done.tokens, "batch_tokens": batch.tokens, "seconds": done.seconds}
        longest = self.world.largest(max(b.max_seqlen for b in batch.batches))
        entry |= {**losses, "norm": norm, "length": longest}
        entry |= {"depth": len(depths)} if depths is not None else {}
        entry |= {"skipped": reason} if reason else {}
        self._write(entry)
        if done.skipped_in_a_row == _MOST_SKIPPED:
            raise TrainingError(
                "Steps must give numbers to learn from. Received:"
                f" {_MOST_SKIPPED} in a row that did not, up to step {done.step:,} ({reason}). What"
                " was saved is whole. Start anew with a lower `--learning-rate`."
            )
        return entry

    def measure(self) -> dict[str, float]:
        """Measure the model, once at a step, and put what is found into the log."""
        done, step = self.progression, self.progression.step
        if self._measured is None or self._measured[0] != step:
            self._measured = step, self.evaluate()
            # A run that was stopped right after a measurement has told of it.
            if done.measured != step:
                done.measured = step
                self.stopping.see(self._measured[1], step, self.parameters, self.averages)
                if self._measured[1]:
                    self._write({"step": step, "evaluation": self._measured[1]})
        return self._measured[1]

    def evaluate(self) -> dict[str, float]:
        """Measure the model, averaged where averages are kept, on what is held out."""
        self._module.eval()
        whole_weights = gathered(self.objective, self.objective.encoder)
        with self.averages.in_place(), whole_weights, torch.no_grad(), self.gradients.autocast():
            return dict(self._hooks.evaluate(self))

    def save(self) -> None:
        """Save the run's folder.

        Raises:
            TrainingError: a weight is no number; the state before is left as it is.
            FolderError: it cannot be written; likewise.
        """
        for name, parameter in self.parameters.items():
            if not whole(parameter.detach().isfinite().all()):
                raise TrainingError(
                    "Weights must be numbers to be saved. Received: others in"
                    f" {name} at step {self.progression.step:,}. What was saved before is whole."
                    " Start anew with a lower `--learning-rate`."
                )
        try:
            self._hooks.save(self)
        except FolderError as error:
            raise FolderError(f"{error} {_WHOLE}") from error

    # === One step ===

    def _reason_to_skip(self, loss: float, norm: float) -> str:
        """Say why a step must not be learned from: it has no number, or is far out of line."""
        reason = 0
        if not (math.isfinite(loss) and math.isfinite(norm)):
            reason = 1
        elif self.optimization.spike_factor and self.world.is_first:
            lines = list(self._log.recent)[-_NORMS:]
            norms = [line["norm"] for line in lines if "skipped" not in line]
            limit = median(norms) * self.optimization.spike_factor if norms else math.inf
            reason = 2 * (len(norms) >= _ENOUGH_NORMS and norm > limit)
        return _REASONS[int(self.world.first([reason])[0])]

    def _move(self, rate: float) -> None:
        """Take the step that the gradients say."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("rate_scale", 1.0)
            optimizer.step()
        self.averages.update(self.progression.step)

    # === How far ===

    def _fraction(self) -> float:
        """Return which share of the run is done, as the first process sees it."""
        done = self.progression
        fraction = self.replayed.get(done.step)
        if fraction is None:
            fraction = self.optimization.extent.fraction(done.step, done.tokens, done.seconds)
            # The time that a save took is counted in a step that may since be taken again.
            fraction = max(done.fraction, fraction)
        return self.world.first([fraction])[0]

    def _finished(self) -> bool:
        """Whether the run is over."""
        return self._fraction() >= 1.0 or self.stopping.is_over

    def _evaluate_if_due(self, before: float) -> None:
        """Measure the model a set number of times over the run, told by fractions of it."""
        times, after = self.optimization.evaluations, self.progression.fraction
        if math.floor(after * times) > math.floor(before * times):
            self.measure()

    # === What is left behind ===

    def _write(self, entry: dict[str, Any]) -> None:
        """Put a line into the log, with what is found out about it."""
        if self.world.is_first:
            try:
                self._hooks.watch(entry)
            finally:
                self._append(entry)

    def _append(self, entry: Mapping[str, Any]) -> None:
        try:
            self._log.append(entry)
        except OSError as error:
            raise FolderError(
                f"A run's log must be writable. Received: {error} at step"
                f" {self.progression.step:,}. {_WHOLE}"
            ) from error

    def _progress(self) -> Progress | nullcontext[None]:
        """Return the bar of the first process; the others have none."""
        if self.world.is_first:
            return Progress(self._title, 1.0, done=self.progression.fraction)
        return nullcontext()

    def _note(self) -> str:
        """Return the short text beside the bar."""
        recent = list(self._log.recent)[-50:]
        mean = sum(line["loss"] for line in recent) / len(recent)
        seconds = recent[-1]["seconds"] - recent[0]["seconds"]
        tokens = recent[-1]["tokens"] - recent[0]["tokens"]
        speed = f"  {tokens / seconds:,.0f} tokens/s" if seconds > 0 else ""
        return f"loss {mean:.3f}{speed}"


_WHOLE = "What was saved before is whole: make room, and run the same command again to go on."


@contextmanager
def _interruptible() -> Iterator[list[str]]:
    """Collect interrupts in a list instead of dying in the middle of a step."""
    received: list[str] = []

    def note(number: int, frame: Any) -> None:
        received.append(signal.Signals(number).name)

    try:
        previous = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever owns that one handles its signals
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
