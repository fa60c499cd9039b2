"""Local paths and fsspec addresses (s3://, hf://, memory://): which files are there, their bytes.

This file knows nothing of what the bytes mean. fsspec is imported for addresses alone.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from albatross.errors import DataError, MissingDependencyError

_WILD = "*?["


def is_remote(address: str) -> bool:
    """Whether an address is for fsspec; anything else is a path on this machine.

    >>> is_remote("s3://bucket/a.txt"), is_remote("corpus/a.txt")
    (True, False)
    """
    return "://" in address


def files_at(address: str) -> dict[str, int]:
    """Return the files at an address, in a fixed order, and the bytes of each.

    Args:
        address: a file, which is returned as it was named; a folder, of which all files below are;
            or a pattern such as `corpus/**/*.txt`, of which all matches are, folders opened.

    Raises:
        DataError: an address that cannot be reached.
    """
    return _remote_files(address) if is_remote(address) else _local_files(address)


@contextmanager
def open_bytes(address: str) -> Iterator[IO[bytes]]:
    """Open a file for reading from any place in it.

    Raises:
        OSError: it cannot be opened; a local file's error as it is.
        DataError: a remote address that cannot be reached.
    """
    if not is_remote(address):
        with Path(address).open("rb", buffering=0) as local:
            yield local
        return
    with _reaching(address):
        files, path = _file_system(address)  # an archive closes when its file system is forgotten
        opened = files.open(path, "rb")
    with opened as remote:
        yield remote


def _local_files(address: str) -> dict[str, int]:
    """Look on this machine; a name that is there as it is written is no pattern."""
    path = Path(address)
    if path.is_file():
        return {address: path.stat().st_size}
    if path.is_dir():
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        return {str(one): one.stat().st_size for one in inside}
    found: dict[str, int] = {}
    if any(character in address for character in _WILD):
        for match in sorted(glob.glob(address, recursive=True)):
            found |= _local_files(match)
    return found


def _remote_files(address: str) -> dict[str, int]:
    """Look in a store; the rest of a chained address (`zip://*.txt::s3://...`) stays behind."""
    chain = address[address.index("::") :] if "::" in address else ""
    with _reaching(address):
        files, path = _file_system(address)
        try:
            about = files.info(path)
        except FileNotFoundError:
            about = None
        if about is not None and about["type"] != "directory":
            return {address: about.get("size") or 0}
        if about is not None:
            inside = files.find(path, detail=True)
        elif any(character in path for character in _WILD):
            inside = {}
            for match, facts in files.glob(path, detail=True).items():
                is_folder = facts["type"] == "directory"
                inside |= files.find(match, detail=True) if is_folder else {match: facts}
        else:
            inside = {}
        return {
            files.unstrip_protocol(name) + chain: inside[name].get("size") or 0
            for name in sorted(inside)
        }


def _file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingDependencyError("fsspec", "corpus") from error
    files, path = url_to_fs(address)
    return files, path


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    """Turn whatever a store's library raises into one line: each has errors of its own."""
    try:
        yield
    except MissingDependencyError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"An address must be of a store that can be reached. Received: {address!r}: {reason}."
            " Check the address, the access to it and that fsspec's library for it is installed."
        ) from error
