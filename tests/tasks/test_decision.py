import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import AlbatrossWarning, ConfigError
from albatross.rng import stream
from albatross.tasks.answers import Answer
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.decision import Decision
from albatross.tasks.inputs import softmax
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import score

LABELS = ("a", "b", "none")
RECORDS = [TextRecord(word, None, label) for word, label in zip("xyz", LABELS, strict=True)]


def task_of(**options) -> ClassificationTask:
    return ClassificationTask.from_records("t", RECORDS, TOKENIZER, TaskOptions(**options))


def answered(shares, labels=LABELS) -> list[Answer]:
    return [
        Answer(labels[row.argmax()], row.max(), dict(zip(labels, row, strict=True)))
        for row in shares
    ]


@pytest.mark.parametrize("options", [{"calibrate": True}, {"otherwise": "none"}, {}])
def test_a_task_with_a_decision_does_what_every_task_does(options):
    check_task(task_of(**options), RECORDS, 128)


def test_nothing_is_written_of_what_is_as_always():
    assert not {"temperature", "otherwise"} & set(task_of().to_dict())
    assert not task_of().has_thresholds
    told = task_of(calibrate=True, otherwise="none").to_dict()
    assert (told["calibrate"], told["otherwise"]) == (True, "none")


def test_the_temperature_that_made_logits_too_sure_is_found_again():
    draw = stream(0, "decision")
    logits = draw.normal(size=(4_000, 3)) * 1.5
    truth = np.array([draw.choice(3, p=softmax(row)) for row in logits])
    shares = np.array([softmax(row * 3) for row in logits])  # three times too sure
    found = Decision(calibrate=True).fitted(shares, truth, LABELS)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    again = found.fitted(np.array([softmax(row) for row in logits]), truth, LABELS)
    assert again.temperature == pytest.approx(3.0, rel=0.1)


def test_a_temperature_changes_scores_and_no_label():
    logits = np.array([2.0, 0.0, -1.0])
    plain, soft = (Decision(temperature=t).answer(logits, LABELS) for t in (1.0, 4.0))
    assert (plain.label, soft.label) == ("a", "a")
    assert soft.score < plain.score
    assert sum(soft.probabilities.values()) == pytest.approx(1)


def test_where_nothing_is_likely_the_other_label_is_answered():
    decision = Decision(otherwise="none", threshold=0.6)
    assert decision.answer(np.array([0.1, 0.0, -1.0]), LABELS).label == "none"
    assert decision.answer(np.array([5.0, 0.0, -1.0]), LABELS).label == "a"
    assert decision.answer(np.array([0.0, 0.0, 5.0]), LABELS).label == "none"


def test_the_other_label_is_as_sure_as_the_likeliest_is_not():
    decision = Decision(otherwise="none", threshold=0.6)
    plain, logits = Decision(), np.array([0.1, 0.0, -9.0])
    found = decision.answer(logits, LABELS)
    assert found.score == pytest.approx(1 - plain.answer(logits, LABELS).score)
    assert found.probabilities == plain.answer(logits, LABELS).probabilities
    itself = np.array([0.0, 0.0, 0.2])
    assert decision.answer(itself, LABELS) == plain.answer(itself, LABELS)


# Thousandths: logarithms give shares back to twelve digits, so closer ones would change places.
SHARES = st.integers(340, 1_000).map(lambda share: share / 1_000)


@given(st.lists(st.tuples(st.integers(0, 2), SHARES, st.booleans()), min_size=2))
def test_no_threshold_is_better_than_the_chosen_one(rows):
    assume(0 < sum(kind == 2 for kind, _, _ in rows) < len(rows))
    shares, expected = [], []
    for kind, best, right in rows:
        row = np.full(3, (1 - best) / 2)
        row[kind if right and kind != 2 else (kind + 1) % 2] = best
        shares.append(row)
        expected.append(kind)
    table, truth = np.array(shares), np.array(expected)

    def balanced(threshold: float) -> float:
        decision = Decision(otherwise="none", threshold=threshold)
        said = [decision.answer(np.log(np.maximum(row, 1e-12)), LABELS).label for row in table]
        right = np.array([LABELS[t] == s for t, s in zip(truth, said, strict=True)])
        return float(right[truth == 2].mean() + right[truth != 2].mean())

    chosen = Decision(otherwise="none").fitted(table, truth, LABELS).threshold
    best = max(balanced(t) for t in (0.0, *np.linspace(0.3, 1, 141)))
    assert balanced(chosen) >= best - 1e-9


@pytest.mark.parametrize("truth", [(2, 2), (0, 1)])
def test_a_threshold_stays_where_records_are_of_one_kind(truth):
    shares = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
    with pytest.warns(AlbatrossWarning, match="of 'none' and of other labels"):
        found = Decision(otherwise="none", threshold=0.6).fitted(shares, np.array(truth), LABELS)
    assert found.threshold == 0.6


def test_a_temperature_stays_where_all_answers_are_right():
    shares = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
    with pytest.warns(AlbatrossWarning, match="of which some are wrong"):
        found = Decision(calibrate=True, temperature=1.5).fitted(shares, np.array([0, 2]), LABELS)
    assert found.temperature == 1.5


def test_a_task_chooses_by_records_and_tells_both_kinds_apart():
    task = task_of(otherwise="none")
    records = [TextRecord("t", None, label) for label in ("a", "b", "none", "none")]
    shares = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.5, 0.5, 0], [0.1, 0.4, 0.5]])
    tuned = task.tuned(answered(shares), records)
    assert tuned.decision.otherwise == "none"
    assert tuned.decision.threshold > 0
    logits = {task.head: np.log(np.maximum(shares, 1e-9)).astype(np.float32)}
    said = [
        tuned.answer({task.head: logits[task.head][i : i + 1]}, record, [])
        for i, record in enumerate(records)
    ]
    figures = score(tuned, said, records)
    assert (figures["inside_accuracy"], figures["otherwise_recall"]) == (1.0, 1.0)


def test_a_tiny_model_with_another_label_learns_by_heart():
    task = task_of(otherwise="none", calibrate=True)
    assert score(task, learned(task, RECORDS, steps=60), RECORDS)["accuracy"] == 1


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"otherwise": "c"}, "--otherwise"),
        ({"otherwise": "none", "labels": ("x", "y", "z")}, "--otherwise"),
    ],
)
def test_a_label_that_is_none_is_refused(options, what):
    with pytest.raises(Exception, match=what):
        task_of(**options)


@pytest.mark.parametrize(
    "values", [{"temperature": 0}, {"temperature": float("inf")}, {"threshold": 2}]
)
def test_a_damaged_decision_is_refused(values):
    with pytest.raises(ConfigError, match="Write the folder again"):
        Decision.from_dict(values).check(LABELS)
