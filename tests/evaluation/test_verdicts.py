from types import SimpleNamespace

import pytest

from albatross.data.records import (
    ChoiceRecord,
    SourceRecord,
    SpanRecord,
    SpanText,
    TextRecord,
    WordsRecord,
)
from albatross.evaluation.verdicts import text_of, verdict, worst_mistakes
from albatross.tasks.answers import (
    Answer,
    ChoiceAnswer,
    EntitiesAnswer,
    FilledAnswer,
    LabelsAnswer,
    SimilarityAnswer,
    SpanAnswer,
    TextAnswer,
    ValueAnswer,
)

TASK = SimpleNamespace(
    labels=("bad", "good"), values=("0", "1"), shown_label=lambda record: str(record.label).lower()
)
SPAN = SpanRecord("Who?", "Ada wrote it.", (SpanText("Ada", 0),), is_labelled=True)
NO_SPAN = SpanRecord("Who?", "It rained.", (), is_impossible=True, is_labelled=True)


def label_of(label, score=0.9):
    return Answer(label, score, {"bad": 1 - score, "good": score})


@pytest.mark.parametrize(
    ("answer", "record", "expected", "answered", "wrongness"),
    [
        (label_of("good"), TextRecord("x", label="1"), "good", "good", 0.0),
        (label_of("good"), TextRecord("x", label="bad"), "bad", "good", 0.9),
        (
            LabelsAnswer(("good",), {"bad": 0.3, "good": 0.8}),
            TextRecord("x", labels=("0",)),
            "bad",
            "good",
            0.8,
        ),
        (
            FilledAnswer("A dull film.", ({"dull": 0.4, "good": 0.3},)),
            TextRecord("A [MASK] film.", label="Good"),
            "good",
            "dull",
            0.4,
        ),
        (ValueAnswer(2.5), TextRecord("x", label="4"), "4", "2.5", 1.5),
        (SimilarityAnswer(2.5), TextRecord("x", "y", label="2.5"), "2.5", "2.5", 0.0),
        (
            ChoiceAnswer(1, "b", 0.7, (0.3, 0.7)),
            ChoiceRecord("", "q", ("a", "b"), label=0),
            "a",
            "b",
            0.7,
        ),
        (SpanAnswer("the Ada", 0, 3, 0.5, 0.0), SPAN, "Ada", "the Ada", 0.0),
        (SpanAnswer("it", 10, 12, 0.5, 0.0), SPAN, "Ada", "it", 1.5),
        (SpanAnswer("", 0, 0, 0.6, 1.0), NO_SPAN, "(no answer)", "(no answer)", 0.0),
        (
            EntitiesAnswer((), ("O", "B-PER")),
            WordsRecord(("in", "Oslo"), ("O", "B-LOC")),
            "Oslo/B-LOC",
            "Oslo/B-PER",
            1.0,
        ),
        (TextAnswer("a dog", 0.1, {}), SourceRecord("x", ("a dog",)), "a dog", "a dog", 0.0),
        (TextAnswer("cats", 0.1, {}), SourceRecord("x", ("a dog",)), "a dog", "cats", 1.0),
    ],
)
def test_an_answer_is_compared_with_its_record(answer, record, expected, answered, wrongness):
    found = verdict(TASK, answer, record)
    assert (found.expected, found.answered) == (expected, answered)
    assert found.wrongness == pytest.approx(wrongness)


def test_the_surest_mistakes_come_first_and_right_answers_not_at_all():
    records = [TextRecord(str(i), label="bad", place=f"line {i}") for i in range(40)]
    answers = [label_of("good", 0.5 + i / 100) for i in range(39)] + [label_of("bad")]
    found = worst_mistakes(TASK, answers, records)
    assert [mistake.place for mistake in found] == [f"line {i}" for i in range(38, 18, -1)]


def test_texts_are_cut_and_records_without_a_place_are_counted():
    answers = [label_of("bad"), label_of("good")]
    records = [TextRecord("x", label="bad"), TextRecord("word " * 500, "pair", label="bad")]
    (mistake,) = worst_mistakes(TASK, answers, records)
    assert mistake.place == "record 2"
    assert len(mistake.text) <= 400
    assert mistake.text.endswith("…")


def test_the_text_of_a_record_is_what_a_model_reads():
    assert text_of(TextRecord("a", "b")) == "a | b"
    assert text_of(ChoiceRecord("c", "q", ("x", "y"))) == "q | x | y | c"
    assert text_of(SPAN) == "Who? | Ada wrote it."
    assert text_of(WordsRecord(("in", "Oslo"))) == "in Oslo"
