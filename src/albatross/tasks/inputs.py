"""How records become sequences, for all kinds of task: files, specials, lengths and windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.data.columns import NO_COLUMNS
from albatross.data.formats import FORMATS, read_records
from albatross.data.packing import SHARED_TYPE, Example, IntArray
from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import Given, Tokenizer

# [CLS] text [SEP], [CLS] first [SEP] second [SEP]
TEXT_SPECIALS, PAIR_SPECIALS = 2, 3
# Room for one token of each text of a pair.
_LEAST_LENGTH = PAIR_SPECIALS + 2


@dataclass(frozen=True)
class Inputs:
    """What reads a task's files and lays out its sequences.

    Attributes:
        tokenizer: makes ids
        max_length: tokens of a sequence, specials included
        stride: tokens from the start of one window of a long text to that of the next; at most what
            a window holds, so that none is passed over
        format: a key of `albatross.data.formats.FORMATS`
        columns: the columns of the files by what they hold
        mark_shared: whether a token of a pair that stands in both texts has a type of its own
    """

    tokenizer: Tokenizer
    max_length: int = 128
    stride: int | None = None
    format: str = "text"
    columns: Mapping[str, str] = field(default_factory=dict)
    mark_shared: bool = False

    def __post_init__(self) -> None:
        """Check that a sequence holds text and that windows go on."""
        if self.max_length < _LEAST_LENGTH:
            raise ConfigError(
                f"`max_length` must be at least {_LEAST_LENGTH}. Received: {self.max_length}."
            )
        if self.stride is not None and self.stride < 1:
            raise ConfigError(f"`stride` must be at least 1. Received: {self.stride}.")

    @classmethod
    def of(
        cls, options: TaskOptions, tokenizer: Tokenizer, record: type, usual: str, stride: int = 0
    ) -> Inputs:
        """Take what the options say, in a kind's usual format and stride otherwise.

        Raises:
            ConfigError: the format is of other records.
        """
        name = options.format or usual
        known = [key for key, one in FORMATS.items() if issubclass(record, one.record)]
        if name not in known:
            raise ConfigError(
                f"The format of these records must be one of {', '.join(known)}."
                f" Received: {name!r}."
            )
        steps = options.stride if options.stride is not None else stride or None
        columns = dict(options.columns)
        return cls(tokenizer, options.max_length, steps, name, columns, options.mark_shared)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], tokenizer: Tokenizer, usual: str) -> Inputs:
        """Read what `to_dict` wrote; folders of earlier versions know of lengths alone."""
        stride, columns = values.get("stride"), values.get("columns") or {}
        return cls(
            tokenizer,
            int(values["max_length"]),
            None if stride is None else int(stride),
            str(values.get("format", usual)),
            {str(part): str(name) for part, name in dict(columns).items()},
            bool(values.get("mark_shared", False)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "max_length": self.max_length,
            "stride": self.stride,
            "format": self.format,
            "columns": dict(self.columns),
            **({"mark_shared": True} if self.mark_shared else {}),
        }

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[Any]:
        """Read the records of a file; columns that are given go before those of the task."""
        return read_records(path, self.format, {**self.columns, **columns})

    # === Sequences ===

    def single(self, ids: Sequence[int]) -> Example:
        """Return [CLS] ids [SEP]."""
        tokens = np.array([self.tokenizer.cls_id, *ids, self.tokenizer.sep_id], dtype=np.int64)
        return Example(tokens, np.zeros_like(tokens))

    def pair(self, first: Sequence[int], second: Sequence[int]) -> Example:
        """Return [CLS] first [SEP] second [SEP], with types 0 and 1.

        Where shared tokens are marked, those of the first text that the second has, too, are of
        type 2, and the other way round of type 3: the exact match of DrQA (Chen et al., 2017,
        section 3.2), by pieces.
        """
        cls, sep = self.tokenizer.cls_id, self.tokenizer.sep_id
        tokens = np.array([cls, *first, sep, *second, sep], dtype=np.int64)
        types = np.repeat([0, 1], [len(first) + 2, len(second) + 1]).astype(np.int64)
        if self.mark_shared:
            both = {*first} & {*second}
            types[[token in both for token in tokens.tolist()]] += SHARED_TYPE
        return Example(tokens, types)

    def windows(self, count: int, room: int, usual: int | None = None) -> list[slice]:
        """Return where the windows of a text lie, of at most `room` of its `count` tokens each."""
        step = min(room, self.stride or usual or room)
        starts = [0]
        while starts[-1] + room < count:
            starts.append(starts[-1] + step)
        return [slice(start, min(start + room, count)) for start in starts]

    def texts(self, record: TextRecord) -> list[Example]:
        """Return the windows of a text, or a pair whose texts are cut until both fit.

        The longer text of a pair is cut at its end. With a stride, windows go over the first text
        instead where it alone is longer than its room.
        """
        first = self.tokenizer.encode(record.text)
        if record.text_pair is None:
            room = self.max_length - TEXT_SPECIALS
            return [self.single(first[at]) for at in self.windows(len(first), room)]
        second = self.tokenizer.encode(record.text_pair)
        room = self.max_length - PAIR_SPECIALS
        second = second[: max(room // 2, room - len(first))]
        room -= len(second)
        cut = self.windows(len(first), room) if self.stride else [slice(0, room)]
        return [self.pair(first[at], second) for at in cut]


def most_context(windows: Sequence[slice], count: int) -> IntArray:
    """Return for each of `count` tokens the window where it has most context on its shorter side.

    As Google's `run_squad.py` chooses: ties go to the earlier window, and a longer window counts a
    little more.
    """
    best = np.full(count, -np.inf)
    chosen = np.zeros(count, dtype=np.int64)
    for number, window in enumerate(windows):
        places = np.arange(window.start, window.stop)
        context = np.minimum(places - window.start, window.stop - 1 - places)
        context = context + 0.01 * (window.stop - window.start)
        better = context > best[window]
        chosen[window] = np.where(better, number, chosen[window])
        best[window] = np.where(better, context, best[window])
    return chosen


def text_record(given: Given) -> TextRecord:
    """Make a record of a text, of a pair, or of their names `text` and `text_pair`.

    Raises:
        DataError: it is something else.
    """
    texts: Any = given if isinstance(given, tuple) else (given,)
    if isinstance(given, Mapping):
        texts = tuple(given[key] for key in ("text", "text_pair") if given.get(key) is not None)
    if not 1 <= len(texts) <= 2 or not all(isinstance(text, str) for text in texts):
        raise DataError(
            "A text must be a string, a pair two of them. Received:"
            f" {type(given).__name__}. Pass a string."
        )
    return TextRecord(*texts)


def labelled(examples: Sequence[Example], **labels: Any) -> list[Example]:
    """Return examples that all have the same labels."""
    return [replace(example, labels=labels) for example in examples]


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return shares of a row of logits, however large they are."""
    exact = logits.astype(np.float64)
    shares: NDArray[np.float64] = np.exp(exact - exact.max())
    shares /= shares.sum()
    return shares


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities, however large the logits are."""
    exact = logits.astype(np.float64)
    small = np.exp(-np.abs(exact))
    shares: NDArray[np.float64] = np.where(exact >= 0, 1 / (1 + small), small / (1 + small))
    return shares
