"""What a run would do, said before it is begun: `pretrain --dry-run`."""

from __future__ import annotations

import time
from pathlib import Path

from albatross.config import AlbertConfig
from albatross.costs import model_cost
from albatross.data.masking_rate import MaskingFigures
from albatross.data.sampling import PretrainingBatches, StepBatch
from albatross.settings.training import PretrainSettings
from albatross.training.curves import write_plan
from albatross.training.distributed import World
from albatross.training.gradients import Gradients
from albatross.training.objectives import Objective
from albatross.training.optimizers import undecayed
from albatross.training.schedules import schedule_factor
from albatross.training.trainer import Optimization

_POINTS = 400


def show_plan(
    settings: PretrainSettings,
    config: AlbertConfig,
    batches: PretrainingBatches,
    optimization: Optimization,
    objective: Objective,
    *,
    train_tokens: int,
    masking: MaskingFigures,
) -> Path:
    """Print what a person wants to know before a run, draw its schedules, and return their page."""
    rows = _lengths(settings, config, batches, optimization, objective, train_tokens)
    rows.append(("masking", str(masking)))
    for name, fact in rows:
        print(f"{name:<10} {fact}")
    page = settings.out.with_name(f"{settings.out.name}.plan.html")
    page.parent.mkdir(parents=True, exist_ok=True)
    points = _points(config, batches, optimization)
    write_plan(points, page, title=f"{settings.out.name}: plan")
    return page


def _points(
    config: AlbertConfig, batches: PretrainingBatches, optimization: Optimization
) -> list[dict[str, float]]:
    """Return rate, batch, length and depth at points over the run."""
    points = []
    for index in range(_POINTS + 1):
        fraction = index / _POINTS
        depths = optimization.depths_at(index, fraction)
        factor = schedule_factor(
            optimization.schedule,
            fraction,
            1e-9,
            warmup=optimization.warmup,
            decay=optimization.decay,
        )
        points.append(
            {
                "fraction": fraction,
                "learning_rate": optimization.learning_rate * factor,
                "batch_tokens": batches.budget(fraction),
                "length": batches.length(fraction),
                "depth": config.depth if depths is None else len(depths),
            }
        )
    return points


def _lengths(
    settings: PretrainSettings,
    config: AlbertConfig,
    batches: PretrainingBatches,
    optimization: Optimization,
    objective: Objective,
    train_tokens: int,
) -> list[tuple[str, str]]:
    """Return sizes and times in rows; one step is tried for its time."""
    cost = model_cost(
        config,
        sequence_length=settings.max_length,
        batch_size=max(1, min(settings.micro_tokens, settings.batch_tokens) // settings.max_length),
        activation_checkpointing=settings.activation_checkpointing,
    )
    speed = _tried_speed(batches, optimization, objective)
    extent = optimization.extent
    mean_batch = sum(batches.budget(i / _POINTS) for i in range(_POINTS)) / _POINTS
    tokens = float(extent.tokens or 0)
    if extent.steps is not None:
        tokens = extent.steps * mean_batch
    elif extent.seconds is not None:
        tokens = extent.seconds * speed
    plain, tensors = len(undecayed(objective)), len(list(objective.parameters()))
    return [
        ("model", f"{sum(cost.parameters.values()):,} parameters, {config.depth} layers deep"),
        ("steps", f"{tokens / mean_batch:,.0f} of up to {settings.batch_tokens:,} tokens"),
        ("tokens", f"{tokens:,.0f}, {tokens / max(1, train_tokens):.2f} times the text"),
        ("optimizer", f"{settings.optimizer}, decay on {tensors - plain} of {tensors} tensors"),
        ("memory", f"about {cost.training_bytes / 1e6:,.0f} MB"),
        ("speed", f"{speed:,.0f} tokens a second, from one step tried here"),
        ("time", _duration(extent.seconds or tokens / speed)),
    ]


def _tried_speed(
    batches: PretrainingBatches, optimization: Optimization, objective: Objective
) -> float:
    """Return the tokens per second of one micro-batch forward and back, tried after a first one."""
    gradients = Gradients(
        objective,
        objective,
        World(device=objective.device),
        precision=optimization.precision,
        clip_norm=optimization.clip_norm,
        seed=optimization.seed,
    )
    step = batches.step(batches.start, 1.0)
    one = StepBatch(step.batches[:1], step.position, step.tokens, step.sequences)
    for _ in range(2):
        started = time.perf_counter()
        gradients.compute(one, 0, None)
        seconds = time.perf_counter() - started
    objective.zero_grad(set_to_none=True)
    return len(one.batches[0].input_ids) / seconds


def _duration(seconds: float) -> str:
    """Return a time as people say it."""
    minutes = seconds / 60
    if minutes < 100:
        return f"about {minutes:.1f} minutes"
    return f"about {minutes / 60:,.1f} hours"
