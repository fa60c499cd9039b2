"""Tokenised, memory-mapped, checksummed shards: a corpus on disk as pre-training reads it.

A shard is three arrays: tokens, where sentences start among them, and where documents start among
the sentences. The folder holds its tokenizer too, so that it needs nothing else. This file knows
arrays only: no text, no tokenizer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from albatross.atomic import read_json
from albatross.data.packing import IntArray
from albatross.errors import FolderError
from albatross.tokenizer.folder import AnyTokenizer, open_tokenizer

INDEX = "shards.json"
PARTS = ("tokens", "sentences", "documents")
TokenArray = NDArray[np.unsignedinteger[Any]]
_NAME = re.compile(r"(train|held-out)-\d+")


@dataclass(frozen=True)
class Shard:
    """Three memory-mapped arrays.

    Attributes:
        tokens: (tokens,)
        sentences: (sentences + 1,), the token at which each sentence starts, and the end
        documents: (documents + 1,), the sentence at which each document starts, and the end
    """

    tokens: TokenArray
    sentences: IntArray
    documents: IntArray

    def drawn(self, chosen: NDArray[np.bool_]) -> Shard:
        """Return a shard of some of the documents, copied into memory.

        Args:
            chosen: (documents,)
        """
        starts, ends = self.documents[:-1], self.documents[1:]
        of_sentence = np.repeat(chosen, ends - starts)
        lengths = np.diff(self.sentences)
        tokens = self.tokens[np.repeat(of_sentence, lengths)]
        return Shard(tokens, _starts([lengths[of_sentence]]), _starts([(ends - starts)[chosen]]))


@dataclass(frozen=True)
class EncodedDocuments:
    """Documents on their way into a shard.

    Attributes:
        tokens: (tokens,)
        sentences: (sentences,), the tokens of each sentence
        documents: (documents,), the sentences of each document
    """

    tokens: TokenArray
    sentences: IntArray
    documents: IntArray

    @classmethod
    def from_lists(
        cls, documents: Sequence[Sequence[Sequence[int]]], vocab_size: int
    ) -> EncodedDocuments:
        """Take documents as lists of sentences of ids."""
        sentences = [ids for document in documents for ids in document]
        tokens = [number for ids in sentences for number in ids]
        return cls(
            np.array(tokens, dtype=token_dtype(vocab_size)),
            np.array([len(ids) for ids in sentences], dtype=np.int64),
            np.array([len(document) for document in documents], dtype=np.int64),
        )

    @property
    def tokens_of(self) -> IntArray:
        """The tokens of each document: (documents,)."""
        sentence_ends = np.concatenate([[0], np.cumsum(self.sentences)])
        ends = sentence_ends[np.cumsum(self.documents)]
        return np.diff(ends, prepend=0).astype(np.int64)

    def where(self, chosen: NDArray[np.bool_]) -> EncodedDocuments:
        """Return the documents of a mask (documents,), in their order."""
        if chosen.all():
            return self
        of_sentence = np.repeat(chosen, self.documents)
        return EncodedDocuments(
            self.tokens[np.repeat(of_sentence, self.sentences)],
            self.sentences[of_sentence],
            self.documents[chosen],
        )

    def split(self, count: int) -> tuple[EncodedDocuments, EncodedDocuments]:
        """Return the first `count` documents, and the others."""
        sentence = int(self.documents[:count].sum())
        token = int(self.sentences[:sentence].sum())
        first = self.tokens[:token], self.sentences[:sentence], self.documents[:count]
        others = self.tokens[token:], self.sentences[sentence:], self.documents[count:]
        return EncodedDocuments(*first), EncodedDocuments(*others)


class ShardWriter:
    """Collects encoded documents and writes a shard whenever enough tokens have come together."""

    def __init__(self, folder: Path, prefix: str, vocab_size: int, tokens_per_shard: int) -> None:
        """Start with no shard.

        Args:
            folder: an existing folder.
            prefix: `train` or `held-out`.
            vocab_size: decides the width of the stored ids.
            tokens_per_shard: a shard is closed at the first document that reaches this.
        """
        self.entries: list[dict[str, Any]] = []
        self._folder = folder
        self._prefix = prefix
        self._dtype = token_dtype(vocab_size)
        self._limit = tokens_per_shard
        self._waiting: list[EncodedDocuments] = []
        self._size = 0

    def add(self, documents: EncodedDocuments) -> None:
        """Add documents, each with at least a sentence, each sentence with at least a token."""
        while len(documents.documents):
            sizes = self._size + np.cumsum(documents.tokens_of)
            fitting = int(np.searchsorted(sizes, self._limit))
            taken, documents = documents.split(fitting + 1)
            self._waiting.append(taken)
            self._size = int(sizes[len(taken.documents) - 1])
            if self._size >= self._limit:
                self.flush()

    def flush(self) -> None:
        """Write what has been collected as a shard, if anything has."""
        if not self._waiting:
            return
        name = f"{self._prefix}-{len(self.entries):05d}"
        arrays = {
            "tokens": np.concatenate([w.tokens for w in self._waiting], dtype=self._dtype),
            "sentences": _starts([w.sentences for w in self._waiting]),
            "documents": _starts([w.documents for w in self._waiting]),
        }
        self._waiting, self._size = [], 0
        digests = {}
        for part, array in arrays.items():
            path = self._folder / f"{name}.{part}.npy"
            _save(path, array)
            digests[part] = _sha256(path)
        self.entries.append(
            {
                "name": name,
                "tokens": len(arrays["tokens"]),
                "sentences": len(arrays["sentences"]) - 1,
                "documents": len(arrays["documents"]) - 1,
                "sha256": digests,
            }
        )


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
            self.vocab_size = int(self.index["vocab_size"])
            self.train = [self._open(entry, verify) for entry in self.index["train"]]
            self.held_out = [self._open(entry, verify) for entry in self.index["held_out"]]
        except (KeyError, TypeError) as error:
            raise FolderError(
                f"`{INDEX}` must list the shards and their checksums. Received: {str(folder)!r},"
                f" where {error} is wrong or missing. Run `albatross build-shards` again."
            ) from error

    def tokenizer(self) -> AnyTokenizer:
        """Open the tokenizer in the folder.

        Raises:
            FolderError: there is none, or it is another than the one that cut the text.
        """
        found = open_tokenizer(self.folder)
        if self.index.get("tokenizer_sha256", found.sha256) != found.sha256:
            raise FolderError(
                "Shards must lie beside the vocabulary that cut them. Received:"
                f" {str(self.folder)!r} with {found!r}, which is another. Put the old one back, or"
                " run `albatross build-shards` again."
            )
        return found

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
        if not _NAME.fullmatch(str(entry["name"])):
            raise TypeError(f"the name {entry['name']!r}")
        arrays = []
        path = self.folder
        try:
            for part in PARTS:
                path = self.folder / f"{entry['name']}.{part}.npy"
                if verify and _sha256(path) != entry["sha256"][part]:
                    raise ValueError("the checksum differs")
                arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
            shard = Shard(*arrays)
            _check(shard, entry, self.vocab_size, verify)
        except (OSError, EOFError, ValueError) as error:
            raise FolderError(
                f"A shard must be as `{INDEX}` describes it. Received: {str(path)!r}: {error}."
                " Run `albatross build-shards` again."
            ) from error
        return shard


def token_dtype(vocab_size: int) -> type[np.uint16] | type[np.uint32]:
    """Return the smallest kind of number that holds every id."""
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def _save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `numpy.save` does, which does not say it when the disk is full."""
    with path.open("wb") as file:
        write_array_header_1_0(file, header_data_from_array_1_0(array))
        file.write(array.data)


def _starts(lengths: Sequence[IntArray]) -> IntArray:
    """Return where each run of these lengths starts, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)


def _check(shard: Shard, entry: dict[str, Any], vocab_size: int, verify: bool) -> None:
    """Compare the arrays with the index and with each other.

    Raises:
        ValueError: they differ; the message names the first difference.
    """
    found = {
        "tokens": len(shard.tokens),
        "sentences": len(shard.sentences) - 1,
        "documents": len(shard.documents) - 1,
    }
    for part, count in found.items():
        if entry[part] != count:
            raise ValueError(f"it holds {count:,} {part}, the index says {entry[part]}")
    if shard.sentences[-1] != found["tokens"] or shard.documents[-1] != found["sentences"]:
        raise ValueError("its sentences or documents do not end where its tokens do")
    if verify and found["tokens"] and int(shard.tokens.max()) >= vocab_size:
        raise ValueError(f"it holds the id {shard.tokens.max()} of a vocabulary of {vocab_size:,}")


def _sha256(path: Path) -> str:
    """Return a file's checksum, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
