"""The place where a run writes: new, to be gone on with, or refused; and what a run owes to its settings."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from albatross.atomic import read_json
from albatross.checkpoints.model_folder import RUN, TRAINING_STATE
from albatross.errors import ConfigError, FolderError
from albatross.settings import Settings
from albatross.training.trainer import Trainer

# Settings that may change between the parts of a run without changing what it learns.
_FREE = {"threads", "save_minutes", "out", "recipe"}


def open_workspace(out: Path, settings: Settings, trainer: Trainer) -> None:
    """Take up an interrupted run of the same settings, or see that there is none.

    Raises:
        FolderError: a finished model stands there.
        ConfigError: an interrupted run of other settings stands there.
    """
    if not (out / RUN).is_file():
        return
    if not (out / TRAINING_STATE).is_dir():
        raise FolderError(
            f"A run must not overwrite a finished model. Received: {str(out)!r}."
            " Name another folder, or remove this one."
        )
    before = read_json(out / RUN).get("settings", {})
    now = plain_settings(settings)
    differing = [
        f"{key}={before.get(key)!r} before and {now[key]!r} now"
        for key in now
        if key not in _FREE and before.get(key) != now[key]
    ]
    if differing:
        raise ConfigError(
            f"An interrupted run goes on with its own settings. Received for {str(out)!r}:"
            f" {'; '.join(differing)}. Use those from before, or another folder."
        )
    trainer.load_state(out / TRAINING_STATE)
    print(f"Going on at step {trainer.progression.step:,}.", file=sys.stderr)


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as JSON holds them."""
    return {key: _plain(value) for key, value in asdict(settings).items()}


def set_threads(threads: int | None) -> None:
    """Use so many processor threads; torch's own choice when None."""
    if threads is not None:
        torch.set_num_threads(threads)


def _plain(value: Any) -> Any:
    """Return paths as text and tuples as lists."""
    if isinstance(value, Path):
        return value.as_posix()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
