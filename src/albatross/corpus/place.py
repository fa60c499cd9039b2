"""Where a verb of this room may write: never over a folder of another kind."""

from __future__ import annotations

from pathlib import Path

from albatross.data.shards import INDEX
from albatross.errors import FolderError

# The file that marks a folder of ours: a model or run, shards, a tokenizer.
_MARKS = {"run.json", INDEX, "spiece.model"}


def check_place(out: Path, mark: str, kind: str) -> None:
    """Refuse to write over a folder of another kind, such as a trained model.

    Args:
        out: the folder to write, there or not.
        mark: the file by which a folder of the same kind is known; that may be written over.
        kind: its name in the message, such as `shard`.

    Raises:
        FolderError: the place is taken.
    """
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    others = names & _MARKS - {mark}
    if mark == INDEX:
        others -= {"spiece.model"}  # a shard folder holds its tokenizer too
    if names and (mark not in names or others):
        raise FolderError(
            f"A {kind} folder must not take the place of another folder. Received: {str(out)!r},"
            f" which holds {sorted(others or names)[0]!r}. Name another folder."
        )
