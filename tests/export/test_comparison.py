"""What counts as a difference between two engines, and what does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.config import AlbertConfig
from albatross.engine.open import OpenModel
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import FolderError
from albatross.export.comparison import compare_engines, differences, probes_of
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.inputs import Inputs
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask

INPUTS = Inputs(TOKENIZER, 32)
TASKS: dict[str, Any] = {
    "classification": ClassificationTask("t", ("a", "b"), ("0", "1"), INPUTS),
    "choice": ChoiceTask("t", (), INPUTS),
    "spans": SpansTask("t", False, False, INPUTS),
    "tagging": TaggingTask("t", ("O", "B-X"), INPUTS),
    "similarity": SimilarityTask("t", "cosine", 0.0, 5.0, INPUTS),
}
BEAM = {"b": HeadSpec("beam_span", 2)}


def opened(task, *, exits=False):
    config = AlbertConfig(
        vocab_size=TOKENIZER.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    heads = {n: replace(s, options={"exits": exits}) for n, s in task.heads.items()}
    engine = TorchEngine(AlbertWithHeads(config, heads=heads))
    return OpenModel(Path(), config, TOKENIZER, task, {"t": task}, engine)


def beams(starts, ends):
    """The beam head's outputs for one sequence: two starts with two ends each, by column."""
    return {
        "b.start_index": np.array([list(starts)], np.float32),
        "b.start_log_probs": np.array([list(starts.values())], np.float32),
        "b.end_index": np.array([[c for end in ends for c in end]], np.float32),
        "b.end_log_probs": np.array([[v for end in ends for v in end.values()]], np.float32),
        "b.no_answer": np.zeros(1, np.float32),
    }


ENDS = [{5: -0.1, 6: -2.0}, {7: -0.3, 8: -1.0}]


@pytest.mark.parametrize("kind", TASKS)
def test_probes_are_short_and_as_long_as_the_task_reads(kind):
    lengths = [len(example.input_ids) for example in probes_of(TASKS[kind])]
    assert max(lengths) == 32
    assert lengths.count(32) >= 3
    assert min(lengths) < 25


@pytest.mark.parametrize("kind", TASKS)
def test_one_model_answers_as_itself_and_another_does_not(kind):
    model = opened(TASKS[kind])
    compare_engines(model, model, 0.0)
    other = opened(TASKS[kind])
    for parameter in other.engine.model.parameters():
        parameter.data.add_(0.01)
    (head,) = TASKS[kind].heads
    with pytest.raises(FolderError, match=rf"in `{head}` of the task t\. Report"):
        compare_engines(model, other, 1e-4)


def test_exits_are_compared_at_every_depth():
    one, other = (opened(TASKS["classification"], exits=True) for _ in range(2))
    compare_engines(one, other, 0.0)
    other.engine.model.exits.classifier.get_submodule("0").bias.data[0] += 1
    with pytest.raises(FolderError, match="a difference of 1 in `classifier`"):
        compare_engines(one, other, 1e-4)


def test_a_number_that_is_none_is_a_difference():
    heads, rows = {"a": HeadSpec("sequence", 2)}, np.zeros((1, 2), np.float32)
    assert not differences({"a": rows}, {"a": rows * np.nan}, heads)["a"] <= 1e30
    assert differences({"a": rows}, {}, heads)["a"] == np.inf


def test_equal_beams_do_not_differ():
    one = beams({3: -0.5, 4: -1.0}, ENDS)
    assert differences(one, one, BEAM) == {"b": 0}


def test_beams_that_tie_may_change_places():
    one = beams({3: -0.7, 4: -0.7001}, ENDS)
    other = beams({4: -0.7, 3: -0.7001}, ENDS[::-1])
    assert differences(one, other, BEAM)["b"] == pytest.approx(1e-4, rel=1e-2)


def test_another_end_of_a_start_is_a_difference():
    one, other = (beams({3: -0.5, 4: -1.0}, [ENDS[0], end]) for end in (ENDS[1], {9: -0.3, 8: -1}))
    assert differences(one, other, BEAM)["b"] == pytest.approx(0.7)


def test_another_start_is_a_difference_by_its_distance_to_the_last():
    one, other = (beams({3: -0.5, c: -1.0}, ENDS) for c in (4, 9))
    assert differences(one, other, BEAM)["b"] == 0  # it ties with what it displaced
    third = beams({9: -0.1, 3: -0.5}, ENDS[::-1])
    assert differences(one, third, BEAM)["b"] == pytest.approx(0.9)


def test_impossible_beams_may_stand_anywhere():
    one, other = (beams({3: -0.5, c: -1e30}, ENDS) for c in (4, 0))
    assert differences(one, other, BEAM) == {"b": 0}
    possible = beams({3: -0.5, 4: -1.0}, ENDS)
    assert differences(one, possible, BEAM) == {"b": np.inf}
