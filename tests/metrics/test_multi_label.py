import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as oracle

from albatross.errors import DataError
from albatross.metrics.multi_label import (
    flag_f1_by_label,
    flag_macro_f1,
    flag_micro_f1,
    flag_scores,
    subset_accuracy,
)

# One label is neither given nor expected; records without any label are common.
FLAGS = (
    st.integers(1, 30)
    .flatmap(lambda rows: arrays(np.int64, (2, rows, 4), elements=st.integers(0, 1)))
    .map(lambda flags: flags * [1, 1, 1, 0])
)


@given(FLAGS)
@pytest.mark.parametrize(("ours", "average"), [(flag_macro_f1, "macro"), (flag_micro_f1, "micro")])
def test_f1_is_scikit_learns(ours, average, flags):
    wanted = oracle.f1_score(flags[1], flags[0], average=average, zero_division=0)
    assert ours(*flags) == pytest.approx(wanted, abs=1e-12)


@given(FLAGS)
def test_scores_of_each_label_are_scikit_learns(flags):
    found = flag_scores(*flags)
    wanted = oracle.precision_recall_fscore_support(flags[1], flags[0], zero_division=0)
    for ours, theirs in zip(
        (found.precision, found.recall, found.f1, found.support), wanted, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(flag_f1_by_label(*flags), found.f1, rtol=0, atol=1e-12)


@given(FLAGS)
def test_all_labels_must_be_right_as_in_scikit_learn(flags):
    wanted = oracle.accuracy_score(flags[1], flags[0])
    assert subset_accuracy(*flags) == pytest.approx(wanted, abs=1e-12)


def test_a_score_of_nothing_is_refused():
    with pytest.raises(DataError, match=r"at least one record\. Received: none"):
        subset_accuracy(np.ones((0, 2)), np.ones((0, 2)))
