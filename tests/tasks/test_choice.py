import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import ChoiceRecord
from albatross.errors import DataError, LabelError
from albatross.tasks.answers import ChoiceAnswer
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 12
RECORDS = [
    ChoiceRecord("A gull flew.", "What flew?", ("a gull", "a tern"), 0, subset="middle"),
    ChoiceRecord(LONG, "The _ flew.", ("gull", "ship", "\u6d77"), 0, subset="high"),
    ChoiceRecord("", LONG, ("", "a"), 1, subset="high"),
    ChoiceRecord("a", "", (LONG, LONG), 1),
]


def task_of(records=RECORDS, **options) -> ChoiceTask:
    return ChoiceTask.from_records("race", records, TOKENIZER, TaskOptions(**options))


def inner(example):
    """The ids of both segments, without specials."""
    first = example.input_ids[example.token_type_ids == 0][1:-1].tolist()
    return first, example.input_ids[example.token_type_ids == 1][:-1].tolist()


@pytest.mark.parametrize(
    "options", [{"max_length": 12}, {"max_length": 24, "stride": 6}, {"max_length": 300}]
)
def test_a_choice_does_what_every_task_does(options):
    check_task(task_of(**options), RECORDS, options["max_length"])


def test_a_tiny_model_learns_choices_by_heart():
    words = ("gull", "tern", "storm", "sea")
    records = [
        ChoiceRecord(f"the {word} flew", "what?", words, right) for right, word in enumerate(words)
    ]
    task = task_of(records)
    assert score(task, learned(task, records, steps=100), records)["accuracy"] == 1


def test_a_context_stands_before_the_question_with_each_choice():
    examples = task_of().features(RECORDS[0])
    context = TOKENIZER.encode("A gull flew.")
    asked = [TOKENIZER.encode(f"What flew? {choice}") for choice in ("a gull", "a tern")]
    assert [inner(example) for example in examples] == [(context, ids) for ids in asked]
    assert [example.origin for example in examples] == [0, 1]


@pytest.mark.parametrize("blank", ["_", "____"])
def test_a_choice_fills_the_blank_of_a_cloze_question(blank):
    record = ChoiceRecord("a", f"The {blank} flew.", ("gull", "tern"))
    texts = [TOKENIZER.decode(inner(example)[1]) for example in task_of().features(record)]
    assert texts == [TOKENIZER.decode(TOKENIZER.encode(f"The {w} flew.")) for w in ("gull", "tern")]


def test_a_long_question_keeps_its_end_and_half_of_the_room_at_most():
    task = task_of(max_length=43)
    first, second = inner(task.features(ChoiceRecord(LONG, LONG, ("sea", "sky")))[0])
    assert (len(first), len(second)) == (20, 20)
    assert second == TOKENIZER.encode(f"{LONG} sea")[-20:]
    _, alone = inner(task_of(max_length=400).features(ChoiceRecord("", LONG, ("a", "b")))[0])
    assert len(alone) == 128


def test_with_a_stride_no_part_of_a_context_is_passed_over():
    task = task_of(max_length=24, stride=6)
    examples = task.features(RECORDS[1])
    assert {example.origin for example in examples} == {0, 1, 2}
    found = [inner(example)[0] for example in examples if example.origin == 2]
    ids = TOKENIZER.encode(LONG)
    assert found[0][:6] + found[1][:6] == ids[:12]
    assert found[-1][-4:] == ids[-4:]


def test_windows_of_a_choice_speak_with_their_mean():
    task = task_of(max_length=24, stride=6)
    record = ChoiceRecord(LONG, "", ("gull", "the ship in the storm"))
    examples = task.features(record)
    numbers = [example.origin for example in examples]
    assert 2 < numbers.count(0) < numbers.count(1)
    scores = np.array([[1.0 if number == 0 else 0.9] for number in numbers])
    scores[0], scores[1] = 5.0, -3.0
    answer = task.answer({"classifier": scores}, record, examples)
    assert (answer.index, answer.text) == (0, "gull")
    assert answer.score == pytest.approx(1 / (1 + np.exp(-0.1)))


def test_accuracy_is_given_for_each_subset():
    answers = [ChoiceAnswer(index, "", 1.0, ()) for index in (0, 0, 0, 0)]
    figures = score(task_of(), answers, RECORDS)
    assert (figures["accuracy"], figures["records"]) == (0.5, 4)
    assert (figures["accuracy_middle"], figures["accuracy_high"]) == (1.0, 0.5)


@pytest.mark.parametrize("label", [None, -1, 2])
def test_a_question_without_its_right_choice_is_refused(label):
    record = ChoiceRecord("a", "b", ("c", "d"), label, place="question 'x'")
    with pytest.raises(LabelError, match=r"Received: .* of 2 in question 'x'"):
        task_of([record])


def test_a_mapping_names_the_parts():
    given = {"context": "a", "question": "b", "choices": ["c", "d"]}
    assert task_of().record(given) == ChoiceRecord("a", "b", ("c", "d"))


@pytest.mark.parametrize(
    "given", ["a", ("a", "b"), {"question": "a"}, {"choices": ["a"]}, {"choices": ["a", 3]}]
)
def test_what_is_no_question_with_choices_is_refused(given):
    with pytest.raises(DataError, match="at least two choices"):
        task_of().record(given)
