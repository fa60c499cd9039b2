import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.data.masking import MaskingRule, PieceTable, mask_tokens
from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.errors import ConfigError
from albatross.rng import stream

SPECIALS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
MASK_ID = 4
# Word beginnings are even, continuations odd.
WORDS = [f"{'' if n % 2 else '▁'}w{n}" for n in range(1_000)]


def table_of(pieces: list[str]) -> PieceTable:
    begins_word = np.array([piece.startswith("▁") for piece in pieces])
    return PieceTable.from_pieces(pieces, begins_word, range(5), MASK_ID)


TABLE = table_of([*SPECIALS, *WORDS])


def starts(*pieces: str) -> str:
    """The pieces as words, parted by bars."""
    table = table_of([*SPECIALS, *pieces])
    found = table.word_starts(np.arange(len(pieces)) + 5).tolist()
    bounds = zip(found, [*found[1:], len(pieces)], strict=True)
    return "|".join("".join(pieces[begin:end]) for begin, end in bounds)


def ids_of(lengths: list[int], seed: int = 0) -> IntArray:
    """The ids of words of so many pieces."""
    draws = stream(seed, "ids").integers(0, 500, size=sum(lengths)) * 2 + 6
    begins = np.concatenate([np.arange(length) == 0 for length in lengths])
    return np.asarray(draws - begins, dtype=np.int64)


def chosen(ids: IntArray, rule: MaskingRule, *key: int) -> IntArray:
    """The positions that one draw predicts."""
    return np.flatnonzero(mask_tokens(ids, TABLE, rule, stream(*key)).labels != IGNORED_LABEL)


# === Words ===


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (("▁al", "ba", "tross", "▁flew"), "▁albatross|▁flew"),
        (("al", "ba", "▁flew"), "alba|▁flew"),
        (("▁(", "gull", "s", ")", "."), "▁(|gulls|)|."),
        (("▁don", "'", "t", "▁don", "’", "t"), "▁don't|▁don’t"),  # noqa: RUF001 (a curly apostrophe)
        (("▁well", "-", "known"), "▁well-known"),
        (("▁", '"', "so", '"', "▁he"), '▁|"|so|"|▁he'),
        (("▁3", ".", "5", "0"), "▁3|.|50"),
        (("▁遠", "い", "海", "gull"), "▁遠|い|海|gull"),
        (("▁...", "▁遠い", "。"), "▁...|▁遠い|。"),
    ],
)
def test_words_start_where_a_reader_sees_them(pieces, words):
    assert starts(*pieces) == words


def test_specials_are_never_drawn_at_random():
    assert set(TABLE.ordinary.tolist()) == set(range(5, 1_005))


# === How much, and which ===


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=80), st.integers(0, 2**30))
def test_whole_words_only_and_never_above_the_budget(lengths, seed):
    ids = ids_of(lengths)
    positions = set(chosen(ids, MaskingRule(rate=0.4), seed).tolist())
    budget = max(1, round(0.4 * len(ids)))
    assert 1 <= len(positions) <= budget
    ends = np.cumsum(lengths)
    words = [set(range(end - n, end)) for end, n in zip(ends, lengths, strict=True)]
    if min(lengths) <= budget:
        assert all(word <= positions or not word & positions for word in words)


@settings(deadline=None)
@given(st.integers(1, 600), st.sampled_from([0.15, 0.2, 0.4]), st.integers(0, 2**30))
def test_the_budget_is_met_exactly_where_words_of_one_token_are_left(num_words, rate, seed):
    positions = chosen(ids_of([1] * num_words), MaskingRule(rate=rate), seed)
    assert len(positions) == max(1, round(num_words * rate))


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=30, max_size=80), st.integers(0, 2**30))
def test_less_than_the_budget_is_masked_only_if_no_word_left_would_fit(lengths, seed):
    ids = ids_of(lengths)
    positions = chosen(ids, MaskingRule(rate=0.2), seed)
    left = round(0.2 * len(ids)) - len(positions)
    untouched = [
        n for end, n in zip(np.cumsum(lengths), lengths, strict=True) if end - 1 not in positions
    ]
    assert left < min(untouched)


@pytest.mark.parametrize(("length", "count"), [(512, 77), (128, 19), (20, 3), (4, 1), (1, 1)])
def test_the_cap_follows_the_length(length, count):
    assert len(chosen(ids_of([1] * length), MaskingRule(), 0)) == count


def test_one_long_word_is_masked_in_part_rather_than_not_at_all():
    assert chosen(ids_of([40]), MaskingRule(), 0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("max_ngram", [1, 2, 3, 4])
def test_runs_of_n_words_come_with_a_chance_of_one_in_n(max_ngram):
    ids, rule = ids_of([1] * 50_000), MaskingRule(rate=0.002, max_ngram=max_ngram)
    counts = np.zeros(9)
    for draw in range(60):
        gaps = np.flatnonzero(np.diff(chosen(ids, rule, draw)) > 1)
        runs = np.diff(np.concatenate([[-1], gaps]))  # the last run may be cut by the budget
        counts += np.bincount(np.minimum(runs, 8), minlength=9)
    weights = 1 / np.arange(1, max_ngram + 1)
    found = counts[1 : max_ngram + 1] / counts.sum()
    np.testing.assert_allclose(found, weights / weights.sum(), atol=0.02)


def test_every_position_is_as_likely_as_any():
    ids, hits = ids_of([1] * 100), np.zeros(100)
    for draw in range(2_000):
        hits[chosen(ids, MaskingRule(max_ngram=1), draw)] += 1
    assert np.abs(hits / 2_000 - 0.15).max() < 0.04


# === With what ===


def test_of_the_chosen_80_percent_are_masked_10_random_and_10_kept():
    ids, kinds = ids_of([1] * 512), np.zeros(3)
    for draw in range(300):
        masked = mask_tokens(ids, TABLE, MaskingRule(), stream(draw))
        at = np.flatnonzero(masked.labels != IGNORED_LABEL)
        is_mask = masked.input_ids[at] == MASK_ID
        is_kept = masked.input_ids[at] == ids[at]
        kinds += [is_mask.sum(), (~is_mask & ~is_kept).sum(), is_kept.sum()]
    np.testing.assert_allclose(kinds / kinds.sum(), [0.8, 0.1, 0.1], atol=0.01)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 2**30))
def test_labels_are_the_original_ids_and_nothing_else_changes(length, seed):
    ids = ids_of([1] * length)
    before = ids.copy()
    masked = mask_tokens(ids, TABLE, MaskingRule(), stream(seed))
    is_chosen = masked.labels != IGNORED_LABEL
    assert (masked.labels[is_chosen] == ids[is_chosen]).all()
    assert (masked.input_ids[~is_chosen] == ids[~is_chosen]).all()
    assert (ids == before).all()


def test_a_random_piece_is_never_a_special():
    rule = MaskingRule(rate=0.9, mask_fraction=0.0, random_fraction=1.0)
    drawn = mask_tokens(ids_of([1] * 20_000), TABLE, rule, stream(0)).input_ids
    assert drawn.min() == 5


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": 1.0},
        {"rate": float("nan")},
        {"max_ngram": 0},
        {"mask_fraction": 0.8, "random_fraction": 0.3},
        {"random_fraction": -0.1},
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(options):
    with pytest.raises(ConfigError, match="Received"):
        MaskingRule(**options)
