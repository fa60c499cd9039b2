import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.check_task import TOKENIZER, answer_of, check_task, learned

from albatross.data.records import SpanRecord, SpanText
from albatross.errors import DataError, LabelError
from albatross.tasks.answers import SpanAnswer, SpanCandidate
from albatross.tasks.options import TaskOptions
from albatross.tasks.spans import SpansTask
from albatross.tasks.task import score

LONG = "the gull and the tern flew over the harbour in a storm " * 6


def asked(question, context, *answers, **more):
    """A question whose answers are looked for in the context."""
    found = tuple(SpanText(answer, context.index(answer)) for answer in answers)
    return SpanRecord(question, context, found, is_labelled=True, **more)


ANSWERED = [
    asked("Who flew?", "A gull flew over a tern.", "gull", "A gull"),
    asked("What colour?", f"{LONG}and the moon was red.", "red"),
    asked("\u8c01 \U0001f426?", "\u6d77\u9e25 \U0001f426\x00 (caf\u00e9s) flew", "caf\u00e9s"),
    asked(LONG, f"{LONG}.", "harbour in a storm the"),
]
NONE = [
    SpanRecord("Who?", "It rained.", (), True, True),
    SpanRecord("", "", (), True, True),
]


def task_of(records=(*ANSWERED, *NONE), **options) -> SpansTask:
    return SpansTask.from_records("squad", records, TOKENIZER, TaskOptions(**options))


def spans_of(task, record):
    """What the labels of a record's windows mark in its context; None for no answer."""
    found = []
    for example in task.features(record):
        start, end = (example.labels[f"{task.head}.{side}"] for side in ("start", "end"))
        offsets = example.origin.offsets
        at = start - example.origin.first
        if start > 0:
            last = end - example.origin.first
            found.append(record.context[offsets[at][0] : offsets[last][1]])
        else:
            found.append(None)
    return found


# === What every task does ===


@pytest.mark.parametrize("beam", [False, True])
@pytest.mark.parametrize("options", [{"max_length": 12}, {"max_length": 32, "stride": 9}])
def test_questions_do_what_every_task_does(options, beam):
    task = task_of(beam=beam, **options)
    check_task(task, [*ANSWERED, *NONE], task.inputs.max_length)


def test_questions_that_all_have_answers_do_so_too():
    task = task_of(ANSWERED, max_length=32, metric="exact")
    assert not task.no_answer
    check_task(task, ANSWERED, 32)


@pytest.mark.parametrize("beam", [False, True])
def test_a_tiny_model_learns_answers_by_heart(beam):
    words = ("gull", "tern", "storm", "sea", "sky")
    records = [asked(f"who met the {b}?", f"the {a} met the {b}", a) for a in words for b in "xy"]
    records += [SpanRecord("who sang?", f"the {word} slept", (), True, True) for word in words]
    task = task_of(records, beam=beam)
    answers = learned(task, records, steps=150)
    figures = score(task.tuned(answers, records), answers, records)
    assert (figures["has_answer_exact"], figures["no_answer_exact"]) == (1, 1)


# === What is learned ===


@pytest.mark.parametrize("max_length", [24, 64, 400])
@pytest.mark.parametrize("record", ANSWERED[:3])
def test_labels_mark_the_first_answer_in_every_window_that_holds_it(record, max_length):
    found = spans_of(task_of(max_length=max_length, stride=8), record)
    assert {span for span in found if span is not None} == {record.answers[0].text}


