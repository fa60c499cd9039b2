"""Searching for texts over a table of probabilities, against all texts that there are."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from albatross.data.packing import Example, pack
from albatross.engine.generation import NextWords, SearchOptions, as_outputs, write
from albatross.errors import ConfigError

END, WORDS = 0, 5


@dataclass
class Chain:
    """The next word follows from the source and the word before: log_probs (words, words)."""

    log_probs: np.ndarray
    rows: list

    def start(self, sources):
        state = np.stack([self._table(ids[0]) for ids in self._split(sources)])
        return self._said(state, np.full(len(state), END))

    def step(self, state, last_ids):
        return self._said(state, last_ids)

    def reorder(self, state, indices):
        return state[indices]

    def _said(self, state, last):
        self.rows.append(len(state))
        return NextWords(state[np.arange(len(state)), last].astype(np.float32), state)

    def _table(self, number):
        return np.roll(self.log_probs, int(number), axis=1)

    def _split(self, sources):
        return np.split(sources.input_ids, sources.cu_seqlens[1:-1])


@pytest.fixture
def chain():
    logits = np.random.default_rng(5).normal(size=(WORDS, WORDS)) * 1.5
    return Chain(logits - np.log(np.exp(logits).sum(1, keepdims=True)), [])


def sources(*numbers):
    return pack([Example(np.array([number, 9]), np.zeros(2, np.int64)) for number in numbers])


def all_texts(chain, number, longest, penalty):
    """The score of every text of at most so many words that ends, and of those that are cut."""
    table, scores = chain._table(number), {}
    for length in range(longest + 1):
        for ids in product(range(1, WORDS), repeat=length):
            steps = [(before, word) for before, word in zip((END, *ids), ids, strict=False)]
            total = sum(table[step] for step in steps)
            last = ids[-1] if ids else END
            if length < longest:
                scores[ids, True] = (total + table[last, END]) / (length + 1) ** penalty
            else:
                scores[ids, False] = total / length**penalty
    return scores


OPTIONS = SearchOptions(END, max_length=4)


def test_greedy_search_takes_the_best_word_every_time(chain):
    table, ids = chain._table(2), [END]
    while len(ids) < 5:
        ids.append(int(table[ids[-1]].argmax()))
        if ids[-1] == END:
            break
    (found,) = write(chain, sources(2), OPTIONS)
    assert len(found) == 1
    assert found[0].ids == tuple(word for word in ids[1:] if word != END)


@pytest.mark.parametrize("beams", [1, 3])
def test_spare_rows_of_a_model_are_never_written(chain, beams):
    chain.log_probs[:, WORDS - 1] = 9.0
    (found,) = write(chain, sources(0), replace(OPTIONS, beams=beams, words=WORDS - 1))
    assert all(word < WORDS - 1 for text in found for word in text.ids)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("number", range(5))
def test_enough_beams_find_the_best_of_all_texts(chain, number, penalty):
    expected = all_texts(chain, number, 4, penalty)
    options = replace(OPTIONS, beams=700, length_penalty=penalty)
    (found,) = write(chain, sources(number), options)
    assert len(found) == len(expected)
    for text in found:
        assert text.score == pytest.approx(expected[text.ids, text.ended], abs=1e-5)
    assert found[0].score == pytest.approx(max(expected.values()), abs=1e-5)


def test_beams_find_what_greedy_search_misses(chain):
    options = replace(OPTIONS, length_penalty=0.0)
    greedy, beams = (
        [texts[0].score for texts in write(chain, sources(*range(5)), replace(options, beams=n))]
        for n in (1, 700)
    )
    assert all(one <= other for one, other in zip(greedy, beams, strict=True))
    assert greedy != beams


def test_texts_do_not_depend_on_their_company(chain):
    options = replace(OPTIONS, beams=3)
    alone = [write(chain, sources(number), options)[0] for number in range(5)]
    assert write(chain, sources(*range(5)), options) == alone


def test_sources_leave_when_they_are_done(chain):
    found = write(chain, sources(*range(5)), replace(OPTIONS, max_length=30))
    lengths = [len(texts[0].ids) for texts in found]
    assert len(set(lengths)) > 1
    for step, rows in enumerate(chain.rows):
        assert rows == sum(length >= step for length in lengths)


def test_a_text_is_as_long_as_it_must_be_and_no_longer(chain):
    options = replace(OPTIONS, beams=3, min_length=2, max_length=3)
    for texts in write(chain, sources(*range(5)), options):
        assert {len(text.ids) for text in texts} <= {2, 3}
        assert all(text.ended == (len(text.ids) == 2) for text in texts)


def test_a_run_of_words_comes_only_once(chain):
    looping = SearchOptions(END, min_length=8, max_length=8)
    (plain,), (without,) = (
        write(chain, sources(3), replace(looping, no_repeat_ngram=size))[0] for size in (0, 2)
    )
    pairs, kept = (list(zip(t.ids, t.ids[1:], strict=False)) for t in (plain, without))
    assert len(set(pairs)) < len(pairs)
    assert len(set(kept)) == len(kept)


def test_what_must_not_be_written_is_not(chain):
    options = replace(OPTIONS, beams=4, never=(2, 3))
    for texts in write(chain, sources(*range(5)), options):
        assert all({2, 3}.isdisjoint(text.ids) for text in texts)


def test_a_source_with_nothing_left_to_write_ends(chain):
    options = SearchOptions(END, min_length=4, max_length=4, never=(1, 2, 3, 4))
    ((text,),) = write(chain, sources(0), options)
    assert (text.ids, text.ended) == ((), False)


def test_outputs_hold_the_texts_one_a_row(chain):
    (texts,) = write(chain, sources(0), replace(OPTIONS, beams=3))
    outputs = as_outputs(texts)
    for row, score, text in zip(*outputs.values(), texts, strict=True):
        assert tuple(row[row >= 0].astype(int)) == text.ids
        assert score == pytest.approx(text.score)


def test_options_that_find_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"`beams` must be at least 1.*`min_length` must be at"):
        SearchOptions(END, beams=0, min_length=9, max_length=8)
