import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.tasks.answers import LabelsAnswer
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 12
RECORDS = [
    TextRecord("A gull in the rain.", None, None, ("bird", "weather")),
    TextRecord("", None, None, ()),
    TextRecord(LONG, None, None, ("bird",)),
    TextRecord("Rain", "\u6d77 \U0001f426", "weather"),
]


def task_of(records=RECORDS, **options) -> MultiLabelTask:
    return MultiLabelTask.from_records("tags", records, TOKENIZER, TaskOptions(**options))


def says(task, *shares):
    return [LabelsAnswer((), dict(zip(task.labels, row, strict=True))) for row in shares]


@pytest.mark.parametrize("options", [{"max_length": 16}, {"metric": "macro_f1"}])
def test_several_labels_do_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_sets_of_labels_by_heart():
    names = ("gull", "rain", "sea")
    sets = [tuple(n for i, n in enumerate(names) if number >> i & 1) for number in range(8)]
    records = [TextRecord(" ".join(labels), None, None, labels) for labels in sets]
    task = task_of(records)
    assert score(task, learned(task, records, steps=80), records)["subset_accuracy"] == 1


def test_a_label_is_given_from_its_threshold_on():
    task = MultiLabelTask("tags", ("a", "b", "c"), (0.5, 0.9, 0.1), task_of().inputs)
    shares = np.array([0.5, 0.8, 0.2])
    logits = np.log(shares / (1 - shares))[None]
    answer = task.answer({"classifier": logits.astype(np.float64)}, RECORDS[0], [])
    assert answer.labels == ("a", "c")
    assert list(answer.probabilities.values()) == pytest.approx(shares)


def test_labels_are_flags_of_each_window():
    task = task_of(max_length=16)
    windows = task.features(RECORDS[2])
    assert len(windows) > 3
    flags = [np.asarray(window.labels["classifier"]).tolist() for window in windows]
    assert flags == [[[1, 0]]] * len(windows)


def test_thresholds_lie_where_f1_is_best():
    task = task_of()
    answers = says(task, (0.9, 0.30), (0.6, 0.20), (0.5, 0.10), (0.1, 0.05))
    # bird: only the surest; weather: the two surest.
    sets = [("bird", "weather"), ("weather",), (), ()]
    records = [TextRecord("a", None, None, labels) for labels in sets]
    assert task.tuned(answers, records).thresholds == pytest.approx((0.75, 0.15))


def test_a_label_that_never_comes_keeps_its_threshold():
    answers = says(task_of(), (0.9, 0.3), (0.8, 0.3))
    records = [TextRecord("a", None, None, ("bird",))] * 2
    assert task_of().tuned(answers, records).thresholds == pytest.approx((0.4, 0.5))


def test_a_set_is_right_as_a_whole():
    task = task_of()
    answers = [LabelsAnswer(("bird",), {}), LabelsAnswer((), {})]
    records = [TextRecord("a", None, "bird"), TextRecord("a", None, None, ("weather",))]
    figures = score(task, answers, records)
    assert (figures["subset_accuracy"], figures["micro_f1"]) == pytest.approx((0.5, 2 / 3))
    assert figures["macro_f1"] == 0.5


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        ([TextRecord("a", place="line 4")], {}, "list of labels .* in line 4"),
        ([TextRecord("a", None, "x")], {}, "at least two labels"),
        (RECORDS, {"labels": ("bird", "sky")}, r"one of bird, sky\. Received: 'weather'"),
    ],
)
def test_what_cannot_be_learned_is_refused(records, options, message):
    with pytest.raises(LabelError, match=message):
        task_of(records, **options)


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 1.5], ["x", 0.5], 3])
def test_damaged_thresholds_are_refused(thresholds):
    values = {**task_of().to_dict(), "thresholds": thresholds}
    with pytest.raises(ConfigError, match="Received"):
        MultiLabelTask.from_dict("tags", values, TOKENIZER)
