import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from albatross.errors import DataError
from albatross.metrics.classification import (
    accuracy,
    accuracy_of,
    binary_f1,
    confusion_matrix,
    confusion_of_classes,
    f1_by_label,
    label_scores,
    macro_f1,
    matthews,
    mean_class_distance,
    micro_f1,
    quadratic_kappa,
    weighted_f1,
)

LABELS = ["bad", "fair", "good", "unseen"]
CLASSES = list(range(len(LABELS)))
PAIRS = st.lists(
    st.tuples(st.sampled_from(CLASSES[:3]), st.sampled_from(CLASSES[:3])), min_size=1, max_size=60
)


def names_of(pairs):
    return [LABELS[p] for p, _ in pairs], [LABELS[e] for _, e in pairs]


def confusion_of(pairs):
    predicted, expected = np.array(pairs).T
    return confusion_of_classes(predicted, expected, len(LABELS)), predicted, expected


@given(PAIRS)
def test_accuracy_is_scikit_learns(pairs):
    predicted, expected = names_of(pairs)
    wanted = oracle.accuracy_score(expected, predicted)
    assert accuracy(predicted, expected) == pytest.approx(wanted, abs=1e-12)
    assert accuracy_of(confusion_of(pairs)[0]) == pytest.approx(wanted, abs=1e-12)


@given(PAIRS)
def test_the_confusion_matrix_is_scikit_learns(pairs):
    predicted, expected = names_of(pairs)
    wanted = oracle.confusion_matrix(expected, predicted, labels=LABELS)
    assert (confusion_matrix(predicted, expected, LABELS) == wanted).all()
    assert (confusion_of(pairs)[0] == wanted).all()


@given(PAIRS)
def test_scores_of_each_label_are_scikit_learns(pairs):
    confusion, predicted, expected = confusion_of(pairs)
    found = label_scores(confusion)
    wanted = oracle.precision_recall_fscore_support(
        expected, predicted, labels=CLASSES, zero_division=0
    )
    for ours, theirs in zip(
        (found.precision, found.recall, found.f1, found.support), wanted, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(f1_by_label(confusion), found.f1)


@given(PAIRS)
@pytest.mark.parametrize(
    ("ours", "average"), [(macro_f1, "macro"), (micro_f1, "micro"), (weighted_f1, "weighted")]
)
def test_averages_of_f1_are_scikit_learns(ours, average, pairs):
    confusion, predicted, expected = confusion_of(pairs)
    wanted = oracle.f1_score(expected, predicted, labels=CLASSES, average=average, zero_division=0)
    assert ours(confusion) == pytest.approx(wanted, abs=1e-12)


@given(PAIRS)
def test_binary_f1_is_that_of_the_second_label(pairs):
    predicted, expected = np.array(pairs).T % 2
    wanted = oracle.f1_score(expected, predicted, pos_label=1, zero_division=0)
    found = binary_f1(confusion_of_classes(predicted, expected, 2))
    assert found == pytest.approx(wanted, abs=1e-12)


SEVERAL = PAIRS.filter(lambda pairs: len({e for pair in pairs for e in pair}) > 1)


@given(SEVERAL)
def test_matthews_is_scikit_learns_for_many_classes_too(pairs):
    confusion, predicted, expected = confusion_of(pairs)
    wanted = oracle.matthews_corrcoef(expected, predicted)
    assert matthews(confusion) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("pairs", [[(1, 1)], [(1, 0), (1, 1)], [(0, 1), (2, 1)]])
def test_matthews_of_one_class_alone_is_zero(pairs):
    assert matthews(confusion_of(pairs)[0]) == 0


@given(SEVERAL)
def test_quadratic_kappa_is_scikit_learns(pairs):
    confusion, predicted, expected = confusion_of(pairs)
    wanted = oracle.cohen_kappa_score(expected, predicted, labels=CLASSES, weights="quadratic")
    assert quadratic_kappa(confusion) == pytest.approx(wanted, abs=1e-9)


def test_quadratic_kappa_of_right_answers_of_one_class_is_one():
    assert quadratic_kappa(confusion_of([(2, 2)] * 3)[0]) == 1


@given(PAIRS)
def test_the_distance_of_classes_is_scikit_learns_mean_absolute_error(pairs):
    confusion, predicted, expected = confusion_of(pairs)
    wanted = oracle.mean_absolute_error(expected, predicted)
    assert mean_class_distance(confusion) == pytest.approx(wanted, abs=1e-12)


def test_a_score_of_nothing_is_refused():
    with pytest.raises(DataError, match=r"at least one record\. Received: none"):
        accuracy([], [])
