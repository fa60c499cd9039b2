"""Files and folders written whole or not at all, and JSON read with care.

A new folder is built beside its place as a hidden draft and moved there when it is complete, so
that a killed run leaves the old one. What killed runs leave behind, the next one clears away. A
folder that holds a file of the user's is never replaced.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from albatross.errors import FolderError

# Every file that a verb writes; a folder with any other is the user's and is never replaced.
_OWN_FILES = re.compile(
    r"(base|config|run|task|report|shards|tokenizer|tokenizer_config|special_tokens_map|albert_config|vocabulary)\.json"
    r"|log\.jsonl|model\.safetensors|spiece\.model|vocab\.txt|README\.md|(report|curves|index)\.html|(albatross|tokenizer|word_part)\.js|[\w.-]+\.onnx"
    r"|(train|held-out)-\d+\.(tokens|sentences|documents)\.npy|\.[\w.-]+\.(writing|lock)"
    r"|checkpoint|model\.ckpt-best\.(index|data-00000-of-00001)"
)
_OWN_FOLDERS = {"training_state"}
# By a key in such a file a folder is known as ours; other programs write files of these names too.
_OWN_MARKS = {"run.json": {"verb", "export", "sha256"}, "shards.json": {"train"}}
_TOKENIZER_FILES = {"spiece.model", "tokenizer_config.json"}
# Younger drafts are left alone: their process may not have locked them yet.
_SECONDS_BEFORE_SWEEP = 60.0
# Of writing alone: the disk is full, over its quota, or read-only.
_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Build a folder beside its place and move it there when the block ends without an error.

    An older folder of ours is replaced; anything else in its place is left alone.

    Raises:
        FolderError: the place is taken by something that is no folder of ours, or cannot be
            written.
    """
    check_free(out)
    place = out.resolve()
    draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.writing")
    with _blaming(out):
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        draft.mkdir()
    lock = _lock(draft)
    try:
        with _blaming(out, draft):
            yield draft
        check_free(out)
        with _blaming(out):
            _swap(draft, place)
    finally:
        _unlock(lock)
        shutil.rmtree(draft, ignore_errors=True)


def check_free(out: Path) -> None:
    """Refuse a place that holds something other than an earlier folder of ours.

    An earlier folder that a killed run had just set aside is put back first.

    Raises:
        FolderError: it does, or it cannot be looked into.
    """
    with _blaming(out):
        place = out.resolve()
        _put_back(place)
        if not place.exists():
            return
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        foreign = [name for name in names if not _is_own(place / name)]
        is_here = Path.cwd().is_relative_to(place)
    if not place.is_dir():
        raise FolderError(
            f"An output must be a folder. Received: {str(out)!r}, which is a file."
            " Name another place."
        )
    if is_here:
        raise FolderError(
            "An output folder must not be the one this runs in, because it is replaced as a"
            f" whole. Received: {str(out)!r}. Name a folder inside it."
        )
    if foreign or (names and not _has_mark(place, names)):
        raise FolderError(
            "An output folder must be new, empty, or one that albatross wrote before."
            f" Received: {str(out)!r}, which holds {(foreign or names)[0]!r}. Name another place."
        )


@contextmanager
def made_by_one(out: Path) -> Iterator[None]:
    """Keep other processes from making a folder for as long as the block runs.

    What is locked is a hidden file beside it, as the folder itself is replaced on the way.

    Raises:
        FolderError: another process makes it, or nothing can be written there.
    """
    place = out.resolve()
    path = place.with_name(f".{place.name}.lock")
    with _blaming(out):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with held(path, out):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def held(path: Path, out: Path) -> Iterator[None]:
    """Lock a file or folder that stands for `out` while it is made.

    The lock goes with its process, however that ends. Without such locks (Windows, some shared file
    systems) nobody is refused.

    Raises:
        FolderError: another process has it.
    """
    lock = None
    try:
        lock = _locked(path)
    except BlockingIOError as error:
        raise FolderError(
            f"A folder must be made by one process at a time. Received: {str(out)!r}, at which"
            " another is at work. Wait for it, or name another place."
        ) from error
    except OSError:
        pass
    try:
        yield
    finally:
        _unlock(lock)


