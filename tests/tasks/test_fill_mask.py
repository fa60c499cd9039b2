import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError, LabelError
from albatross.tasks.fill_mask import FillMaskTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 6
ONE_PIECE = [
    piece[1:] for piece in TOKENIZER.pieces if piece.startswith("▁") and piece[1:].isalpha()
]
WORDS = ONE_PIECE[:4]
RECORDS = [
    TextRecord("A [MASK].", None, WORDS[0]),
    TextRecord("[MASK]", None, WORDS[1]),
    TextRecord(f"{LONG}[MASK] {LONG}", None, WORDS[2]),
    TextRecord("\u6d77 [MASK] \U0001f426", None, WORDS[3]),
]


def task_of(records=RECORDS, **options) -> FillMaskTask:
    return FillMaskTask.from_records("gaps", records, TOKENIZER, TaskOptions(**options))


@pytest.mark.parametrize("options", [{"max_length": 12}, {}])
def test_filling_gaps_does_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_words_by_heart():
    texts = ["gull [MASK]", "[MASK] storm", "sea [MASK] sea", f"{LONG} [MASK]"]
    records = [TextRecord(text, None, word) for text, word in zip(texts, WORDS, strict=True)]
    task = task_of(records)
    assert score(task, learned(task, records), records)["accuracy"] == 1


def test_every_gap_is_asked_about_alone_with_all_of_them_open():
    task = task_of()
    examples = task.features(TextRecord("a [MASK] b [MASK] c"))
    assert len(examples) == 2
    first, second = examples
    assert first.input_ids.tolist() == second.input_ids.tolist()
    assert (first.input_ids == TOKENIZER.mask_id).sum() == 2
    assert first.asked < second.asked
    for example in examples:
        assert example.input_ids[example.asked] == TOKENIZER.mask_id


def test_a_gap_in_a_long_text_sees_both_sides_of_it():
    (example,) = task_of(max_length=16).features(RECORDS[2])
    assert len(example.input_ids) == 16
    assert example.input_ids[example.asked] == TOKENIZER.mask_id
    assert 5 <= example.asked <= 10


def test_more_gaps_than_can_be_held_are_refused():
    assert len(task_of().features(TextRecord("[MASK] " * 1_000))) == 1_000
    with pytest.raises(DataError, match=r"at most 1,000 gaps\. Received: 1,001"):
        task_of().features(TextRecord("[MASK] " * 1_001))


def test_specials_are_never_said():
    task = task_of()
    logits = np.zeros((1, TOKENIZER.vocab_size), dtype=np.float32)
    specials = [TOKENIZER.mask_id, TOKENIZER.cls_id, TOKENIZER.pad_id, TOKENIZER.unk_id]
    logits[0, specials] = 100
    (word,) = TOKENIZER.encode(WORDS[0])
    logits[0, word] = 50
    answer = task.answer({task.head: logits}, TextRecord("A [MASK]."), [])
    assert answer.text == f"A {WORDS[0]}."
    assert next(iter(answer.gaps[0].values())) == pytest.approx(1.0)
    assert answer.to_dict()["gaps"][0][WORDS[0]] == 1.0
    assert len(answer.gaps[0]) == 5


def test_spare_rows_of_a_model_are_never_said():
    task = task_of()
    logits = np.zeros((1, TOKENIZER.vocab_size + 8), dtype=np.float32)
    logits[0, TOKENIZER.vocab_size :] = 100
    (word,) = TOKENIZER.encode(WORDS[0])
    logits[0, word] = 50
    answer = task.answer({task.head: logits}, TextRecord("A [MASK]."), [])
    assert answer.gaps[0][WORDS[0]] == pytest.approx(1.0)


def test_a_piece_that_goes_on_is_joined_to_its_word():
    task = task_of()
    goes_on = next(
        number
        for number, piece in enumerate(TOKENIZER.pieces)
        if piece.isalpha() and piece.isascii() and not TOKENIZER.starts_word[number]
    )
    logits = np.zeros((1, TOKENIZER.vocab_size), dtype=np.float32)
    logits[0, goes_on] = 50
    answer = task.answer({task.head: logits}, TextRecord("gull [MASK] flew"), [])
    piece = TOKENIZER.pieces[goes_on]
    assert next(iter(answer.gaps[0])) == f"##{piece}"
    assert answer.text == f"gull{piece} flew"


@pytest.mark.parametrize("given", ["no gap", ("A [MASK].", "second")])
def test_a_text_without_a_gap_is_refused(given):
    task = task_of()
    with pytest.raises(DataError, match=r"one text with a gap, written \[MASK\]\. Received"):
        task.features(task.record(given))


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (TextRecord("[MASK] [MASK]", None, WORDS[0], place="row 7"), "2 gaps in row 7"),
        (TextRecord("none", None, WORDS[0]), "0 gaps"),
        (TextRecord("A [MASK].", None, None), "None"),
        (TextRecord("A [MASK].", None, "two words, surely"), "two words"),
        (TextRecord("A [MASK].", None, "[MASK]"), "MASK"),
    ],
)
def test_records_that_cannot_be_scored_are_refused(record, what):
    with pytest.raises(LabelError, match=what):
        task_of([record])


def test_a_metric_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="accuracy, top_5"):
        task_of(metric="f1")
