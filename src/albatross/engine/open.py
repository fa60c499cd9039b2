"""From a folder or a built-in name to an engine with its task; nothing in it is run as code."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from albatross.checkpoints.delta import embedding_folder, vocabulary_folder
from albatross.checkpoints.eight_bits import stand_ins
from albatross.checkpoints.huggingface import (
    EMBEDDINGS,
    Arrays,
    encoder_shapes,
    fit,
    head_shapes,
    masked_lm_shapes,
)
from albatross.checkpoints.locate import builtin_task, find_model
from albatross.checkpoints.model_folder import (
    RUN,
    TRAINING_STATE,
    WEIGHTS,
    check_digest,
    read_config,
    read_own_weights,
    read_run,
)
from albatross.checkpoints.safetensors_file import read_header
from albatross.checkpoints.word_rows import PARTS
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import FIRST_LAYER, HEADS_FILE, SINGLE_FILE, OnnxEngine
from albatross.engine.onnx_generator import OnnxGenerator
from albatross.errors import AlbatrossWarning, ConfigError, FolderError, MissingDependencyError
from albatross.head_spec import POOLED, HeadSpec
from albatross.report import file_digest
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Task
from albatross.tasks.task_file import read_tasks
from albatross.tokenizer.folder import AnyTokenizer, TokenizerName, check_pieces
from albatross.tokenizer.folder import open_tokenizer as read_tokenizer

EngineName = Literal["auto", "torch", "onnx"]


@dataclass(frozen=True)
class OpenModel:
    """A model ready to answer: one of its tasks, all of them, and what computes."""

    folder: Path
    config: AlbertConfig
    tokenizer: AnyTokenizer
    task: Task[Any]
    tasks: Mapping[str, Task[Any]]
    engine: Any
    """An `Engine`; for a task that writes, its `StepModel`."""


def open_model(
    model: str | Path,
    *,
    engine: EngineName = "auto",
    tokenizer: TokenizerName = "auto",
    threads: int | None = None,
    base: str | Path | None = None,
    task: str | None = None,
) -> OpenModel:
    """Open a model folder with its tasks.

    Args:
        model: a folder, or a built-in name such as `sentiment`.
        engine: `auto` takes ONNX Runtime where the folder has been exported, else torch.
        tokenizer: `auto` takes `spiece.model` where there is one, else `vocab.txt`;
            `tokenizer.json` follows that file to the letter.
        threads: processor threads of ONNX Runtime.
        base: where the base of a delta folder is, when it is not where the folder says.
        task: the name of a task that the folder holds; by default the one that a built-in name
            stands for, else the first.

    Raises:
        ConfigError: the folder holds no task of this name.
        FolderError: no such model, no task in it, or a damaged file; a delta folder's base is not
            there, or another model.
        WeightsError: the tensors do not fit the configuration.
        MissingDependencyError: the folder needs torch, and it is not installed.
    """
    folder = find_model(model)
    config = read_config(folder)
    _refuse_single_file(folder)
    if (folder / TRAINING_STATE).is_dir():
        warnings.warn(
            f"A model answers best from a finished run. Received: {str(folder)!r}, whose run was"
            " interrupted. Its last saved weights are used; run its command again to finish it.",
            AlbatrossWarning,
            stacklevel=2,
        )
    reader = open_tokenizer(folder, config, tokenizer, base=base)
    tasks = read_tasks(folder, config.extra, reader, config.max_position_embeddings)
    chosen = task or builtin_task(model) or next(iter(tasks))
    if chosen not in tasks:
        raise ConfigError(
            f"`--task` must be one of the model's: {', '.join(tasks)}. Received: {chosen!r}."
        )
    heads = {name: spec for each in tasks.values() for name, spec in each.heads.items()}
    without_torch = engine == "onnx" or (engine == "auto" and is_exported(folder))
    opened: Any
    if isinstance(tasks[chosen], GenerationTask) and without_torch:
        _check_exported(folder)
        shapes = encoder_shapes(config, pooler=False) | masked_lm_shapes(config)
        fit(_stored(folder), shapes, source=str(folder))
        opened = OnnxGenerator(folder, config, threads=threads)
    elif isinstance(tasks[chosen], GenerationTask):
        opened = torch_class("torch_generator", "TorchGenerator").from_folder(folder)
    elif without_torch:
        opened = _onnx_engine(folder, config, heads, threads, base)
    else:
        opener = torch_class("torch_engine", "TorchEngine")
        heads = with_exits(heads, read_own_weights(folder).keys())
        opened = opener.from_folder(folder, heads, base)
    return OpenModel(folder, config, reader, tasks[chosen], tasks, opened)


def open_tokenizer(
    folder: Path,
    config: AlbertConfig,
    tokenizer: TokenizerName = "auto",
    *,
    base: str | Path | None = None,
) -> AnyTokenizer:
    """Open the tokenizer of a model folder by its files; a delta folder's is that of its base.

    Raises:
        FolderError: its file is missing, or it has more pieces than the model.
        TokenizerError: its file is damaged.
    """
    reader = read_tokenizer(vocabulary_folder(folder, base), tokenizer)
    check_pieces(reader, config.vocab_size, folder)
    return reader


def _refuse_single_file(folder: Path) -> None:
    """Refuse a folder whose weights are in the one file that others run."""
    if (folder / SINGLE_FILE).is_file() and not (folder / WEIGHTS).is_file():
        raise FolderError(
            f"A folder of `--single-file` is for any ONNX Runtime, not for Albatross. Received:"
            f" {str(folder)!r} with `{SINGLE_FILE}` alone. Run `albatross export` without it."
        )


def torch_class(module: str, name: str) -> Any:
    """Return the class that computes with torch, if it is installed."""
    try:
        from albatross.engine import torch_engine, torch_generator
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError("torch", "train") from error
    return getattr({"torch_engine": torch_engine, "torch_generator": torch_generator}[module], name)


def with_exits(heads: Mapping[str, HeadSpec], names: Collection[str]) -> dict[str, HeadSpec]:
    """Return heads with the exits that stand beside them; tasks know nothing of these.

    Args:
        heads: by name.
        names: of the folder's own tensors.
    """
    return {
        name: replace(spec, options={**spec.options, "exits": True})
        if f"exits.{name}.0.weight" in names
        else spec
        for name, spec in heads.items()
    }


def is_exported(folder: Path) -> bool:
    """Whether a folder has graphs; the embeddings' may be another folder's."""
    return (folder / FIRST_LAYER).is_file()


def _onnx_engine(
    folder: Path,
    config: AlbertConfig,
    heads: Mapping[str, HeadSpec],
    threads: int | None,
    base: str | Path | None,
) -> OnnxEngine:
    """Open an exported folder, if its files are those that were exported together."""
    _check_exported(folder)
    below = embedding_folder(folder, base)
    opened = OnnxEngine(folder, config, threads=threads, below=None if below == folder else below)
    heads = with_exits(heads, _stored(folder))
    pooler = any(spec.kind in POOLED for spec in heads.values())
    shapes = encoder_shapes(config, pooler=pooler) | head_shapes(config, heads)
    embeddings = {n: a for n, a in _stored(below).items() if n.startswith(EMBEDDINGS)}
    fit(embeddings | _stored(folder), shapes, source=str(folder))
    _check_outputs(folder, heads, opened)
    return opened


def _check_outputs(folder: Path, heads: Mapping[str, HeadSpec], engine: OnnxEngine) -> None:
    """Refuse graphs in which a head of the folder's tasks is not."""
    for name in heads:
        if not any(f"{output}.".startswith(f"{name}.") for output in engine.output_names):
            raise FolderError(
                f"`{HEADS_FILE}` must answer for every head of the folder's tasks. Received in"
                f" {str(folder)!r}: no output for {name!r} among"
                f" {', '.join(engine.output_names)}. Run `albatross export` again."
            )


