import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER, check_task

from albatross.data.records import TextRecord
from albatross.errors import DataError
from albatross.tasks.coherence import HEAD, ORDERS, CoherenceTask
from albatross.tasks.inputs import Inputs

LONG = "The gull flew over the harbour. " * 20
RECORDS = [
    TextRecord("The gull flew.", "Then it sat.", "in order"),
    TextRecord(LONG, None, "out of order"),
    TextRecord("The tern sat. The gull flew! Why?", None, "in order"),
    TextRecord("", "", "in order"),
]


def task_of(max_length=64) -> CoherenceTask:
    return CoherenceTask.of(Inputs(TOKENIZER, max_length))


@pytest.mark.parametrize("max_length", [8, 17, 64])
def test_order_does_what_every_task_does(max_length):
    check_task(task_of(max_length), RECORDS, max_length)


def test_a_text_is_asked_about_at_the_end_of_each_sentence():
    task = task_of()
    whole = TOKENIZER.encode("The tern sat.") + TOKENIZER.encode("The gull flew!")
    whole += TOKENIZER.encode("Why?")
    examples = task.features(TextRecord("The tern sat. The gull flew! Why?"))
    assert len(examples) == 2
    for example in examples:
        specials = {TOKENIZER.cls_id, TOKENIZER.sep_id}
        assert [n for n in example.input_ids.tolist() if n not in specials] == whole
    first = examples[0].token_type_ids == 0
    assert examples[0].input_ids[first].tolist()[1:-1] == TOKENIZER.encode("The tern sat.")


def test_what_lies_nearest_to_the_end_is_read_of_a_long_text():
    task = task_of(16)
    examples = task.features(RECORDS[1])
    one = TOKENIZER.encode("The gull flew over the harbour.")
    middle = examples[len(examples) // 2]
    before = middle.input_ids[middle.token_type_ids == 0].tolist()[1:-1]
    behind = middle.input_ids[middle.token_type_ids == 1].tolist()[:-1]
    assert len(middle.input_ids) == 16
    assert (one * 3)[-len(before) :] == before
    assert (one * 3)[: len(behind)] == behind


def test_the_ends_of_sentences_vote():
    task = task_of()
    logits = np.array([[0.0, 1.0], [4.0, 0.0]], dtype=np.float32)
    assert task.answer({HEAD: logits}, RECORDS[2], []).label == ORDERS[0]


@pytest.mark.parametrize("text", ["One sentence alone.", ""])
def test_a_single_sentence_has_no_order(text):
    with pytest.raises(DataError, match="second text as a pair"):
        task_of().features(TextRecord(text))
