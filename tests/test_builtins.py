"""The models inside the package: each answers by its name, offline, what a reader would answer."""

from typing import Any

import pytest

import albatross
from albatross.checkpoints.locate import builtin_names, find_model
from albatross.engine.onnx_engine import OnnxEngine

LABELS = [
    ("sentiment", "A lovely film with a wonderful cast.", "positive"),
    ("sentiment", "Dull, badly acted and far too long.", "negative"),
    ("intent", "what is the weather in boston today", "weather"),
    ("intent", "please set an alarm for seven am", "alarm"),
    ("intent", "my dog ate a red shoe", "oos"),
    ("spam", "WINNER! You have won 1000 pounds. To claim call 09061701461 now", "spam"),
    ("spam", "WINNER! Claim your free prize now", "spam"),
    ("spam", "ok, see you at six then", "ham"),
    ("question-type", "Where do penguins live?", "LOC"),
    ("question-type", "How many legs has a spider?", "NUM"),
]


@pytest.mark.parametrize(("name", "text", "label"), LABELS)
def test_a_built_in_model_tells_classes(name, text, label):
    assert albatross.load(name)(text).label == label


def test_a_built_in_model_finds_names():
    found = albatross.load("entities")("Barack Obama met Angela Merkel in Berlin.").entities
    assert [(each.text, each.type) for each in found] == [
        ("Barack Obama", "person"),
        ("Angela Merkel", "person"),
        ("Berlin", "location"),
    ]


def test_a_built_in_model_tells_how_alike_sentences_are():
    embed = albatross.load("embed")
    like = ("A man plays a guitar.", "A man is playing an instrument.")
    unlike = ("A man plays a guitar.", "The shop opens at nine.")
    near, far = (float(embed(pair).score) for pair in (like, unlike))
    assert near > far + 0.2


def test_the_built_in_models_are_as_many_as_were_asked_for():
    tasks = {"sentiment", "spam", "question-type", "intent", "entities", "embed"}
    assert tasks | {"fill-mask", "coherence"} <= set(builtin_names())


def test_every_built_in_task_answers_without_torch():
    pair: Any = ("He opened the door.", "He went in.")
    for name in set(builtin_names()) - {"pretrained"}:
        model, text = albatross.load(name), pair if name == "coherence" else "A [MASK] film."
        assert isinstance(model.engine, OnnxEngine)
        assert model(text) == model([text])[0]


def test_a_built_in_model_fills_a_gap_with_what_belongs_there():
    assert albatross.load("fill-mask")("He was [MASK] in London in 1850.").text.split()[2] == "born"


def test_built_in_models_say_what_they_learned_from_and_under_which_terms():
    for name in builtin_names():
        card = (find_model(name) / "README.md").read_text(encoding="utf-8")
        assert "CC BY" in card, name
        assert "reproduce.py" in card, name
