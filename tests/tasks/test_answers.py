import json

import numpy as np
import pytest

from albatross.tasks.answers import (
    Answer,
    AnyAnswer,
    ChoiceAnswer,
    EmbeddingAnswer,
    EntitiesAnswer,
    EntityText,
    LabelsAnswer,
    SimilarityAnswer,
    SpanAnswer,
    SpanCandidate,
    TextAnswer,
    ValueAnswer,
)

GULL = SpanCandidate("a gull", 4, 10, 2 / 3)
ANSWERS: dict[str, tuple[AnyAnswer, str]] = {
    "label": (Answer("good", 2 / 3, {"bad": 1 / 3, "good": 2 / 3}), "good         0.667"),
    "labels": (LabelsAnswer(("sea", "sky"), {"sea": 0.9, "sky": 0.8}), "sea, sky"),
    "no labels": (LabelsAnswer((), {"sea": 0.1}), "-"),
    "value": (ValueAnswer(2 / 3), "0.667"),
    "choice": (ChoiceAnswer(1, "a gull", 0.9, (0.1, 0.9)), "1: a gull  0.900"),
    "span": (SpanAnswer("a gull", 4, 10, 2 / 3, -1.0, (GULL,)), "a gull  0.667"),
    "no span": (SpanAnswer("", 0, 0, 0.9, 2.0, (GULL,)), "(no answer)  0.900"),
    "entities": (
        EntitiesAnswer((EntityText("LOC", "Cork", 0, 4, 0.9),), ("B-LOC",)),
        "Cork (LOC)",
    ),
    "no entities": (EntitiesAnswer((), ("O",)), "-"),
    "similarity": (SimilarityAnswer(4.5), "4.500"),
    "vector": (EmbeddingAnswer(np.array([0.6, 0.8], dtype=np.float32)), "0.600 0.800 ..."),
    "text": (TextAnswer("a gull", -0.5, {"a gull": -0.5}), "a gull"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_a_line_and_json(kind):
    answer, line = ANSWERS[kind]
    assert answer.line().strip() == line
    assert json.loads(json.dumps(answer.to_dict(), allow_nan=False)) == answer.to_dict()


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_shows_itself_in_a_line(kind):
    assert len(repr(ANSWERS[kind][0])) < 120


def test_probabilities_have_six_digits_in_json():
    assert ANSWERS["label"][0].to_dict() == {
        "label": "good",
        "score": 0.666667,
        "probabilities": {"bad": 0.333333, "good": 0.666667},
    }
    assert ANSWERS["span"][0].to_dict()["candidates"] == [
        {"text": "a gull", "start": 4, "end": 10, "score": 0.666667}
    ]


def test_vectors_are_equal_by_their_numbers():
    one, same, other = (EmbeddingAnswer(np.array(v)) for v in ([1.0, 0], [1.0, 0], [0, 1.0]))
    assert one == same
    assert one != other
