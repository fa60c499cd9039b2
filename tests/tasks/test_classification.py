import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError, LabelError
from albatross.tasks.answers import Answer
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.labels import imbalance
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 12
RECORDS = [
    TextRecord("The gull flew.", None, "1"),
    TextRecord("", None, "0"),
    TextRecord(LONG, None, "10"),
    TextRecord("The gull flew.", "It did not.", "0"),
    TextRecord(LONG, LONG, "2"),
    TextRecord("", "", "1"),
    TextRecord("\u6d77\u9e25 \U0001f426 \x00", None, "10"),
]


def task_of(records=RECORDS, **options) -> ClassificationTask:
    return ClassificationTask.from_records("mood", records, TOKENIZER, TaskOptions(**options))


def labelled(*labels: str) -> list[TextRecord]:
    return [TextRecord("a", None, label) for label in labels]


def says(task: ClassificationTask, *labels: str) -> list[Answer]:
    return [Answer(label, 1.0, dict.fromkeys(task.labels, 0.0)) for label in labels]


@pytest.mark.parametrize("options", [{"max_length": 5}, {"max_length": 16, "stride": 4}, {}])
def test_a_classification_does_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_classes_by_heart():
    records = [TextRecord(f"{a} {b}", None, a) for a in ("gull", "tern") for b in "abcd"]
    pairs = [TextRecord(a, b, str(a == b)) for a in ("gull", "sea") for b in ("gull", "sea")]
    for known in (records, pairs):
        task = task_of(known)
        assert score(task, learned(task, known, steps=60), known)["accuracy"] == 1


# === Labels ===


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["10", "9", "-1", "0.5"], ("-1", "0.5", "9", "10")),
        (["b", "a", "C"], ("C", "a", "b")),
        (["nan", "2", "inf", "10", "word"], ("2", "10", "inf", "nan", "word")),
    ],
)
def test_labels_are_in_a_fixed_order_numbers_by_their_value(labels, ordered):
    for seed in range(5):
        shuffled = random.Random(seed).sample(labels, len(labels))
        assert task_of(labelled(*shuffled)).values == ordered


def test_names_stand_for_the_labels_in_their_order():
    task = task_of(labelled("1", "0"), labels=("bad", "good"))
    assert (task.labels, task.values) == (("bad", "good"), ("0", "1"))
    assert [task.class_of(label) for label in ("0", "1", "bad", "good")] == [0, 1, 0, 1]


def test_without_names_the_labels_are_their_own():
    assert task_of(labelled("yes", "no")).labels == ("no", "yes")


@pytest.mark.parametrize("names", [["bad"], ["bad", "good", "so"], ["bad", "bad"]])
def test_names_must_be_one_for_each_label(names):
    with pytest.raises(LabelError, match=r"name of its own: 0, 1\. Received: bad"):
        task_of(labelled("0", "1"), labels=tuple(names))


@pytest.mark.parametrize(("labels", "received"), [([], "none"), (["1", "1"], "1")])
def test_one_label_is_none_to_learn(labels, received):
    with pytest.raises(LabelError, match=rf"at least two labels\. Received: {received}\."):
        task_of(labelled(*labels))


def test_one_label_is_told_with_the_place_where_the_records_begin():
    records = [TextRecord("a", None, "x", place=f"line {n} of 'a.tsv'") for n in (2, 3)]
    with pytest.raises(LabelError, match=r"Received: x from line 2 of 'a\.tsv' on\."):
        task_of(records)


def test_a_training_record_without_a_label_is_named():
    records = [*labelled("0", "1"), TextRecord("The gull flew.")]
    with pytest.raises(LabelError, match=r"1 of 3 without, the first of them 'The gull flew\.'"):
        task_of(records)


def test_an_unknown_label_is_named_beside_the_known_ones():
    task = task_of(labelled("0", "1"), labels=("bad", "good"))
    with pytest.raises(
        LabelError, match=r"one of bad, good, 0, 1\. Received: 'fair' in line 7 of 'a.tsv'"
    ):
        task.features(TextRecord("a", None, "fair", place="line 7 of 'a.tsv'"))


def test_an_error_names_no_more_labels_than_a_line_holds():
    task = task_of(labelled("0", "1"), labels=tuple(map(str, range(5_000))))
    with pytest.raises(LabelError, match="and 4980 more") as caught:
        task.class_of("gull")
    assert len(str(caught.value)) < 300


# === Texts and windows ===


