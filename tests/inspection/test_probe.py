import numpy as np
import pytest

from albatross.data.masking import PieceTable
from albatross.data.segments import SampleRule, SampleSource, SampleText
from albatross.data.shards import Shard
from albatross.inspection.probe import (
    LEAST_PAIRS,
    bags_of,
    fit_logistic,
    googles_mixture,
    pairs_of,
    probe,
    shared_words,
    words_by_side,
)
from albatross.rng import stream

VOCAB = 2_000


def source(objective="sop", *, single=0.0, documents=600, short_fraction=0.1) -> SampleSource:
    """Documents of one topic each: half of their words are the topic's own.

    A share of them are one long sentence, which gives samples of a single segment.
    """
    rng = stream(5, "topics")
    tokens, sentences, starts = [], [], [0]
    for _ in range(documents):
        topic = rng.integers(5, VOCAB, 20)
        words = np.where(rng.random(240) < 0.5, rng.choice(topic, 240), rng.integers(5, VOCAB, 240))
        tokens.append(words)
        sentences += [240] if rng.random() < single else [8] * 30
        starts.append(len(sentences))
    shard = Shard(
        np.concatenate(tokens).astype(np.uint16),
        np.concatenate([[0], np.cumsum(sentences)]).astype(np.int64),
        np.array(starts, dtype=np.int64),
    )
    pieces = [f"▁w{n}" for n in range(VOCAB)]
    table = PieceTable.from_pieces(pieces, np.ones(VOCAB, dtype=bool), range(5), 4)
    rule = SampleRule(64, short_fraction, objective)
    return SampleSource([shard], table, rule, 2, 3)


def measured(text: SampleText):
    return probe(bags_of(text, VOCAB))


def test_topic_does_not_tell_true_sentence_order():
    found = measured(pairs_of(source(), 3_000))
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.06
    assert found.pairs > 1_000


def test_topic_tells_negatives_from_other_documents():
    assert measured(pairs_of(source("nsp"), 3_000)).low > 0.8


def test_topic_tells_a_part_of_googles_negatives_and_labels_are_out_of_balance():
    text = googles_mixture(source(single=0.3), 3_000)
    assert text.order.mean() > 0.6
    found = measured(text)
    assert 0.55 < found.low < found.high < 0.8


def test_googles_mixture_is_ours_where_every_sample_has_two_segments():
    made = source(short_fraction=0.0)
    ours, googles = pairs_of(made, 10**6), googles_mixture(made, 10**6)
    assert len(ours.order) == len(made.plan(0)) > 2_000
    np.testing.assert_array_equal(googles.order, ours.order)
    np.testing.assert_array_equal(googles.ids, ours.ids)


def test_features_of_topic_are_the_same_when_segments_are_swapped():
    text = pairs_of(source(), 200)
    pieces = np.split(text.ids, text.bounds[1:-1])
    swapped = [pieces[n + 1 - 2 * (n % 2)] for n in range(len(pieces))]
    bounds = np.concatenate([[0], np.cumsum([len(piece) for piece in swapped])])
    turned = bags_of(SampleText(np.concatenate(swapped), bounds, text.order), VOCAB)
    plain = bags_of(text, VOCAB)
    np.testing.assert_allclose(shared_words(turned), shared_words(plain))
    np.testing.assert_allclose(words_by_side(turned), -words_by_side(plain))


def test_words_by_side_are_told_from_labels_that_hang_on_them():
    text = pairs_of(source(), 4_000)
    pieces = np.split(text.ids, text.bounds[1:-1])
    marked = [np.append(p, 7) if n % 2 == text.order[n // 2] else p for n, p in enumerate(pieces)]
    bounds = np.concatenate([[0], np.cumsum([len(piece) for piece in marked])])
    found = measured(SampleText(np.concatenate(marked), bounds, text.order))
    assert found.by_side > 0.9
    assert found.low < 0.5 < found.high


def test_too_few_pairs_tell_nothing():
    text = pairs_of(source(documents=200), LEAST_PAIRS - 1)
    assert measured(text) is None


def test_the_same_seed_gives_the_same_figures():
    bags = bags_of(pairs_of(source("nsp"), 1_000), VOCAB)
    assert probe(bags, 1) == probe(bags, 1)
    assert probe(bags, 1) != probe(bags, 2)


def test_the_regression_finds_the_weights_that_made_the_labels():
    rng = stream(0, "regression")
    features = rng.standard_normal((20_000, 3))
    chance = 1 / (1 + np.exp(-(features @ [2.0, -1.0, 0.0] + 0.5)))
    weights, bias = fit_logistic(features, (rng.random(20_000) < chance).astype(int), ridge=0.1)
    np.testing.assert_allclose([*weights, bias], [2.0, -1.0, 0.0, 0.5], atol=0.08)


def test_the_line_names_interval_and_pairs():
    found = measured(pairs_of(source("nsp"), 1_000))
    assert str(found).endswith(f"to {100 * found.high:.1f} %, {found.pairs} pairs)")
    assert found.low < found.accuracy < found.high
    assert found.high - found.low == pytest.approx(
        2 * 1.96 * (found.accuracy * (1 - found.accuracy) / found.pairs) ** 0.5, rel=0.1
    )


@pytest.mark.parametrize("objective", ["sop", "nsp"])
def test_documents_of_one_sentence_have_no_pairs_and_no_verdict(objective):
    pairs = pairs_of(source(objective, single=1.0, documents=20), 100)
    assert len(pairs.order) == 0
    assert probe(bags_of(pairs, VOCAB)) is None
