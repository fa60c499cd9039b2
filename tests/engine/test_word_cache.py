"""What is kept between two words: written in place, and never another state's loss."""

import numpy as np
import pytest

from albatross.engine.word_cache import GeneratorState, KeysValues, Sources, WordCache


def state_of(words, room=4):
    """A state of two rows after some words, each kept as its number."""
    state = GeneratorState(WordCache.empty(1, 2, 1, room, 1), np.zeros(2, np.int64), 0, None)
    for word in words:
        state = added(state, word)
    return state


def added(state, word):
    state = state.writable()
    every = np.arange(len(state.lengths))
    state.cache.kept[:, :, every, :, state.lengths] = word
    return state.written()


def kept(state, row=0):
    return state.cache.kept[0, 0, row, 0, : state.lengths[row], 0].tolist()


def test_words_are_written_in_place_while_there_is_room():
    state = state_of([1, 2])
    assert added(state, 3).cache is state.cache
    assert kept(added(state, 3)) == [1, 2, 3]


def test_room_is_doubled_when_it_is_full():
    state = state_of([1, 2, 3, 4])
    after = added(state, 5)
    assert (state.cache.room, after.cache.room) == (4, 8)
    assert kept(after) == [1, 2, 3, 4, 5]


def test_who_goes_on_a_second_time_gets_a_copy():
    state = state_of([1])
    first, second = added(state, 2), added(state, 3)
    assert (kept(state), kept(first), kept(second)) == ([1], [1, 2], [1, 3])


def test_rows_are_taken_as_often_as_they_are_named():
    state = added(state_of([1]), np.array([2, 3]).reshape(2, 1, 1, 1, 1))
    chosen = state.select(np.array([1, 1, 0]))
    assert [kept(chosen, row) for row in range(3)] == [[1, 3], [1, 3], [1, 2]]
    assert kept(added(chosen, 4), 2) == [1, 2, 4]
    assert kept(state) == [1, 2]


@pytest.mark.parametrize(("rows", "same"), [([1, 0, 2], True), ([0, 2, 2], False)])
def test_sources_are_copied_only_where_a_row_has_another(rows, same):
    numbers = np.arange(3, dtype=np.float32)[:, None, None, None]
    of_block = {"memory.0.onnx": KeysValues(numbers, numbers)}
    sources = Sources(of_block, numbers, np.array([0, 0, 1]))
    chosen = sources.select(np.array(rows))
    assert (chosen is sources) == same
    assert chosen.owners.tolist() == [0, 0, 1] if same else [0, 1, 1]
