import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albatross.data.masking import MaskedTokens, MaskingRule, PieceTable, mask_tokens
from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.errors import ConfigError
from albatross.rng import row_keys, stream

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


def masked(ids: IntArray, rule: MaskingRule, key: int = 0, cut: int | None = None) -> MaskedTokens:
    """A sample of one segment, or of two parted at `cut`, by the draws of a key."""
    bounds = np.array([0, len(ids) if cut is None else cut, len(ids)])
    return mask_tokens(ids, bounds, row_keys(key, rows=np.zeros(1, dtype=np.int64)), TABLE, rule)


def chosen(ids: IntArray, rule: MaskingRule, key: int = 0, cut: int | None = None) -> IntArray:
    """The positions that one draw predicts."""
    return np.flatnonzero(masked(ids, rule, key, cut).labels != IGNORED_LABEL)


def drawn_often(
    ids: IntArray, rule: MaskingRule, draws: int, cut: int | None = None
) -> MaskedTokens:
    """Many draws at once, fields of shape (draws, tokens); below, each is the same alone."""
    ends = np.arange(draws)[:, None] * len(ids) + [len(ids) if cut is None else cut, len(ids)]
    bounds, keys = np.concatenate([[0], ends.ravel()]), row_keys(0, rows=np.arange(draws))
    found = mask_tokens(np.tile(ids, draws), bounds, keys, TABLE, rule)
    shape = (draws, len(ids))
    return MaskedTokens(found.input_ids.reshape(shape), found.labels.reshape(shape))


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


@given(st.integers(1, 600), st.sampled_from([0.15, 0.2, 0.4]), st.integers(0, 2**30))
def test_the_budget_is_met_exactly_where_words_of_one_token_are_left(num_words, rate, seed):
    positions = chosen(ids_of([1] * num_words), MaskingRule(rate=rate), seed)
    assert len(positions) == max(1, round(num_words * rate))


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
    assert len(chosen(ids_of([1] * length), MaskingRule())) == count


def test_one_long_word_is_masked_in_part_rather_than_not_at_all():
    assert chosen(ids_of([40]), MaskingRule()).tolist() == [0, 1, 2, 3, 4, 5]
    assert {chosen(ids_of([40, 40]), MaskingRule(), n)[0] for n in range(20)} == {0, 40}


@pytest.mark.parametrize("cut", [1, 10, 19])
def test_no_run_goes_from_one_segment_into_the_other(cut):
    ids, rule = ids_of([1] * 20), MaskingRule(rate=0.1, max_ngram=2)
    pair = slice(cut - 1, cut + 1)
    parted, whole = (
        (drawn_often(ids, rule, 2_000, at).labels[:, pair] != IGNORED_LABEL).all(axis=1)
        for at in (cut, None)
    )
    assert np.mean(whole) > 0.013
    assert np.mean(parted) < 0.009


@pytest.mark.parametrize(("cap", "share"), [(20, 0.039), (77, 0.15), (None, 0.15)])
def test_googles_cap_leaves_4_percent_at_512_tokens(cap, share):
    ids = ids_of([1] * 509)
    found = chosen(ids, MaskingRule(max_predictions=cap))
    assert len(found) / len(ids) == pytest.approx(share, abs=0.001)


@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=30), min_size=2, max_size=8))
def test_a_sample_is_masked_the_same_alone_and_among_others(samples):
    ids = [ids_of(lengths, seed) for seed, lengths in enumerate(samples)]
    middles = [sum(lengths[: len(lengths) // 2]) for lengths in samples]
    ends = np.cumsum([len(part) for part in ids])
    bounds = np.array(
        [0, *(b for e, p, m in zip(ends, ids, middles, strict=True) for b in (e - len(p) + m, e))]
    )
    keys = row_keys(7, rows=np.arange(len(ids)))
    together = mask_tokens(np.concatenate(ids), bounds, keys, TABLE, MaskingRule())
    for n, (part, middle) in enumerate(zip(ids, middles, strict=True)):
        alone = mask_tokens(
            part, np.array([0, middle, len(part)]), keys[n : n + 1], TABLE, MaskingRule()
        )
        here = slice(ends[n] - len(part), ends[n])
        np.testing.assert_array_equal(together.labels[here], alone.labels)
        np.testing.assert_array_equal(together.input_ids[here], alone.input_ids)


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
    found = drawn_often(ids_of([1] * 100), MaskingRule(max_ngram=1), 2_000)
    assert np.abs(np.mean(found.labels != IGNORED_LABEL, axis=0) - 0.15).max() < 0.04


# === With what ===


def test_of_the_chosen_80_percent_are_masked_10_random_and_10_kept():
    found = drawn_often(ids_of([1] * 512), MaskingRule(), 300)
    is_chosen = found.labels != IGNORED_LABEL
    became, was = found.input_ids[is_chosen], found.labels[is_chosen]
    is_mask, is_kept = became == MASK_ID, became == was
    kinds = [is_mask.mean(), (~is_mask & ~is_kept).mean(), is_kept.mean()]
    np.testing.assert_allclose(kinds, [0.8, 0.1, 0.1], atol=0.01)


@given(st.integers(1, 200), st.integers(0, 2**30))
def test_labels_are_the_original_ids_and_nothing_else_changes(length, seed):
    ids = ids_of([1] * length)
    before = ids.copy()
    found = masked(ids, MaskingRule(), seed)
    is_chosen = found.labels != IGNORED_LABEL
    assert (found.labels[is_chosen] == ids[is_chosen]).all()
    assert (found.input_ids[~is_chosen] == ids[~is_chosen]).all()
    assert (ids == before).all()


def test_a_random_piece_is_any_but_a_special():
    ids = ids_of([1] * 20_000)
    found = masked(ids, MaskingRule(rate=0.9))
    drawn = found.input_ids[(found.input_ids != MASK_ID) & (found.input_ids != ids)]
    assert drawn.min() >= 5
    counts = np.bincount((drawn - 5) // 100, minlength=10)
    assert abs(counts / (len(drawn) / 10) - 1).max() < 0.3


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": 1.0},
        {"rate": float("nan")},
        {"max_ngram": 0},
        {"mask_fraction": 0.8, "random_fraction": 0.3},
        {"random_fraction": -0.1},
        {"max_predictions": 0},
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(options):
    with pytest.raises(ConfigError, match="Received"):
        MaskingRule(**options)
