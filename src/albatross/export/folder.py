"""The verb export: a model folder that runs without torch, checked before it is finished."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from albatross.atomic import read_json, writing
from albatross.checkpoints.model_folder import CARD, RUN, read_config, read_weights, write_model
from albatross.engine.open import find_model, open_model, open_tokenizer
from albatross.errors import FolderError, MissingDependencyError
from albatross.pipelines.pipeline import engine_outputs
from albatross.settings import ExportSettings
from albatross.tasks.task_file import TASK_FILE, read_tasks, write_tasks

# Short, long, empty and odd: what the two engines are compared on.
_PROBES = ("", "A lovely film.", "naïve café 42, (twice)!", "word " * 400)
_LARGEST_DIFFERENCE = 1e-4


def export(settings: ExportSettings) -> Path:
    """Write a folder with the step graphs beside one set of weights.

    The folder stays a model folder: torch and transformers open it too. Where torch is installed,
    both engines must agree on it within 1e-4, or nothing is written.

    Raises:
        FolderError: no fine-tuned model folder, or the engines disagree.
        MissingDependencyError: onnx is not installed.
    """
    if find_spec("onnx") is None:
        raise MissingDependencyError("onnx", "export")
    from albatross.export.onnx_graph import write_step_graphs

    source = find_model(settings.model)
    config = read_config(source)
    tokenizer = open_tokenizer(source)
    tasks = list(read_tasks(source, config.extra, tokenizer).values())
    heads = {name: spec for task in tasks for name, spec in task.heads.items()}
    arrays = {
        name: array.astype(settings.dtype)
        for name, array in read_weights(source).items()
        if name.startswith("albert.") or name.rsplit(".", 1)[0] in heads
    }
    run = read_json(source / RUN) if (source / RUN).is_file() else {}
    run["export"] = {"dtype": settings.dtype}
    with writing(settings.out) as folder:
        write_model(folder, config, arrays, run)
        tokenizer.save(folder)
        write_tasks(folder, tasks)
        if (source / CARD).is_file():
            shutil.copyfile(source / CARD, folder / CARD)
        write_step_graphs(folder, config, heads)
        if find_spec("torch") is not None:
            _compare_engines(folder)
    return settings.out


def _compare_engines(folder: Path) -> None:
    """Refuse a folder on which the engines differ."""
    outputs = []
    for engine in ("torch", "onnx"):
        opened = open_model(folder, engine="torch" if engine == "torch" else "onnx")
        task = opened.task
        examples = [e for text in _PROBES for e in task.features(task.record(text))]
        outputs.append(engine_outputs(opened.engine, examples, 1_024))
    for name, expected in outputs[0].items():
        difference = float(np.abs(expected - outputs[1][name]).max())
        if not difference <= _LARGEST_DIFFERENCE:
            raise FolderError(
                f"An exported model must answer as the original within {_LARGEST_DIFFERENCE:g}."
                f" Received: a difference of {difference:g} in `{name}`. Report this folder's"
                " configuration; nothing was written."
            )