def _check_exported(folder: Path) -> None:
    """Refuse a folder that has not been exported, or whose files have changed since."""
    if not is_exported(folder):
        raise FolderError(
            f"ONNX Runtime needs an exported folder. Received: {str(folder)!r} without"
            f" `{FIRST_LAYER}`. Run `albatross export` on it."
        )
    check_digest(folder)
    _check_graphs(folder)


def _stored(folder: Path) -> Arrays:
    """Return stand-ins of a folder's tensors, by the file's header: none is loaded for this.

    Rows of a word table are none: the table is another folder's.
    """
    shapes = {name: entry.shape for name, entry in read_header(folder / WEIGHTS).items()}
    return stand_ins({name: shape for name, shape in shapes.items() if name not in PARTS})


def _check_graphs(folder: Path) -> None:
    """Compare the graphs with the checksums in `run.json`, where there are any."""
    digests = read_run(folder).get("sha256")
    for path in sorted(folder.glob("*.onnx")):
        expected = digests.get(path.name) if isinstance(digests, dict) else None
        if expected is not None and file_digest(path)["sha256"] != expected:
            raise FolderError(
                f"`{path.name}` must have the checksum that `{RUN}` names. Received in"
                f" {str(folder)!r}: other bytes. Run `albatross export` again."
            )
