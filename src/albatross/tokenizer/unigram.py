"""ALBERT's tokenizer: normalisation, a SentencePiece model, the rule for digits before a comma.

Ids are Google's, as the slow `AlbertTokenizer` of transformers 4.57.6 gives them. The fast
tokenizers of 4.57.6 and 5.23 differ, the latter on 45 % of 4,000 lines of Wikipedia: made from the
same `spiece.model`, they put a word mark on the piece after `(`, `"` or `-`, which the published
models never saw in pre-training.

Special pieces written out in a text (`[MASK]`, `<pad>`) are plain text here; their ids come from
`mask_id` and the like, so that no text can forge them.
This file knows nothing of sequences, padding or models.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from albatross.errors import DataError, FolderError, TokenizerError
from albatross.tokenizer.alignment import (
    WORD_MARK,
    Span,
    begins_word,
    divide_span,
    original_spans,
    text_spans,
)
from albatross.tokenizer.config_file import (
    CONFIG_FILE,
    config_bytes,
    read_switches,
    write_tokenizer_files,
)
from albatross.tokenizer.normalization import Normalizer, checked_texts

MODEL_FILE = "spiece.model"
# Texts that a thread takes at a time: enough to hide the hand-over, few enough to share out.
_CHUNK = 1_024
SPECIAL_TOKENS = {
    "bos_token": "[CLS]",
    "cls_token": "[CLS]",
    "eos_token": "[SEP]",
    "mask_token": "[MASK]",
    "pad_token": "<pad>",
    "sep_token": "[SEP]",
    "unk_token": "<unk>",
}


@dataclass(frozen=True, eq=False)
class Encoding:
    """The tokens of one text and where each stands in it."""

    ids: NDArray[np.int32]
    """(tokens,)"""
    offsets: NDArray[np.int64]
    """(tokens, 2): half-open spans of the original text, without the space before a word.

    A piece that stands for no character, as a word mark may, has an empty span.
    """


@dataclass(frozen=True, eq=False)
class FlatEncoding:
    """The tokens of several texts, one after the other."""

    ids: NDArray[np.int32]
    """(tokens,)"""
    lengths: NDArray[np.int64]
    """(texts,): the tokens of each."""


class UnigramTokenizer:
    """Text to Google's ids and back; picklable, and safe to use after a fork.

    Args:
        model: a serialized SentencePiece model, the content of a `spiece.model`.
        normalizer: what is done to a text first.

    Raises:
        TokenizerError: the bytes are no SentencePiece model, or a special piece is not in it.
    """

    def __init__(self, model: bytes, normalizer: Normalizer | None = None) -> None:
        """Read the model and look its special pieces up."""
        self.model = model
        self.normalizer = normalizer or Normalizer()
        self._processor = _read_model(model)
        self.vocab_size: int = self._processor.get_piece_size()
        self.pad_id = self._special_id("<pad>")
        self.unk_id = self._special_id("<unk>")
        self.cls_id = self._special_id("[CLS]")
        self.sep_id = self._special_id("[SEP]")
        self.mask_id = self._special_id("[MASK]")

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> "UnigramTokenizer":
        """Read `spiece.model` and, if there, the normalisation in `tokenizer_config.json`."""
        return cls.from_file(Path(path) / MODEL_FILE, read_normalizer(path))

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], normalizer: Normalizer | None = None
    ) -> "UnigramTokenizer":
        """Read a SentencePiece model file of any name."""
        try:
            model = Path(path).read_bytes()
        except OSError as error:
            raise FolderError(
                f"A tokenizer needs its SentencePiece model. Received: {str(path)!r}"
                f" ({error.strerror}). Give a folder that holds `{MODEL_FILE}`, or make one with"
                " `albatross train-tokenizer`."
            ) from error
        try:
            return cls(model, normalizer)
        except TokenizerError as error:
            raise TokenizerError(f"{error} File: {str(path)!r}.") from error

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `spiece.model` and `tokenizer_config.json`, each whole or not at all."""
        config = {
            "tokenizer_class": "AlbertTokenizer",
            **asdict(self.normalizer),
            **SPECIAL_TOKENS,
        }
        write_tokenizer_files(folder, {MODEL_FILE: self.model, CONFIG_FILE: config_bytes(config)})

    @cached_property
    def sha256(self) -> str:
        """Checksum of the model's bytes."""
        return hashlib.sha256(self.model).hexdigest()

    @cached_property
    def pieces(self) -> list[str]:
        """The vocabulary, by id."""
        found: list[str] = self._processor.id_to_piece(list(range(self.vocab_size)))
        return found

    @cached_property
    def starts_word(self) -> NDArray[np.bool_]:
        """Whether a piece begins a word, or is one of a script without spaces: (vocab_size,)."""
        return np.array([begins_word(piece) for piece in self.pieces])

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without [CLS] and [SEP]."""
        normalized = self.normalizer.normalize(text)
        ids: list[int] = self._processor.encode(normalized)
        if self._comma_suspects.isdisjoint(ids):
            return ids
        return self._apply_comma_rule(normalized, ids)

    def encode_batch(self, texts: Iterable[str], num_threads: int = -1) -> list[list[int]]:
        """Return the ids of each text; -1 threads are as many as there are cores.

        SentencePiece lets go of the interpreter while it encodes one chunk, so that another chunk
        is normalised meanwhile.
        """
        checked = checked_texts(texts)
        chunks = [checked[at : at + _CHUNK] for at in range(0, len(checked), _CHUNK)]
        workers = (os.cpu_count() or 1) if num_threads < 1 else num_threads
        if workers == 1 or len(chunks) < 2:
            parts = map(self._encode_chunk, chunks)
            return [ids for part in parts for ids in part]
        with ThreadPoolExecutor(workers) as pool:
            return [ids for part in pool.map(self._encode_chunk, chunks) for ids in part]

    def encode_flat(self, texts: Sequence[str]) -> FlatEncoding:
        """Return the ids of some texts one after the other, on this thread, without Python lists.

        As fast as it goes; for corpora. `texts` should be thousands at a time, not millions.
        """
        normalized = self.normalizer.normalize_batch(texts)
        found = self._processor.encode(normalized, num_threads=1, out_type="numpy")
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        ids = np.concatenate([*found, np.zeros(0, dtype=np.int32)])
        hits = np.flatnonzero(self._may_need_comma[ids])
        if not hits.size:
            return FlatEncoding(ids, lengths)
        owners = np.searchsorted(np.cumsum(lengths), hits, side="right")
        if self.unk_id in self._comma_suspects:  # an id does not tell: look at the text
            for text in np.unique(owners).tolist():
                changed = self._apply_comma_rule(normalized[text], found[text].tolist())
                found[text] = np.array(changed, dtype=np.int32)
                lengths[text] = len(changed)
            return FlatEncoding(np.concatenate(found), lengths)
        split = [self._comma_ids[number] for number in ids[hits].tolist()]
        sizes = np.ones(len(ids), dtype=np.int64)
        sizes[hits] = list(map(len, split))
        np.add.at(lengths, owners, sizes[hits] - 1)
        places = np.zeros(len(ids), dtype=np.bool_)
        places[hits] = True
        ids, places = np.repeat(ids, sizes), np.repeat(places, sizes)
        ids[places] = list(chain.from_iterable(split))
        return FlatEncoding(ids, lengths)

    def _encode_chunk(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, on this thread alone."""
        normalized = list(map(self.normalizer.normalize, texts))
        batch: list[list[int]] = self._processor.encode(normalized, num_threads=1)
        suspects = self._comma_suspects
        return [
            ids if suspects.isdisjoint(ids) else self._apply_comma_rule(text, ids)
            for text, ids in zip(normalized, batch, strict=True)
        ]

    def encode_with_offsets(self, text: str) -> Encoding:
        """Return the ids that `encode` gives and the span of the original text behind each."""
        normalized = self.normalizer.normalize_with_offsets(text)
        found = self._processor.encode(normalized.text, out_type="offset_mapping")
        spans = text_spans(found["offsets"], found["pieces"], normalized.text)
        ids, spans = self._split_commas(found["ids"], found["pieces"], spans)
        return Encoding(np.array(ids, dtype=np.int32), original_spans(spans, normalized))

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return the normalised text of some ids; [CLS], [SEP], [MASK] and <pad> leave no trace."""
        numbers = [int(number) for number in ids]
        if numbers and not 0 <= min(numbers) <= max(numbers) < self.vocab_size:
            wrong = next(number for number in numbers if not 0 <= number < self.vocab_size)
            raise DataError(
                f"An id must be from 0 to {self.vocab_size - 1}. Received: {wrong}."
                " Decode with the tokenizer that made the ids."
            )
        text: str = self._processor.decode(numbers) if numbers else ""
        return text

    def surface_words(self, text: str) -> list[str]:
        """Return the words of a text as SentencePiece sees them, each with its mark."""
        found = "".join(self._processor.encode(self.normalizer.normalize(text), out_type=str))
        words = found.split(WORD_MARK)
        return words[:1] * bool(words[0]) + [WORD_MARK + word for word in words[1:]]

    def __repr__(self) -> str:
        """Show the size, the checksum's head and the switches that are not the default."""
        changed = [
            f"{name}={value}"
            for name, value in asdict(self.normalizer).items()
            if value != getattr(Normalizer, name)
        ]
        facts = [f"{self.vocab_size} pieces", self.sha256[:8], *changed]
        return f"UnigramTokenizer({', '.join(facts)})"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the model's bytes and the normaliser: the processor is made anew from them."""
        return {"model": self.model, "normalizer": self.normalizer}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Start again from the bytes."""
        self.__init__(state["model"], state["normalizer"])  # type: ignore[misc]

    def _special_id(self, piece: str) -> int:
        """Look a special piece up; what is not there comes back as the unknown piece."""
        number: int = self._processor.piece_to_id(piece)
        if self._processor.id_to_piece(number) == piece:
            return number
        raise TokenizerError(
            f"An ALBERT vocabulary must hold <pad>, <unk>, [CLS], [SEP] and [MASK]. Received: a"
            f" model of {self.vocab_size} pieces without {piece}. Train one with"
            " `albatross train-tokenizer`, which adds them."
        )

    # === Digits before a comma ===

    @cached_property
    def _comma_ids(self) -> dict[int, list[int]]:
        """The ids that stand in place of each piece that ends in a digit and a comma."""
        return {
            number: self._processor.piece_to_id(self._without_comma(piece))
            for number, piece in enumerate(self.pieces)
            if ends_in_comma(piece)
        }

    @cached_property
    def _comma_suspects(self) -> frozenset[int]:
        """The ids that may call for the rule; an unknown piece may hold a comma that has no id."""
        comma: int = self._processor.piece_to_id(",")
        return frozenset(self._comma_ids) | ({self.unk_id} & {comma})

    @cached_property
    def _may_need_comma(self) -> NDArray[np.bool_]:
        """The suspects as a table: (vocab_size,)."""
        table = np.zeros(self.vocab_size, dtype=np.bool_)
        table[list(self._comma_suspects)] = True
        return table

    def _without_comma(self, piece: str) -> list[str]:
        """`▁2012,` -> `▁2012` `,`: the piece is encoded again without its comma, then the comma."""
        digits = piece[:-1].replace(WORD_MARK, "")
        parts: list[str] = self._processor.encode(digits, out_type=str)
        if parts and parts[0].startswith(WORD_MARK) and not piece.startswith(WORD_MARK):
            parts[:1] = [parts[0][1:]] if len(parts[0]) > 1 else []
        return [*parts, ","]

    def _apply_comma_rule(self, normalized: str, ids: list[int]) -> list[int]:
        if self.unk_id in self._comma_suspects:
            found = self._processor.encode(normalized, out_type="offset_mapping")
            return self._split_commas(found["ids"], found["pieces"], found["offsets"])[0]
        return [new for old in ids for new in self._comma_ids.get(old, (old,))]

    def _split_commas(
        self, ids: list[int], pieces: list[str], spans: list[Span]
    ) -> tuple[list[int], list[Span]]:
        """Apply the rule to ids, their surface pieces and their spans."""
        if not any(map(ends_in_comma, pieces)):
            return ids, spans
        new_ids: list[int] = []
        new_spans: list[Span] = []
        for number, piece, (start, end) in zip(ids, pieces, spans, strict=True):
            if ends_in_comma(piece):
                parts = self._without_comma(piece)
                new_ids += self._processor.piece_to_id(parts)
                new_spans += divide_span(parts, start, end)
            else:
                new_ids.append(number)
                new_spans.append((start, end))
        return new_ids, new_spans


def read_normalizer(folder: str | os.PathLike[str]) -> Normalizer:
    """Read the switches in a folder's `tokenizer_config.json`; the others keep their default."""
    return Normalizer(**read_switches(Path(folder) / CONFIG_FILE, tuple(asdict(Normalizer()))))


def ends_in_comma(piece: str) -> bool:
    """Whether the digit-comma rule is about a piece."""
    return piece[-1:] == "," and piece[-2:-1].isdigit()


def _read_model(model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except (RuntimeError, TypeError) as error:
        size = f"{len(model)} bytes" if isinstance(model, bytes) else type(model).__name__
        raise TokenizerError(
            f"A tokenizer must be a whole SentencePiece model. Received: {size} that cannot be"
            " read as one. Copy or download the file again."
        ) from error
    return processor
