import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.corpora import corpus, varied

from albatross.data import stretches
from albatross.data.shards import Shard
from albatross.data.stretches import MIN_TOKENS, cut_documents
from albatross.rng import fractions, row_keys

LENGTHS = st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=12), min_size=1, max_size=8)


def columns(shard: Shard, *options) -> list[tuple[int, ...]]:
    """What has been cut, in the order of the text."""
    found = cut_documents(shard, *options)
    rows = zip(found.begin, found.middle, found.end, found.document, strict=True)
    return sorted(tuple(map(int, row)) for row in rows)


def walked(shard: Shard, longest: int, short_fraction: float, *key) -> list[tuple[int, ...]]:
    """The same, one document after the other."""
    starts = shard.sentences.tolist()
    found: list[tuple[int, ...]] = []
    for document, (low, high) in enumerate(zip(shard.documents, shard.documents[1:], strict=False)):
        begin, stop, draw = starts[low], starts[high], 0
        keys = row_keys(*key, rows=np.array([begin]))
        while begin < stop:
            is_short, shorter, drawn = (float(fractions(keys, draw + n)[0]) for n in range(3))
            target = 8 + int(shorter * (longest - 7)) if is_short < short_fraction else longest
            limit = min(begin + target, stop)
            end = max([s for s in starts if begin < s <= limit], default=limit)
            inside = [s for s in starts if begin < s < end and begin in starts]
            middle = inside[int(drawn * len(inside))] if inside else end
            if end - begin >= MIN_TOKENS:
                found.append((begin, middle, end, document))
            begin, draw = end, draw + 3
    return found


@given(LENGTHS, st.integers(8, 60), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9))
def test_documents_cut_side_by_side_are_as_cut_one_after_the_other(lengths, longest, short, seed):
    shard = corpus(lengths).shards[0]
    assert columns(shard, longest, short, seed) == walked(shard, longest, short, seed)


def test_another_key_cuts_otherwise():
    shard = varied(20, 1).shards[0]
    assert columns(shard, 40, 0.1, 0) != columns(shard, 40, 0.1, 1)
    assert columns(shard, 40, 0.1, 0) == columns(shard, 40, 0.1, 0)


@pytest.mark.parametrize("sentence", [3, 7, 40_000])
def test_a_long_document_is_walked_in_parts_and_loses_nothing(monkeypatch, sentence):
    monkeypatch.setattr(stretches, "_STRETCHES_PER_WALK", 16)
    shard = corpus([[sentence] * (40_000 // sentence), [5, 5]]).shards[0]
    found = columns(shard, 20, 0.0, 0)
    ends = [end for _, _, end, _ in found]
    assert [begin for begin, *_ in found] == [0, *ends[:-1]]
    assert ends[-1] == len(shard.tokens)
    assert len(found) < 1.02 * len(shard.tokens) / (20 // min(sentence, 20) * min(sentence, 20)) + 2


def test_breaks_are_drawn_evenly_from_those_inside():
    shard = corpus([[4] * 5] * 4_000).shards[0]
    found = cut_documents(shard, 20, 0.0, 0)
    counts = np.bincount((found.middle - found.begin) // 4, minlength=6)
    assert counts[[0, 5]].tolist() == [0, 0]
    np.testing.assert_allclose(counts[1:5] / 4_000, 0.25, atol=0.03)
