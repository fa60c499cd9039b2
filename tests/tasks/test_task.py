import json

from albatross.tasks.task import Answer


def test_an_answer_shows_its_label_and_score():
    assert repr(Answer("good", 0.9876, {"good": 0.9876})) == "Answer(label='good', score=0.99)"


def test_an_answer_fits_a_json_line():
    answer = Answer("good", 2 / 3, {"bad": 1 / 3, "good": 2 / 3})
    assert json.loads(json.dumps(answer.to_dict())) == {
        "label": "good",
        "score": 0.666667,
        "probabilities": {"bad": 0.333333, "good": 0.666667},
    }
