"""Reviews for the built-in model, and the report of them."""

from pathlib import Path

import pytest

from albatross.evaluation.evaluate import evaluate
from albatross.rehearsal.grammar import compose_reviews
from albatross.settings.answering import EvaluateSettings


@pytest.fixture(scope="session")
def review_file(tmp_path_factory):
    """80 reviews, every tenth with the other label, of two subsets."""
    path = tmp_path_factory.mktemp("reviews") / "dev.tsv"
    other = {"positive": "negative", "negative": "positive"}
    rows = ["sentence\tlabel\tsubset"]
    for number, (text, label) in enumerate(compose_reviews(80, seed=5)):
        label = label if number % 10 else other[label]
        rows.append(f"{text}\t{label}\t{'even' if number % 2 == 0 else 'odd'}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def report(review_file):
    return evaluate(EvaluateSettings(Path("sentiment"), review_file, bootstrap=200))
