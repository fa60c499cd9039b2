"""Which words may stand in the gaps of a text: what a pre-trained model says by itself.

A gap is written `[MASK]`. Each is answered alone, the others left open (BERT, section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example, IntArray
from albatross.data.records import TextRecord
from albatross.errors import DataError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.intervals import checked_count
from albatross.tasks.answers import AnyAnswer, FilledAnswer
from albatross.tasks.cloze import MASK, continued
from albatross.tasks.inputs import TEXT_SPECIALS, Inputs, softmax
from albatross.tasks.options import USUAL, TaskOptions, chosen_metric, in_place, read_back
from albatross.tasks.task import Outputs, Tokenizer
from albatross.tasks.text_task import TextTask

METRICS = ("accuracy", "top_5")
# Candidates of a gap that are told, and that `top_5` looks at.
_TOLD = 5
# Gaps of a text, each of which is read and answered for itself.
_MOST_GAPS = 1_000
# Marks a piece that goes on with the word before it.
_GOES_ON = "##"


class GapTokenizer(Tokenizer, Protocol):
    """What filling gaps needs of a tokenizer."""

    pad_id: int
    unk_id: int
    vocab_size: int

    @property
    def starts_word(self) -> NDArray[np.bool_]:
        """Whether a piece begins a word: (vocab_size,)."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some ids."""
        ...


