"""What lies behind the figures: labels, calibration, thresholds, and parts of the records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.evaluation.report import (
    Calibration,
    Confusion,
    LabelRow,
    NoAnswer,
    PartScore,
)
from albatross.evaluation.verdicts import label_name, labels_of, text_of
from albatross.metrics.calibration import (
    brier,
    calibration_bins,
    expected_calibration_error,
    fit_temperature,
    tempered,
)
from albatross.metrics.classification import LabelScores, confusion_matrix, label_scores
from albatross.metrics.entities import (
    entities_of,
    entity_counts,
    entity_scores_by_type,
    judge_entities,
)
from albatross.metrics.intervals import Interval, bootstrap
from albatross.metrics.multi_label import flag_scores
from albatross.metrics.spans import best_exact, best_f1, judge_span
from albatross.rng import stream
from albatross.tasks.answers import Answer, ChoiceAnswer, EntitiesAnswer, LabelsAnswer, SpanAnswer
from albatross.tasks.task import Task

_BANDS = 5
# Fewer records than this in a band say nothing.
_LEAST_IN_BAND = 10
# A temperature needs some answers to be fitted on, and as many to be measured on.
_LEAST_FOR_TEMPERATURE = 20
_CONFUSIONS = 1_000
_MOST_SUBSETS = 50
# Parts need coarser intervals than the whole.
_ROUNDS_OF_PART = 200
_BINS = 15
# How seqeval spells tags of entities; parts of speech are spelt otherwise.
_ENTITY_TAG = re.compile(r"O|[BIES](-.+)?")


def label_rows(task: Any, answers: Sequence[Any], records: Sequence[Any]) -> tuple[LabelRow, ...]:
    """Return the scores of each label or type of entity; none for tasks without."""
    if all(isinstance(answer, Answer) for answer in answers):
        confusion = confusion_matrix(*_pairs(task, answers, records), task.labels)
        return _rows(task.labels, label_scores(confusion))
    if all(isinstance(answer, LabelsAnswer) for answer in answers):
        expected = [{label_name(task, one) for one in labels_of(record)} for record in records]
        flags = [
            np.array([[name in one for name in task.labels] for one in side])
            for side in ([set(answer.labels) for answer in answers], expected)
        ]
        return _rows(task.labels, flag_scores(*flags))
    if all(isinstance(answer, EntitiesAnswer) for answer in answers):
        return _tag_rows([answer.tags for answer in answers], [r.tags for r in records])
    return ()


def confusions(task: Any, answers: Sequence[Any], records: Sequence[Any]) -> tuple[Confusion, ...]:
    """Count the pairs of expected and answered labels that occur, the most frequent first."""
    if not all(isinstance(answer, Answer) for answer in answers):
        return ()
    counts = confusion_matrix(*_pairs(task, answers, records), task.labels)
    found = [
        Confusion(task.labels[row], task.labels[column], int(counts[row, column]))
        for row, column in np.argwhere(counts)
    ]
    return tuple(sorted(found, key=lambda each: -each.count)[:_CONFUSIONS])


def calibration(
    task: Any, answers: Sequence[Any], records: Sequence[Any], seed: int
) -> Calibration | None:
    """Compare probabilities with how often answers are right; None for tasks without.

    The temperature is fitted on half of the records, drawn at random, and measured on the others.
    """
    found = _probabilities(task, answers, records)
    if found is None or len(records) < _LEAST_FOR_TEMPERATURE:
        return None
    shares, expected = found
    right = shares.argmax(1) == expected
    bins = calibration_bins(shares.max(1), right, _BINS)
    drawn = stream(seed, "temperature").permutation(len(records))
    fitted, measured = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    temperature = fit_temperature(shares[fitted], expected[fitted])
    mended = tempered(shares[measured], temperature)
    return Calibration(
        counts=tuple(bins.counts.tolist()),
        confidence=tuple(bins.confidence.tolist()),
        accuracy=tuple(bins.accuracy.tolist()),
        error=bins.error,
        brier=brier(shares, expected),
        temperature=temperature,
        half_error=expected_calibration_error(shares[measured].max(1), right[measured]),
        half_error_tempered=expected_calibration_error(
            mended.max(1), mended.argmax(1) == expected[measured]
        ),
    )


def no_answer(answers: Sequence[Any], records: Sequence[Any], threshold: float) -> NoAnswer | None:
    """Look for the best thresholds, where questions may have no answer; None elsewhere."""
    if not all(isinstance(answer, SpanAnswer) for answer in answers):
        return None
    if not any(record.is_impossible for record in records):
        return None
    rows = [
        judge_span(_best_text(answer), [one.text for one in record.answers], answer.no_answer_score)
        for answer, record in zip(answers, records, strict=True)
    ]
    exact, f1 = best_exact(np.array(rows)), best_f1(np.array(rows))
    return NoAnswer(threshold, exact.score, exact.threshold, f1.score, f1.threshold)


# === Parts of the records ===


def by_length(
    task: Task[Any],
    judged: NDArray[np.float64],
    records: Sequence[Any],
    seed: int,
    rounds: int = _ROUNDS_OF_PART,
) -> tuple[PartScore, ...]:
    """Return the main figure of bands of length, which hold as many records each.

    Lengths are in characters, which every language has.
    """
    lengths = np.array([len(text_of(record)) for record in records])
    bands = min(_BANDS, len(records) // _LEAST_IN_BAND)
    if bands < 2:
        return ()
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, bands + 1)[1:-1]))
    places = np.searchsorted(edges, lengths, side="left")
    rows = {int(place): np.flatnonzero(places == place) for place in np.unique(places)}
    names = {
        place: f"{lengths[inside].min():,}-{lengths[inside].max():,}"
        for place, inside in rows.items()
    }
    return _parts(
        task, judged, {names[place]: inside for place, inside in rows.items()}, seed, rounds
    )


def by_subset(
    task: Task[Any],
    judged: NDArray[np.float64],
    records: Sequence[Any],
    seed: int,
    rounds: int = _ROUNDS_OF_PART,
) -> tuple[PartScore, ...]:
    """Return the main figure of the largest subsets; none where the file names fewer than two."""
    sizes = Counter(record.subset for record in records)
    if len(sizes) < 2:
        return ()
    names = sorted(name for name, _ in sizes.most_common(_MOST_SUBSETS))
    subsets = np.array([record.subset for record in records])
    rows = {name or "(none)": np.flatnonzero(subsets == name) for name in names}
    return _parts(task, judged, rows, seed, rounds)


def part_score(
    task: Task[Any], judged: NDArray[np.float64], name: str, seed: int, rounds: int
) -> PartScore:
    """Return the main figure of some records with its interval, of fewer draws than of all."""

    def main_figure(rows: NDArray[np.float64]) -> dict[str, float]:
        found = task.metrics(rows)
        return {task.main_metric: found.get(task.main_metric, 0.0)}

    score = main_figure(judged)[task.main_metric]
    rng = stream(seed, "part", name)
    found = bootstrap(main_figure, judged, rng, rounds=min(rounds, _ROUNDS_OF_PART))
    interval = found.get(task.main_metric, Interval(score, score))
    return PartScore(name, len(judged), score, interval.low, interval.high)


def _parts(
    task: Task[Any],
    judged: NDArray[np.float64],
    rows: Mapping[str, NDArray[np.int64]],
    seed: int,
    rounds: int,
) -> tuple[PartScore, ...]:
    """Return the main figure of each part."""
    return tuple(
        part_score(task, judged[inside], name, seed, rounds) for name, inside in rows.items()
    )


# === What answers and records say ===


def _pairs(
    task: Any, answers: Sequence[Any], records: Sequence[Any]
) -> tuple[list[str], list[str]]:
    """Return the names of the answered and of the expected labels."""
    return [answer.label for answer in answers], [label_name(task, r.label) for r in records]


def _probabilities(
    task: Any, answers: Sequence[Any], records: Sequence[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Return probabilities (records, labels) and the right classes, of kinds that have them."""
    if all(isinstance(answer, Answer) for answer in answers):
        index = {label: number for number, label in enumerate(task.labels)}
        shares = [[answer.probabilities[name] for name in task.labels] for answer in answers]
        expected = [index[label_name(task, record.label)] for record in records]
        return np.array(shares, dtype=np.float64), np.array(expected, dtype=np.int64)
    if all(isinstance(answer, ChoiceAnswer) for answer in answers):
        most = max(len(answer.probabilities) for answer in answers)
        rows = [[*a.probabilities, *[0.0] * (most - len(a.probabilities))] for a in answers]
        return np.array(rows), np.array([record.label for record in records], dtype=np.int64)
    return None


