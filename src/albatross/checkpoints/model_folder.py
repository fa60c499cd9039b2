"""The one artefact of the house: a model folder, read with care and written whole or not at all.

`config.json`, `model.safetensors`, `spiece.model`, `task.json`, `run.json`, `README.md`, and while
training `training_state/`. A new folder is built beside its place and moved there when it is
complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save_file

from albatross.atomic import read_json, write_json
from albatross.checkpoints.huggingface import Arrays, canonical
from albatross.config import AlbertConfig
from albatross.errors import FolderError

CONFIG, WEIGHTS, TASKS, RUN, CARD = (
    "config.json",
    "model.safetensors",
    "task.json",
    "run.json",
    "README.md",
)
TRAINING_STATE = "training_state"
# What a model's file may hold; bfloat16, which numpy lacks, is widened to float32.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read_config(folder: Path) -> AlbertConfig:
    """Read a model folder's `config.json`.

    Raises:
        FolderError: no model folder, or its file cannot be read.
        ConfigError: the values break a rule.
    """
    if not folder.is_dir():
        raise FolderError(
            f"A model must be a folder or a built-in name. Received: {str(folder)!r}, which is"
            f" {'a file' if folder.exists() else 'not there'}. Run `albatross pretrain` or"
            " `albatross finetune` to make one."
        )
    return AlbertConfig.from_dict(read_json(folder / CONFIG))


def read_weights(folder: Path) -> Arrays:
    """Read `model.safetensors` under present names, in the dtype of the file.

    The arrays are the reader's own and may be written to; bfloat16 comes as float32. Nothing else
    in the folder is ever read as weights, least of all a pickle.

    Raises:
        WeightsError: tied tensors differ.
        FolderError: the file is missing, truncated, or not the one that `run.json` describes.
    """
    check_digest(folder)
    path = folder / WEIGHTS
    try:
        tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except OSError as error:
        raise FolderError(
            f"A model folder must hold `{WEIGHTS}`. Received: {str(folder)!r} without a readable"
            f" one ({error.strerror}). Write the folder again, or copy the file into it."
        ) from error
    except SafetensorError as error:
        raise FolderError(
            f"`{WEIGHTS}` must be a whole safetensors file. Received in {str(folder)!r}:"
            f" {path.stat().st_size:,} bytes that are not ({error}). Copy or write it again."
        ) from error
    return canonical({name: _array(name, tensor) for name, tensor in tensors})


def write_weights(folder: Path, arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Write `model.safetensors` and return the SHA-256 of the file."""
    path = folder / WEIGHTS
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # The library leaves a file that its writer alone may read; a new file has what the umask says.
    path.unlink(missing_ok=True)
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(contiguous, path, metadata={"format": "pt"})
    path.chmod(mode)
    return _digest(path)


def write_model(
    folder: Path,
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    run: Mapping[str, Any],
) -> None:
    """Write configuration, weights and `run.json` with the checksum into a folder being built."""
    write_json(folder / CONFIG, _config_of(config, arrays))
    digest = write_weights(folder, arrays)
    write_json(folder / RUN, {**run, "sha256": {WEIGHTS: digest}})


def check_digest(folder: Path) -> None:
    """Compare `model.safetensors` with the checksum in `run.json`, where there is one.

    Raises:
        FolderError: the file is missing, or its bytes have changed.
    """
    digests = read_json(folder / RUN).get("sha256") if (folder / RUN).is_file() else None
    expected = digests.get(WEIGHTS) if isinstance(digests, dict) else None
    if not expected:
        return
    try:
        found = _digest(folder / WEIGHTS)
    except OSError as error:
        raise FolderError(
            f"A model folder must hold `{WEIGHTS}`. Received: {str(folder)!r} without it."
            " Copy the folder again."
        ) from error
    if found != expected:
        raise FolderError(
            f"`{WEIGHTS}` must have the checksum that `{RUN}` names. Received in {str(folder)!r}:"
            " other bytes. Copy the folder again; if you changed the weights on purpose, remove"
            f" `sha256` from `{RUN}`."
        )


def update_model(
    folder: Path, config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]
) -> None:
    """Write configuration and weights into a folder that may hold other files, each in one step.

    Raises:
        FolderError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".", suffix=".writing", dir=folder))
        try:
            digest = write_weights(draft, arrays)
            os.replace(draft / WEIGHTS, folder / WEIGHTS)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        write_json(folder / CONFIG, _config_of(config, arrays))
        if (folder / RUN).is_file():
            write_json(folder / RUN, {**read_json(folder / RUN), "sha256": {WEIGHTS: digest}})
    except (OSError, SafetensorError) as error:
        raise FolderError(
            f"A model's folder must be writable. Received: {str(folder)!r}: {error}."
            " Name another place."
        ) from error


def _array(name: str, tensor: Mapping[str, Any]) -> NDArray[np.generic]:
    """Return one tensor of a safetensors file as an array over its bytes."""
    dtype, shape = tensor["dtype"], tensor["shape"]
    if dtype == "BF16":
        halves = np.frombuffer(tensor["data"], dtype="<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise FolderError(
            f"A tensor of `{WEIGHTS}` must be of a dtype among BF16, {', '.join(_DTYPES)}."
            f" Received: {name} of {dtype}. Save the model in float32."
        )
    return np.frombuffer(tensor["data"], dtype=_DTYPES[dtype]).reshape(shape)


def _config_of(config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
    """Return the configuration as written beside these weights.

    transformers computes in the dtype that the file names, so it must not be that of older weights.
    """
    values = config.to_dict()
    dtypes = {str(a.dtype) for a in arrays.values() if np.issubdtype(a.dtype, np.floating)}
    for key in {"dtype", "torch_dtype"} & set(values):
        values[key] = max(dtypes, default="float32")
    return values


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
