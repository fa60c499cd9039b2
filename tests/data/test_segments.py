import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.corpora import CLS, FIRST_ID, SEP, corpus, varied

from albatross.data.masking import MaskingRule
from albatross.data.packing import IGNORED_LABEL, Example
from albatross.data.segments import NUM_SPECIALS, SampleRule, SampleSource
from albatross.errors import ConfigError, DataError
from albatross.rng import stream

LENGTHS = st.lists(st.lists(st.integers(1, 25), min_size=1, max_size=12), min_size=1, max_size=8)


def samples(source: SampleSource, epoch: int = 0) -> list[Example]:
    """All of an epoch; below, each is held to be the same alone."""
    return source.samples(epoch, range(len(source.plan(epoch))))


def order(example: Example) -> int:
    return int(example.labels["sentence_order_label"])


def segments(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """The two segments as they were before masking, without specials."""
    labels = np.asarray(example.labels["labels"])
    ids = np.where(labels == IGNORED_LABEL, example.input_ids, labels)
    is_first = example.token_type_ids == 0
    assert ids[0] == CLS
    assert ids[is_first][-1] == SEP
    assert is_first.all() or ids[-1] == SEP
    return ids[is_first][1:-1], ids[~is_first][:-1]


def original(example: Example) -> np.ndarray:
    """The stretch of text that a sample was made of: the swap undone."""
    first, second = segments(example)
    return np.concatenate([second, first] if order(example) == 1 else [first, second])


def same(one: Example, other: Example) -> bool:
    return (
        one.input_ids.tolist() == other.input_ids.tolist()
        and one.token_type_ids.tolist() == other.token_type_ids.tolist()
        and np.array_equal(one.labels["labels"], other.labels["labels"])
        and order(one) == order(other)
    )


# === Sentence order ===


@given(LENGTHS, st.integers(0, 3), st.sampled_from([11, 16, 40, 512]))
def test_both_segments_are_consecutive_and_of_one_document(lengths, seed, max_length):
    made = corpus(lengths)
    if max(map(sum, lengths)) < 4:
        return
    for example in samples(made.source(max_length=max_length, seed=seed)):
        text = original(example)
        assert (np.diff(text) == 1).all()
        assert len(set(made.document_of[text].tolist())) == 1


@given(LENGTHS, st.integers(0, 3))
def test_segments_part_at_the_start_of_a_sentence(lengths, seed):
    made = corpus([[4, 4], *lengths])
    starts = {int(made.shards[0].tokens[s]) for s in made.shards[0].sentences[:-1]}
    for example in samples(made.source(max_length=32, seed=seed)):
        first, second = segments(example)
        if len(second):
            assert int(first[0] if order(example) else second[0]) in starts


def test_half_the_samples_are_swapped():
    orders = [order(example) for example in samples(varied(400).source(max_length=64))]
    paired = [o for o in orders if o != IGNORED_LABEL]
    assert len(paired) > 1_500
    assert np.mean(paired) == pytest.approx(0.5, abs=0.04)


def test_a_stretch_of_one_sentence_has_no_order_and_no_second_segment():
    made = corpus([[30], [9], [200], [12]])
    for example in samples(made.source(max_length=40)):
        assert order(example) == IGNORED_LABEL
        assert not example.token_type_ids.any()
        assert len(set(made.document_of[original(example)].tolist())) == 1


def test_order_and_one_segment_go_together():
    for example in samples(varied().source(max_length=48)):
        assert (order(example) == IGNORED_LABEL) == (len(segments(example)[1]) == 0)


# === Other objectives ===


@pytest.fixture(scope="module")
def next_sentences():
    """A corpus, and all samples of its first pass with next-sentence prediction."""
    made = varied(400)
    return made, samples(made.source(max_length=64, objective="nsp"))


def test_without_an_objective_there_is_one_segment():
    for example in samples(varied().source(max_length=64, objective="none")):
        assert order(example) == IGNORED_LABEL
        assert not example.token_type_ids.any()


def test_a_negative_of_next_sentence_prediction_is_from_another_document(next_sentences):
    made, found = next_sentences
    orders = []
    for example in found:
        first, second = segments(example)
        if len(second):
            documents = {int(d) for d in made.document_of[np.concatenate([first, second])]}
            assert len(documents) == 1 + (order(example) == 1)
            assert order(example) == 1 or second[0] == first[-1] + 1
            orders.append(order(example))
    # The last ones may find none but their own document to exchange with.
    assert orders.count(IGNORED_LABEL) < 0.005 * len(orders)
    assert orders.count(1) / len(orders) == pytest.approx(0.5, abs=0.04)


def test_negatives_of_next_sentence_prediction_are_no_longer_or_shorter_than_what_follows(
    next_sentences,
):
    sizes: dict[int, list[list[int]]] = {0: [], 1: []}
    for example in next_sentences[1]:
        if order(example) != IGNORED_LABEL:
            sizes[order(example)].append([len(part) for part in segments(example)])
    following, elsewhere = (np.mean(sizes[label], axis=0) for label in (0, 1))
    np.testing.assert_allclose(elsewhere, following, rtol=0.06)


def test_next_sentence_prediction_loses_no_text(next_sentences):
    made, examples = next_sentences
    found = np.concatenate([np.concatenate(segments(example)) for example in examples])
    assert len(np.unique(found)) == len(found)
    whole = made.source(max_length=64).plan(0)
    assert len(found) >= 0.999 * (whole.end.astype(int) - whole.begin).sum()


def test_a_corpus_of_one_document_has_no_negatives():
    made = corpus([[6] * 200])
    orders = [order(example) for example in samples(made.source(max_length=32, objective="nsp"))]
    assert set(orders) == {0, IGNORED_LABEL}


# === Coverage and lengths ===


@given(LENGTHS, st.integers(0, 3), st.sampled_from(["sop", "none"]))
def test_an_epoch_holds_every_token_once_but_those_of_stretches_too_short(lengths, seed, objective):
    made = corpus([[5], *lengths], num_shards=2)
    source = made.source(max_length=24, seed=seed, objective=objective)
    found = np.sort(np.concatenate([original(example) for example in samples(source)]))
    assert len(np.unique(found)) == len(found)
    missing = np.setdiff1d(np.arange(FIRST_ID, len(made.document_of)), found)
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    assert all(len(run) < 4 or len(set(made.document_of[run])) > 1 for run in runs)


@given(LENGTHS, st.integers(11, 60), st.sampled_from(["sop", "nsp", "none"]), st.floats(0, 1))
def test_no_sample_is_longer_than_the_limit(lengths, max_length, objective, short_fraction):
    source = corpus([[9], *lengths]).source(
        max_length=max_length, objective=objective, short_fraction=short_fraction
    )
    found = [len(example.input_ids) for example in samples(source)]
    assert max(found) <= max_length
    assert found == source.plan(0).lengths.tolist()


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_the_share_of_short_samples_is_the_one_asked_for(fraction):
    source = corpus([[400_000]]).source(max_length=128, short_fraction=fraction)
    plan = source.plan(0)
    lengths = np.sort(plan.end - plan.begin)[1:]  # the document's last stretch is what is left
    assert lengths.max() <= 128 - NUM_SPECIALS
    assert lengths.min() >= 8 or fraction == 0
    # A short length is drawn from 8 to 125, the longest included.
    expected = fraction * (1 - 1 / 118)
    assert np.mean(lengths < 125) == pytest.approx(expected, abs=0.02)


def test_a_document_without_sentences_is_cut_where_a_sample_is_full():
    plan = corpus([[1_000]]).source(max_length=103, short_fraction=0.0).plan(0)
    assert sorted((plan.end - plan.begin).tolist()) == [100] * 10


# === Draws are functions of (seed, epoch, index) ===


def test_a_sample_is_the_same_alone_in_any_order_and_in_a_new_source():
    made = varied()
    plain = samples(made.source(max_length=48))
    source = made.source(max_length=48)
    for index in stream(1).permutation(len(plain)):
        assert same(source.sample(0, index), plain[index])
    assert same(made.source(max_length=48).sample(0, 17), plain[17])


def test_going_to_another_epoch_and_back_changes_nothing():
    made = varied()
    source = made.source(max_length=48)
    before = source.sample(0, 5)
    assert same(source.sample(3, 5), made.source(max_length=48).sample(3, 5))
    assert same(source.sample(0, 5), before)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_cuts_orders_and_masks_anew(changed):
    made = varied()
    one = made.source(max_length=48)
    other = made.source(max_length=48, seed=changed.get("seed", 0))
    epoch = changed.get("epoch", 0)
    pairs = zip(samples(one), samples(other, epoch), strict=False)
    assert not any(same(a, b) for a, b in pairs)
    assert set(one.plan(0).begin.tolist()) != set(other.plan(epoch).begin.tolist())


def test_the_order_of_an_epoch_holds_every_stretch_once():
    source = varied().source(max_length=48)
    plan = source.plan(0)
    stretches = set(zip(plan.shard.tolist(), plan.begin.tolist(), strict=True))
    assert len(stretches) == len(plan)
    assert (np.diff(plan.shard) != 0).sum() > len(plan) // 2  # shuffled across the shards


@settings(max_examples=30)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=40), st.sampled_from(["sop", "nsp"]))
def test_a_sample_is_the_same_whichever_others_are_made_with_it(indices, objective):
    source = varied(20).source(max_length=40, objective=objective)
    together = source.samples(0, indices)
    assert all(same(source.sample(0, n), made) for n, made in zip(indices, together, strict=True))


