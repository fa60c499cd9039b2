import json

import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.checkpoints.model_folder import write_weights
from albatross.errors import AlbatrossError, ConfigError, FolderError
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.inputs import Inputs
from albatross.tasks.task_file import TASK_FILE, TASK_KINDS, kind_of, read_tasks, write_tasks

MOOD = ClassificationTask("mood", ("bad", "good"), ("0", "1"), Inputs(TOKENIZER, 64))
SEA = ("art", "sea")
TOPIC = ClassificationTask("topic", SEA, SEA, Inputs(TOKENIZER, 32), "heads.topic")


def test_tasks_come_back_by_name_as_they_were(tmp_path):
    write_tasks(tmp_path, [MOOD, TOPIC])
    assert read_tasks(tmp_path, {}, TOKENIZER, 512) == {"mood": MOOD, "topic": TOPIC}


def test_a_classifier_of_transformers_is_a_task(tmp_path):
    extra = {
        "architectures": ["AlbertForSequenceClassification"],
        "id2label": {"10": "k", "2": "c", "0": "a"},
    }
    (task,) = read_tasks(tmp_path, extra, TOKENIZER, 512).values()
    assert isinstance(task, ClassificationTask)
    assert task.labels == ("a", "c", "k")
    assert (task.head, task.inputs.max_length) == ("classifier", 512)


def test_a_folder_without_a_task_says_what_to_do(tmp_path):
    with pytest.raises(FolderError, match=r"pre-trained only\. Run `albatross finetune`"):
        read_tasks(tmp_path, {"architectures": ["AlbertModel"]}, TOKENIZER, 512)


def test_a_pretrained_folder_reads_texts_as_long_as_its_samples_were(tmp_path):
    extra = {"architectures": ["AlbertForMaskedLM"]}
    for settings, longest in (({"max_length": 64}, 64), ({}, 512), (None, 512)):
        (tmp_path / "run.json").write_text(json.dumps({"settings": settings}))
        (task,) = read_tasks(tmp_path, extra, TOKENIZER, 600).values()
        assert task.to_dict()["max_length"] == longest


def test_a_pretrained_folder_answers_what_it_was_trained_for(tmp_path):
    extra = {"architectures": ["AlbertForPreTraining"]}
    assert list(read_tasks(tmp_path, extra, TOKENIZER, 512)) == ["fill-mask", "coherence"]
    words = {"predictions.bias": np.zeros(3, dtype=np.float32)}
    write_weights(tmp_path, words)
    assert list(read_tasks(tmp_path, extra, TOKENIZER, 512)) == ["fill-mask"]
    write_weights(tmp_path, {"albert.pooler.bias": np.zeros(3, dtype=np.float32)})
    with pytest.raises(FolderError, match="pre-trained only"):
        read_tasks(tmp_path, extra, TOKENIZER, 512)


@pytest.mark.parametrize(
    "content", ["{}", "[]", "{", '{"a": 3}', '{"a": {"kind": "song"}}', '{"a": {"kind": []}}']
)
def test_a_damaged_task_file_is_one_clear_error(tmp_path, content):
    (tmp_path / TASK_FILE).write_text(content)
    with pytest.raises(AlbatrossError, match="Received") as caught:
        read_tasks(tmp_path, {}, TOKENIZER, 512)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [{"zero": "a"}, ["a", "b"], 3])
def test_labels_that_cannot_be_numbered_are_refused(tmp_path, names):
    extra = {"architectures": ["AlbertForSequenceClassification"], "id2label": names}
    with pytest.raises(ConfigError, match="id2label"):
        read_tasks(tmp_path, extra, TOKENIZER, 512)


def test_the_file_is_json_for_people_to_read(tmp_path):
    write_tasks(tmp_path, [MOOD])
    stored = json.loads((tmp_path / TASK_FILE).read_text())
    assert stored["mood"]["labels"] == ["bad", "good"]
    assert stored["mood"]["kind"] == "classification"


@pytest.mark.parametrize(
    ("architecture", "extra", "kind"),
    [
        ("AlbertForSequenceClassification", {"problem_type": "regression"}, "regression"),
        ("AlbertForSequenceClassification", {"id2label": {"0": "LABEL_0"}}, "regression"),
        (
            "AlbertForSequenceClassification",
            {"problem_type": "multi_label_classification"},
            "multi-label",
        ),
        ("AlbertForTokenClassification", {"id2label": {"0": "O", "1": "B-A"}}, "tagging"),
        ("AlbertForQuestionAnswering", {}, "spans"),
        ("AlbertForMultipleChoice", {}, "choice"),
    ],
)
def test_what_transformers_fine_tuned_is_a_task(tmp_path, architecture, extra, kind):
    found = read_tasks(tmp_path, {"architectures": [architecture], **extra}, TOKENIZER, 128)
    (task,) = found.values()
    assert (task.kind, task.to_dict()["max_length"]) == (kind, 128)
    assert list(found) == [task.name]


def test_a_task_reads_no_more_tokens_than_there_are_positions(tmp_path):
    write_tasks(tmp_path, [MOOD])
    (task,) = read_tasks(tmp_path, {}, TOKENIZER, 20).values()
    assert task.to_dict()["max_length"] == 20


def test_every_kind_is_in_the_table_under_its_name():
    assert {name: kind.kind for name, kind in TASK_KINDS.items()} == {n: n for n in TASK_KINDS}
    assert len(TASK_KINDS) == 11
    with pytest.raises(ConfigError, match="must be one of classification, "):
        kind_of("poetry")