@dataclass(frozen=True)
class FillMaskTask(TextTask):
    """Say which pieces of the vocabulary may stand in each gap of a text.

    Attributes:
        name: the task's name
        inputs: files and sequences; of a longer text, a gap sees what stands around it
        head: name of the masked-word head, by which its tensors are known
        main_metric: by which models are compared
    """

    name: str
    inputs: Inputs
    head: str = "predictions"
    main_metric: str = METRICS[0]

    kind: ClassVar[str] = "fill-mask"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the choice of figures."""
        chosen_metric(self.main_metric, METRICS)

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[TextRecord],
        tokenizer: GapTokenizer,
        options: TaskOptions = USUAL,
    ) -> FillMaskTask:
        """Make a task for texts with one gap, whose label is the word in it.

        Raises:
            LabelError: a text with another number of gaps, or a label that is no piece.
        """
        options.refuse_others(cls.kind, "metric", cuts=False)
        inputs = Inputs.of(options, tokenizer, TextRecord, "text")
        task = cls(name, inputs, main_metric=options.metric or METRICS[0])
        task.check(records)
        return task

    @classmethod
    def from_dict(
        cls, name: str, values: Mapping[str, Any], tokenizer: GapTokenizer
    ) -> FillMaskTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            inputs = Inputs.from_dict(values, tokenizer, "text")
            return cls(name, inputs, str(values["head"]), str(values["metric"]))

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            **self.inputs.to_dict(),
            "head": self.head,
            "metric": self.main_metric,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """The masked-word head."""
        return {self.head: HeadSpec("words", self._tokenizer.vocab_size)}

    def features(self, record: TextRecord) -> list[Example]:
        """Return an example for each gap; of one with a label, the piece that is right.

        Raises:
            DataError: there is no gap, or there are too many to be held at once.
        """
        ids, gaps = self._laid_out(record)
        labels = {} if record.label is None else {self.head: self._piece(record)}
        return [replace(self._around(ids, gap), labels=labels) for gap in gaps]

    def answer(
        self, outputs: Outputs, record: TextRecord, examples: Sequence[Example]
    ) -> FilledAnswer:
        """Return the best pieces of each gap, and the text with the best of them."""
        gaps = []
        # A model may have more rows of words than there are pieces; the spare ones say nothing.
        for logits in outputs[self.head][:, : len(self._silent)]:
            shares = softmax(np.where(self._silent, -np.inf, logits))
            best = np.argsort(-shares, kind="stable")[:_TOLD]
            gaps.append({self._shown(int(piece)): float(shares[piece]) for piece in best})
        return FilledAnswer(_filled(record.text, [next(iter(gap)) for gap in gaps]), tuple(gaps))

    def check(self, records: Sequence[TextRecord]) -> None:
        """Refuse records that have not one gap and one piece for it."""
        for record in records:
            gaps = record.text.count(MASK)
            if gaps != 1 or record.text_pair is not None:
                raise LabelError(
                    f"A text that is scored must have one gap `{MASK}` and no second text."
                    f" Received: {gaps} gaps{in_place(record.place)}. Write one gap in it."
                )
            self._piece(record)

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[TextRecord]
    ) -> NDArray[np.float64]:
        """Return for each record whether its word came first, and among the first: (records, 2)."""
        self.check(records)
        told = [tuple(each.gaps[0]) for each in answers if isinstance(each, FilledAnswer)]
        right = [self.shown_label(record) for record in records]
        rows = [(words[0] == word, word in words) for words, word in zip(told, right, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return the shares of words that came first, and among the first five."""
        count = checked_count(len(judged))
        first, among = judged.mean(0).tolist()
        return {"accuracy": first, "top_5": among, "records": count}

    def transformers_keys(self) -> dict[str, Any]:
        """Return the class that has this head there."""
        return {"architectures": ["AlbertForMaskedLM"]}

    def shown_label(self, record: TextRecord) -> str:
        """Return the word of a record's gap as answers tell it.

        Raises:
            LabelError: it has none, or one of several pieces.
        """
        return self._shown(self._piece(record))

    # === Gaps ===

    @property
    def _tokenizer(self) -> Any:
        """The inputs' tokenizer, of which this kind needs more than others."""
        return self.inputs.tokenizer

    @cached_property
    def _silent(self) -> NDArray[np.bool_]:
        """The pieces that stand for no text: (vocab_size,)."""
        ids = ("cls_id", "sep_id", "mask_id", "pad_id", "unk_id")
        silent = np.zeros(self._tokenizer.vocab_size, dtype=np.bool_)
        silent[[getattr(self._tokenizer, name) for name in ids]] = True
        return silent

    def _laid_out(self, record: TextRecord) -> tuple[list[int], list[int]]:
        """Return the ids of a text without specials, and the places of its gaps."""
        parts = record.text.split(MASK)
        if len(parts) == 1 or record.text_pair is not None:
            what = "a pair" if record.text_pair is not None else repr(record.text[:40])
            raise DataError(
                f"A text to fill must be one text with a gap, written {MASK}. Received:"
                f" {what}{in_place(record.place)}. Write, for example, 'A {MASK} film.'"
            )
        if len(parts) - 1 > _MOST_GAPS:
            raise DataError(
                f"A text to fill must have at most {_MOST_GAPS:,} gaps. Received:"
                f" {len(parts) - 1:,}{in_place(record.place)}. Ask about it in parts."
            )
        ids, gaps = self._tokenizer.encode(parts[0]), []
        for part in parts[1:]:
            gaps.append(len(ids))
            ids += [self._tokenizer.mask_id, *continued(part, self._tokenizer)]
        return ids, gaps

    def _around(self, ids: Sequence[int], gap: int) -> Example:
        """Return the sequence that one gap is read in, with as much on either side as has room."""
        room = self.inputs.max_length - TEXT_SPECIALS
        start = max(0, min(gap - room // 2, len(ids) - room))
        return replace(self.inputs.single(ids[start : start + room]), asked=gap - start + 1)

    def _piece(self, record: TextRecord) -> int:
        """Return the piece that a record's label is.

        Raises:
            LabelError: it has none, or one of several pieces.
        """
        ids: IntArray | list[int] = self._tokenizer.encode(str(record.label or ""))
        if record.label is None or len(ids) != 1 or self._silent[ids[0]]:
            raise LabelError(
                "The label of a gap must be a word that is one piece of the vocabulary. Received:"
                f" {record.label!r}{in_place(record.place)}. Leave the record out."
            )
        return int(ids[0])

    def _shown(self, piece: int) -> str:
        """Return a piece as it is told: one that goes on with a word is marked."""
        text: str = self._tokenizer.decode([piece]).strip()
        return text if self._tokenizer.starts_word[piece] else _GOES_ON + text


def _filled(text: str, words: Sequence[str]) -> str:
    """Put words into the gaps of a text, one into each.

    >>> _filled("A [MASK] film[MASK]", ["lovely", "##s"])
    'A lovely films'
    """
    return "".join(_pieces(text.split(MASK), words))


def _pieces(parts: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    """Yield the parts of a text and what stands between them."""
    for part, word in zip(parts, [*words, ""], strict=True):
        goes_on = word.startswith(_GOES_ON)
        yield part.rstrip() if goes_on else part
        yield word.removeprefix(_GOES_ON) if goes_on else word
