from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.check_task import TOKENIZER

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError
from albatross.tasks.inputs import Inputs, most_context, sigmoid, softmax, text_record

LONG = "the gull and the tern flew over the harbour in a storm " * 6


@given(st.integers(0, 60), st.integers(1, 20), st.none() | st.integers(1, 30))
def test_windows_cover_all_tokens_and_none_is_longer_than_its_room(count, room, stride):
    windows = Inputs(TOKENIZER, stride=stride).windows(count, room)
    assert sorted({at for window in windows for at in range(count)[window]}) == list(range(count))
    assert all(window.stop - window.start <= room for window in windows)
    steps = {after.start - one.start for one, after in pairwise(windows)}
    assert steps <= {min(room, stride or room)}


def test_a_stride_goes_before_the_usual_one():
    assert len(Inputs(TOKENIZER, stride=2).windows(10, 6, 4)) == 3
    assert len(Inputs(TOKENIZER).windows(10, 6, 4)) == 2


def test_every_token_is_read_where_it_has_most_context():
    windows = [slice(0, 6), slice(3, 9), slice(6, 10)]
    # Token 4 has 1 to its right in the first window and 1 to its left in the second: the first.
    assert most_context(windows, 10).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_a_token_is_read_in_a_window_that_holds_it(count, room, stride):
    windows = Inputs(TOKENIZER, stride=stride).windows(count, room)
    for token, chosen in enumerate(most_context(windows, count).tolist()):
        assert windows[chosen].start <= token < windows[chosen].stop


def test_a_long_first_text_of_a_pair_is_read_in_windows_when_asked_for():
    record = TextRecord(LONG, "a tern")
    (cut,) = Inputs(TOKENIZER, 32).texts(record)
    windows = Inputs(TOKENIZER, 32, stride=10).texts(record)
    second = TOKENIZER.encode("a tern")
    assert len(windows) > 5
    assert windows[0].input_ids.tolist() == cut.input_ids.tolist()
    assert all(w.input_ids[w.token_type_ids == 1][:-1].tolist() == second for w in windows)


def test_what_stands_in_both_texts_of_a_pair_is_of_its_own_types():
    first, second = [7, 8, 9, 8], [5, 8, 6, 7]
    (cls, sep), inputs = (TOKENIZER.cls_id, TOKENIZER.sep_id), Inputs(TOKENIZER)
    plain, marked = (
        replace(inputs, mark_shared=marks).pair(first, second) for marks in (False, True)
    )
    assert marked.input_ids.tolist() == [cls, *first, sep, *second, sep]
    assert plain.token_type_ids.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert marked.token_type_ids.tolist() == [0, 2, 2, 0, 2, 0, 1, 3, 1, 3, 1]
    assert not inputs.single(first).token_type_ids.any()
    nothing = replace(inputs, mark_shared=True).pair([], second)
    assert nothing.token_type_ids.tolist() == [0, 0, 1, 1, 1, 1, 1]


def test_marks_are_those_of_a_window_and_are_kept_in_the_file():
    inputs = Inputs(TOKENIZER, 32, stride=10, mark_shared=True)
    assert Inputs.from_dict(inputs.to_dict(), TOKENIZER, "text") == inputs
    assert "mark_shared" not in replace(inputs, mark_shared=False).to_dict()
    for window in inputs.texts(TextRecord(LONG, "a tern")):
        ids, types = window.input_ids, window.token_type_ids
        assert (
            set(ids[types == 2])
            == set(ids[types == 3])
            == set(ids[types % 2 == 0]) & set(ids[types % 2 == 1]) - {TOKENIZER.sep_id}
        )


@pytest.mark.parametrize("given", ["a", ("a",), {"text": "a"}])
def test_a_text_may_be_named(given):
    assert text_record(given) == TextRecord("a")


@pytest.mark.parametrize("given", [("a", "b"), {"text": "a", "text_pair": "b"}])
def test_a_pair_may_be_named(given):
    assert text_record(given) == TextRecord("a", "b")


@pytest.mark.parametrize("given", [(), ("a", "b", "c"), {"question": "a"}, {"text": 3}, 5])
def test_what_is_neither_text_nor_pair_is_refused(given):
    with pytest.raises(DataError, match="a pair two of them"):
        text_record(given)


@pytest.mark.parametrize("scale", [0, 1, 1e4, 1e30])
def test_no_logits_are_too_large(scale):
    logits = scale * np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    assert softmax(logits).sum() == pytest.approx(1)
    assert sigmoid(logits).tolist() == pytest.approx(sigmoid(-logits)[::-1].tolist())
    assert sigmoid(logits)[1] == 0.5


@pytest.mark.parametrize("options", [{"max_length": 4}, {"stride": 0}, {"stride": -3}])
def test_lengths_that_hold_nothing_are_refused(options):
    with pytest.raises(ConfigError, match=f"`{next(iter(options))}` must be at least"):
        Inputs(TOKENIZER, **options)


def test_inputs_come_back_from_json():
    inputs = Inputs(TOKENIZER, 64, 16, "sst2", {"text": "review"})
    assert Inputs.from_dict(inputs.to_dict(), TOKENIZER, "text") == inputs
