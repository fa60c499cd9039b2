import json
import math
from pathlib import Path

import numpy as np
import pytest

from albatross.errors import DataError
from albatross.metrics.spans import (
    JUDGED_COLUMNS,
    best_exact,
    best_f1,
    exact_match,
    judge_span,
    normalize_answer,
    span_metrics,
    token_f1,
)
from albatross.rng import stream

# Made by scripts/record_squad_scores.py.
RECORDED = json.loads((Path(__file__).parent / "squad_scores.json").read_text(encoding="utf-8"))


def test_normalisation_is_the_official_scripts():
    for text, wanted in RECORDED["normalized"].items():
        assert normalize_answer(text) == wanted


def test_scores_of_answers_are_the_official_scripts():
    assert len(RECORDED["answers"]) > 500
    for case in RECORDED["answers"]:
        predicted, answers = case["predicted"], case["answers"]
        assert exact_match(predicted, answers) == case["exact"], case
        assert token_f1(predicted, answers) == pytest.approx(case["f1"], abs=1e-12), case


def judged_of(rows):
    return np.array([judge_span(*row) for row in rows])


@pytest.mark.parametrize("case", RECORDED["sets"], ids=lambda case: f"{len(case['rows'])}rows")
def test_figures_of_questions_are_the_official_scripts(case):
    judged = judged_of(case["rows"])
    names = {"exact": "exact", "f1": "f1", "HasAns_exact": "has_answer_exact"}
    names |= {"HasAns_f1": "has_answer_f1", "NoAns_exact": "no_answer_exact"}
    for threshold, figures in case["figures"].items():
        found = span_metrics(judged, float(threshold))
        wanted = {ours: figures[name] / 100 for name, ours in names.items() if name in figures}
        if "NoAns_exact" not in figures:
            wanted = {name: wanted[name] for name in ("exact", "f1")}
        assert {k: v for k, v in found.items() if k in wanted} == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("case", RECORDED["sets"], ids=lambda case: f"{len(case['rows'])}rows")
def test_best_thresholds_are_the_official_scripts(case):
    judged, figures = judged_of(case["rows"]), case["figures"]["0.0"]
    exact, f1 = best_exact(judged), best_f1(judged)
    assert (exact.threshold, f1.threshold) == (
        figures["best_exact_thresh"],
        figures["best_f1_thresh"],
    )
    assert exact.score == pytest.approx(figures["best_exact"] / 100, abs=1e-12)
    assert f1.score == pytest.approx(figures["best_f1"] / 100, abs=1e-12)


def test_the_best_threshold_gives_the_best_score():
    rng = stream(0)
    rows = [("apple", ["apple"] if rng.random() < 0.6 else [], rng.normal()) for _ in range(50)]
    best = best_exact(judged_of(rows))
    assert span_metrics(judged_of(rows), best.threshold)["exact"] == pytest.approx(best.score)


def test_a_model_that_cannot_say_that_there_is_no_answer_never_does():
    judged = np.array([judge_span("apple", ["an apple"]), judge_span("apple", [])])
    assert judged[0, JUDGED_COLUMNS.index("no_answer_score")] == -math.inf
    assert span_metrics(judged, 0.0)["no_answer_exact"] == 0
    assert span_metrics(judged[:1]) == {"exact": 1, "f1": 1}


def test_a_score_of_nothing_is_refused():
    for score in (span_metrics, best_exact, best_f1):
        with pytest.raises(DataError, match=r"at least one record\. Received: none"):
            score(np.ones((0, 5)))
