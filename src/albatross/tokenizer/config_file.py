"""`tokenizer_config.json`: a tokenizer's switches, by the names that transformers gives them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from albatross.atomic import write_file
from albatross.errors import FolderError

CONFIG_FILE = "tokenizer_config.json"


def read_switches(path: Path, names: Sequence[str], nullable: Sequence[str] = ()) -> dict[str, Any]:
    """Return those of the named switches that the file holds; nothing where there is no file.

    Args:
        path: a `tokenizer_config.json`.
        names: the switches to look for, each true or false.
        nullable: those among them that may be null too.

    Raises:
        FolderError: the file is no JSON object, or a switch is of another type.
    """
    values = read_config(path)
    switches = {name: values[name] for name in names if name in values}
    wrong = {
        name: value
        for name, value in switches.items()
        if not isinstance(value, bool) and not (value is None and name in nullable)
    }
    if wrong:
        raise FolderError(
            f"{', '.join(wrong)} in `{CONFIG_FILE}` must be true or false. Received: {wrong!r} in"
            f" {str(path)!r}. Correct the file."
        )
    return switches


def read_config(path: Path) -> dict[str, Any]:
    """Return everything in the file; nothing where there is no file."""
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(
            f"`{CONFIG_FILE}` must be JSON. Received: {str(path)!r} ({error}). Write it again."
        ) from error
    if not isinstance(values, dict):
        raise FolderError(
            f"`{CONFIG_FILE}` must be a JSON object. Received: a {type(values).__name__} in"
            f" {str(path)!r}. Write it again."
        )
    return values


def write_tokenizer_files(folder: str | os.PathLike[str], contents: Mapping[str, bytes]) -> None:
    """Write the files of a tokenizer, each whole or not at all; the folder is made if need be."""
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_file(target / name, content)
    except OSError as error:
        raise FolderError(
            f"A tokenizer folder must be writable. Received: {str(folder)!r}"
            f" ({error.strerror}). Name another place."
        ) from error


def config_bytes(values: Mapping[str, Any]) -> bytes:
    """Return the file's content."""
    return (json.dumps(values, indent=2) + "\n").encode()
