from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albatross.data.packing import Example, batches_by_tokens, pack, padded_indices

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=20)


def examples_of(lengths: list[int]) -> list[Example]:
    """Examples whose ids tell where they belong: example 3's second token is 3001."""
    return [
        Example(
            np.arange(length) + 1_000 * number,
            np.full(length, number % 2),
            {"words": np.arange(length) - number, "class": number % 3},
        )
        for number, length in enumerate(lengths)
    ]


@given(LENGTHS)
def test_packing_lays_examples_end_to_end(lengths):
    examples = examples_of(lengths)
    batch = pack(examples)
    for number, example in enumerate(examples):
        part = slice(*batch.cu_seqlens[number : number + 2])
        assert batch.input_ids[part].tolist() == example.input_ids.tolist()
        assert batch.token_type_ids[part].tolist() == example.token_type_ids.tolist()
        assert batch.position_ids[part].tolist() == list(range(lengths[number]))
        assert batch.labels["words"][part].tolist() == np.asarray(example.labels["words"]).tolist()
    assert batch.labels["class"].tolist() == [example.labels["class"] for example in examples]
    assert batch.max_seqlen == max(lengths)
    assert (batch.num_sequences, len(batch.input_ids)) == (len(lengths), sum(lengths))


def test_a_batch_knows_the_record_of_each_example():
    examples = examples_of([2, 3, 4])
    assert pack(examples, [7, 7, 9]).example_to_record.tolist() == [7, 7, 9]
    assert pack(examples).example_to_record.tolist() == [0, 1, 2]


def test_a_batch_shows_what_it_holds():
    shown = repr(pack(examples_of([2, 3])))
    assert shown == "PackedBatch(sequences=2, tokens=5, max_seqlen=3, labels=['class', 'words'])"


@given(LENGTHS)
def test_padding_and_its_way_back_lose_nothing(lengths):
    batch = pack(examples_of(lengths))
    rows_to_block, block_to_rows = padded_indices(batch.cu_seqlens)
    block = batch.input_ids[rows_to_block]
    assert block.shape == (len(lengths), max(lengths))
    assert block.ravel()[block_to_rows].tolist() == batch.input_ids.tolist()


@given(LENGTHS)
def test_a_pad_repeats_its_own_sequences_first_row(lengths):
    cu_seqlens = pack(examples_of(lengths)).cu_seqlens
    rows_to_block, _ = padded_indices(cu_seqlens)
    for number, length in enumerate(lengths):
        assert (rows_to_block[number, length:] == cu_seqlens[number]).all()


@given(st.lists(st.integers(1, 60)), st.integers(1, 100), st.booleans())
def test_every_index_is_in_one_batch(lengths, max_tokens, sort):
    batches = list(batches_by_tokens(lengths, max_tokens, sort=sort))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(batch) for batch in batches)


@given(st.lists(st.integers(1, 60)), st.integers(1, 100), st.booleans())
def test_a_batch_keeps_to_the_budget_unless_one_sequence_breaks_it(lengths, max_tokens, sort):
    sizes = np.array(lengths, dtype=np.int64)
    for batch in batches_by_tokens(lengths, max_tokens, sort=sort):
        assert len(batch) == 1 or sizes[batch].sum() <= max_tokens


@given(st.lists(st.integers(1, 60)), st.integers(1, 100), st.booleans())
def test_no_batch_has_room_for_the_next_ones_first_sequence(lengths, max_tokens, sort):
    sizes = np.array(lengths, dtype=np.int64)
    batches = list(batches_by_tokens(lengths, max_tokens, sort=sort))
    for batch, following in pairwise(batches):
        assert sizes[batch].sum() + sizes[following[0]] > max_tokens


@pytest.mark.parametrize(("sort", "expected"), [(True, [1, 4, 3, 0, 2]), (False, [0, 1, 2, 3, 4])])
def test_sorting_puts_the_longest_first_and_keeps_the_order_of_equals(sort, expected):
    batches = batches_by_tokens([2, 9, 1, 5, 9], 10, sort=sort)
    assert [int(index) for batch in batches for index in batch] == expected
