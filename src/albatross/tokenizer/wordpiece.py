"""BERT's tokenizer, which the Chinese ALBERT models use: words, cut greedily into pieces.

Ids are those of the slow `BertTokenizer` of transformers 4.57.6. Special pieces written out in a
text (`[MASK]`, `[SEP]`) are plain text here, three words each; transformers cuts them out.
This file knows nothing of sequences, padding or models.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.errors import DataError, FolderError, TokenizerError
from albatross.tokenizer.alignment import CONTINUATION
from albatross.tokenizer.basic_words import BasicWords, span_array
from albatross.tokenizer.config_file import (
    CONFIG_FILE,
    config_bytes,
    read_switches,
    write_tokenizer_files,
)
from albatross.tokenizer.normalization import checked_texts
from albatross.tokenizer.unigram import Encoding

VOCAB_FILE = "vocab.txt"
# Google's Chinese models name theirs so.
VOCAB_FILES = (VOCAB_FILE, "vocab_chinese.txt")
# A longer word is unknown as a whole; Google's number.
LONGEST_WORD = 100
# Ten times the multilingual vocabulary of 120,000 pieces: what is larger is another file.
LARGEST_FILE = 16 * 2**20
# Words whose pieces are kept: a language's frequent ones, in some megabytes.
_CACHE_SIZE = 65_536
SPECIAL_TOKENS = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}


class WordPieceTokenizer:
    """Text to BERT's ids and back; picklable, and safe to use after a fork.

    Args:
        pieces: the vocabulary, by id.
        words: what is done to a text first, and how it is cut into words.

    Raises:
        TokenizerError: a piece stands there twice, or a special piece is missing.
    """

    def __init__(self, pieces: Sequence[str], words: BasicWords | None = None) -> None:
        """Number the pieces and look the special ones up."""
        self.pieces = list(pieces)
        self.words = words or BasicWords()
        self._ids = {piece: number for number, piece in enumerate(self.pieces)}
        self._check_lines()
        self.vocab_size = len(self.pieces)
        self.pad_id = self._special_id("[PAD]")
        self.unk_id = self._special_id("[UNK]")
        self.cls_id = self._special_id("[CLS]")
        self.sep_id = self._special_id("[SEP]")
        self.mask_id = self._special_id("[MASK]")
        self._longest = max(map(len, self.pieces))
        self._cut: dict[str, list[int]] = {}

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> "WordPieceTokenizer":
        """Read `vocab.txt` and, if there, the switches in `tokenizer_config.json`."""
        folder = Path(path)
        found = [name for name in VOCAB_FILES if (folder / name).is_file()]
        names = tuple(asdict(BasicWords()))
        switches = read_switches(folder / CONFIG_FILE, names, nullable=("strip_accents",))
        return cls.from_file(folder / (found or VOCAB_FILES)[0], BasicWords(**switches))

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], words: BasicWords | None = None
    ) -> "WordPieceTokenizer":
        """Read a vocabulary file of any name, a piece on each line."""
        try:
            pieces = _lines(_read(Path(path)))
            return cls(pieces, words)
        except TokenizerError as error:
            raise TokenizerError(f"{error} File: {str(path)!r}.") from error

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `vocab.txt` and `tokenizer_config.json`, each whole or not at all."""
        config = {"tokenizer_class": "BertTokenizer", **asdict(self.words), **SPECIAL_TOKENS}
        write_tokenizer_files(
            folder, {VOCAB_FILE: self._content, CONFIG_FILE: config_bytes(config)}
        )

    @property
    def _content(self) -> bytes:
        return "".join(f"{piece}\n" for piece in self.pieces).encode()

    @cached_property
    def sha256(self) -> str:
        """Checksum of the vocabulary as `save` writes it."""
        return hashlib.sha256(self._content).hexdigest()

    @cached_property
    def starts_word(self) -> NDArray[np.bool_]:
        """Whether a piece begins a word: (vocab_size,)."""
        return np.array([not piece.startswith(CONTINUATION) for piece in self.pieces])

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without [CLS] and [SEP]."""
        ids: list[int] = []
        for word in self.words.split(text):
            ids += self._cut.get(word) or self._cut_word(word)
        return ids

    def encode_batch(self, texts: Iterable[str], num_threads: int = -1) -> list[list[int]]:
        """Return the ids of each text; threads would only wait for each other here."""
        return list(map(self.encode, checked_texts(texts)))

    def encode_with_offsets(self, text: str) -> Encoding:
        """Return the ids that `encode` gives and the span of the original text behind each."""
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for word in self.words.split_with_offsets(text):
            cut = self._cut_word(word.text)
            ids += cut
            at = 0
            for number in cut:
                width = len(word.text)
                if number != self.unk_id:
                    width = len(self.pieces[number]) - (len(CONTINUATION) if at else 0)
                spans.append((word.offsets[at][0], word.offsets[at + width - 1][1]))
                at += width
        return Encoding(np.array(ids, dtype=np.int32), span_array(spans))

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return the words of some ids; [CLS], [SEP], [MASK] and [PAD] leave no trace."""
        silent = {self.pad_id, self.cls_id, self.sep_id, self.mask_id}
        text = ""
        for number in map(int, ids):
            if not 0 <= number < self.vocab_size:
                raise DataError(
                    f"An id must be from 0 to {self.vocab_size - 1}. Received: {number}."
                    " Decode with the tokenizer that made the ids."
                )
            if number not in silent:
                piece = self.pieces[number]
                joins = piece.startswith(CONTINUATION) and piece != CONTINUATION
                text += piece.removeprefix(CONTINUATION) if joins else f" {piece}"
        return text.removeprefix(" ")

    def __repr__(self) -> str:
        """Show the size, the checksum's head and the switches that are not the default."""
        changed = [
            f"{name}={value}"
            for name, value in asdict(self.words).items()
            if value != getattr(BasicWords, name)
        ]
        facts = [f"{self.vocab_size} pieces", self.sha256[:8], *changed]
        return f"WordPieceTokenizer({', '.join(facts)})"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the pieces and the switches."""
        return {"pieces": self.pieces, "words": self.words}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Start again from them."""
        self.__init__(state["pieces"], state["words"])  # type: ignore[misc]

    def _cut_word(self, word: str) -> list[int]:
        """Cut a word, the longest piece that fits first; a word that does not come out is unknown.

        Wu et al. 2016 describe the pieces, Google's BERT the greedy cut.
        """
        if word in self._cut:
            return self._cut[word]
        ids: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            mark = CONTINUATION if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                number = self._ids.get(mark + word[start:end])
                if number is not None:
                    break
            else:
                break
            ids.append(number)
            start = end
        if start < len(word):
            ids = [self.unk_id]
        if len(word) <= LONGEST_WORD and len(self._cut) < _CACHE_SIZE:
            self._cut[word] = ids
        return ids

    def _special_id(self, piece: str) -> int:
        if piece in self._ids:
            return self._ids[piece]
        raise TokenizerError(
            "A WordPiece vocabulary must hold [PAD], [UNK], [CLS], [SEP] and [MASK]. Received:"
            f" {self.vocab_size} pieces without {piece}. Copy or download the file again."
        )

    def _check_lines(self) -> None:
        """Refuse an empty vocabulary and pieces that stand there twice."""
        if not self.pieces:
            raise TokenizerError(
                "A WordPiece vocabulary must hold a piece on each line. Received: no line."
                " Copy or download the file again."
            )
        for number, piece in enumerate(self.pieces):
            if self._ids[piece] != number:
                raise TokenizerError(
                    "A WordPiece vocabulary must hold each piece once. Received:"
                    f" {piece!r} on lines {number + 1} and {self._ids[piece] + 1}."
                    " Copy or download the file again."
                )


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        raise FolderError(
            f"A WordPiece tokenizer needs its vocabulary. Received: {str(path)!r}"
            f" ({error.strerror}). Give a folder that holds `{VOCAB_FILE}`."
        ) from error
    if size > LARGEST_FILE:
        raise TokenizerError(
            f"A WordPiece vocabulary must be at most {LARGEST_FILE:,} bytes. Received: {size:,}."
            " Give the file with a piece on each line."
        )
    return content


def _lines(content: bytes) -> list[str]:
    """Cut at line feeds alone: some vocabularies hold other separators as pieces."""
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"A WordPiece vocabulary must be UTF-8. Received: {error}."
            " Convert the file, or download it again."
        ) from error
    return text.removesuffix("\n").split("\n") if text else []