def test_a_text_stands_between_the_specials():
    (example,) = task_of().features(TextRecord("The gull flew."))
    ids = TOKENIZER.encode("The gull flew.")
    assert example.input_ids.tolist() == [TOKENIZER.cls_id, *ids, TOKENIZER.sep_id]
    assert not example.token_type_ids.any()
    assert example.labels == {}


def test_an_empty_text_is_one_example_of_specials():
    (example,) = task_of().features(TextRecord(""))
    assert example.input_ids.tolist() == [TOKENIZER.cls_id, TOKENIZER.sep_id]


@given(st.text(alphabet="gull storm", max_size=200), st.integers(5, 40))
def test_windows_cover_a_text_once_within_the_limit(text, max_length):
    windows = task_of(max_length=max_length).features(TextRecord(text, None, "2"))
    inner = [token for window in windows for token in window.input_ids[1:-1].tolist()]
    assert inner == TOKENIZER.encode(text)
    assert all(len(window.input_ids) == max_length for window in windows[:-1])
    assert len(windows[-1].input_ids) <= max_length
    assert [window.labels for window in windows] == [{"classifier": 2}] * len(windows)


# === Pairs ===


@given(st.integers(0, 60), st.integers(0, 60), st.integers(5, 50))
def test_a_pair_keeps_as_much_of_both_texts_as_fits(first, second, max_length):
    a, b = "1" * first, "2" * second
    (example,) = task_of(max_length=max_length).features(TextRecord(a, b))
    kept = [
        example.input_ids[example.token_type_ids == side].tolist()[1 - side : -1] for side in (0, 1)
    ]
    ids = [TOKENIZER.encode(a), TOKENIZER.encode(b)]
    assert [whole[: len(part)] for whole, part in zip(ids, kept, strict=True)] == kept
    room, half = max_length - 3, (max_length - 3) // 2
    assert sum(map(len, kept)) == min(room, sum(map(len, ids)))
    assert all(len(part) >= min(half, len(whole)) for whole, part in zip(ids, kept, strict=True))


def test_a_pair_stands_between_its_specials():
    (example,) = task_of().features(TextRecord("The gull.", "A tern."))
    first, second = TOKENIZER.encode("The gull."), TOKENIZER.encode("A tern.")
    cls, sep = TOKENIZER.cls_id, TOKENIZER.sep_id
    assert example.input_ids.tolist() == [cls, *first, sep, *second, sep]
    assert example.token_type_ids.tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)


# === Answers and scores ===


def test_an_answer_is_the_label_of_the_largest_share():
    task = task_of(labelled("0", "1", "2"), labels=("bad", "fair", "good"))
    logits = np.log(np.array([[0.1, 0.2, 0.7]], dtype=np.float32))
    answer = task.answer({"classifier": logits}, RECORDS[0], [])
    assert answer.label == "good"
    assert list(answer.probabilities.values()) == pytest.approx([0.1, 0.2, 0.7], abs=1e-6)


def test_windows_vote_with_the_mean_of_their_logits():
    task = task_of(labelled("0", "1"))
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=np.float32)
    answer = task.answer({"classifier": logits}, RECORDS[2], [])
    mean = task.answer({"classifier": logits.mean(0, keepdims=True)}, RECORDS[2], [])
    assert answer.label == "0"
    assert answer.score == pytest.approx(mean.score, abs=1e-6)


def test_a_score_counts_by_class_however_the_file_spells_it():
    task = task_of(labelled("0", "1"), labels=("bad", "good"))
    answers = says(task, "bad", "good", "good", "good")
    scores = score(task, answers, labelled("0", "1", "bad", "good"))
    assert (scores["accuracy"], scores["records"]) == (0.75, 4)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores["f1"] == pytest.approx(4 / 5)


@pytest.mark.parametrize("label", [None, "fair"])
def test_records_that_cannot_be_scored_are_refused(label):
    task = task_of(labelled("0", "1"))
    with pytest.raises(LabelError, match="Received"):
        score(task, says(task, "0"), [TextRecord("a", None, label)])


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="at least one record"):
        score(task_of(), [], [])


# === Files and settings ===


