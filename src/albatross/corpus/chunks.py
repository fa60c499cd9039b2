"""How a corpus is cut for its workers: files into reading groups, their documents into chunks.

Both cuts depend on the files alone, so a chunk is the same whoever reads it, and when.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from albatross.data.addresses import is_remote
from albatross.data.documents import CorpusFile, Document, read_documents, total_bytes
from albatross.data.text_files import OnBytes

# Stored bytes that one reader takes at a time: little enough to share a corpus out.
GROUP_BYTES = 64 * 2**20
# A fifth of a second of work for one core: little to lose when a build is killed, and little to
# wait for at its end, while each part is still a file of a megabyte.
CHUNK_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class Group:
    """Files that are read one after the other."""

    number: int
    key: str
    """Changes when a file does, so that its parts are known to be of these files as they are."""
    files: tuple[CorpusFile, ...]

    @property
    def size(self) -> int:
        """Bytes as stored."""
        return total_bytes(self.files)


@dataclass(frozen=True)
class Chunk:
    """Some documents of a group, in their order; they become one part."""

    group: str
    """The group's key."""
    number: int
    documents: list[Document]


def cutting() -> list[int]:
    """Return the numbers that decide where a corpus is cut."""
    return [GROUP_BYTES, CHUNK_CHARACTERS]


def reading_groups(files: Sequence[CorpusFile]) -> list[Group]:
    """Cut a corpus into groups: consecutive files until there are enough bytes."""
    groups: list[Group] = []
    waiting: list[CorpusFile] = []
    for file in files:
        waiting.append(file)
        if total_bytes(waiting) >= GROUP_BYTES:
            groups.append(_group(len(groups), waiting))
            waiting = []
    return [*groups, _group(len(groups), waiting)] if waiting else groups


def read_chunks(
    group: Group, *, text_column: str = "text", on_bytes: OnBytes = lambda count: None
) -> Iterator[Chunk]:
    """Yield the documents of a group, some at a time, as the files have them.

    Raises:
        DataError: a file cannot be read.
    """
    documents: list[Document] = []
    number = characters = 0
    for document in read_documents(group.files, text_column=text_column, on_bytes=on_bytes):
        documents.append(document)
        characters += sum(map(len, document))
        if characters >= CHUNK_CHARACTERS:
            yield Chunk(group.key, number, documents)
            documents, number, characters = [], number + 1, 0
    if documents:
        yield Chunk(group.key, number, documents)


def _group(number: int, files: Sequence[CorpusFile]) -> Group:
    """Return a group of files, known by their names, sizes and, of local ones, last changes."""
    facts = [
        (
            file.address,
            file.size,
            0 if is_remote(file.address) else os.stat(file.address).st_mtime_ns,
        )
        for file in files
    ]
    key = hashlib.blake2b(repr(facts).encode("utf-8", "backslashreplace"), digest_size=8)
    return Group(number, key.hexdigest(), tuple(files))
