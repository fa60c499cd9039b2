"""TensorFlow's checkpoints (format V2, the tensor bundle), read without TensorFlow.

`PREFIX.index` is a table of variables: type, shape, and where the values lie in which
`PREFIX.data-NNNNN-of-MMMMM`. Those files are mapped into memory, so a variable costs nothing until
it is used. A partitioned variable lies there in slices, which are put together here. What the names
mean is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.bundle_index import (
    BFLOAT16,
    BOOL,
    STORED_DTYPES,
    Entry,
    array_dtype,
    bounds,
    check_places,
    check_slices,
    read_entry,
    read_header,
    slice_key,
)
from albatross.checkpoints.sorted_table import crc32c_masked, read_table
from albatross.errors import FolderError

INDEX = ".index"


@dataclass(frozen=True)
class Variable:
    """What a checkpoint says of one variable.

    Attributes:
        name: as in the graph, such as `bert/pooler/dense/kernel`.
        dtype: of the array that `read` returns; None for strings and the like, which it refuses.
        shape: the whole variable's, also when it is stored in slices.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]


def find_checkpoint(path: Path) -> Path:
    """Return the prefix of the checkpoint that a path means.

    Args:
        path: a prefix, its `.index` file, or a folder with one checkpoint: Google's archives, hub
            modules with `variables/`, and folders whose `checkpoint` file names one of several.

    Raises:
        FolderError: there is none, or more than one.
    """
    if path.is_dir():
        return _find_in_folder(path)
    if path.name.endswith(INDEX) and path.is_file():
        return path.with_name(path.name.removesuffix(INDEX))
    if _index_of(path).is_file():
        return path
    if path.is_file():
        raise FolderError(
            f"A TensorFlow checkpoint must have a `.index` file. Received: {str(path)!r} without"
            f" {path.name + INDEX!r}: a file of the old format V1, or a part of a checkpoint. Give"
            " the prefix that all files of a checkpoint share; save one of format V1 again with"
            " `tf.compat.v1.train.Saver`."
        )
    raise FolderError(
        f"A TensorFlow checkpoint must be there. Received: {str(path)!r}, where"
        f" {path.name + INDEX!r} is not. Give its folder, or the prefix that all its files share."
    )


class TensorFlowCheckpoint:
    """A checkpoint opened for reading.

    Attributes:
        prefix: what the names of all its files begin with.
        variables: what is in it, by name; nothing of the values has been read.
    """

    def __init__(
        self, prefix: Path, entries: Mapping[bytes, Entry], shards: Mapping[int, NDArray[np.uint8]]
    ) -> None:
        """Take what `open` has checked."""
        self.prefix = prefix
        self._entries = entries
        self._shards = shards
        self.variables: Mapping[str, Variable] = {
            key.decode(): Variable(key.decode(), array_dtype(entry.kind), entry.shape)
            for key, entry in entries.items()
            if not key.startswith(b"\0")
        }

    @classmethod
    def open(cls, prefix: Path) -> TensorFlowCheckpoint:
        """Open a checkpoint by its prefix and check its index against the real files.

        Raises:
            FolderError: a file is missing, cut short or damaged, or the index describes what cannot
                be.
            MissingDependencyError: google_crc32c is not installed.
        """
        try:
            table = read_table(_map(_index_of(prefix)).data)
            num_shards = read_header(table.pop(b"", b""))
            entries = {key: read_entry(value) for key, value in table.items()}
            stored = [entry for entry in entries.values() if not entry.slices]
            shards = {
                number: _map(prefix.with_name(shard_name(prefix.name, number, num_shards)))
                for number in sorted({entry.shard for entry in stored if entry.size})
                if number < num_shards
            }
            sizes = {number: len(shard) for number, shard in shards.items()}
            check_places(stored, num_shards, sizes)
            for key in entries:
                check_slices(key, entries)
            return cls(prefix, entries, shards)
        except (OSError, ValueError) as error:
            raise _damaged(prefix, error) from error

    def read(self, name: str) -> NDArray[np.generic]:
        """Return a variable's values, after a look at their checksums.

        A variable in one piece is a view of the mapped file; what is written to it stays in memory.
        bfloat16 is widened to float32.

        Raises:
            FolderError: there is no such variable, it holds no numbers, or it is damaged.
        """
        variable = self.variables.get(name)
        if variable is None or variable.dtype is None:
            kind = "which it does not hold" if variable is None else "which holds no numbers"
            raise FolderError(
                f"A variable to read must be one of the checkpoint's, with numbers."
                f" Received: {name!r}, {kind}, in {str(self.prefix)!r}. Choose from its"
                f" {len(self.variables)} `variables`."
            )
        entry = self._entries[name.encode()]
        try:
            return self._joined(name, entry) if entry.slices else self._whole(name, entry)
        except ValueError as error:
            raise _damaged(self.prefix, error) from error

    def __repr__(self) -> str:
        """Say where it is and how much it holds."""
        return f"TensorFlowCheckpoint({str(self.prefix)!r}, variables={len(self.variables)})"

    def _whole(self, name: str, entry: Entry) -> NDArray[np.generic]:
        """Return what one record stores."""
        shard = self._shards.get(entry.shard, np.empty(0, np.uint8))
        raw = shard[entry.offset : entry.offset + entry.size]
        if crc32c_masked(raw) != entry.checksum:
            raise ValueError(f"the values of {name!r} do not fit their checksum")
        if entry.kind == BOOL:
            return np.asarray(raw != 0).reshape(entry.shape)
        array = np.ndarray(entry.shape, STORED_DTYPES[entry.kind], raw if entry.size else None)
        if entry.kind == BFLOAT16:
            return np.asarray(array.astype(np.uint32) << 16).view(np.float32)
        return np.require(array, requirements="A")

    def _joined(self, name: str, entry: Entry) -> NDArray[np.generic]:
        """Put the slices of a variable together; their sizes have been added up before."""
        whole = np.empty(entry.shape, array_dtype(entry.kind))
        seen = np.zeros(entry.shape, np.bool_)
        for part in entry.slices:
            place = tuple(slice(start, stop) for start, stop in bounds(part, entry.shape))
            if seen[place].any():
                raise ValueError(f"the slices of {name!r} lie over each other")
            seen[place] = True
            whole[place] = self._whole(name, self._entries[slice_key(name.encode(), part)])
        return whole


