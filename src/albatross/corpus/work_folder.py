"""Where a build's parts stand until it is done, so that a killed one goes on where it was.

The folder lies beside the output, hidden, and says in its manifest which build it belongs to.
Parts of another build are thrown away; one folder is never used by two processes at once.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from albatross.atomic import held, read_json, write_file, write_json
from albatross.corpus.chunks import Group
from albatross.corpus.parts import part_path
from albatross.errors import AlbatrossWarning, FolderError

_MANIFEST = "build.json"
# What belongs to a group of files; their names begin with its key.
_KEYED = {".npz", ".read"}
_KEY_LENGTH = 16


class WorkFolder:
    """The parts that are there, and the groups that have been read to their end."""

    def __init__(self, path: Path) -> None:
        """Take a folder that exists; `opened` makes one."""
        self.path = path

    @classmethod
    @contextmanager
    def opened(
        cls, out: Path, manifest: Mapping[str, Any], groups: Sequence[Group]
    ) -> Iterator[WorkFolder]:
        """Open the folder of a build for as long as it runs; `remove` it at the end.

        Args:
            out: what is to be built.
            manifest: all that the parts depend on beside their files, as JSON holds it.
            groups: the files; parts of other ones are thrown away.

        Raises:
            FolderError: another process builds here, or the folder cannot be written.
        """
        place = out.resolve()
        path = place.with_name(f".{place.name}.parts")
        with writing_parts(out):
            path.mkdir(parents=True, exist_ok=True)
            with held(path, out):
                try:
                    _claim(path, json.loads(json.dumps(manifest)), {group.key for group in groups})
                    yield cls(path)
                except BaseException as error:
                    _leave(path, error)
                    raise

    def has(self, group: str, number: int) -> bool:
        """Whether a part is there and whole; a power cut may leave a torn one."""
        path = part_path(self.path, group, number)
        try:
            with zipfile.ZipFile(path):
                return True
        except (OSError, zipfile.BadZipFile):
            return False

    def finish(self, group: str, count: int) -> None:
        """Note that a group has been read to its end, and into how many parts."""
        write_file(self._note(group), str(count).encode())

    def is_complete(self, group: Group) -> bool:
        """Whether all parts of a group are there."""
        count = self._count(group.key)
        return count is not None and all(self.has(group.key, number) for number in range(count))

    def parts(self, groups: Sequence[Group]) -> list[Path]:
        """Return the parts of groups that are complete, in the order of the corpus."""
        return [
            part_path(self.path, group.key, number)
            for group in groups
            for number in range(self._count(group.key) or 0)
        ]

    def remove(self) -> None:
        """Throw everything away."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _note(self, group: str) -> Path:
        return self.path / f"{group}.read"

    def _count(self, group: str) -> int | None:
        """Return the number of parts of a group; None when it has not been read to its end."""
        with suppress(OSError, ValueError):
            return int(self._note(group).read_text(encoding="ascii"))
        return None


@contextmanager
def writing_parts(out: Path) -> Iterator[None]:
    """Say of an error of the file system that the parts cannot be written.

    Raises:
        FolderError: in place of the error.
    """
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"The folder of {str(out)!r} must be writable and have room for the parts of a build."
            f" Received: {error.strerror or error}. What stood there is unchanged, and the parts"
            " that are done are kept: make room and give the same command again."
        ) from error


def _claim(path: Path, manifest: Mapping[str, Any], keys: set[str]) -> None:
    """Keep the parts of the same build and the same files; throw others away, and say so."""
    try:
        old = read_json(path / _MANIFEST)
    except FolderError:
        old = {}
    changed = sorted(key for key in old.keys() | manifest if old.get(key) != manifest.get(key))
    stale = [
        name
        for name in path.iterdir()
        if changed or (name.suffix in _KEYED and name.name[:_KEY_LENGTH] not in keys)
    ]
    count = sum(name.suffix == ".npz" for name in stale)
    if count:
        warnings.warn(
            "A build goes on with its parts when nothing they depend on has changed. Received:"
            f" {count:,} parts in {str(path)!r} of a build with other"
            f" {', '.join(changed) or 'files'}. They are removed and made anew.",
            AlbatrossWarning,
            stacklevel=2,
        )
    for name in stale:
        shutil.rmtree(name) if name.is_dir() else name.unlink()
    if changed:
        write_json(path / _MANIFEST, manifest)


def _leave(path: Path, error: BaseException) -> None:
    """Keep the parts of a build that did not come to its end; without any, remove the folder."""
    count = len(list(path.glob("*.npz"))) if path.is_dir() else 0
    if not count:
        shutil.rmtree(path, ignore_errors=True)
    elif isinstance(error, KeyboardInterrupt):
        parts = "1 part is" if count == 1 else f"{count:,} parts are"
        print(f"{parts} kept: the same command goes on with them.", file=sys.stderr)
