"""Steps of fine-tuning: what counts as their tokens, and where a step is parted."""

import numpy as np

from albatross.data.packing import Example
from albatross.training.example_batches import ExampleBatches


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
