"""SST-2 by model folders and by TF-IDF with logistic regression, on the same dev file.

Needs data: the GLUE folder of SST-2, with train.tsv(.gz) and dev.tsv.

    python benchmarks/sentiment.py SST-2/ runs/sst2 runs/sst2-scratch --limit 2000 --seeds 2

The baseline sees one- and two-word phrases; its regularisation is scikit-learn's default, the same
for all rows. Intervals are Wilson's at 95 %; on 436 rows one standard error is 1.7 to 1.9 points.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from albatross.data.records import TextRecord, read_text_records
from albatross.evaluation.evaluate import score_records
from albatross.metrics.intervals import wilson_interval
from albatross.pipelines.pipeline import load
from albatross.training.task_data import limit_records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--limit", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()

    train_file = next(arguments.data.glob("train.tsv*"))
    train = read_text_records(train_file)
    dev = read_text_records(arguments.data / "dev.tsv")
    print(f"{'model':<44} {'accuracy':>8}  95 % interval")
    _print_row("TF-IDF + logistic regression, all", [_baseline(train, dev)], len(dev))
    few = [
        _baseline(limit_records(train, arguments.limit, seed), dev)
        for seed in range(arguments.seeds)
    ]
    _print_row(f"TF-IDF + logistic regression, {arguments.limit:,}", few, len(dev))
    for folder in arguments.models:
        model = load(folder)
        metrics = score_records(model.engine, model.task, dev, 8_192)
        _print_row(str(folder), [metrics["accuracy"]], len(dev))


def _baseline(train: list[TextRecord], dev: list[TextRecord]) -> float:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    matrix = vectorizer.fit_transform(record.text for record in train)
    classifier = LogisticRegression(max_iter=1_000).fit(matrix, [r.label for r in train])
    return float(
        classifier.score(vectorizer.transform(r.text for r in dev), [r.label for r in dev])
    )


def _print_row(name: str, accuracies: list[float], count: int) -> None:
    mean = statistics.mean(accuracies)
    interval = wilson_interval(mean, count)
    seeds = f"  seeds: {', '.join(f'{a:.3f}' for a in accuracies)}" if len(accuracies) > 1 else ""
    print(f"{name:<44} {mean:>8.3f}  {interval.low:.3f} to {interval.high:.3f}{seeds}", flush=True)


if __name__ == "__main__":
    main()
