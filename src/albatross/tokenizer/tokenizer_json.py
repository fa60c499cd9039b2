"""Folders that come with a `tokenizer.json` only: the file followed to the letter.

Same interface as `UnigramTokenizer`, other ids: this one cuts as the file says, also where that is
not what the model was pre-trained with. Special pieces written out in a text are found if the file
says so. The `tokenizers` library does the work.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from albatross.errors import FolderError, MissingDependencyError, TokenizerError
from albatross.tokenizer.alignment import CONTINUATION, begins_word, without_space
from albatross.tokenizer.config_file import write_tokenizer_files
from albatross.tokenizer.normalization import checked_text, checked_texts
from albatross.tokenizer.unigram import Encoding

if TYPE_CHECKING:
    from tokenizers import Tokenizer

JSON_FILE = "tokenizer.json"
# The names that ALBERT and BERT give their special pieces.
SPECIAL_PIECES = {
    "pad": ("<pad>", "[PAD]"),
    "unk": ("<unk>", "[UNK]"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}

# SentencePiece's mark of a word's first piece, and that of vocabularies of bytes.
WORD_MARKS = ("▁", "Ġ")


class JsonTokenizer:
    """A `tokenizer.json` in use; picklable.

    Args:
        content: the text of the file.

    Raises:
        MissingDependencyError: the `tokenizers` library is not installed.
        TokenizerError: the content is no tokenizer, or one of the special pieces is not in it.
    """

    def __init__(self, content: str) -> None:
        """Build the tokenizer and look its special pieces up."""
        self.content = content
        self._tokenizer = _read_tokenizer(content)
        self.vocab_size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.pad_id = self._special_id("pad")
        self.unk_id = self._special_id("unk")
        self.cls_id = self._special_id("cls")
        self.sep_id = self._special_id("sep")
        self.mask_id = self._special_id("mask")

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> "JsonTokenizer":
        """Read the folder's `tokenizer.json`."""
        return cls.from_file(Path(path) / JSON_FILE)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "JsonTokenizer":
        """Read a file of any name."""
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FolderError(
                f"A tokenizer file must be readable UTF-8. Received: {str(path)!r} ({error})."
                f" Give a folder that holds `{JSON_FILE}`."
            ) from error
        try:
            return cls(content)
        except TokenizerError as error:
            raise TokenizerError(f"{error} File: {str(path)!r}.") from error

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, whole or not at all."""
        write_tokenizer_files(folder, {JSON_FILE: self.content.encode()})

    @cached_property
    def sha256(self) -> str:
        """Checksum of the file's content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @cached_property
    def pieces(self) -> list[str]:
        """The vocabulary, by id; an id without a piece is an empty string."""
        numbered = {number: piece for piece, number in self._tokenizer.get_vocab().items()}
        return [numbered.get(number, "") for number in range(max(numbered) + 1)]

    @cached_property
    def starts_word(self) -> NDArray[np.bool_]:
        """Whether a piece begins a word, by the marks that this vocabulary uses: (vocab_size,)."""
        if any(piece.startswith(CONTINUATION) for piece in self.pieces):
            return np.array([not piece.startswith(CONTINUATION) for piece in self.pieces])
        return np.array(
            [piece.startswith(WORD_MARKS) or begins_word(piece) for piece in self.pieces]
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without the special pieces around it."""
        ids: list[int] = self._tokenizer.encode(checked_text(text), add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Iterable[str], num_threads: int = -1) -> list[list[int]]:
        """Return the ids of each text; the library takes its number of threads from elsewhere."""
        batch = list(map(checked_text, checked_texts(texts)))
        found = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def encode_with_offsets(self, text: str) -> Encoding:
        """Return the ids that `encode` gives and the library's spans, white space taken off."""
        found = self._tokenizer.encode(checked_text(text), add_special_tokens=False)
        spans = [without_space(start, end, text) for start, end in found.offsets]
        offsets = np.array(spans, dtype=np.int64).reshape(-1, 2)
        return Encoding(np.array(found.ids, dtype=np.int32), offsets)

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return the text of some ids, without special pieces."""
        text: str = self._tokenizer.decode([int(number) for number in ids])
        return text

    def surface_words(self, text: str) -> list[str]:
        """Return the normalised words that the file's model gets to cut."""
        text = checked_text(text)
        if self._tokenizer.normalizer is not None:
            text = self._tokenizer.normalizer.normalize_str(text)
        if self._tokenizer.pre_tokenizer is None:
            return [text] if text else []
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    def __repr__(self) -> str:
        """Show the size and the checksum's head."""
        return f"JsonTokenizer({self.vocab_size} pieces, {self.sha256[:8]})"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the file's content alone."""
        return {"content": self.content}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Start again from the content."""
        self.__init__(state["content"])  # type: ignore[misc]

    def _special_id(self, name: str) -> int:
        for piece in SPECIAL_PIECES[name]:
            number: int | None = self._tokenizer.token_to_id(piece)
            if number is not None:
                return number
        raise TokenizerError(
            f"A `{JSON_FILE}` must hold a {name} piece, {' or '.join(SPECIAL_PIECES[name])}."
            f" Received: {self.vocab_size} pieces without one. Take the tokenizer of a model of"
            " the ALBERT or BERT family."
        )


def _read_tokenizer(content: str) -> "Tokenizer":
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingDependencyError("tokenizers", "hub") from error
    try:
        json.loads(content)
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(
            f"A `{JSON_FILE}` must be one that the `tokenizers` library reads. Received:"
            f" {len(content)} characters, refused with: {error}. Download the file again, or"
            " upgrade `tokenizers`."
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