def test_a_task_reads_its_records_and_takes_single_texts(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("sentence\tlabel\nThe gull flew.\t1\n")
    assert task_of().read(path) == [TextRecord("The gull flew.", None, "1")]
    assert task_of().record("A tern.") == TextRecord("A tern.")


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["list"]])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(DataError, match=rf"must be a string, .*Received: {type(text).__name__}\."):
        task_of().record(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": "abc"},
        {"labels": ["a"]},
        {"labels": [1, 2, 3, 4]},
        {"values": ["1", "1", "2", "3"]},
        {"max_length": 4},
        {"max_length": "long"},
        {"metric": "f1"},
        {"positive": "1"},
        {"stride": 0},
        {"head": None, "labels": None},
    ],
)
def test_a_damaged_task_is_one_clear_error(changed):
    values = {**task_of().to_dict(), **changed}
    with pytest.raises(ConfigError, match=r"Received"):
        ClassificationTask.from_dict("mood", values, TOKENIZER)


@pytest.mark.parametrize("missing", ["labels", "values", "max_length", "head"])
def test_a_task_without_one_of_its_parts_is_one_clear_error(missing):
    values = {key: value for key, value in task_of().to_dict().items() if key != missing}
    with pytest.raises(ConfigError, match=f"Received for 'mood': '{missing}'"):
        ClassificationTask.from_dict("mood", values, TOKENIZER)


def test_the_head_has_an_output_for_each_label():
    task = replace(task_of(), head="heads.mood")
    assert {name: (head.kind, head.size) for name, head in task.heads.items()} == {
        "heads.mood": ("sequence", 4)
    }
    assert task.features(RECORDS[0])[0].labels == {"heads.mood": 1}


# === Which labels, which figures ===


def test_all_labels_may_be_listed_in_an_order_of_ones_own():
    task = task_of(labelled("no", "yes"), labels=("yes", "perhaps", "no"))
    assert task.labels == task.values == ("yes", "perhaps", "no")


@pytest.mark.parametrize(("labels", "records"), [(2_001, 10_000), (160, 200)])
def test_labels_that_look_like_texts_are_refused_unless_listed(labels, records):
    names = [f"name {number % labels}" for number in range(records)]
    with pytest.raises(LabelError, match="look like texts or ids"):
        task_of(labelled(*names))
    assert len(task_of(labelled(*names), labels=tuple(dict.fromkeys(names))).labels) == labels


def test_one_record_of_each_of_77_classes_is_enough():
    assert len(task_of(labelled(*map(str, range(77)))).labels) == 77


@pytest.mark.parametrize("positive", ["ham", "no"])
def test_the_positive_label_may_be_named_as_the_file_has_it(positive):
    records = [TextRecord("a", label=label) for label in ("ham", "ham", "ham", "spam")]
    task = task_of(records, labels=("no", "yes"), metric="f1", positive=positive)
    judged = np.array([[0, 0], [0, 0], [0, 0], [1, 0]], dtype=np.float64)
    assert task.metrics(judged)["f1"] == pytest.approx(6 / 7)


def test_the_positive_label_and_the_main_metric_are_options():
    records = labelled("ham", "spam")
    usual = task_of(records, metric="f1")
    other = task_of(records, metric="f1", positive="ham")
    judged = np.array([[0, 0], [0, 0], [1, 0], [1, 1]], dtype=np.float64)
    assert usual.metrics(judged)["f1"] == pytest.approx(2 / 3)
    assert other.metrics(judged)["f1"] == pytest.approx(4 / 5)
    assert usual.main_metric == other.main_metric == "f1"


@pytest.mark.parametrize("option", [{"no_answer": True}, {"beam": True}])
def test_options_of_other_kinds_are_refused(option):
    with pytest.raises(ConfigError, match=f"classification has no use for `{next(iter(option))}`"):
        task_of(**option)


def test_how_often_each_label_comes_is_counted():
    assert imbalance(labelled("a", "b", "b", "c", "b", "c")) == {"b": 3, "c": 2, "a": 1}


def test_folders_of_earlier_versions_are_read():
    values = {"labels": ["a", "b"], "values": ["0", "1"], "max_length": 64, "head": "classifier"}
    task = ClassificationTask.from_dict("mood", values, TOKENIZER)
    assert (task.inputs.format, task.inputs.stride, task.main_metric) == ("text", None, "accuracy")


def test_a_file_is_read_by_the_columns_that_the_task_keeps(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("note,what,mark\nx,A gull.,1\n")
    task = task_of(columns={"text": "what", "label": "mark"})
    again = ClassificationTask.from_dict("mood", task.to_dict(), TOKENIZER)
    assert again.read(path) == [TextRecord("A gull.", None, "1")]


def test_the_format_of_other_records_is_refused():
    with pytest.raises(ConfigError, match=r"must be one of text, .*Received: 'squad'"):
        task_of(format="squad")
