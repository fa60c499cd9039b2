"""Every kind of task through a folder, an engine and the command line."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.checkpoints.model_folder import write_model
from albatross.cli import main
from albatross.config import AlbertConfig
from albatross.errors import ConfigError, DataError
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import load
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.inputs import Inputs
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task import Given, Task
from albatross.tasks.task_file import write_tasks

INPUTS = Inputs(TOKENIZER, 32)
TEXT = "the gull and the tern flew over the harbour in a storm"
QUESTION = {"question": "Who flew?", "context": TEXT}
CHOICES = {"question": "Who flew?", "choices": ["a gull", "a tern"]}
TASKS: dict[str, tuple[Task[Any], Given]] = {
    "classification": (ClassificationTask("t", ("a", "b"), ("0", "1"), INPUTS), TEXT),
    "pairs": (ClassificationTask("t", ("a", "b"), ("0", "1"), INPUTS), (TEXT, "a")),
    "multi-label": (MultiLabelTask("t", ("a", "b"), (0.5, 0.5), INPUTS), TEXT),
    "ordinal": (OrdinalTask("t", ("1", "2", "3"), INPUTS), TEXT),
    "regression": (RegressionTask("t", 2.0, 1.5, INPUTS), (TEXT, TEXT)),
    "choice": (ChoiceTask("t", (), INPUTS), CHOICES),
    "spans": (SpansTask("t", False, False, INPUTS), QUESTION),
    "beams": (SpansTask("t", True, True, INPUTS, threshold=1e3, head="beam_qa"), QUESTION),
    "tagging": (TaggingTask("t", ("O", "B-X", "I-X"), INPUTS), TEXT),
    "similarity": (SimilarityTask("t", "cosine", 0.0, 5.0, INPUTS), (TEXT, TEXT)),
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Writes the folder of an untrained model with some tasks."""

    def write(*tasks):
        folder = tmp_path_factory.mktemp("kinds")
        config = AlbertConfig(
            vocab_size=TOKENIZER.vocab_size,
            embedding_size=8,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        heads = {name: spec for task in tasks for name, spec in task.heads.items()}
        model = AlbertWithHeads(config, heads=heads)
        write_model(folder, config, model.to_arrays(), {})
        TOKENIZER.save(folder)
        write_tasks(folder, tasks)
        return folder

    return write


@pytest.mark.parametrize("kind", TASKS)
def test_a_folder_answers_by_its_task(folder_of, kind):
    task, given = TASKS[kind]
    answer = load(folder_of(task))(given)
    assert answer.line().strip()
    assert json.loads(json.dumps(answer.to_dict(), allow_nan=False)) == answer.to_dict()


@pytest.mark.parametrize("kind", TASKS)
def test_answers_do_not_depend_on_their_company(folder_of, kind):
    task, given = TASKS[kind]
    pipeline = load(folder_of(task), batch_tokens=64)
    alone, (first, _, last) = pipeline(given), pipeline([given] * 3)
    for found in (first, last):
        assert _numbers(found.to_dict()) == pytest.approx(_numbers(alone.to_dict()), abs=1e-5)


def _numbers(value):
    """All numbers in an answer."""
    if isinstance(value, dict | list | tuple):
        inner = value.values() if isinstance(value, dict) else value
        return [number for part in inner for number in _numbers(part)]
    return [value] if isinstance(value, int | float) else []


def test_an_answer_stands_in_its_context(folder_of):
    answer = load(folder_of(TASKS["spans"][0]))(QUESTION)
    assert answer.text == TEXT[answer.start : answer.end] != ""


def test_one_text_has_a_vector_and_two_have_a_similarity(folder_of):
    compare = load(folder_of(TASKS["similarity"][0]))
    first, second = compare(TEXT), compare("a gull")
    assert compare((TEXT, TEXT)).score == pytest.approx(5)
    cosine = float(first.vector @ second.vector)
    assert compare((TEXT, "a gull")).score == pytest.approx(5 * cosine, abs=1e-4)
    assert np.linalg.norm(first.vector) == pytest.approx(1, abs=1e-6)


# === Several tasks ===


@pytest.fixture(scope="module")
def several(folder_of):
    """A folder that knows a mood and names."""
    mood = ClassificationTask("mood", ("bad", "good"), ("0", "1"), INPUTS)
    words = replace(INPUTS, format="words")
    return folder_of(mood, TaggingTask("names", ("O", "B-X"), words, head="heads.names"))


def test_one_pipeline_answers_by_each_of_its_tasks(several):
    pipeline = load(several)
    assert list(pipeline.tasks) == ["mood", "names"]
    assert pipeline(TEXT).label in ("bad", "good")
    assert pipeline(TEXT, task="names") == load(several, task="names")(TEXT)
    assert len(pipeline(TEXT, task="names").tags) == len(TEXT.split())


def test_a_task_that_a_folder_does_not_hold_is_refused(several):
    with pytest.raises(ConfigError, match=r"one of the model's: mood, names\. Received: 'ages'"):
        load(several, task="ages")
    with pytest.raises(ConfigError, match=r"one of mood, names\. Received: 'ages'"):
        load(several)(TEXT, task="ages")


def test_a_text_that_is_no_question_is_refused(folder_of):
    with pytest.raises(DataError, match="must come with its context"):
        load(folder_of(TASKS["spans"][0]))(TEXT)


# === The verb ===


def test_predict_takes_pairs(folder_of, capsys):
    folder = str(folder_of(TASKS["spans"][0]))
    questions = ["predict", folder, "Who?", "What?", "--pair", TEXT, "--pair", "a storm", "--json"]
    assert main(questions) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["question"], first["context"], second["context"]) == ("Who?", TEXT, "a storm")
    assert first["text"] == TEXT[first["start"] : first["end"]]


def test_predict_takes_records_and_a_task_by_name(several, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps({"words": ["a", "gull"], "id": "x"}))
    asked = ["--file", str(tmp_path / "a.jsonl"), "--task", "names", "--json"]
    assert main(["predict", str(several), *asked]) == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["words"], line["id"], len(line["tags"])) == (["a", "gull"], "x", 2)


def test_predict_prints_a_line_for_each_text(several, capsys):
    assert main(["predict", str(several), "a gull", "\x1b[31m tern", "--task", "mood"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["a gull", "?[31m tern"]
    assert all(line.startswith(("bad ", "good ")) for line in lines)
