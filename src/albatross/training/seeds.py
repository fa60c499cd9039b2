"""One task with several seeds: how much the figure depends on chance, and the run in the middle."""

from __future__ import annotations

import math
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from albatross.atomic import read_json, write_json, writing
from albatross.checkpoints.base_file import has_base, move_base
from albatross.checkpoints.model_folder import CARD, CONFIG, RUN, TASKS, TRAINING_STATE
from albatross.errors import ConfigError
from albatross.report import model_card
from albatross.settings.training import FinetuneSettings
from albatross.training.workspace import FREE, check_place


def train_seeds(
    settings: FinetuneSettings,
    train: Callable[[FinetuneSettings], Path],
    data: Mapping[str, Any],
) -> Path:
    """Train once for every seed in a folder of its own, and make the median run the output.

    Runs that are finished stay as they are, so a killed command goes on where it was.

    Args:
        settings: with several seeds, from `seed` on.
        train: trains one of them, or goes on with it.
        data: what any of the runs learns from, as `run.json` has it with checksums.

    Raises:
        ConfigError: nothing to compare the runs by, or finished runs of other settings or data.
        FolderError: the output's place is taken.
    """
    check_place(settings.out, [])
    home = settings.out.with_name(f"{settings.out.name}.seeds")
    seeds = range(settings.seed, settings.seed + settings.seeds)
    runs = [
        replace(
            settings,
            seed=seed,
            seeds=1,
            out=home / str(seed),
            tensorboard=settings.tensorboard and settings.tensorboard / str(seed),
        )
        for seed in seeds
    ]
    finished = [one for one in runs if _is_finished(one.out)]
    for one in finished:
        _check_finished(one, data)
    folders: dict[int, Path] = {}
    figures: dict[int, float] = {}
    for one in runs:
        folders[one.seed] = one.out if one in finished else train(one)
        figures[one.seed] = _figure(folders[one.seed])
    metric = _metric_of(folders[settings.seed])
    middle = _median(figures)
    spread = _spread(figures)
    _copy(folders[middle], settings.out, {"metric": metric, "chosen": middle, **spread})
    print(
        f"{metric} {spread['mean']:.4f} +- {spread['deviation']:.4f} ({settings.seeds} seeds);"
        f" kept: seed {middle}, the median, with {figures[middle]:.4f}.",
        file=sys.stderr,
    )
    return settings.out


def _is_finished(out: Path) -> bool:
    """Whether the run of one seed is done."""
    return (out / RUN).is_file() and not (out / TRAINING_STATE).is_dir()


def _check_finished(settings: FinetuneSettings, data: Mapping[str, Any]) -> None:
    """Refuse a finished run that is not one of these settings and data.

    Raises:
        ConfigError: it is another one.
    """
    out, run = settings.out, read_json(settings.out / RUN)
    before, learned = run.get("settings", {}), run.get("data", {})
    # What was left open was filled in; it may be given now.
    differing = [
        name
        for name, value in settings.to_dict().items()
        if name not in FREE and value not in (None, "") and before.get(name) != value
    ]
    differing += [f"the data's {name}" for name in data if learned.get(name) != data[name]]
    if differing:
        raise ConfigError(
            "Runs of several seeds must have the same settings and data. Received for"
            f" {str(out)!r}: others in {', '.join(differing)}. Remove {str(out.parent)!r}, or use"
            " another folder."
        )


def _figure(folder: Path) -> float:
    """Return what a run is compared by.

    Raises:
        ConfigError: it has no such figure.
    """
    metric = _metric_of(folder)
    figure = float(read_json(folder / RUN)["metrics"].get(metric, math.nan))
    if not math.isfinite(figure):
        raise ConfigError(
            "Runs of several seeds are compared by a figure of the dev part. Received: a run"
            f" without `{metric}`. Give `--dev`, or leave `--seeds` out."
        )
    return figure


def _metric_of(folder: Path) -> str:
    """Return the figure by which the task of a folder is compared."""
    tasks = list(read_json(folder / TASKS).values())
    return str(tasks[0].get("metric", "accuracy")) if len(tasks) == 1 else "mean"


def _median(figures: Mapping[int, float]) -> int:
    """Return the seed with the median figure; of an even number the lower of the middle ones."""
    return sorted(figures, key=lambda seed: (figures[seed], seed))[(len(figures) - 1) // 2]


def _spread(figures: Mapping[int, float]) -> dict[str, Any]:
    """Return mean, standard deviation, least and greatest, and the figure of each seed."""
    values = list(figures.values())
    return {
        "mean": statistics.fmean(values),
        "deviation": statistics.stdev(values),
        "min": min(values),
        "max": max(values),
        "by_seed": {str(seed): figure for seed, figure in figures.items()},
    }


def _copy(folder: Path, out: Path, seeds: Mapping[str, Any]) -> None:
    """Make a finished run the output, with what the others found."""
    run = {**read_json(folder / RUN), "seeds": dict(seeds)}
    with writing(out) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        if has_base(folder):
            move_base(draft, folder, out)
        write_json(draft / RUN, run)
        kinds = {name: task["kind"] for name, task in read_json(folder / TASKS).items()}
        card = model_card(run, read_json(folder / CONFIG), kinds)
        (draft / CARD).write_text(card, encoding="utf-8")