# === Parts of a large corpus ===


def test_a_large_corpus_is_passed_in_parts_that_hold_every_token_of_an_epoch_once():
    source = varied(60, num_shards=7).source(max_length=48, part_tokens=4_000)
    whole = varied(60, num_shards=7).source(max_length=48)
    count = source.parts_per_epoch
    assert (count, whole.parts_per_epoch) == (5, 1)
    for epoch in (0, 1):
        parts = range(epoch * count, (epoch + 1) * count)
        found = np.concatenate([original(e) for part in parts for e in samples(source, part)])
        assert len(np.unique(found)) == len(found)
        assert len(found) > 0.99 * (whole.plan(0).end.astype(int) - whole.plan(0).begin).sum()


def test_shards_meet_in_other_parts_in_every_epoch():
    source = varied(60, num_shards=7).source(max_length=48, part_tokens=4_000)
    met = [frozenset(source.plan(part).shard.tolist()) for part in range(10)]
    assert set().union(*met[:5]) == set(range(7))
    assert set(met[:5]) != set(met[5:])


def test_masked_words_are_drawn_from_the_sample_and_not_from_its_specials():
    for example in samples(varied(10).source(max_length=48, masking=MaskingRule(rate=0.9))):
        labels = np.asarray(example.labels["labels"])
        assert labels[labels != IGNORED_LABEL].min() >= FIRST_ID
        assert (labels[(example.input_ids == CLS) | (example.input_ids == SEP)] == -100).all()


# === What is refused ===


@pytest.mark.parametrize("lengths", [[[3]], [[1, 2]], [[2], [3]]])
def test_a_corpus_too_short_for_a_sample_is_one_clear_error(lengths):
    with pytest.raises(DataError, match="at least 4 tokens"):
        corpus(lengths).source().sample(0, 0)


def test_a_corpus_of_one_sentence_gives_one_sample():
    assert [len(example.input_ids) for example in samples(corpus([[7]]).source())] == [9]


@pytest.mark.parametrize("options", [{"max_length": 10}, {"short_fraction": 1.5}])
def test_a_rule_by_which_nothing_can_be_cut_is_refused(options):
    with pytest.raises(ConfigError, match="Received"):
        SampleRule(**options)
