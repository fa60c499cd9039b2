"""The verb export: a model folder that runs without torch, checked before it is finished."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import read_json, write_json, writing
from albatross.checkpoints.delta import check_place
from albatross.checkpoints.eight_bits import (
    CONFIG_KEYS,
    INT8,
    SCALE,
    holds_int8,
    in_floats,
    stand_ins,
)
from albatross.checkpoints.huggingface import Arrays
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import (
    CARD,
    RUN,
    TRAINING_STATE,
    read_config,
    read_run,
    read_stored_weights,
    write_model,
)
from albatross.config import AlbertConfig
from albatross.conversion.adapter import is_mergeable, merge_adapter
from albatross.engine.onnx_engine import WORDS, OnnxEngine
from albatross.engine.open import open_model, open_tokenizer, with_exits
from albatross.errors import ConfigError, FolderError, MissingDependencyError
from albatross.export.accuracy import Labelled, check_accuracy, check_probes, read_labelled
from albatross.export.comparison import LARGEST_DIFFERENCE, compare_engines
from albatross.export.over import Left, left_in
from albatross.export.web_page import check_page, write_page
from albatross.head_spec import POOLED, HeadSpec
from albatross.report import data_digest, file_digest
from albatross.settings.answering import ExportSettings
from albatross.tasks.generation import GenerationTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.task import Task
from albatross.tasks.task_file import read_tasks, write_tasks
from albatross.tokenizer.folder import AnyTokenizer


@dataclass(frozen=True)
class _Model:
    """What is exported, in any precision."""

    source: Path
    config: AlbertConfig
    arrays: Mapping[str, NDArray[np.generic]]
    tokenizer: AnyTokenizer
    tasks: Sequence[Task[Any]]
    heads: Mapping[str, HeadSpec]
    run: Mapping[str, Any]
    in_8_bits: Arrays = field(default_factory=dict)
    """What came in 8 bits, as it was stored; the floats that it stands for are in `arrays`."""
    left: Left | None = None
    """What stays in another model."""


def export(settings: ExportSettings) -> Path:
    """Write a folder with the step graphs beside one set of weights.

    In floats it stays a model folder: torch and transformers open it too, and, where torch is
    installed, both engines must agree on it within 1e-4, or nothing is written. In 8 bits it is
    for ONNX Runtime alone; of a folder that is in 8 bits already, such as a built-in model, these
    stay what they are, or become the floats that they stand for, beside which `--dev` measures. Of
    a delta folder it is a whole one, and an adapter is merged into its weights where one weight
    results. Of a pre-trained model it predicts words. With `--over` it leaves out the vocabulary
    and, where they are the same, the embeddings, or in 8 bits the rows of the word table that
    learning has not moved: it finds them in another exported folder.

    Raises:
        ConfigError: two files of `--dev` for one task.
        DataError: the records of `--dev` cannot be read.
        FolderError: no fine-tuned model folder, or one whose run was interrupted; the output's
            place is taken, the engines disagree, or more is lost than `--max-loss`.
        MissingDependencyError: onnx is not installed.
    """
    source = find_model(settings.model)
    over = None if settings.over is None else find_model(settings.over)
    check_place(settings.out, [source, *([] if over is None else [over])], mark="export")
    model = _read(source)
    if over is not None:
        model = _over(model, over, settings)
    if settings.single_file or settings.page:
        _check_answers_at_once(model.tasks)
    if settings.page:
        check_page(model.tokenizer, model.tasks)
    with writing(settings.out) as folder:
        if settings.dtype != "int8":
            _write(folder, settings.out, model, settings.dtype)
            with suppress(MissingDependencyError):  # without torch nothing to compare with
                _compare_engines(folder, model)
        if settings.dtype == "int8" or settings.dev:
            _write_measured(folder, model, settings)
        if settings.single_file or settings.page:
            _put_into_one_file(folder, model, settings)
    return settings.out


def _put_into_one_file(folder: Path, model: _Model, settings: ExportSettings) -> None:
    """Make one file of an export and, where that is wanted, a page that answers with it."""
    from albatross.export.single_folder import put_into_one_file

    put_into_one_file(folder, model.config, model.heads, is_int8=settings.dtype == "int8")
    if settings.page:
        write_page(folder, model.tokenizer)
        return
    halves = [task for task in model.tasks if isinstance(task, SimilarityTask) and task.word_share]
    for task in halves:
        print(
            f"The file gives what {task.name} has learned. {task.word_share:.0%} of the likeness of"
            " two texts is that of their words: `docs/browser.md` says how to add it, and a"
            " `--page` does.",
            file=sys.stderr,
        )


def _over(model: _Model, over: Path, settings: ExportSettings) -> _Model:
    """Leave in another exported model what it can have for this one, and say if that is little."""
    left = left_in(over, model.config, model.arrays, model.tokenizer, settings.dtype)
    if told := left.told():
        print(f"Over {settings.over}, {settings.model} {told}.", file=sys.stderr)
    return replace(model, left=left)


def _read(source: Path) -> _Model:
    """Read a model folder with all that an export holds of it, or finds in the folder below.

    Raises:
        FolderError: its run was interrupted.
    """
    if (source / TRAINING_STATE).is_dir():
        raise FolderError(
            f"Finished models are exported. Received: {str(source)!r}, whose run was interrupted."
            f" Run its command again, or remove {TRAINING_STATE!r} there to take it as it is."
        )
    config, stored = read_config(source), read_stored_weights(source)
    weights = in_floats(stored)
    if holds_int8(stored):
        extra = {key: value for key, value in config.extra.items() if key not in CONFIG_KEYS}
        config = replace(config, extra=extra)
    if is_mergeable(config):
        merged = merge_adapter(config, weights)
        config, weights = merged.config, merged.arrays
    tokenizer = open_tokenizer(source, config)
    tasks = [*read_tasks(source, config.extra, tokenizer, config.max_position_embeddings).values()]
    heads = {name: spec for task in tasks for name, spec in task.heads.items()}
    heads = with_exits(heads, weights.keys())
    kept = {"albert.encoder.", "albert.embeddings.", *(f"{name}." for name in heads)}
    kept |= {f"exits.{name}." for name, spec in heads.items() if spec.options.get("exits")}
    if any(spec.kind in POOLED for spec in heads.values()):
        kept.add("albert.pooler.")
    if any(isinstance(task, GenerationTask) for task in tasks):
        kept |= {"decoder.", f"{WORDS}."}
    arrays = {n: array for n, array in weights.items() if n.startswith(tuple(kept))}
    in_8_bits = {
        name: array
        for name, array in stored.items()
        if name.endswith((f".{INT8}", f".{SCALE}"))
        and f"{name.rpartition('.')[0]}.weight" in arrays
    }
    return _Model(source, config, arrays, tokenizer, tasks, heads, read_run(source), in_8_bits)


def _write(
    folder: Path,
    place: Path,
    model: _Model,
    dtype: str,
    moments: Mapping[str, NDArray[np.float64]] | None = None,
) -> None:
    """Write all files of an export in one precision; `place` is where the folder will stand."""
    try:
        from albatross.export.decoder_graphs import write_decoder_graphs
        from albatross.export.quantization import quantise
        from albatross.export.step_graphs import write_step_graphs
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise MissingDependencyError("onnx", "export") from error
    config, left = model.config, model.left
    arrays = dict(model.arrays)
    if dtype == "int8":
        known = stand_ins({name: array.shape for name, array in model.in_8_bits.items()})
        floats = {name: array for name, array in arrays.items() if name not in known}
        arrays = quantise(floats, moments) | model.in_8_bits
        config = replace(config, extra={**config.extra, **CONFIG_KEYS})
    else:
        arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    if left is not None:
        arrays = left.kept(arrays)
    write_model(folder, config, arrays, {**model.run, "export": {"dtype": dtype}})
    if left is None:
        model.tokenizer.save(folder)
    else:
        left.write(folder, place)
    write_tasks(folder, model.tasks)
    if (model.source / CARD).is_file():
        shutil.copyfile(model.source / CARD, folder / CARD)
    embeddings = left is None or left.part != "embeddings"
    write_step_graphs(folder, config, model.heads, embeddings=embeddings)
    if any(isinstance(task, GenerationTask) for task in model.tasks):
        write_decoder_graphs(folder, config)
    _record_graphs(folder)


def _write_measured(folder: Path, model: _Model, settings: ExportSettings) -> None:
    """Measure an export, written here if it is in 8 bits, beside the same model in 32-bit floats.

    Raises:
        ConfigError: two files of `--dev` for one task.
        DataError: the records of `--dev` cannot be read.
        FolderError: more is lost than the settings allow.
    """
    dtype, labelled = settings.dtype, read_labelled(model.tasks, settings.dev)
    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary)
        _write(plain, plain, replace(model, left=None), "float32")
        if dtype == "int8":
            with suppress(MissingDependencyError):
                _compare_engines(plain, model)
            _write(folder, settings.out, model, dtype, _moments(plain, model, labelled))
        if not labelled:
            if not any(isinstance(task, GenerationTask) for task in model.tasks):
                before = OnnxEngine(plain, model.config)
                below = None if model.left is None else model.left.weights_below
                check_probes(before, OnnxEngine(folder, model.config, below=below), dtype)
            return
        exact, stored = (open_model(each, engine="onnx") for each in (plain, folder))
        found = {
            each.task.name: check_accuracy(exact, stored, each, settings.max_loss, dtype)
            for each in labelled
        }
    figures = {
        each.task.name: {
            **data_digest(each.file),
            "metric": found[each.task.name].metric,
            "float32": found[each.task.name].before,
            dtype: found[each.task.name].after,
        }
        for each in labelled
    }
    run = read_json(folder / RUN)
    write_json(folder / RUN, {**run, "export": {"dtype": dtype, "dev": figures}})


def _moments(
    plain: Path, model: _Model, labelled: Sequence[Labelled]
) -> Mapping[str, NDArray[np.float64]] | None:
    """Return what is known of the inputs of the layers' matrices, where there are records.

    Pieces drawn at random are no replacement: what they are good for is not what texts need.
    """
    known = [each for each in labelled if not isinstance(each.task, GenerationTask)]
    if not known:
        return None
    from albatross.export.calibration import calibration_texts, second_moments

    texts = [text for each in known for text in calibration_texts(each.task, each.records)]
    return second_moments(plain, model.config, texts)


def _check_answers_at_once(tasks: Sequence[Task[Any]]) -> None:
    """Refuse a task that writes, word after word, where a model shall be one graph.

    Raises:
        ConfigError: there is one.
    """
    writing_ones = [task.name for task in tasks if isinstance(task, GenerationTask)]
    if writing_ones:
        raise ConfigError(
            "A model in one file answers at once, and does not write. Received: the task"
            f" {', '.join(writing_ones)}. Export without --single-file and --page."
        )


def _record_graphs(folder: Path) -> None:
    """Write the graphs' checksums beside that of the weights."""
    run = read_json(folder / RUN)
    graphs = {path.name: file_digest(path)["sha256"] for path in sorted(folder.glob("*.onnx"))}
    write_json(folder / RUN, {**run, "sha256": {**run["sha256"], **graphs}})


def _compare_engines(folder: Path, model: _Model) -> None:
    """Refuse a folder on which the engines differ."""
    expected, found = open_model(folder, engine="torch"), open_model(folder, engine="onnx")
    compare_engines(expected, found, LARGEST_DIFFERENCE)
