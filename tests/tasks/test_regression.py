import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.tasks.options import TaskOptions
from albatross.tasks.regression import RegressionTask
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 12
RECORDS = [
    TextRecord("A gull.", "A tern.", "3.5"),
    TextRecord("", None, "-1"),
    TextRecord(LONG, None, "0"),
    TextRecord("\u6d77 \U0001f426", "", "2e2"),
]


def task_of(records=RECORDS, **options) -> RegressionTask:
    return RegressionTask.from_records("score", records, TOKENIZER, TaskOptions(**options))


@pytest.mark.parametrize("options", [{"max_length": 16}, {"metric": "mse"}])
def test_a_regression_does_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_numbers_by_heart_whatever_their_scale():
    words = ("gull", "tern", "storm", "sea", "sky", "rain", "wind", "sun")
    records = [TextRecord(word, None, str(1_000 + 10 * i)) for i, word in enumerate(words)]
    task = task_of(records)
    figures = score(task, learned(task, records), records)
    assert figures["pearson_spearman"] > 0.99
    assert figures["mse"] < 4


def test_the_head_learns_labels_about_zero_with_a_deviation_of_one():
    task = task_of()
    labels = np.array([task.features(record)[0].labels["classifier"] for record in RECORDS])
    assert (labels.mean(), labels.std()) == pytest.approx((0, 1))


def test_an_answer_is_on_the_scale_of_the_labels():
    task = task_of()
    for record in RECORDS:
        label = np.array([[task.features(record)[0].labels["classifier"]]])
        answer = task.answer({"classifier": label}, record, [])
        assert answer.value == pytest.approx(float(record.label or "nan"))


def test_correlations_are_those_of_the_definition():
    judged = np.array([[0, 0.0], [1, 0.5], [2, 3.0], [3, 2.0]])
    figures = task_of().metrics(judged)
    assert figures["pearson"] == pytest.approx(np.corrcoef(judged.T)[0, 1])
    assert figures["spearman"] == pytest.approx(0.8)
    assert figures["pearson_spearman"] == (figures["pearson"] + figures["spearman"]) / 2
    assert figures["mse"] == pytest.approx((0 + 0.25 + 1 + 1) / 4)


@pytest.mark.parametrize("label", ["high", "nan", "inf", ""])
def test_what_is_no_finite_number_is_refused_with_its_place(label):
    records = [*RECORDS, TextRecord("a", None, label, place="line 6")]
    with pytest.raises(LabelError, match=r"finite number here\. Received: .* in line 6"):
        task_of(records)


def test_one_number_everywhere_is_none_to_learn():
    with pytest.raises(LabelError, match=r"two different numbers\. Received: 3\.0"):
        task_of([TextRecord("a", None, "3"), TextRecord("b", None, "3.0")])


@pytest.mark.parametrize("changed", [{"deviation": 0}, {"mean": "x"}, {"deviation": float("inf")}])
def test_a_damaged_scale_is_refused(changed):
    with pytest.raises(ConfigError, match="Received"):
        RegressionTask.from_dict("score", {**task_of().to_dict(), **changed}, TOKENIZER)
