"""Steps of fine-tuning: what counts as their tokens, and where a step is parted."""

import numpy as np

from albatross.data.packing import Example
from albatross.training.example_batches import ExampleBatches, WordDropout


def unit(tokens, target_tokens=None):
    """One example, with what is to be made of it."""
    target = None if target_tokens is None else unit(target_tokens)[0]
    return [Example(np.arange(tokens), np.zeros(tokens, dtype=np.int64), target=target)]


def test_the_tokens_of_a_step_are_those_read_and_those_written():
    batches = ExampleBatches([unit(5, 3), unit(4, 2)], 2, seed=0)
    assert batches.step((0, 0), 0.0).tokens == 5 + 3 + 4 + 2
    assert ExampleBatches([unit(5), unit(4)], 2, seed=0).step((0, 0), 0.0).tokens == 9


def test_targets_count_where_a_step_is_parted():
    units = [unit(4, 6), unit(4, 6), unit(4, 6)]
    step = ExampleBatches(units, 3, seed=0, micro_tokens=20).step((0, 0), 0.0)
    assert [part.num_sequences for part in step.batches] == [2, 1]
    targets = [part.target for part in step.batches if part.target is not None]
    assert [target.num_sequences for target in targets] == [2, 1]
    assert step.sequences == 3


def test_hidden_words_are_drawn_anew_and_alike_when_drawn_again():
    hidden = WordDropout(0.3, mask_id=9, kept=(2, 3))
    texts = [Example(np.array([2, *[5] * 50, 3]), np.zeros(52, dtype=np.int64))] * 40
    batches = ExampleBatches([[text] for text in texts], 40, seed=0, word_dropout=hidden)
    first, again = (batches.step((0, 0), 0.0).batches[0].input_ids for _ in range(2))
    other = batches.step((1, 0), 0.0).batches[0].input_ids
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    rows = first.reshape(40, 52)
    assert (rows[:, 0] == 2).all()
    assert (rows[:, -1] == 3).all()
    assert set(first.tolist()) == {2, 3, 5, 9}
    assert abs((rows == 9).sum() / 2_000 - 0.3) < 0.04
    assert texts[0].input_ids.tolist() == [2, *[5] * 50, 3]  # the records stay as they are