def _rows(names: Sequence[str], scores: LabelScores) -> tuple[LabelRow, ...]:
    """Return a row for each label."""
    columns = (scores.precision, scores.recall, scores.f1, scores.support)
    return tuple(
        LabelRow(name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(names, *columns, strict=True)
    )


def _tag_rows(
    predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]
) -> tuple[LabelRow, ...]:
    """Return a row for each type of entity; for each tag where tags mark no entities."""
    found = sorted({tag for tags in [*predicted, *expected] for tag in tags})
    if not all(_ENTITY_TAG.fullmatch(tag) for tag in found):
        given, wanted = ([tag for tags in side for tag in tags] for side in (predicted, expected))
        return _rows(found, label_scores(confusion_matrix(given, wanted, found)))
    types = sorted({e.type for tags in [*predicted, *expected] for e in entities_of(tags)})
    if not types:
        return ()
    pairs = zip(predicted, expected, strict=True)
    judged = np.array([judge_entities(*pair, types) for pair in pairs])
    precision, recall, f1 = entity_scores_by_type(judged).T
    support = entity_counts(judged)[:, 2].astype(np.int64)
    return _rows(types, LabelScores(precision, recall, f1, support))


def _best_text(answer: SpanAnswer) -> str:
    """Return the best piece as if there were an answer."""
    return answer.candidates[0].text if answer.candidates else answer.text
