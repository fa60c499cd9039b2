"""The verb export: a model folder that runs without torch, checked before it is finished."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np

from albatross.atomic import check_free, read_json, write_json, writing
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import (
    CARD,
    RUN,
    read_config,
    read_run,
    read_weights,
    write_model,
)
from albatross.conversion.adapter import merge_adapter
from albatross.engine.engine import join_outputs
from albatross.engine.open import open_model, open_tokenizer
from albatross.errors import FolderError, MissingDependencyError
from albatross.pipelines.pipeline import engine_outputs
from albatross.report import file_digest
from albatross.settings.answering import ExportSettings
from albatross.tasks.task_file import read_tasks, write_tasks

# Short, long, empty and odd: what the two engines are compared on.
_PROBES = ("", "A lovely film.", "naïve café 42, (twice)!", "word " * 400)
_LARGEST_DIFFERENCE = 1e-4


def export(settings: ExportSettings) -> Path:
    """Write a folder with the step graphs beside one set of weights.

    The folder stays a model folder: torch and transformers open it too. Of a delta folder it is a
    whole one, and an adapter is merged into its weights. Where torch is installed,
    both engines must agree on it within 1e-4, or nothing is written.

    Raises:
        ConfigError: an adapter that cannot be merged.
        FolderError: no fine-tuned model folder, the output's place is taken, or the engines
            disagree.
        MissingDependencyError: onnx is not installed.
    """
    try:
        from albatross.export.step_graphs import write_step_graphs
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise MissingDependencyError("onnx", "export") from error
    source = find_model(settings.model)
    _check_place(settings.out, source)
    whole = merge_adapter(read_config(source), read_weights(source))
    config = whole.config
    tokenizer = open_tokenizer(source, config)
    tasks = list(
        read_tasks(source, config.extra, tokenizer, config.max_position_embeddings).values()
    )
    heads = {name: spec for task in tasks for name, spec in task.heads.items()}
    arrays = {
        name: array.astype(settings.dtype)
        for name, array in whole.arrays.items()
        if name.startswith("albert.") or name.rsplit(".", 1)[0] in heads
    }
    run = read_run(source)
    run["export"] = {"dtype": settings.dtype}
    with writing(settings.out) as folder:
        write_model(folder, config, arrays, run)
        tokenizer.save(folder)
        write_tasks(folder, tasks)
        if (source / CARD).is_file():
            shutil.copyfile(source / CARD, folder / CARD)
        write_step_graphs(folder, config, heads)
        _record_graphs(folder)
        with suppress(MissingDependencyError):  # without torch there is nothing to compare with
            _compare_engines(folder)
    return settings.out


def _check_place(out: Path, source: Path) -> None:
    """Refuse to write over the model itself, or over anything but an earlier export."""
    check_free(out)
    if out.resolve() == source.resolve():
        raise FolderError(
            f"A model must not be exported onto itself. Received: {str(out)!r} for both."
            " Name another folder."
        )
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    if names and not (RUN in names and "export" in read_json(out / RUN)):
        raise FolderError(
            "An export must not overwrite what another command wrote. Received:"
            f" {str(out)!r}. Name another folder, or remove this one."
        )


def _record_graphs(folder: Path) -> None:
    """Write the graphs' checksums beside that of the weights."""
    run = read_json(folder / RUN)
    graphs = {path.name: file_digest(path)["sha256"] for path in sorted(folder.glob("*.onnx"))}
    write_json(folder / RUN, {**run, "sha256": {**run["sha256"], **graphs}})


def _compare_engines(folder: Path) -> None:
    """Refuse a folder on which the engines differ."""
    outputs = []
    for opened in (open_model(folder, engine="torch"), open_model(folder, engine="onnx")):
        task = opened.task
        examples = [e for text in _PROBES for e in task.features(task.record(text))]
        outputs.append(join_outputs(engine_outputs(opened.engine, examples, 1_024)))
    for name, expected in outputs[0].items():
        difference = float(np.abs(expected - outputs[1][name]).max())
        if not difference <= _LARGEST_DIFFERENCE:
            raise FolderError(
                f"Both engines must answer alike, within {_LARGEST_DIFFERENCE:g}."
                f" Received: a difference of {difference:g} in `{name}`. Report this folder's"
                " configuration; nothing was written."
            )