def read_json(path: Path) -> dict[str, Any]:
    """Read one of a folder's JSON objects.

    Raises:
        FolderError: the file is missing, cannot be read, or is no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FolderError(
            f"The folder must hold `{path.name}`. Received: {str(path.parent)!r} without it."
            " Give a folder that albatross wrote, or write it again."
        ) from error
    except OSError as error:
        raise FolderError(
            f"`{path.name}` must be readable. Received: {str(path)!r}: {error.strerror}."
            " Check its permissions."
        ) from error
    except (ValueError, RecursionError) as error:
        raise FolderError(
            f"`{path.name}` must be a JSON object. Received in {str(path.parent)!r}: {error}."
            " The file is damaged: write the folder again."
        ) from error
    if not isinstance(values, dict):
        raise FolderError(
            f"`{path.name}` must be a JSON object. Received in {str(path.parent)!r}: a"
            f" {type(values).__name__}. Write the folder again."
        )
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object for people to read, in one step."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    # What UTF-8 cannot hold, such as half of a surrogate pair in a path, JSON can: \udc80.
    write_file(path, text.encode("utf-8", "backslashreplace"))


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _blaming(out: Path, draft: Path | None = None) -> Iterator[None]:
    """Say of an error that `out` cannot be written; given a draft, only of one that is about it.

    Raises:
        FolderError: in place of the error.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: pathlib's for a ring of links
        if draft is not None and not _is_about(error, draft):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        raise FolderError(
            f"A folder must be writable. Received: {str(out)!r}: {reason or error}. What stood"
            " there is unchanged. Name another place."
        ) from error


def _is_about(error: Exception, draft: Path) -> bool:
    """Whether an error is of writing, or names the draft or something in it."""
    if not isinstance(error, OSError):
        return False
    named = isinstance(error.filename, str) and Path(error.filename).is_relative_to(draft)
    return named or error.errno in _WRITE_ERRORS


def _is_own(path: Path) -> bool:
    """Whether a file or folder has a name that a verb gives."""
    if path.is_symlink():
        return False
    return path.name in _OWN_FOLDERS if path.is_dir() else bool(_OWN_FILES.fullmatch(path.name))


def _has_mark(place: Path, names: list[str]) -> bool:
    """Whether a folder's files say that albatross wrote it."""
    if set(names) == _TOKENIZER_FILES:
        return True
    for name, keys in _OWN_MARKS.items():
        with suppress(FolderError):
            if name in names and keys & read_json(place / name).keys():
                return True
    return False


# === Replacing, and what killed runs leave ===


def _swap(draft: Path, place: Path) -> None:
    """Move a finished folder into its place; the old one goes only when the new one is there."""
    if not place.exists():
        os.rename(draft, place)
        return
    old = draft.with_suffix(".replaced")
    lock = _lock(place)
    try:
        os.rename(place, old)
        try:
            os.rename(draft, place)
        except OSError:
            os.rename(old, place)
            raise
    finally:
        _unlock(lock)
    shutil.rmtree(old, ignore_errors=True)


def _put_back(place: Path) -> None:
    """Give an old folder its name again if a run was killed before the new one took it."""
    if place.exists():
        return
    for old in _left_over(place, "replaced"):
        lock = _lock(old)
        if lock is not None:
            os.rename(old, place)
            _unlock(lock)
            return


def _sweep(place: Path) -> None:
    """Remove drafts and replaced folders whose process is gone."""
    drafts = _left_over(place, "writing")
    old_enough = [path for path in drafts if _age(path) > _SECONDS_BEFORE_SWEEP]
    for path in [*old_enough, *_left_over(place, "replaced")]:
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            _unlock(lock)


def _left_over(place: Path, kind: str) -> list[Path]:
    """Return the hidden folders of this place, the youngest first."""
    name = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{8}}\.{kind}")
    if not place.parent.is_dir():
        return []
    return sorted((p for p in place.parent.iterdir() if name.fullmatch(p.name)), key=_age)


def _age(path: Path) -> float:
    """Return the seconds since a folder's files last came or went; 0 for one just removed."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # another run may be clearing up too
        return 0.0


def _lock(folder: Path) -> int | None:
    """Lock a folder for as long as this process lives; None if another one has it.

    The lock goes with its process, however that ends, so a folder that can be locked is nobody's.
    Without such locks (Windows) nothing is ever nobody's.
    """
    try:
        return _locked(folder)
    except OSError:
        return None


def _locked(path: Path) -> int | None:
    """Return the lock of a file or folder; None on systems without such locks.

    Raises:
        BlockingIOError: another process has it.
        OSError: it cannot be opened, or its file system has no locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise
    return number


def _unlock(lock: int | None) -> None:
    """Let a folder go."""
    if lock is not None:
        os.close(lock)
