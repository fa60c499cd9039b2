"""A part: one chunk of a corpus, cleaned, tokenised and hashed, as a file.

A part holds what the later steps ask about a document, so that its text is read once: a digest for
equal ones, a signature for those that resemble each other, and the number by which documents are
held out. Parts are the same bytes whoever makes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import write_file
from albatross.corpus.chunks import Chunk
from albatross.corpus.cleaning import Cleaner, CleaningRule
from albatross.corpus.signatures import Signer
from albatross.data.documents import Document, SentenceBreaks
from albatross.data.packing import IntArray
from albatross.data.sentences import split_sentences
from albatross.data.shards import EncodedDocuments, TokenArray, token_dtype
from albatross.errors import FolderError
from albatross.rng import hashed_fraction
from albatross.tokenizer.folder import encode_flat, open_tokenizer

TOKENIZER = "tokenizer"
# Enough to spread the costs of a call, few enough that Python's lists of ids stay small.
_SENTENCES_PER_CALL = 2_048
_ARRAYS = ("tokens", "sentences", "documents", "digests", "fractions", "characters")


@dataclass(frozen=True)
class PartJob:
    """What every worker has to know; small, so that it travels easily."""

    folder: Path
    """Where the parts go and the `tokenizer` stands; all workers see it."""
    rule: CleaningRule
    breaks: SentenceBreaks = "lines"
    text_column: str = "text"
    signed: bool = False
    """Whether documents get a signature, by which those that resemble each other are found."""


@dataclass(frozen=True)
class Part:
    """The documents of one part that have tokens, and what is known of each.

    Attributes:
        documents: their tokens
        digests: (documents, 2), 128 bits of each document's text
        fractions: (documents,), in [0, 1): those below the held-out share are held out
        characters: (documents,)
        signatures: (documents, 128), or (0, 128) when the job wants none
        counts: documents by what happened to them, and characters read
    """

    documents: EncodedDocuments
    digests: NDArray[np.uint64]
    fractions: NDArray[np.float64]
    characters: IntArray
    signatures: NDArray[np.uint8]
    counts: Counter[str]

    def save(self, path: Path) -> None:
        """Write the part whole or not at all."""
        content = io.BytesIO()
        counts = json.dumps(self.counts, sort_keys=True).encode()
        np.savez(
            content,
            tokens=self.documents.tokens,
            sentences=self.documents.sentences,
            documents=self.documents.documents,
            digests=self.digests,
            fractions=self.fractions,
            characters=self.characters,
            signatures=self.signatures,
            counts=np.frombuffer(counts, dtype=np.uint8),
        )
        write_file(path, content.getvalue())


class PartMaker:
    """Turns chunks into parts; one lives in each worker and keeps the tokenizer open."""

    def __init__(self, job: PartJob) -> None:
        """Get the tools of a job ready."""
        self.job = job
        self._cleaner = Cleaner(job.rule)
        self._tokenizer = open_tokenizer(job.folder / TOKENIZER)
        self._signer = Signer(self._tokenizer.starts_word) if job.signed else None
        self._dtype = token_dtype(self._tokenizer.vocab_size)

    def make(self, chunk: Chunk) -> None:
        """Write the part of a chunk into the job's folder."""
        self.part_of(chunk.documents).save(part_path(self.job.folder, chunk.group, chunk.number))

    def part_of(self, documents: Sequence[Document]) -> Part:
        """Clean, hash and tokenise documents."""
        counts = Counter(
            documents=len(documents), characters=sum(len(s) for d in documents for s in d)
        )
        self._cleaner.counts.clear()
        kept = list(self._cleaned(documents))
        counts.update(self._cleaner.counts)
        encoded, has_tokens = self._encode(kept)
        counts["without_tokens"] = int(len(kept) - has_tokens.sum())
        texts = ["\n".join(d).encode("utf-8", "replace") for d in kept]
        digests = b"".join(hashlib.blake2b(text, digest_size=16).digest() for text in texts)
        return Part(
            encoded,
            np.frombuffer(digests, dtype="<u8").reshape(-1, 2)[has_tokens],
            np.array(list(map(hashed_fraction, texts)), dtype=np.float64)[has_tokens],
            np.array([sum(map(len, d)) for d in kept], dtype=np.int64)[has_tokens],
            self._signer.sign(encoded) if self._signer else np.zeros((0, 128), dtype=np.uint8),
            counts,
        )

    def _cleaned(self, documents: Sequence[Document]) -> Iterator[Document]:
        """Yield what the rule leaves of the documents, in sentences."""
        for lines in documents:
            document = lines
            if self.job.breaks == "rules":
                document = [part for line in lines for part in split_sentences(line)]
            cleaned = self._cleaner.clean(document)
            if cleaned is not None:
                yield cleaned

    def _encode(self, documents: list[Document]) -> tuple[EncodedDocuments, NDArray[np.bool_]]:
        """Tokenise documents without their empty sentences; say which have any token."""
        sentences = list(chain.from_iterable(documents))
        tokens: list[TokenArray] = [np.zeros(0, dtype=self._dtype)]
        lengths: list[IntArray] = [np.zeros(0, dtype=np.int64)]
        for at in range(0, len(sentences), _SENTENCES_PER_CALL):
            batch = sentences[at : at + _SENTENCES_PER_CALL]
            encoding = encode_flat(self._tokenizer, batch)
            tokens.append(encoding.ids.astype(self._dtype))
            lengths.append(encoding.lengths)
        all_lengths = np.concatenate(lengths)
        owners = np.repeat(np.arange(len(documents)), list(map(len, documents)))
        counts = np.bincount(owners[all_lengths > 0], minlength=len(documents)).astype(np.int64)
        return (
            EncodedDocuments(
                np.concatenate(tokens), all_lengths[all_lengths > 0], counts[counts > 0]
            ),
            counts > 0,
        )


def part_path(folder: Path, group: str, number: int) -> Path:
    """Return where a part of a group, given by its key, stands."""
    return folder / f"{group}-{number:05d}.npz"


def read_part(path: Path) -> Part:
    """Read a part.

    Raises:
        FolderError: it is missing or damaged.
    """
    held = read_arrays(path, *_ARRAYS, "signatures", "counts")
    return Part(
        EncodedDocuments(held["tokens"], held["sentences"], held["documents"]),
        held["digests"],
        held["fractions"],
        held["characters"],
        held["signatures"],
        Counter(json.loads(held["counts"].tobytes())),
    )


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read some of the arrays of a part, each checked by its checksum.

    Raises:
        FolderError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FolderError(
            f"A part of a build must be as it was written. Received: {str(path)!r}: {error}."
            " Remove that file and give the same command again."
        ) from error
