"""Several delta folders over one base, opened together: the base's weights are in memory once.

Each folder has an engine of its own, so an answer is what it would be were the folder opened alone;
only the memory is shared. Adapters are the folder's own, and so need no exchanging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from albatross.checkpoints.base_file import check_base, is_delta
from albatross.checkpoints.delta import root_of
from albatross.checkpoints.eight_bits import check_floats
from albatross.checkpoints.huggingface import Arrays
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import (
    read_config,
    read_own_weights,
    read_weights,
    weight_files,
)
from albatross.engine.open import OpenModel, open_tokenizer, torch_class
from albatross.errors import ConfigError, FolderError
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task_file import read_tasks
from albatross.tokenizer.folder import TokenizerName


def open_stack(
    models: Sequence[str | Path],
    *,
    tokenizer: TokenizerName = "auto",
    base: str | Path | None = None,
) -> list[OpenModel]:
    """Open delta folders of one base with torch; one open model for every task of each.

    Args:
        models: the delta folders; the base itself may be among them.
        tokenizer: as in `open_model`.
        base: where the base is, when it is not where the folders say.

    Raises:
        ConfigError: two tasks of one name, or a task that writes.
        FolderError: no such folder, folders of several bases, a base that is not there or is
            another model, or weights in 8 bits.
        MissingDependencyError: torch is not installed.
    """
    folders = [find_model(model) for model in models]
    below = _one_root(folders, base)
    # Widened once here, for a model would widen its own copy of them.
    shared: Arrays = {n: np.asarray(a, np.float32) for n, a in read_weights(below).items()}
    opened: list[OpenModel] = []
    for folder in folders:
        opened += _open(folder, below, shared, tokenizer)
    names = [one.task.name for one in opened]
    if len(set(names)) < len(names):
        raise ConfigError(
            "Tasks that are opened together need names of their own. Received:"
            f" {', '.join(names)}. Fine-tune with another `--name`."
        )
    return opened


def _one_root(folders: Sequence[Path], base: str | Path | None) -> Path:
    """Return the whole model below all folders.

    Raises:
        FolderError: there are several, or no folder.
    """
    roots = {root_of(f, base if is_delta(f) else None).resolve(): f for f in folders}
    if len(roots) != 1:
        found = ", ".join(repr(str(root)) for root in roots) or "no folder"
        raise FolderError(
            "Folders that are opened together must be delta folders of one base. Received:"
            f" {found}. Open the others alone, or train them over one model with `--adapt`."
        )
    return next(iter(roots))


def _open(folder: Path, below: Path, shared: Arrays, tokenizer: TokenizerName) -> list[OpenModel]:
    """Open one folder over arrays that are there already."""
    config = read_config(folder)
    arrays: Mapping[str, Any] = shared
    if is_delta(folder):
        check_base(folder, below, [path.name for path in weight_files(below)])
        encoder = {name: array for name, array in shared.items() if name.startswith("albert.")}
        own = read_own_weights(folder)
        check_floats(own, folder)
        arrays = encoder | own
    reader = open_tokenizer(folder, config, tokenizer, base=below if is_delta(folder) else None)
    tasks = read_tasks(folder, config.extra, reader, config.max_position_embeddings)
    writing = [name for name, task in tasks.items() if isinstance(task, GenerationTask)]
    if writing:
        raise ConfigError(
            f"Tasks that write are opened alone. Received: {', '.join(writing)} in"
            f" {str(folder)!r}. Leave the folder out."
        )
    heads = {name: spec for task in tasks.values() for name, spec in task.heads.items()}
    engine = torch_class("torch_engine", "TorchEngine").from_arrays(config, arrays, heads)
    return [OpenModel(folder, config, reader, task, tasks, engine) for task in tasks.values()]
