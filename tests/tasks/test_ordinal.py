import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import LabelError
from albatross.tasks.options import TaskOptions
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 12
RECORDS = [
    TextRecord("Bad.", None, "1"),
    TextRecord("", None, "2"),
    TextRecord(LONG, None, "5"),
    TextRecord("So \u6d77", "so", "3"),
    TextRecord("Good.", None, "10"),
]


def task_of(records=RECORDS, **options) -> OrdinalTask:
    return OrdinalTask.from_records("stars", records, TOKENIZER, TaskOptions(**options))


@pytest.mark.parametrize("options", [{"max_length": 16}, {"metric": "mae"}])
def test_an_order_does_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_ranks_by_heart():
    words = ("gull", "tern", "storm", "sea")
    records = [TextRecord(f"{w} {o}", None, str(i)) for i, w in enumerate(words) for o in words[:3]]
    task = task_of(records)
    assert score(task, learned(task, records, steps=80), records)["quadratic_kappa"] == 1


def test_numbers_have_an_order_and_words_are_given_one():
    assert task_of().labels == ("1", "2", "3", "5", "10")
    words = [TextRecord("a", None, label) for label in ("low", "high")]
    with pytest.raises(LabelError, match=r"listed from the lowest .* Received: high, low\."):
        task_of(words)
    assert task_of(words, labels=("low", "middle", "high")).labels == ("low", "middle", "high")


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_shares_add_up_to_one_and_none_is_negative(logits):
    answer = task_of().answer({"classifier": np.array([logits])}, RECORDS[0], [])
    shares = list(answer.probabilities.values())
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0
    assert not np.signbit(shares).any(), "a share of nothing has no sign"
    assert answer.score == max(shares) == answer.probabilities[answer.label]


def test_a_label_lies_between_the_thresholds_it_is_above_and_those_it_is_not():
    logits = np.array([[9.0, 9.0, -9.0, -9.0]])
    assert task_of().answer({"classifier": logits}, RECORDS[0], []).label == "3"


def test_near_misses_count_less_than_far_ones():
    task = task_of()
    exact, near, far = (
        task.metrics(np.array([[0, 0], [2, 2], [4, last]], dtype=np.float64)) for last in (4, 3, 0)
    )
    assert exact["quadratic_kappa"] == 1 > near["quadratic_kappa"] > far["quadratic_kappa"]
    assert (near["mae"], far["mae"]) == (1 / 3, 4 / 3)
    assert near["accuracy"] == far["accuracy"] == pytest.approx(2 / 3)


def test_transformers_reads_each_threshold_as_a_label_of_its_own():
    keys = task_of().transformers_keys()
    assert keys["problem_type"] == "multi_label_classification"
    assert list(keys["label2id"]) == ["above 1", "above 2", "above 3", "above 5"]


def test_a_label_outside_the_order_is_refused_with_its_place():
    with pytest.raises(LabelError, match=r"Received: '4' in line 9"):
        task_of().check([TextRecord("a", None, "4", place="line 9")])
