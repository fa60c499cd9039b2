"""Answers that stand in a context, or that there is none: SQuAD 1.1 and 2.0.

Windows, their labels and the search for the best span follow Google's `run_squad.py`; places are
characters of the original context, found by the tokenizer's offsets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from albatross.data.columns import NO_COLUMNS
from albatross.data.packing import IGNORED_LABEL, Example
from albatross.data.records import SpanRecord
from albatross.errors import DataError, LabelError
from albatross.head_spec import HeadSpec
from albatross.metrics.spans import (
    best_exact,
    best_f1,
    judge_span,
    reaching_threshold,
    span_metrics,
)
from albatross.tasks.answers import AnyAnswer, SpanAnswer
from albatross.tasks.inputs import PAIR_SPECIALS, Inputs, most_context
from albatross.tasks.options import USUAL, TaskOptions, chosen_metric, in_place, read_back
from albatross.tasks.span_search import LastEncodings, Window, best_spans
from albatross.tasks.task import Given, Outputs, Tokenizer

METRICS = ("f1", "exact")
# Google's figures: tokens of a question, and from one window to the next.
_MOST_QUESTION, _STRIDE = 64, 128
# What a question scores whose context holds nothing to answer with.
_NOTHING_FOUND = 1e4


@dataclass(frozen=True)
class SpansTask:
    """Find the piece of a context that answers a question.

    Attributes:
        name: the task's name
        no_answer: whether a question may have none
        beam: whether Google's head for SQuAD 2.0 looks for it
        inputs: files and sequences
        threshold: the no-answer score above which the answer is that there is none; tuned on
            records that are held out of training, never on those that are reported
        head: prefix of the head's tensors
        main_metric: by which runs are compared
    """

    name: str
    no_answer: bool
    beam: bool
    inputs: Inputs
    threshold: float = 0.0
    head: str = "qa_outputs"
    main_metric: str = METRICS[0]
    _encodings: LastEncodings = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "spans"
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the choice of figures."""
        chosen_metric(self.main_metric, METRICS)
        object.__setattr__(self, "_encodings", LastEncodings(self.inputs.tokenizer))

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Sequence[SpanRecord],
        tokenizer: Tokenizer,
        options: TaskOptions = USUAL,
    ) -> SpansTask:
        """See from the records whether questions may have no answer, unless the options say it.

        Raises:
            LabelError: a record without a known answer, or one that does not stand in its context.
        """
        options.refuse_others(cls.kind, "no_answer", "beam", "metric", "head", "mark_shared")
        found = any(record.is_impossible for record in records)
        no_answer = found if options.no_answer is None else options.no_answer
        inputs = Inputs.of(options, tokenizer, SpanRecord, "squad", _STRIDE)
        head = options.head or ("beam_qa" if options.beam else "qa_outputs")
        metric = options.metric or METRICS[0]
        task = cls(name, no_answer, options.beam, inputs, head=head, main_metric=metric)
        task.check(records)
        return task

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any], tokenizer: Tokenizer) -> SpansTask:
        """Read what `to_dict` wrote."""
        with read_back(cls.kind, name):
            return cls(
                name,
                bool(values["no_answer"]),
                bool(values["beam"]),
                Inputs.from_dict(values, tokenizer, "squad"),
                float(values["threshold"]),
                str(values["head"]),
                str(values["metric"]),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what `task.json` holds."""
        return {
            "kind": self.kind,
            "no_answer": self.no_answer,
            "beam": self.beam,
            **self.inputs.to_dict(),
            "threshold": self.threshold,
            "head": self.head,
            "metric": self.main_metric,
        }

    @property
    def heads(self) -> Mapping[str, HeadSpec]:
        """Starts and ends of every sequence."""
        return {self.head: HeadSpec("beam_span" if self.beam else "span", 2)}

    def read(self, path: Path, columns: Mapping[str, str] = NO_COLUMNS) -> list[SpanRecord]:
        """Read the records of a file."""
        return self.inputs.read(path, columns)

    def record(self, given: Given) -> SpanRecord:
        """Make a record of a question and its context, as a tuple or by their names.

        Raises:
            DataError: it is something else.
        """
        if isinstance(given, Mapping):
            given = tuple(given[key] for key in ("question", "context") if key in given)
        if isinstance(given, tuple) and len(given) == 2 and all(isinstance(t, str) for t in given):
            return SpanRecord(*given)
        raise DataError(
            "A question must come with its context, both of them strings. Received:"
            f" {type(given).__name__}. Pass {{'question': ..., 'context': ...}}, or the context by"
            " `--pair`."
        )

    # === What the model reads ===

    def features(self, record: SpanRecord) -> list[Example]:
        """Return the windows of the context, each with the question; their origin says where.

        A window without the answer is labelled as having none where questions may have none, and
        not at all elsewhere.
        """
        room = self.inputs.max_length - PAIR_SPECIALS
        question = self.inputs.tokenizer.encode(record.question)
        question = question[: min(_MOST_QUESTION, room // 2)]
        found = self._encodings(record.context)
        windows = self.inputs.windows(len(found.ids), room - len(question), _STRIDE)
        chosen = most_context(windows, len(found.ids))
        tokens = _answer_tokens(record, found.offsets)
        ids = found.ids.tolist()
        examples = []
        for number, at in enumerate(windows):
            first = len(question) + 2
            origin = Window(first, found.offsets[at], chosen[at] == number)
            labels = self._labels(record, tokens, at, first)
            example = self.inputs.pair(question, ids[at])
            examples.append(replace(example, labels=labels, origin=origin))
        return examples

    def _labels(
        self, record: SpanRecord, tokens: tuple[int, int] | None, at: slice, first: int
    ) -> dict[str, int]:
        """Return where the answer lies in a window, in columns of its sequence."""
        if not record.is_labelled:
            return {}
        inside = tokens is not None and at.start <= tokens[0] and tokens[1] < at.stop
        start = end = 0 if self.no_answer else IGNORED_LABEL
        if tokens is not None and inside:
            start, end = (first + token - at.start for token in tokens)
        labels = {f"{self.head}.start": start, f"{self.head}.end": end}
        return labels | ({f"{self.head}.impossible": int(not inside)} if self.beam else {})

    # === What it says ===

    def answer(
        self, outputs: Outputs, record: SpanRecord, examples: Sequence[Example]
    ) -> SpanAnswer:
        """Return the best piece of the context, or that there is none."""
        found = best_spans(outputs, self.head, self.beam, record.context, examples)
        if not found.candidates:
            return SpanAnswer("", 0, 0, 1.0, _NOTHING_FOUND)
        best = found.candidates[0]
        if self.no_answer and found.no_answer_score > self.threshold:
            return SpanAnswer(
                "", 0, 0, found.no_answer_share, found.no_answer_score, found.candidates
            )
        return SpanAnswer(
            best.text, best.start, best.end, best.score, found.no_answer_score, found.candidates
        )

    def check(self, records: Sequence[SpanRecord]) -> None:
        """Refuse records whose answers are not known or do not stand in their contexts."""
        for record in records:
            if not record.is_labelled or (record.is_impossible and not self.no_answer):
                known = "that it has none, and here every question has one"
                raise LabelError(
                    "Every question must come with its answer. Received:"
                    f" {known if record.is_labelled else 'none'}{in_place(record.place)}."
                    " Remove the record, or choose `no_answer` where there may be none."
                )
            for answer in record.answers:
                if not record.context.startswith(answer.text, answer.start) or not answer.text:
                    raise LabelError(
                        "An answer must stand in its context where it says. Received:"
                        f" {answer.text[:40]!r} at {answer.start}{in_place(record.place)}."
                        " Correct its start."
                    )

    def judge(
        self, answers: Sequence[AnyAnswer], records: Sequence[SpanRecord]
    ) -> NDArray[np.float64]:
        """Return a row of `JUDGED_COLUMNS` for each question."""
        self.check(records)
        found = [answer for answer in answers if isinstance(answer, SpanAnswer)]
        rows = [
            judge_span(
                answer.candidates[0].text if answer.candidates else "",
                [each.text for each in record.answers],
                answer.no_answer_score if self.no_answer else -math.inf,
            )
            for answer, record in zip(found, records, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)

    def metrics(self, judged: NDArray[np.float64]) -> dict[str, float]:
        """Return exact match and F1, of questions with and without an answer apart.

        Beside them what the best threshold on these very questions would give, which is what the
        official script reports and no fair figure.
        """
        figures = span_metrics(judged, self.threshold if self.no_answer else math.inf)
        if self.no_answer:
            figures |= {
                "best_exact": best_exact(judged).score,
                "best_f1": best_f1(judged).score,
                "best_f1_threshold": best_f1(judged).threshold,
            }
        return {**figures, "records": len(judged)}

    @property
    def has_thresholds(self) -> bool:
        """Whether a question may have no answer."""
        return self.no_answer

    def tuned(self, answers: Sequence[AnyAnswer], records: Sequence[SpanRecord]) -> SpansTask:
        """Return the task with the threshold that gives the best F1 on these records.

        They must be held out of training, and others than those that are reported.
        """
        if not self.no_answer:
            return self
        return replace(self, threshold=reaching_threshold(self.judge(answers, records)))

    def transformers_keys(self) -> dict[str, Any]:
        """Return the keys by which transformers knows the plain head; it has no beam head."""
        if self.beam:
            return {"architectures": ["AlbertForBeamQuestionAnswering"]}
        return {
            "architectures": ["AlbertForQuestionAnswering"],
            "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
            "label2id": {"LABEL_0": 0, "LABEL_1": 1},
        }


def _answer_tokens(record: SpanRecord, offsets: NDArray[np.int64]) -> tuple[int, int] | None:
    """Return the first and last token of the first answer, whole tokens that it touches."""
    if not record.answers:
        return None
    answer = record.answers[0]
    inside = (offsets[:, 1] > answer.start) & (offsets[:, 0] < answer.start + len(answer.text))
    touched = np.flatnonzero(inside & (offsets[:, 0] < offsets[:, 1]))
    return (int(touched[0]), int(touched[-1])) if len(touched) else None
