"""Record how transformers' copy of SQuAD's official script scores answers that are composed here.

Needs transformers below 5, which still has that copy:

    python scripts/record_squad_scores.py

It writes tests/metrics/squad_scores.json: exact match and F1 of single answers, then the figures
and the best no-answer thresholds of whole sets of questions.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.data.metrics.squad_metrics import (
    get_raw_scores,
    normalize_answer,
    squad_evaluate,
)

OUT = Path(__file__).parents[1] / "tests" / "metrics" / "squad_scores.json"
# Spellings that normalisation joins, and some that it must keep apart.
SPELLINGS = [
    *("", " ", "the", "The a an", "...", "!?", "-", "$", "a", "A.", "an apple", "The Apple"),
    *("apple", "apples", "theatre", "the theatre", "1,000", "1000", "1.5", "15", "£5", "5 %"),
    *("U.S. Army", "us army", "The U.S.\tArmy", "Über", "über", "ÜBER", "日本", "日本 語", "l'eau"),
    *(
        "the the",
        "new york new york",
        "york new",
        "New-York",
        "new york",
        "½ a mile",
        "a\u00a0mile",
    ),
    *("and the band", "anthem", "the“quoted”", "“quoted”", "straße", "STRASSE", "İzmir", "izmir"),
    *("in 1066, the year", "1066", "year 1066 in", "no", "no answer", "thea b", "c a_b"),
]
THRESHOLDS = [-1.0, 0.0, 0.5, 1.0]


@dataclass
class Question:
    """What the script asks of an example."""

    qas_id: str
    answers: list[dict[str, str]] = field(default_factory=list)


def scored(predicted: str, answers: Sequence[str]) -> dict[str, Any]:
    """Return one answer with its scores."""
    question = Question("q", [{"text": text} for text in answers])
    exact, f1 = get_raw_scores([question], {"q": predicted})
    return {"predicted": predicted, "answers": answers, "exact": exact["q"], "f1": f1["q"]}


def single_answers() -> list[dict[str, Any]]:
    """Return every pair of spellings, then some with several accepted answers, or none."""
    rng = random.Random(0)
    pairs = [(p, [e]) for p in SPELLINGS for e in rng.sample(SPELLINGS, 12)]
    several = [(p, rng.sample(SPELLINGS, rng.choice([0, 2, 3]))) for p in SPELLINGS * 2]
    same = [(p, [p]) for p in SPELLINGS]
    return [scored(*case) for case in [*pairs, *several, *same]]


def whole_set(seed: int) -> dict[str, Any]:
    """Return questions with their figures at each threshold, and the best thresholds."""
    rng = random.Random(seed)
    unanswerable = [0.0, 0.3, 0.5, 0.9, 1.0][seed % 5]
    rows = []
    for number in range(300 if seed == 2 else rng.choice([1, 2, 7, 30])):
        answers = rng.sample(SPELLINGS, rng.choice([1, 2, 3]))
        answers = [] if rng.random() < unanswerable else answers
        predicted = rng.choice([*answers, *rng.sample(SPELLINGS, 2), ""])
        # Few values, so that some are equal.
        rows.append(
            [f"q{number}", predicted, answers, rng.choice([-2.0, -0.5, 0.0, 0.25, 0.5, 3.0])]
        )
    if not any(answers for _, _, answers, _ in rows):
        rows.append(["last", "apple", ["an apple"], 0.75])  # the script divides by their number
    questions = [Question(row[0], [{"text": text} for text in row[2]]) for row in rows]
    predictions, scores = ({row[0]: row[at] for row in rows} for at in (1, 3))
    figures = {
        str(threshold): squad_evaluate(questions, predictions, scores, threshold)
        for threshold in THRESHOLDS
    }
    return {"rows": [row[1:] for row in rows], "figures": figures}


def main() -> None:
    """Write the file."""
    content = {
        "normalized": {text: normalize_answer(text) for text in SPELLINGS},
        "answers": single_answers(),
        "sets": [whole_set(seed) for seed in range(40)],
    }
    OUT.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
