from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from albatross.data.records import ChoiceRecord, SpanRecord, SpanText, TextRecord, WordsRecord
from albatross.evaluation import details
from albatross.rng import stream
from albatross.tasks.answers import (
    Answer,
    ChoiceAnswer,
    EntitiesAnswer,
    LabelsAnswer,
    SpanAnswer,
    SpanCandidate,
    ValueAnswer,
)

LABELS = ("a", "b", "c")
TASK = SimpleNamespace(labels=LABELS, values=("0", "1", "2"))


def accuracy(judged):
    return {"accuracy": float(judged.mean())}


SCORED: Any = SimpleNamespace(main_metric="accuracy", metrics=accuracy)


def answers_of(predicted):
    return [
        Answer(label, 0.8, {n: 0.8 if n == label else 0.1 for n in LABELS}) for label in predicted
    ]


def records_of(expected):
    return [TextRecord("x", label=label) for label in expected]


def test_labels_are_scored_under_their_names_however_files_spell_them():
    rows = details.label_rows(TASK, answers_of("aab"), records_of(["0", "b", "1"]))
    assert [row.label for row in rows] == ["a", "b", "c"]
    assert (rows[0].precision, rows[0].recall, rows[0].support) == (0.5, 1.0, 1)
    assert (rows[1].precision, rows[1].recall, rows[1].support) == (1.0, 0.5, 2)


def test_confusions_are_counted_the_most_frequent_first():
    found = details.confusions(TASK, answers_of("abbb"), records_of("aaab"))
    assert [(c.expected, c.answered, c.count) for c in found] == [
        ("a", "b", 2),
        ("a", "a", 1),
        ("b", "b", 1),
    ]


def test_several_labels_are_scored_each():
    answers = [LabelsAnswer(("a", "b"), {}), LabelsAnswer((), {})]
    records = [TextRecord("x", labels=("a",)), TextRecord("y", label="2")]
    rows = details.label_rows(TASK, answers, records)
    assert [(row.f1, row.support) for row in rows] == [(1.0, 1), (0.0, 0), (0.0, 1)]


@pytest.mark.parametrize(
    ("given", "wanted", "rows"),
    [
        (("B-PER", "O"), ("B-PER", "B-LOC"), {"LOC": 0.0, "PER": 1.0}),
        (("NOUN", "VERB"), ("NOUN", "NOUN"), {"NOUN": 2 / 3, "VERB": 0.0}),
        (("NOUN", "O"), ("NOUN", "O"), {"NOUN": 1.0, "O": 1.0}),
        (("O", "O"), ("O", "O"), {}),
    ],
)
def test_types_of_entities_are_scored_and_other_tags_each_for_itself(given, wanted, rows):
    found = details.label_rows(TASK, [EntitiesAnswer((), given)], [WordsRecord(("x", "y"), wanted)])
    assert {row.label: row.f1 for row in found} == pytest.approx(rows)


def test_numbers_have_neither_labels_nor_calibration():
    answers, records = [ValueAnswer(1.0)] * 40, [TextRecord("x", label="1")] * 40
    assert details.label_rows(TASK, answers, records) == ()
    assert details.confusions(TASK, answers, records) == ()
    assert details.calibration(TASK, answers, records, 0) is None
    assert details.no_answer(answers, records, 0.0) is None


def unsure(count, confidence, accuracy):
    """Answers of one confidence, so many of which are right."""
    answers = [
        Answer("a", confidence, {"a": confidence, "b": 1 - confidence}) for _ in range(count)
    ]
    right = stream(0).permutation(count) < accuracy * count
    return answers, [TextRecord("x", label="a" if hit else "b") for hit in right]


def test_calibration_is_measured_on_the_half_that_the_temperature_was_not_fitted_on():
    task = SimpleNamespace(labels=("a", "b"), values=("a", "b"))
    answers, records = unsure(2_000, 0.95, 0.7)
    found = details.calibration(task, answers, records, 0)
    assert found is not None
    assert found.error == pytest.approx(0.25, abs=1e-9)
    assert found.temperature > 2
    assert found.half_error_tempered < 0.05 < 0.2 < found.half_error
    assert abs(found.half_error - found.error) > 1e-6
    assert sum(found.counts) == 2_000


def test_few_answers_are_not_calibrated():
    task = SimpleNamespace(labels=("a", "b"), values=("a", "b"))
    answers, records = unsure(19, 0.9, 0.5)
    assert details.calibration(task, answers, records, 0) is None


def test_choices_of_several_numbers_are_calibrated():
    answers = [ChoiceAnswer(0, "x", 0.6, (0.6, 0.4)), ChoiceAnswer(2, "x", 0.5, (0.2, 0.3, 0.5))]
    records = [ChoiceRecord("", "q", ("x", "y"), 0), ChoiceRecord("", "q", ("x", "y", "z"), 2)]
    found = details.calibration(TASK, answers * 20, records * 20, 0)
    assert found is not None
    assert found.error == pytest.approx(0.45, abs=1e-9)


def test_the_best_threshold_is_looked_for_in_the_best_texts():
    def span(text, score, said):
        best = SpanCandidate(text, 0, len(text), 0.9)
        return SpanAnswer(said, 0, 0, 0.9, score, (best,))

    answers = [span("Ada", 1.0, ""), span("Ada", 3.0, "")]
    records = [
        SpanRecord("q", "Ada", (SpanText("Ada", 0),), is_labelled=True),
        SpanRecord("q", "Ada", (), is_impossible=True, is_labelled=True),
    ]
    found = details.no_answer(answers, records, 0.0)
    assert found is not None
    assert (found.threshold, found.best_f1, found.best_f1_threshold) == (0.0, 1.0, 1.0)
    assert details.no_answer(answers[:1], records[:1], 0.0) is None


def test_bands_of_length_hold_about_as_many_records_each():
    records = [TextRecord("x" * (number + 1)) for number in range(100)]
    judged = np.arange(100.0)[:, None] < 50
    found = details.by_length(SCORED, judged.astype(float), records, 0)
    assert [part.name for part in found] == ["1-20", "21-40", "41-60", "61-80", "81-100"]
    assert [part.score for part in found] == [1, 1, 0.5, 0, 0]
    assert found[2].low < 0.5 < found[2].high


def test_texts_of_one_length_and_few_records_have_no_bands():
    few = [TextRecord("x" * number) for number in range(1, 9)]
    assert details.by_length(SCORED, np.ones((8, 1)), few, 0) == ()
    alike = [TextRecord("xx")] * 50
    (band,) = details.by_length(SCORED, np.ones((50, 1)), alike, 0)
    assert (band.name, band.records) == ("2-2", 50)


def test_subsets_are_those_that_records_name():
    records = [TextRecord("x", subset=name) for name in ("high", "middle", "high")]
    judged = np.array([[1.0], [0.0], [1.0]])
    found = details.by_subset(SCORED, judged, records, 0)
    assert [(part.name, part.records, part.score) for part in found] == [
        ("high", 2, 1.0),
        ("middle", 1, 0.0),
    ]
    assert details.by_subset(SCORED, judged[:1], records[:1], 0) == ()
