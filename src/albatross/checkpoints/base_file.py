"""`base.json`: over which model a folder stands that leaves there what both have.

A delta folder holds the tensors that a training changed or added, and nothing else that its base
has: neither the other weights nor the vocabulary. Another folder may have all its weights, and
leave the vocabulary alone below. The base is known by the checksums of its files, so that a folder
is never answered with over another model. Which tensors there are is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from albatross.atomic import read_json, write_json
from albatross.checkpoints.locate import builtin_names, find_model
from albatross.errors import FolderError
from albatross.report import file_digest

BASE = "base.json"
_WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class BaseFile:
    """What the file says.

    Attributes:
        path: of the base, as seen from the delta folder, with slashes
        name: of the base's folder
        sha256: checksums of the base's weights, unless the folder has its own, and vocabulary, by
            file
    """

    path: str
    name: str
    sha256: dict[str, str]


def has_base(folder: Path) -> bool:
    """Whether a folder stands over a base, with its weights or its vocabulary alone."""
    return (folder / BASE).is_file()


def is_delta(folder: Path) -> bool:
    """Whether weights of a folder are those of a base.

    Raises:
        FolderError: `base.json` is damaged.
    """
    return has_base(folder) and any(name.endswith(_WEIGHTS) for name in _read(folder).sha256)


def write_base(folder: Path, place: Path, base: Path, files: Iterable[Path]) -> None:
    """Write the file into a folder being built.

    Args:
        folder: being built.
        place: where it will stand.
        base: the model below it.
        files: of the base, whose bytes must stay.
    """
    path = os.path.relpath(base.resolve(), place.resolve())
    digests = {file.name: file_digest(file)["sha256"] for file in files}
    written = BaseFile(Path(path).as_posix(), base.resolve().name, digests)
    write_json(folder / BASE, asdict(written))


def move_base(folder: Path, old: Path, new: Path) -> None:
    """Let the file of a copied folder lead to the same base from its new place.

    Args:
        folder: the copy, perhaps still being built.
        old: where it was copied from.
        new: where it will stand.
    """
    said = _read(folder)
    path = os.path.relpath((old / said.path).resolve(), new.resolve())
    write_json(folder / BASE, asdict(replace(said, path=Path(path).as_posix())))


def find_base(folder: Path, base: str | Path | None = None) -> Path:
    """Return the model that a folder stands over.

    Args:
        folder: one that has a base.
        base: where its base is now; by default where the folder says, or the built-in model of that
            name.

    Raises:
        FolderError: it is not there, or has not itself what is left there.
    """
    said = _read(folder)
    if base is not None:
        found = find_model(base)
    elif (folder / said.path).is_dir():
        found = folder / said.path
    elif said.name in builtin_names():
        found = find_model(said.name)
    else:
        raise FolderError(
            f"A folder with a base needs the model that it was made over. Received: {str(folder)!r}"
            f" over {said.path!r}, which is not there. Put the folder {said.name!r} there again, or"
            " pass where it is now as `base=`."
        )
    # Weights may stand over a model that has left its vocabulary below, and no chain is longer.
    if is_delta(found) or (has_base(found) and not is_delta(folder)):
        raise FolderError(
            "A base must have itself what is left there. Received:"
            f" {str(found)!r}, which has a base. Give that one."
        )
    return found


def check_base(folder: Path, base: Path, names: Iterable[str] | None = None) -> None:
    """Compare files of a base with the checksums that a folder over it has of them.

    Args:
        folder: one that has a base.
        base: the model below it.
        names: of files that the folder must have a checksum of; by default those of the base's
            files that it has one of and that hold no weights.

    Raises:
        FolderError: a file is missing, or another model's.
    """
    digests = _read(folder).sha256
    if names is None:
        names = [name for name in digests if not name.endswith(_WEIGHTS)]
    for name in names:
        file = base / name
        if not file.is_file() or file_digest(file)["sha256"] != digests.get(name):
            raise FolderError(
                f"A folder must stand over the model that it was made over, by `{name}`'s"
                f" checksum in `{BASE}`. Received: {str(folder)!r} over {str(base)!r}, whose file"
                " is another or missing. Pass the right model as `base=`, or make it again."
            )


def _read(folder: Path) -> BaseFile:
    """Read the file with care: a path and a name, and checksums by plain file names."""
    values = read_json(folder / BASE)
    path, name, digests = values.get("path"), values.get("name"), values.get("sha256")
    if (
        isinstance(path, str)
        and isinstance(name, str)
        and isinstance(digests, dict)
        and all(isinstance(d, str) and Path(file).name == file for file, d in digests.items())
    ):
        return BaseFile(path, name, digests)
    raise FolderError(
        f"`{BASE}` must hold a path, a name and checksums by file. Received in"
        f" {str(folder)!r}: {str(values)[:100]}. Copy the folder again."
    )
