"""One answer beside what was expected: in words for a reader, and how wrong it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from albatross.data.records import ChoiceRecord, SourceRecord, SpanRecord, TextRecord, WordsRecord
from albatross.evaluation.report import Mistake
from albatross.metrics.rouge import rouge_scores
from albatross.metrics.spans import exact_match, token_f1
from albatross.tasks import answers as kinds

# Of a text, an expected answer and an answer in a report: what a reader takes in at a glance.
_TEXT_SHOWN, _ANSWER_SHOWN = 400, 160
_MISTAKES = 20
# A text that shares half of its words with what was expected is not listed as a mistake.
_ROUGE_OF_MISTAKE = 0.5
NO_ANSWER = "(no answer)"


@dataclass(frozen=True)
class Verdict:
    """What one answer says, what it should say, and how wrong it is.

    Attributes:
        expected: in words
        answered: likewise
        wrongness: 0 where the answer is right; the greater, the worse, within one kind of task
    """

    expected: str
    answered: str
    wrongness: float


def verdict(task: Any, answer: Any, record: Any) -> Verdict:
    """Compare an answer with its record.

    Raises:
        TypeError: the answer is of no kind that can be compared.
    """
    for kind, compare in _COMPARISONS:
        if isinstance(answer, kind):
            return compare(task, answer, record)
    raise TypeError(f"{type(answer).__name__} has no verdict")


def worst_mistakes(
    task: Any, answers: Sequence[Any], records: Sequence[Any], most: int = _MISTAKES
) -> tuple[Mistake, ...]:
    """Return the most wrong answers, the worst first: of labels those that were surest."""
    verdicts = [verdict(task, a, r) for a, r in zip(answers, records, strict=True)]
    wrong = [number for number, each in enumerate(verdicts) if each.wrongness > 0]
    wrong.sort(key=lambda number: -verdicts[number].wrongness)
    return tuple(
        Mistake(
            place=records[number].place or records[number].id or f"record {number + 1}",
            text=_cut(text_of(records[number]), _TEXT_SHOWN),
            expected=_cut(verdicts[number].expected, _ANSWER_SHOWN),
            answered=_cut(verdicts[number].answered, _ANSWER_SHOWN),
            score=verdicts[number].wrongness,
        )
        for number in wrong[:most]
    )


def text_of(record: Any) -> str:
    """Return what a model reads of a record, in one line."""
    if isinstance(record, TextRecord):
        parts: Sequence[str] = [record.text, record.text_pair or ""]
    elif isinstance(record, ChoiceRecord):
        parts = [record.question, *record.choices, record.context]
    elif isinstance(record, SpanRecord):
        parts = [record.question, record.context]
    elif isinstance(record, WordsRecord):
        parts = [" ".join(record.words)]
    elif isinstance(record, SourceRecord):
        parts = [record.source]
    else:
        parts = [str(record)]
    return " | ".join(part for part in parts if part)


def label_name(task: Any, label: str) -> str:
    """Return the name of a label that a file may spell in another way."""
    values = getattr(task, "values", ())
    return task.labels[values.index(label)] if label in values else label


# === Each kind of answer ===


def _of_label(task: Any, answer: kinds.Answer, record: TextRecord) -> Verdict:
    """One label: wrong by how sure it was."""
    expected = label_name(task, record.label or "")
    wrongness = answer.score if answer.label != expected else 0.0
    return Verdict(expected, answer.label, wrongness)


def _of_labels(task: Any, answer: kinds.LabelsAnswer, record: TextRecord) -> Verdict:
    """Several labels: wrong by how sure the surest wrong decision was."""
    expected = {label_name(task, label) for label in labels_of(record)}
    wrong = set(answer.labels) ^ expected
    sureness = [
        answer.probabilities[name] if name in answer.labels else 1 - answer.probabilities[name]
        for name in wrong
    ]
    return Verdict(_listed(sorted(expected)), _listed(answer.labels), max(sureness, default=0.0))


def _of_value(task: Any, answer: kinds.ValueAnswer, record: TextRecord) -> Verdict:
    """A number: wrong by the distance."""
    expected = float(record.label or 0)
    return Verdict(f"{expected:.3g}", f"{answer.value:.3g}", abs(answer.value - expected))


def _of_similarity(task: Any, answer: kinds.SimilarityAnswer, record: TextRecord) -> Verdict:
    """How alike two texts are: wrong by the distance."""
    expected = float(record.label or 0)
    return Verdict(f"{expected:.3g}", f"{answer.score:.3g}", abs(answer.score - expected))


def _of_choice(task: Any, answer: kinds.ChoiceAnswer, record: ChoiceRecord) -> Verdict:
    """One of several choices: wrong by how sure it was."""
    expected = record.choices[record.label or 0]
    wrongness = answer.score if answer.index != record.label else 0.0
    return Verdict(expected, answer.text, wrongness)


def _of_span(task: Any, answer: kinds.SpanAnswer, record: SpanRecord) -> Verdict:
    """A piece of a text: wrong by the words that it does not share, the surer the worse."""
    accepted = [each.text for each in record.answers]
    wrongness = 0.0
    if not exact_match(answer.text, accepted):
        wrongness = 1 - token_f1(answer.text, accepted) + answer.score
    expected = _listed(list(dict.fromkeys(accepted)), NO_ANSWER)
    return Verdict(expected, answer.text or NO_ANSWER, wrongness)


def _of_entities(task: Any, answer: kinds.EntitiesAnswer, record: WordsRecord) -> Verdict:
    """The tags of words: wrong by the number of wrong tags, of which alone it speaks."""
    pairs = zip(record.words, record.tags or (), answer.tags, strict=False)
    wrong = [(word, tag, found) for word, tag, found in pairs if tag != found]
    expected = [f"{word}/{tag}" for word, tag, _ in wrong]
    return Verdict(_listed(expected), _listed([f"{w}/{f}" for w, _, f in wrong]), float(len(wrong)))


def _of_text(task: Any, answer: kinds.TextAnswer, record: SourceRecord) -> Verdict:
    """A text that was written: wrong by the words that it does not share."""
    best = max((rouge_scores(answer.text, one)["rougeL"] for one in record.references), default=0.0)
    wrongness = 1 - best if best < _ROUGE_OF_MISTAKE else 0.0
    return Verdict(_listed(record.references), answer.text, wrongness)


def _of_gap(task: Any, answer: kinds.FilledAnswer, record: TextRecord) -> Verdict:
    """A word in a gap: wrong by how sure it was."""
    word, share = next(iter(answer.gaps[0].items()))
    expected = task.shown_label(record)
    return Verdict(expected, word, share if word != expected else 0.0)


_COMPARISONS: tuple[tuple[type, Callable[[Any, Any, Any], Verdict]], ...] = (
    (kinds.Answer, _of_label),
    (kinds.LabelsAnswer, _of_labels),
    (kinds.ValueAnswer, _of_value),
    (kinds.SimilarityAnswer, _of_similarity),
    (kinds.ChoiceAnswer, _of_choice),
    (kinds.SpanAnswer, _of_span),
    (kinds.EntitiesAnswer, _of_entities),
    (kinds.TextAnswer, _of_text),
    (kinds.FilledAnswer, _of_gap),
)


def labels_of(record: TextRecord) -> tuple[str, ...]:
    """Return the labels of a record that has one or several."""
    if record.labels is not None:
        return record.labels
    return () if record.label is None else (record.label,)


def _listed(names: Sequence[str], nothing: str = "-") -> str:
    """Name several things."""
    return ", ".join(names) or nothing


def _cut(text: str, longest: int) -> str:
    """Return a text in one line, cut at its end when it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
