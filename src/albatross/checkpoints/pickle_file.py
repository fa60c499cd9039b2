"""`pytorch_model.bin`, the pickles that older checkpoints are published as; no code in them is run.

torch reads them by a list of harmless types and maps the storages. What comes out is checked as if
the file were an attack: tensors alone, each within the bytes that the file really has.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from albatross.checkpoints.huggingface import Arrays
from albatross.errors import FolderError

_ZIP_MARK = b"PK\x03\x04"
# Under which training scripts keep the weights beside the state of their optimizer.
_WRAPPERS = ("state_dict", "model")
# A tied tensor stands in a pickle under two names, rarely three, over one storage.
_MOST_USES = 4
_DTYPES = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
}


def read_bin(path: Path) -> Arrays:
    """Return the tensors of a PyTorch pickle by name, mapped where its format allows it.

    The arrays may be written to and the file stays as it is; bfloat16 comes as float32.

    Raises:
        FolderError: the file is damaged, would run code, or holds anything but tensors.
    """
    try:
        state = _unpickle(path)
    except Exception as error:  # an unpickler may stumble in any way over a damaged file
        raise FolderError(
            f"`{path.name}` must be a PyTorch file of tensors alone. Received in"
            f" {str(path.parent)!r}: {_reason(error)}. Nothing in it was run. Copy it again, or"
            " have its author save `model.safetensors`."
        ) from error
    tensors = _named_tensors(state)
    problem = _problem(tensors, path.stat().st_size)
    if problem:
        raise FolderError(
            f"`{path.name}` must hold tensors by name, of real or whole numbers. Received in"
            f" {str(path.parent)!r}: {problem}. Save the model's `state_dict()` alone."
        )
    return {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).resolve_neg().numpy()
        for name, tensor in ((name, tensor.detach()) for name, tensor in tensors.items())
    }


def _unpickle(path: Path) -> Any:
    """Return what the file holds, whatever it is."""
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP_MARK)) == _ZIP_MARK
    if is_zip:
        _check_stored(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a foreign protocol, before refusing it
        # The older format, one pickle after another, cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def _check_stored(path: Path) -> None:
    """Refuse compressed parts: torch writes none, and a few bytes could grow to fill the memory."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size:
                raise ValueError(f"a compressed part, {part.filename!r}")


def _named_tensors(state: Any) -> Mapping[Any, Any]:
    """Return the weights, which training scripts wrap into a larger dictionary."""
    for name in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    return state if isinstance(state, Mapping) else {None: state}


def _problem(tensors: Mapping[Any, Any], size: int) -> str | None:
    """Return what is wrong with the values, before a byte of them is copied."""
    claimed = 0
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            return f"{_shown(name)}, a {type(tensor).__name__}"
        if tensor.layout is not torch.strided or tensor.device.type != "cpu":
            return f"{_shown(name)}, a tensor without a place for every number"
        if tensor.dtype not in _DTYPES:
            return f"{_shown(name)} of {tensor.dtype}"
        needed = tensor.numel() * tensor.element_size()
        claimed += needed
        if needed > tensor.untyped_storage().nbytes() or claimed > _MOST_USES * size:
            return f"{_shown(name)} of shape {tuple(tensor.shape)}, more than the file holds"
    return None


def _reason(error: Exception) -> str:
    """Return an error in one line, without torch's own advice, which is to run the code."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked:
        return f"a pickle that asks for the code of `{asked[1]}`"
    if isinstance(error, ValueError | OSError | zipfile.BadZipFile):
        line = " ".join(str(error).split())
        return "".join(one if one.isprintable() else "?" for one in line)
    return f"a damaged pickle ({type(error).__name__})"


def _shown(name: Any) -> str:
    """Return a key of a pickle, which may be anything, for a message of one line."""
    return ascii(name)[:80]
