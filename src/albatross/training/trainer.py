"""The one training loop: batches in, steps, log, checkpoints, exact resume; no text, no task.

A run is a function of its settings: batches come from a position that is saved with the weights,
and dropout draws from a stream of (seed, step). A run that was stopped and started again ends with
the same bits as one that was not.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from albatross.data.packing import PackedBatch
from albatross.errors import FolderError, TrainingError
from albatross.progress import Progress
from albatross.report import file_digest
from albatross.rng import stream
from albatross.training.lamb import Lamb
from albatross.training.schedules import Schedule, schedule_factor

STATE_TENSORS, STATE = "optimizer.safetensors", "state.json"
# Whatever reading a damaged state, or that of another model, raises.
_STATE_ERRORS = (
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
Position = tuple[int, int]
"""Where in the data a run is: (epoch, index)."""
OptimizerName = Literal["adamw", "lamb", "lamb-google"]
Losses = dict[str, Tensor]
"""Named losses of a batch; the one called `loss` is trained on."""


class BatchSource(Protocol):
    """Gives the batch at a position, and the position after it."""

    def batch(self, position: Position) -> tuple[PackedBatch, Position]:
        """Return the batch that starts here and where the next one starts."""
        ...


@dataclass(frozen=True)
class Optimization:
    """How a run learns."""

    total_steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    beta2: float
    clip_norm: float
    seed: int
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "linear"
    decay: float = 0.2
    save_every_seconds: float = 300.0


@dataclass
class Progression:
    """How far a run is; saved with the weights."""

    step: int = 0
    position: Position = (0, 0)
    tokens: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Takes a model through its steps."""

    def __init__(
        self,
        model: nn.Module,
        losses: Callable[[PackedBatch], Losses],
        source: BatchSource,
        optimization: Optimization,
        *,
        title: str,
        save: Callable[[Trainer], None],
    ) -> None:
        """Prepare the optimizer; nothing is drawn or read yet."""
        self.model = model
        self.progression = Progression()
        self.optimization = optimization
        self._losses, self._source, self._save, self._title = losses, source, save, title
        self.optimizer = make_optimizer(model, optimization)

    def run(self) -> None:
        """Train to the last step.

        Raises:
            TrainingError: the loss is no number, or the run was interrupted; its state is saved
                then.
        """
        done, total = self.progression.step, self.optimization.total_steps
        last_save = time.monotonic()
        with _interruptible() as interrupted, Progress(self._title, total, done=done) as progress:
            while self.progression.step < total:
                started = time.monotonic()
                entry = self.step()
                self.progression.seconds += time.monotonic() - started
                progress.advance(1, self._note(entry))
                if interrupted:
                    self._save(self)
                    raise TrainingError(
                        "A run goes on to its last step unless it is interrupted. Received:"
                        f" {interrupted[0]} at step {self.progression.step} of {total}; the state"
                        " is saved. Run the same command again to go on."
                    )
                if time.monotonic() - last_save > self.optimization.save_every_seconds:
                    self._save(self)
                    last_save = time.monotonic()

    def step(self) -> dict[str, float]:
        """Take one step and return what there is to log."""
        progression, optimization = self.progression, self.optimization
        batch, position = self._source.batch(progression.position)
        factor = schedule_factor(
            optimization.schedule,
            progression.step,
            warmup_steps=optimization.warmup_steps,
            total_steps=optimization.total_steps,
            decay=optimization.decay,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = optimization.learning_rate * factor
        self.model.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(
                int(stream(optimization.seed, "dropout", progression.step).integers(2**62))
            )
            losses = self._losses(batch)
        losses["loss"].backward()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), optimization.clip_norm))
        values = {name: float(value.detach()) for name, value in losses.items()}
        if not (math.isfinite(values["loss"]) and math.isfinite(norm)):
            raise TrainingError(
                f"The loss must be a number. Received: {values['loss']} with gradient norm {norm}"
                f" at step {progression.step}. What was saved is whole; lower `--learning-rate`."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progression.step += 1
        progression.position = position
        progression.tokens += len(batch.input_ids)
        entry = {"step": progression.step, "learning_rate": optimization.learning_rate * factor}
        entry |= {**values, "norm": norm, "tokens": progression.tokens}
        progression.log.append({key: float(f"{value:.6g}") for key, value in entry.items()})
        return entry

    def save_state(self, folder: Path) -> None:
        """Write what is needed to go on exactly, beside the weights: tensors by parameter name."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"{key}:{name}"] = torch.as_tensor(value).contiguous()
            tensors[f"parameter:{name}"] = parameter.detach().contiguous()
        save_file(tensors, folder / STATE_TENSORS)
        digest = file_digest(folder / STATE_TENSORS)["sha256"]
        state = {"sha256": digest, **vars(self.progression)}
        (folder / STATE).write_text(json.dumps(state), encoding="utf-8")

    def load_state(self, folder: Path) -> None:
        """Go back to where a run was.

        Raises:
            FolderError: the state is damaged or belongs to another model.
        """
        try:
            values = json.loads((folder / STATE).read_text(encoding="utf-8"))
            if values.pop("sha256") != file_digest(folder / STATE_TENSORS)["sha256"]:
                raise ValueError(f"`{STATE_TENSORS}` has another checksum than `{STATE}` says")
            tensors = load_file(folder / STATE_TENSORS)
            for name, parameter in self.model.named_parameters():
                parameter.data.copy_(tensors[f"parameter:{name}"])
                self.optimizer.state[parameter] = {
                    key: tensors[f"{key}:{name}"]
                    for key in ("step", "exp_avg", "exp_avg_sq")
                    if f"{key}:{name}" in tensors
                }
            self.progression = Progression(**{**values, "position": tuple(values["position"])})
        except _STATE_ERRORS as error:
            raise FolderError(
                f"`{folder.name}` must hold the state of this run. Received: {str(folder)!r}:"
                f" {error!r}. Remove {str(folder.parent)!r} to start anew."
            ) from error

    def _note(self, entry: Mapping[str, float]) -> str:
        """Return the short text beside the bar."""
        recent = self.progression.log[-50:]
        mean = sum(line["loss"] for line in recent) / len(recent)
        rate = self.progression.tokens / max(self.progression.seconds, 1e-9)
        return f"loss {mean:.3f}  {rate:,.0f} tokens/s"


def make_optimizer(model: nn.Module, optimization: Optimization) -> torch.optim.Optimizer:
    """Return the optimizer of a run over the groups of a model's parameters."""
    groups = parameter_groups(model, optimization.weight_decay)
    rate, betas = optimization.learning_rate, (0.9, optimization.beta2)
    if optimization.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=1e-6, fused=True)
    corrected = optimization.optimizer == "lamb"
    return Lamb(groups, lr=rate, betas=betas, eps=1e-6, bias_correction=corrected)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Part the parameters: biases and norms are neither decayed nor adapted, as in Google's code.

    `layer_adaptation` is LAMB's; AdamW takes no notice of it.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_plain = name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name
        (plain if is_plain else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay, "layer_adaptation": True},
        {"params": plain, "weight_decay": 0.0, "layer_adaptation": False},
    ]


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
