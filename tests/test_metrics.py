import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest  # type: ignore[import-untyped]
from sklearn import metrics as oracle

from albatross.errors import DataError
from albatross.metrics import accuracy, confusion_matrix, f1_by_label, wilson_interval

LABELS = ["bad", "fair", "good", "unseen"]
PAIRS = st.lists(
    st.tuples(st.sampled_from(LABELS[:3]), st.sampled_from(LABELS[:3])), min_size=1, max_size=60
)


@settings(deadline=None)
@given(PAIRS)
def test_accuracy_is_scikit_learns(pairs):
    predicted, expected = zip(*pairs, strict=True)
    assert accuracy(predicted, expected) == pytest.approx(
        oracle.accuracy_score(expected, predicted), abs=1e-12
    )


@settings(deadline=None)
@given(PAIRS)
def test_the_confusion_matrix_is_scikit_learns(pairs):
    predicted, expected = zip(*pairs, strict=True)
    found = confusion_matrix(predicted, expected, LABELS)
    assert (found == oracle.confusion_matrix(expected, predicted, labels=LABELS)).all()


@settings(deadline=None)
@given(PAIRS)
def test_f1_is_scikit_learns_for_each_label_and_on_average(pairs):
    predicted, expected = zip(*pairs, strict=True)
    found = f1_by_label(confusion_matrix(predicted, expected, LABELS))
    wanted = oracle.f1_score(expected, predicted, labels=LABELS, average=None, zero_division=0)
    macro = oracle.f1_score(expected, predicted, labels=LABELS, average="macro", zero_division=0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert found.mean() == pytest.approx(macro, abs=1e-12)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Newcombe, 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(hits, count, low, high):
    interval = wilson_interval(hits / count, count)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 2_000), st.data())
def test_the_interval_is_scipys(count, data):
    hits = data.draw(st.integers(0, count))
    interval = wilson_interval(hits / count, count)
    wanted = binomtest(hits, count).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_interval_holds_the_share_and_stays_within_zero_and_one(count, share):
    interval = wilson_interval(share, count)
    assert 0 <= interval.low <= share + 1e-12
    assert share - 1e-12 <= interval.high <= 1


def test_a_score_of_nothing_is_refused():
    for score in (lambda: accuracy([], []), lambda: wilson_interval(0.5, 0)):
        with pytest.raises(DataError, match=r"at least one record\. Received: none"):
            score()