def shard_name(prefix: str, number: int, num_shards: int) -> str:
    """Return the name of a file with values."""
    return f"{prefix}.data-{number:05d}-of-{num_shards:05d}"


# === Finding ===


def _find_in_folder(folder: Path) -> Path:
    """Return the prefix of a folder's checkpoint, or of the one in its `variables/`."""
    for place in (folder, folder / "variables"):
        found = sorted(path.name.removesuffix(INDEX) for path in place.glob(f"[!.]*{INDEX}"))
        if len(found) > 1:
            latest = _latest(place)
            if latest not in found:
                raise FolderError(
                    f"A folder must hold one checkpoint, or a `checkpoint` file that names one of"
                    f" them. Received: {str(place)!r} with {', '.join(found[:6])}"
                    f"{' and more' if len(found) > 6 else ''}. Give the prefix of one."
                )
            found = [latest]
        if found:
            return place / found[0]
    raise FolderError(
        f"A checkpoint folder must hold a `.index` file. Received: {str(folder)!r} without one,"
        " also in `variables/`. Unpack the whole archive, or give another folder."
    )


def _latest(folder: Path) -> str | None:
    """Return the name that a `checkpoint` file gives; where its writer kept it, is left out."""
    try:
        text = (folder / "checkpoint").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found = re.search(r'^\s*model_checkpoint_path\s*:\s*"([^"\n]*)"', text, re.MULTILINE)
    return re.split(r"[/\\]", found[1])[-1] if found else None


def _index_of(prefix: Path) -> Path:
    """Return the path of a prefix's index."""
    return prefix.with_name(prefix.name + INDEX) if prefix.name else prefix


def _map(path: Path) -> NDArray[np.uint8]:
    """Map a file into memory; what is written to the array stays there."""
    if not path.stat().st_size:
        return np.empty(0, np.uint8)
    return np.memmap(path, np.uint8, mode="c")


def _damaged(prefix: Path, error: Exception) -> FolderError:
    """Return the one error for a checkpoint that cannot be read."""
    reason = str(error)
    if isinstance(error, OSError) and error.filename:
        reason = f"{Path(error.filename).name!r}: {error.strerror}"
    return FolderError(
        "A TensorFlow checkpoint must be whole and as its index describes it. Received:"
        f" {str(prefix)!r}: {reason}. Download or copy all its files again, or save it again with"
        " TensorFlow."
    )
