"""A delta folder: a model that keeps what it added to its base or changed in it, and no more.

`config.json` is whole, `model.safetensors` holds the difference, `base.json` says which model is
below. Reading joins the two: `model_folder.read_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import check_free, read_json
from albatross.checkpoints.base_file import (
    check_base,
    find_base,
    has_base,
    is_delta,
    write_base,
)
from albatross.checkpoints.huggingface import Arrays
from albatross.checkpoints.model_folder import RUN, read_weights, weight_files, write_model
from albatross.config import AlbertConfig
from albatross.errors import FolderError

# Every file that a tokenizer may be opened from.
_VOCABULARIES = ("*.model", "vocab*.txt", "tokenizer.json", "tokenizer_config.json")
# Keys that verbs add to the record of the folder that they work on.
_LATER = {"export", "tuned"}


def root_of(folder: Path, base: str | Path | None = None) -> Path:
    """Return the model with the weights that a folder has not: its base, or the folder itself."""
    return find_base(folder, base) if is_delta(folder) else folder


def stood_on(folder: Path) -> list[Path]:
    """Return a folder with all folders that it needs, itself first."""
    return [folder, *(stood_on(find_base(folder)) if has_base(folder) else [])]


def vocabulary_files(folder: Path) -> list[Path]:
    """Return the files that a tokenizer may be opened from, in a folder itself."""
    return [path for pattern in _VOCABULARIES for path in sorted(folder.glob(pattern))]


def check_not_read(out: Path, reads: Sequence[Path]) -> None:
    """Refuse to write over something that is not ours, is read, or lies below what is read.

    Args:
        out: the folder to write, there or not.
        reads: the folders that it is made from.

    Raises:
        FolderError: the place is such a one.
    """
    check_free(out)
    if out.resolve() in {each.resolve() for read in reads for each in stood_on(read)}:
        raise FolderError(
            f"A command must not write over what it reads. Received: {str(out)!r} for both."
            " Name another folder."
        )


def check_place(out: Path, reads: Sequence[Path], mark: str) -> None:
    """Refuse to write over a model that is read or lies below it, or over another verb's folder.

    Args:
        out: the folder to write, there or not.
        reads: the models that it is made from.
        mark: what an earlier folder of the same verb is known by: a key of `run.json`, or the verb
            in it where no later one has put a key there.

    Raises:
        FolderError: the place is taken.
    """
    check_not_read(out, reads)
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    if names and not (RUN in names and _is_of(read_json(out / RUN), mark)):
        raise FolderError(
            "An output must not overwrite what another command wrote. Received:"
            f" {str(out)!r}. Name another folder, or remove this one."
        )


def _is_of(record: Mapping[str, Any], mark: str) -> bool:
    """Whether a folder's record says that it was written last by the verb of that mark."""
    return mark in record or (record.get("verb") == mark and not _LATER & record.keys())


def vocabulary_folder(folder: Path, base: str | Path | None = None) -> Path:
    """Return where a folder's vocabulary lies: that of one over a base is the base's.

    Raises:
        FolderError: the base is not there, or its vocabulary is another.
    """
    if not has_base(folder):
        return folder
    found = find_base(folder, base)
    check_base(folder, found)
    return vocabulary_folder(found)


def embedding_folder(folder: Path, base: str | Path | None = None) -> Path:
    """Return where an exported folder's embeddings lie: in a delta folder's base.

    Raises:
        FolderError: the base is not there, or is another model.
    """
    if not is_delta(folder):
        return folder
    found = find_base(folder, base)
    check_base(folder, found, [path.name for path in weight_files(found)])
    return found


def stand_over(folder: Path, place: Path, base: Path, more: Sequence[str] = ()) -> None:
    """Write `base.json` into a folder being built, with the base's weights and vocabulary.

    Args:
        folder: being built.
        place: where it will stand.
        base: the model below it, a whole one.
        more: other files of the base whose bytes must stay.
    """
    others = [path for pattern in more for path in sorted(base.glob(pattern))]
    write_base(folder, place, base, [*weight_files(base), *vocabulary_files(base), *others])


def leave_vocabulary(folder: Path, place: Path, base: Path) -> None:
    """Write `base.json` into a folder being built that has all its weights, and no vocabulary."""
    write_base(folder, place, base, vocabulary_files(base))


def changed_arrays(arrays: Mapping[str, NDArray[np.generic]], base: Arrays) -> Arrays:
    """Return what a model has over its base: all heads, and what of the encoder differs."""
    return {
        name: array
        for name, array in arrays.items()
        if not (name.startswith("albert.") and name in base and np.array_equal(array, base[name]))
    }


def write_delta(
    folder: Path,
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    run: Mapping[str, Any],
    *,
    place: Path,
    base: Path,
) -> None:
    """Write configuration, changed weights, `run.json` and `base.json` into a folder being built.

    Args:
        folder: being built.
        config: of the whole model.
        arrays: of the whole model.
        run: what `run.json` holds.
        place: where the folder will stand.
        base: the model below it, a whole one.
    """
    write_model(folder, config, changed_arrays(arrays, read_weights(base)), run)
    stand_over(folder, place, base)
