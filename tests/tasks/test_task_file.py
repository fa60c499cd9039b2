import json
from pathlib import Path

import pytest

from albatross.errors import AlbatrossError, ConfigError, FolderError
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task_file import TASK_FILE, read_tasks, write_tasks
from albatross.tokenizer.unigram import UnigramTokenizer

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
MOOD = ClassificationTask("mood", ("bad", "good"), ("0", "1"), TOKENIZER, 64, "classifier")
TOPIC = ClassificationTask("topic", ("art", "sea"), ("art", "sea"), TOKENIZER, 32, "heads.topic")


def test_tasks_come_back_by_name_as_they_were(tmp_path):
    write_tasks(tmp_path, [MOOD, TOPIC])
    assert read_tasks(tmp_path, {}, TOKENIZER) == {"mood": MOOD, "topic": TOPIC}


def test_a_classifier_of_transformers_is_a_task(tmp_path):
    extra = {
        "architectures": ["AlbertForSequenceClassification"],
        "id2label": {"10": "k", "2": "c", "0": "a"},
    }
    (task,) = read_tasks(tmp_path, extra, TOKENIZER).values()
    assert task.labels == ("a", "c", "k")
    assert (task.head, task.max_length) == ("classifier", 512)


def test_a_folder_without_a_task_says_what_to_do(tmp_path):
    with pytest.raises(FolderError, match=r"pre-trained only\. Run `albatross finetune`"):
        read_tasks(tmp_path, {"architectures": ["AlbertForPreTraining"]}, TOKENIZER)


@pytest.mark.parametrize(
    "content", ["{}", "[]", "{", '{"a": 3}', '{"a": {"kind": "song"}}', '{"a": {"kind": []}}']
)
def test_a_damaged_task_file_is_one_clear_error(tmp_path, content):
    (tmp_path / TASK_FILE).write_text(content)
    with pytest.raises(AlbatrossError, match="Received") as caught:
        read_tasks(tmp_path, {}, TOKENIZER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [{"zero": "a"}, ["a", "b"], 3])
def test_labels_that_cannot_be_numbered_are_refused(tmp_path, names):
    extra = {"architectures": ["AlbertForSequenceClassification"], "id2label": names}
    with pytest.raises(ConfigError, match="id2label"):
        read_tasks(tmp_path, extra, TOKENIZER)


def test_the_file_is_json_for_people_to_read(tmp_path):
    write_tasks(tmp_path, [MOOD])
    stored = json.loads((tmp_path / TASK_FILE).read_text())
    assert stored["mood"]["labels"] == ["bad", "good"]
    assert stored["mood"]["kind"] == "classification"
