import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from albatross.errors import DataError
from albatross.metrics.regression import (
    mean_absolute_error,
    pearson,
    ranks,
    root_mean_squared_error,
    spearman,
)

VALUES = st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0]) | st.integers(-1_000, 1_000).map(float)
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=40).map(
    lambda pairs: np.array(pairs).T
)


def varies(pair):
    return all(len(set(side)) > 1 for side in pair)


@given(PAIRS.filter(varies))
def test_correlations_are_scipys_with_ties_too(pair):
    assert pearson(*pair) == pytest.approx(stats.pearsonr(*pair).statistic, abs=1e-9)
    assert spearman(*pair) == pytest.approx(stats.spearmanr(*pair).statistic, abs=1e-9)


@given(PAIRS)
def test_ranks_and_errors_are_those_of_scipy_and_scikit_learn(pair):
    np.testing.assert_array_equal(ranks(pair[0]), stats.rankdata(pair[0]))
    squared = oracle.mean_squared_error(pair[1], pair[0])
    assert mean_absolute_error(*pair) == pytest.approx(oracle.mean_absolute_error(*pair), abs=1e-9)
    assert root_mean_squared_error(*pair) == pytest.approx(squared**0.5, abs=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e300])
def test_the_correlation_with_a_constant_is_zero_and_never_nan(constant):
    flat, steep = np.full(7, constant), np.arange(7.0)
    for score in (pearson, spearman):
        assert score(flat, steep) == score(steep, flat) == score(flat, flat) == 0


def test_one_record_alone_correlates_with_nothing():
    assert pearson(np.array([1.0]), np.array([2.0])) == 0


def test_tiny_and_huge_values_correlate_as_others_do():
    values = np.array([1.0, 2.0, 4.0])
    assert pearson(values * 1e-200, values * 1e200) == pytest.approx(1, abs=1e-12)


def test_a_score_of_nothing_is_refused():
    for score in (pearson, spearman, mean_absolute_error, root_mean_squared_error):
        with pytest.raises(DataError, match=r"at least one record\. Received: none"):
            score(np.ones(0), np.ones(0))