@settings(max_examples=60)
@given(st.text(alphabet="gul l\u00e9\u6d77\u0301.\x00", min_size=1, max_size=40), st.data())
def test_labels_cover_any_answer_with_whole_tokens(context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    record = SpanRecord("?", context, (SpanText(context[start:end], start),), is_labelled=True)
    (found,) = spans_of(task_of(max_length=128), record)
    letters = "".join(c for c in context[start:end] if c in "gul")
    assert letters in ("".join(c for c in found or "" if c in "gul"))


def test_a_window_without_the_answer_says_so_where_questions_may_have_none():
    with_none = task_of(max_length=24, stride=8).features(ANSWERED[1])
    without = task_of(ANSWERED, max_length=24, stride=8).features(ANSWERED[1])
    assert len(with_none) == len(without) > 5
    assert with_none[0].labels == {"qa_outputs.start": 0, "qa_outputs.end": 0}
    assert without[0].labels == {"qa_outputs.start": -100, "qa_outputs.end": -100}
    assert with_none[-1].labels == without[-1].labels


def test_the_beam_head_is_told_whether_there_is_an_answer():
    task = task_of(beam=True, max_length=24, stride=8)
    told = [e.labels["beam_qa.impossible"] for e in task.features(ANSWERED[1])]
    assert (told[0], told[-1]) == (1, 0)
    assert [e.labels["beam_qa.impossible"] for e in task.features(NONE[0])] == [1]


def test_a_question_keeps_64_tokens_or_half_of_the_room():
    for max_length, kept in ((400, 64), (43, 20)):
        example = task_of(max_length=max_length).features(ANSWERED[3])[0]
        question = example.input_ids[example.token_type_ids == 0][1:-1].tolist()
        assert question == TOKENIZER.encode(LONG)[:kept]


def test_the_tokens_of_a_context_are_made_once_for_its_questions():
    calls = []

    class Counting:
        cls_id, sep_id, mask_id = TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.mask_id
        encode = TOKENIZER.encode

        def encode_with_offsets(self, text):
            calls.append(text)
            return TOKENIZER.encode_with_offsets(text)

    task = SpansTask.from_records("squad", ANSWERED, Counting())
    for context in (LONG, "other", LONG):
        for question in ("a", "b"):
            task.features(SpanRecord(question, context))
    assert calls == [LONG, "other"]


# === What is answered ===


def sure_of(task, record, wanted, *, null=-50.0):
    """Logits of windows that all find `wanted` where they hold it, and outputs of their heads."""
    examples = task.features(record)
    first = record.context.index(wanted)
    rows = []
    for example in examples:
        logits = np.full((len(example.input_ids), 2), -20.0)
        logits[0] = null / 2
        for at, (start, end) in enumerate(example.origin.offsets.tolist()):
            column = example.origin.first + at
            logits[column, 0] += 30.0 * (start == first)
            logits[column, 1] += 30.0 * (end == first + len(wanted))
        rows.append(logits)
    return {task.head: np.concatenate(rows)}, examples


@pytest.mark.parametrize("record", ANSWERED[:3])
@pytest.mark.parametrize("max_length", [24, 128])
def test_an_answer_is_cut_from_the_original_context(record, max_length):
    task = task_of(max_length=max_length, stride=8)
    wanted = record.answers[0].text
    outputs, examples = sure_of(task, record, wanted)
    answer = task.answer(outputs, record, examples)
    assert (answer.text, record.context[answer.start : answer.end]) == (wanted, wanted)
    assert answer.score > 0.99


def test_every_candidate_is_a_piece_of_the_context():
    for record in ANSWERED:
        for beam in (False, True):
            task = task_of(max_length=24, stride=5, beam=beam)
            for each in answer_of(task, record).candidates:
                assert each.text == record.context[each.start : each.end] != ""


def test_no_candidate_ends_in_white_space_or_comes_twice():
    record = SpanRecord("?", "They paid € 500 or \U0001f426 in K\u00f6ln \u2014 \u6d77 yes.")
    offsets = task_of().features(record)[0].origin.offsets.tolist()
    # A lone piece is the space before a sign.
    assert any(record.context[start:end].isspace() for start, end in offsets)
    for beam in (False, True):
        task = task_of(beam=beam, max_length=64)
        found = [(each.start, each.end, each.text) for each in answer_of(task, record).candidates]
        assert all(text == text.strip() != "" for _, _, text in found)
        assert len(set(found)) == len(found) > 0


def test_no_answer_is_longer_than_30_tokens_or_runs_backwards():
    record = SpanRecord("?", "a " * 60)
    task = task_of(max_length=128)
    examples = task.features(record)
    logits = np.full((len(examples[0].input_ids), 2), -9.0)
    first = examples[0].origin.first
    logits[first + 40, 0], logits[first + 39, 1], logits[first + 70 - 30, 1] = 9.0, 9.0, 5.0
    logits[first, 0] = 8.0
    answer = task.answer({"qa_outputs": logits}, record, examples)
    assert answer.candidates[0].start == examples[0].origin.offsets[40][0]
    lengths = [len(each.text.split()) for each in answer.candidates]
    assert 1 <= min(lengths) <= max(lengths) <= 30


def test_a_token_is_found_by_the_window_where_it_has_most_context_alone():
    task = task_of(max_length=24, stride=8)
    record = SpanRecord("?", LONG)
    examples = task.features(record)
    rows = [np.zeros((len(example.input_ids), 2)) for example in examples]
    # The last token of the first window has more context in the second.
    rows[0][-2] = 99.0
    last = examples[0].origin.offsets[-1].tolist()
    answer = task.answer({"qa_outputs": np.concatenate(rows)}, record, examples)
    assert last not in [[each.start, each.end] for each in answer.candidates]


@pytest.mark.parametrize(("null", "text"), [(-50.0, "gull"), (50.0, "")])
def test_no_answer_is_said_above_the_threshold(null, text):
    record = ANSWERED[0]
    task = task_of(max_length=64)
    outputs, examples = sure_of(task, record, "gull", null=null)
    answer = task.answer(outputs, record, examples)
    assert answer.text == text
    assert answer.no_answer_score == pytest.approx(null - 20.0)
    assert answer.candidates[0].text == "gull"
    sterner = replace(task, threshold=100.0)
    assert sterner.answer(outputs, record, examples).text == "gull"
    always = task_of(ANSWERED, max_length=64).answer(outputs, record, examples)
    assert always.text == "gull"


def test_the_window_that_is_least_sure_of_no_answer_decides():
    task = task_of(max_length=24, stride=8)
    outputs, examples = sure_of(task, ANSWERED[1], "red", null=40.0)
    (length,) = {len(examples[0].input_ids)}
    outputs["qa_outputs"][length * 0] = -40.0
    assert task.answer(outputs, ANSWERED[1], examples).text == "red"


def test_a_beam_answer_adds_the_logarithms_of_start_and_end():
    task = task_of(beam=True, max_length=64)
    record = ANSWERED[0]
    examples = task.features(record)
    first = examples[0].origin.first
    starts, ends = np.full((1, 5), -1e30), np.full((1, 25), -1e30)
    start_index, end_index = np.zeros((1, 5), int), np.zeros((1, 25), int)
    starts[0, :2], start_index[0, :2] = [-0.5, -1.0], [first, first + 1]
    ends[0, [0, 5]], end_index[0, [0, 5]] = [-2.0, -0.1], [first + 2, first + 1]
    outputs = {
        "beam_qa.start_log_probs": starts,
        "beam_qa.start_index": start_index,
        "beam_qa.end_log_probs": ends,
        "beam_qa.end_index": end_index,
        "beam_qa.no_answer": np.array([-3.0]),
    }
    answer = task.answer(outputs, record, examples)
    offsets = examples[0].origin.offsets
    assert (answer.start, answer.end) == (offsets[1][0], offsets[1][1])
    assert answer.score == pytest.approx(1 / (1 + math.exp(-2.5 + 1.1)))
    assert answer.no_answer_score == -3.0


def test_an_empty_context_has_no_answer():
    for beam in (False, True):
        answer = answer_of(task_of(beam=beam), NONE[1])
        assert (answer.text, answer.candidates) == ("", ())
        assert math.isfinite(answer.no_answer_score)


# === Figures ===


def says(text, no_answer_score, task=None):
    found = (SpanCandidate(text, 0, len(text), 1.0),)
    return SpanAnswer(text, 0, len(text), 1.0, no_answer_score, found)


def test_questions_with_and_without_an_answer_have_figures_of_their_own():
    records = [ANSWERED[0], ANSWERED[0], NONE[0]]
    answers = [says("gull", -1.0), says("a tern", -1.0), says("It", 1.0)]
    figures = score(task_of(), answers, records)
    assert (figures["exact"], figures["has_answer_exact"]) == pytest.approx((2 / 3, 0.5))
    assert (figures["no_answer_exact"], figures["records"]) == (1.0, 3)


def test_a_threshold_is_tuned_where_f1_is_best_and_kept():
    records = [ANSWERED[0], NONE[0], ANSWERED[0]]
    answers = [says("gull", 3.0), says("It", 5.0), says("gull", 4.0)]
    task = task_of()
    assert score(task, answers, records)["f1"] == pytest.approx(1 / 3)
    assert score(task, answers, records)["best_f1"] == 1
    tuned = task.tuned(answers, records)
    assert tuned.threshold == 4.0
    assert score(tuned, answers, records)["f1"] == 1
    assert SpansTask.from_dict("squad", tuned.to_dict(), TOKENIZER).threshold == 4.0
    always = task_of(ANSWERED)
    assert always.tuned(answers, records) is always


def test_a_threshold_that_says_none_of_everything_is_below_all_scores():
    records = [ANSWERED[0], NONE[0], NONE[0]]
    answers = [says("a tern", -3.0), says("It", -2.0), says("It", -1.0)]
    tuned = task_of().tuned(answers, records)
    assert tuned.threshold == -4.0
    figures = score(tuned, answers, records)
    assert figures["f1"] == figures["best_f1"] == pytest.approx(2 / 3)


# === Records ===


@pytest.mark.parametrize(
    "record",
    [
        SpanRecord("a", "b", place="question 'x'"),
        SpanRecord("a", "b", (SpanText("c", 0),), is_labelled=True, place="question 'x'"),
        SpanRecord("a", "bc", (SpanText("c", 0),), is_labelled=True, place="question 'x'"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_its_place(record):
    with pytest.raises(LabelError, match="in question 'x'"):
        task_of([record])


def test_no_answer_is_refused_where_every_question_has_one():
    with pytest.raises(LabelError, match="that it has none"):
        task_of(NONE, no_answer=False)


@pytest.mark.parametrize("given", [("a", "b"), {"question": "a", "context": "b"}])
def test_a_question_comes_with_its_context(given):
    assert task_of().record(given) == SpanRecord("a", "b")


@pytest.mark.parametrize("given", ["a", ("a",), {"question": "a"}, ("a", 3), 7])
def test_what_is_no_question_with_a_context_is_refused(given):
    with pytest.raises(DataError, match="must come with its context"):
        task_of().record(given)
