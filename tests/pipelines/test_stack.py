"""A stack answers as its folders do alone, with fewer passes of the encoder."""

import pytest

from albatross.engine.torch_engine import TorchEngine
from albatross.errors import ConfigError
from albatross.pipelines.pipeline import load
from albatross.pipelines.stack import load_stack
from albatross.training.transfer import Adaptation

FROZEN, LORA, DEPTHS = Adaptation("frozen"), Adaptation("lora", 4), Adaptation("adapter", 4, True)
TEXTS = ["A lovely film.", "Not a single line of it works.", "", "word " * 60]


@pytest.fixture
def folders(delta_of, pretrained):
    """Two that read alike, one that cuts its texts elsewhere, and two with adapters."""
    return {
        "a": delta_of(pretrained, "a", FROZEN),
        "bb": delta_of(pretrained, "bb", FROZEN, labels=("x", "y", "z")),
        "short": delta_of(pretrained, "short", FROZEN, max_length=16),
        "shared": delta_of(pretrained, "shared", LORA),
        "depths": delta_of(pretrained, "depths", DEPTHS),
    }


@pytest.fixture
def layers(monkeypatch):
    """The depths that engines apply, one after the other."""
    applied, layer = [], TorchEngine.layer

    def counting(engine, rows, cu_seqlens, depth):
        applied.append(depth)
        return layer(engine, rows, cu_seqlens, depth)

    monkeypatch.setattr(TorchEngine, "layer", counting)
    return applied


def test_every_task_answers_bit_for_bit_as_when_opened_alone(folders):
    together = load_stack(list(folders.values()))(TEXTS)
    for name, folder in folders.items():
        assert [answers[name] for answers in together] == load(folder)(TEXTS)
    found = {tuple(answers[name].probabilities.values()) for answers in together for name in "a"}
    assert len(found) == len(TEXTS)


def test_one_task_of_a_stack_answers_alone(folders):
    stack = load_stack(list(folders.values()))
    assert stack["shared"](TEXTS) == load(folders["shared"])(TEXTS)
    with pytest.raises(ConfigError, match=r"must be one of a, bb, short.*Received: 'c'"):
        stack["c"]


def test_tasks_that_read_alike_share_a_pass(folders, layers):
    load_stack([folders["a"], folders["bb"]])(TEXTS)
    assert layers == [0, 1, 2, 3]


@pytest.mark.parametrize("other", ["short", "shared", "depths"])
def test_tasks_that_read_otherwise_have_a_pass_of_their_own(folders, layers, other):
    load_stack([folders["a"], folders[other]])(TEXTS)
    assert layers == [0, 1, 2, 3] * 2


def test_one_text_has_one_answer_by_task(folders):
    stack = load_stack([folders["a"], folders["bb"]])
    assert repr(stack) == "Stack(a, bb)"
    assert stack("A lovely film.") == stack(["A lovely film."])[0]
    assert set(stack("A lovely film.")) == {"a", "bb"}
