"""Tokenised, memory-mapped, checksummed shards: a corpus on disk as pre-training reads it.

A shard is three arrays: tokens, where sentences start among them, and where documents start among
the sentences. The folder holds its tokenizer too, so that it needs nothing else. Some documents are
held out, chosen by their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import read_json, write_json
from albatross.data.documents import Document
from albatross.data.packing import IntArray
from albatross.errors import DataError, FolderError
from albatross.rng import hashed_fraction

INDEX = "shards.json"
PARTS = ("tokens", "sentences", "documents")
Encode = Callable[[Sequence[str]], Sequence[Sequence[int]]]
# Enough text for the tokenizer's threads, little enough to keep memory flat.
_SENTENCES_PER_CALL = 16_384
_CHARACTERS_PER_CALL = 8_000_000


@dataclass(frozen=True)
class Shard:
    """Three memory-mapped arrays.

    Attributes:
        tokens: (tokens,)
        sentences: (sentences + 1,), the token at which each sentence starts, and the end
        documents: (documents + 1,), the sentence at which each document starts, and the end
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    sentences: IntArray
    documents: IntArray


class ShardWriter:
    """Collects encoded documents and writes a shard whenever enough tokens have come together."""

    def __init__(self, folder: Path, prefix: str, vocab_size: int, tokens_per_shard: int) -> None:
        """Start with no shard."""
        self.entries: list[dict[str, Any]] = []
        self._folder = folder
        self._prefix = prefix
        self._dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
        self._limit = tokens_per_shard
        self._clear()

    def add(self, sentences: Sequence[Sequence[int]]) -> None:
        """Add the sentences of one document."""
        for ids in sentences:
            self._tokens.append(np.asarray(ids, dtype=self._dtype))
            self._lengths.append(len(ids))
        self._documents.append(len(self._lengths))
        self._size += sum(map(len, sentences))
        if self._size >= self._limit:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected as a shard, if anything has."""
        if not self._tokens:
            return
        name = f"{self._prefix}-{len(self.entries):05d}"
        arrays = {
            "tokens": np.concatenate(self._tokens),
            "sentences": np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64),
            "documents": np.array([0, *self._documents], dtype=np.int64),
        }
        digests = {}
        for part, array in arrays.items():
            path = self._folder / f"{name}.{part}.npy"
            np.save(path, array, allow_pickle=False)
            digests[part] = _sha256(path)
        self.entries.append(
            {
                "name": name,
                "tokens": len(arrays["tokens"]),
                "sentences": len(self._lengths),
                "documents": len(self._documents),
                "sha256": digests,
            }
        )
        self._clear()

    def _clear(self) -> None:
        """Forget what has been written."""
        self._tokens: list[NDArray[np.unsignedinteger[Any]]] = []
        self._lengths: list[int] = []
        self._documents: list[int] = []
        self._size = 0


def write_shards(
    folder: Path,
    documents: Iterable[Document],
    encode: Encode,
    vocab_size: int,
    *,
    tokens_per_shard: int,
    held_out_fraction: float,
) -> dict[str, Any]:
    """Encode documents into shards in a folder being built, and return what `shards.json` says.

    Args:
        folder: an existing folder.
        documents: lists of sentences.
        encode: sentences to ids, a batch at a time.
        vocab_size: decides the width of the stored ids.
        tokens_per_shard: a shard is closed at the first document that reaches this.
        held_out_fraction: share of documents kept for evaluation, by a hash of their text.

    Raises:
        DataError: no document is left to train on.
    """
    train = ShardWriter(folder, "train", vocab_size, tokens_per_shard)
    held_out = ShardWriter(folder, "held-out", vocab_size, tokens_per_shard)
    for batch in _batches(documents):
        ids = iter(encode([sentence for document in batch for sentence in document]))
        for document in batch:
            encoded = [sentence for sentence in islice(ids, len(document)) if len(sentence)]
            digest = "\n".join(document).encode("utf-8", "replace")
            writer = held_out if hashed_fraction(digest) < held_out_fraction else train
            if encoded:
                writer.add(encoded)
    train.flush()
    held_out.flush()
    if not train.entries:
        num_held_out = sum(entry["documents"] for entry in held_out.entries)
        raise DataError(
            "A corpus must hold at least one document to train on. Received: none, and"
            f" {num_held_out} that fell to the held-out part. Check the files, where a blank line"
            " ends a document; give more text, or hold out a smaller share."
        )
    index = {"vocab_size": vocab_size, "train": train.entries, "held_out": held_out.entries}
    write_json(folder / INDEX, index)
    return index


class ShardFolder:
    """A finished shard folder, opened for reading.

    Raises:
        FolderError: no shard folder, or a part of it is missing, cut short or changed.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        """Map every array that the index names; `verify` reads all bytes once for the checksums."""
        if not (folder / INDEX).is_file():
            raise FolderError(
                f"A shard folder must hold `{INDEX}`. Received: {str(folder)!r} without it."
                " Run `albatross build-shards` first."
            )
        self.folder = folder
        self.index = read_json(folder / INDEX)
        try:
            self.train = [self._open(entry, verify) for entry in self.index["train"]]
            self.held_out = [self._open(entry, verify) for entry in self.index["held_out"]]
        except (KeyError, TypeError) as error:
            raise FolderError(
                f"`{INDEX}` must list the shards and their checksums. Received: {str(folder)!r},"
                f" where {error} is wrong or missing. Run `albatross build-shards` again."
            ) from error

    @property
    def num_tokens(self) -> int:
        """Tokens to train on."""
        return sum(len(shard.tokens) for shard in self.train)

    def __repr__(self) -> str:
        """Say where the folder is and how much it holds."""
        facts = f"shards={len(self.train)}, tokens={self.num_tokens:,}"
        return f"ShardFolder({str(self.folder)!r}, {facts})"

    def _open(self, entry: dict[str, Any], verify: bool) -> Shard:
        """Map the three arrays of one shard."""
        arrays = []
        for part in PARTS:
            path = self.folder / f"{entry['name']}.{part}.npy"
            try:
                if verify and _sha256(path) != entry["sha256"][part]:
                    raise ValueError("the checksum differs")
                arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
            except (OSError, EOFError, ValueError) as error:
                raise FolderError(
                    f"A shard must be as `{INDEX}` describes it. Received: {str(path)!r}: {error}."
                    " Run `albatross build-shards` again."
                ) from error
        return Shard(*arrays)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Group documents until there is enough text for one call of the tokenizer."""
    batch: list[Document] = []
    num_sentences = num_characters = 0
    for document in documents:
        batch.append(document)
        num_sentences += len(document)
        num_characters += sum(map(len, document))
        if num_sentences >= _SENTENCES_PER_CALL or num_characters >= _CHARACTERS_PER_CALL:
            yield batch
            batch, num_sentences, num_characters = [], 0, 0
    if batch:
        yield batch


def _sha256(path: Path) -> str:
    """Return a file's checksum, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
