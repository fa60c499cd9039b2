"""From a folder or a built-in name to an engine with its task; nothing in a folder is ever run as code."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from albatross.checkpoints.model_folder import check_digest, read_config
from albatross.config import AlbertConfig
from albatross.engine.engine import Engine
from albatross.engine.onnx_engine import EMBED_FILE, OnnxEngine
from albatross.errors import FolderError, MissingDependencyError
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task_file import read_tasks
from albatross.tokenizer.tokenizer_json import JsonTokenizer
from albatross.tokenizer.unigram import UnigramTokenizer

EngineName = Literal["auto", "torch", "onnx"]
TokenizerName = Literal["auto", "spiece.model", "tokenizer.json"]
AnyTokenizer = UnigramTokenizer | JsonTokenizer


@dataclass(frozen=True)
class OpenModel:
    """A model ready to answer."""

    folder: Path
    config: AlbertConfig
    tokenizer: AnyTokenizer
    task: ClassificationTask
    engine: Engine


def builtin_names() -> list[str]:
    """Return the names of the models inside the package."""
    root = Path(str(files("albatross") / "builtin"))
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def find_model(model: str | Path) -> Path:
    """Return the folder of a path or a built-in name; a folder of that name wins.

    Raises:
        FolderError: neither is there.
    """
    path = Path(model)
    if path.is_dir():
        return path
    if str(model) in builtin_names():
        return Path(str(files("albatross") / "builtin" / str(model)))
    raise FolderError(
        f"A model must be a folder or a built-in name ({', '.join(builtin_names())})."
        f" Received: {str(model)!r}. Check the path, or run `albatross finetune` to make one."
    )


def open_model(
    model: str | Path,
    *,
    engine: EngineName = "auto",
    tokenizer: TokenizerName = "auto",
    threads: int | None = None,
) -> OpenModel:
    """Open a model folder with its task.

    Args:
        model: a folder, or a built-in name such as `sentiment`.
        engine: `auto` takes ONNX Runtime where the folder has been exported, else torch.
        tokenizer: `auto` takes `spiece.model` where there is one; `tokenizer.json` follows that file
            to the letter.
        threads: processor threads of ONNX Runtime.

    Raises:
        FolderError: no such model, no task in it, or a damaged file.
        WeightsError: the tensors do not fit the configuration.
        MissingDependencyError: the folder needs torch, and it is not installed.
    """
    folder = find_model(model)
    config = read_config(folder)
    reader = open_tokenizer(folder, tokenizer)
    if reader.vocab_size > config.vocab_size:
        raise FolderError(
            "A folder's tokenizer must not have more pieces than its model."
            f" Received in {str(folder)!r}: {reader.vocab_size:,} for {config.vocab_size:,}."
            " Put the tokenizer there that the model was trained with."
        )
    task = next(iter(read_tasks(folder, config.extra, reader).values()))
    exported = (folder / EMBED_FILE).is_file()
    if engine == "onnx" or (engine == "auto" and exported):
        if not exported:
            raise FolderError(
                f"ONNX Runtime needs an exported folder. Received: {str(folder)!r} without"
                f" `{EMBED_FILE}`. Run `albatross export` on it."
            )
        check_digest(folder)
        return OpenModel(folder, config, reader, task, OnnxEngine(folder, config, threads=threads))
    return OpenModel(folder, config, reader, task, _torch_engine(folder, task))


def open_tokenizer(folder: Path, tokenizer: TokenizerName = "auto") -> AnyTokenizer:
    """Open the tokenizer of a folder by its files."""
    if tokenizer == "auto":
        has_spiece = (folder / "spiece.model").is_file()
        has_json = (folder / "tokenizer.json").is_file()
        tokenizer = "tokenizer.json" if has_json and not has_spiece else "spiece.model"
    if tokenizer == "tokenizer.json":
        return JsonTokenizer.from_folder(folder)
    return UnigramTokenizer.from_folder(folder)


def _torch_engine(folder: Path, task: ClassificationTask) -> Engine:
    """Open a folder with torch, if it is installed."""
    if find_spec("torch") is None:
        raise MissingDependencyError("torch", "train")
    from albatross.engine.torch_engine import TorchEngine

    return TorchEngine.from_folder(folder, task.heads)
