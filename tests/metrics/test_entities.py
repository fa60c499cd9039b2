import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import metrics as oracle
from seqeval.metrics.sequence_labeling import get_entities

from albatross.metrics.entities import (
    entities_of,
    entity_counts,
    entity_metrics,
    entity_scores_by_type,
    judge_entities,
)

TYPES = ["LOC", "PER", "made-up"]
TAGS = st.sampled_from(["O", *(f"{prefix}-{name}" for prefix in "BI" for name in TYPES)])
ALL_TAGS = TAGS | st.sampled_from(["B", "I", "E", "S", "E-PER", "S-PER", "E-LOC", "S-LOC"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), max_size=9), min_size=1, max_size=9)


@settings(max_examples=400)
@given(st.lists(ALL_TAGS, max_size=12))
def test_entities_are_seqevals_stray_tags_included(tags):
    found = [(entity.type, entity.start, entity.end - 1) for entity in entities_of(tags)]
    assert found == get_entities(tags)


def split(sentences):
    predicted = [[p for p, _ in pairs] for pairs in sentences]
    expected = [[e for _, e in pairs] for pairs in sentences]
    rows = [judge_entities(p, e, TYPES) for p, e in zip(predicted, expected, strict=True)]
    return predicted, expected, np.array(rows)


@pytest.mark.filterwarnings("ignore::seqeval.metrics.v1.UndefinedMetricWarning")
@given(SENTENCES)
def test_figures_are_seqevals(sentences):
    predicted, expected, judged = split(sentences)
    found = entity_metrics(judged)
    given_, zero = (expected, predicted), {"zero_division": 0}
    assert found["precision"] == pytest.approx(oracle.precision_score(*given_, **zero), abs=1e-12)
    assert found["recall"] == pytest.approx(oracle.recall_score(*given_, **zero), abs=1e-12)
    assert found["f1"] == pytest.approx(oracle.f1_score(*given_, **zero), abs=1e-12)


@given(SENTENCES.filter(lambda s: any(tag != "O" for pairs in s for pair in pairs for tag in pair)))
def test_scores_of_each_type_and_their_mean_are_seqevals(sentences):
    predicted, expected, judged = split(sentences)
    report = oracle.classification_report(expected, predicted, output_dict=True, zero_division=0)
    for name, scores in zip(TYPES, entity_scores_by_type(judged), strict=True):
        if name in report:
            wanted = [report[name][key] for key in ("precision", "recall", "f1-score")]
            np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-12)
    macro = report["macro avg"]["f1-score"]
    assert entity_metrics(judged)["macro_f1"] == pytest.approx(macro, abs=1e-12)


def test_counts_of_records_add_up():
    judged = np.array(
        [
            judge_entities(["B-PER", "O"], ["B-PER", "I-PER"], TYPES),
            judge_entities(["B-PER", "B-LOC"], ["B-PER", "O"], TYPES),
        ]
    )
    assert entity_counts(judged).tolist() == [[0, 1, 0], [1, 2, 2], [0, 0, 0]]


def test_records_without_entities_score_zero():
    assert set(entity_metrics(np.zeros((2, 6))).values()) == {0.0}
