"""The file of `--tasks`: its tables, and what is refused in them."""

from pathlib import Path

import pytest

from albatross.errors import ConfigError
from albatross.settings.tasks_file import read_tasks_file

TWO = """
[[task]]
task = "sst2"
data = "glue"

[[task]]
name = "topic"
train = "topics.tsv"
labels = ["sport", "business"]
limit = 100
"""


@pytest.fixture
def tasks(tmp_path):
    def read(text):
        path = tmp_path / "tasks.toml"
        path.write_text(text, encoding="utf-8")
        return read_tasks_file(path)

    return read


def test_every_table_is_a_task_with_settings_of_its_own(tasks):
    first, second = tasks(TWO)
    assert first == {"task": "sst2", "data": Path("glue"), "name": "sst2"}
    assert (second["train"], second["labels"]) == (Path("topics.tsv"), ("sport", "business"))


def test_a_task_without_a_name_is_called_after_its_kind(tasks):
    found = tasks(TWO.replace('name = "topic"', 'task = "multi-label"'))
    assert found[1]["name"] == "multi_label"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('data = "glue"', "", r"needs `train`, or a benchmark .* table 1 of"),
        ('data = "glue"', "data = 3", r"`data` must be a path or none\. .* table 1 of"),
        ('data = "glue"', 'data = "glue"\nseed = 1', r"has these keys: .* table 1 .*: seed"),
        ('name = "topic"', 'name = "sst2"', r"name of its own\. .*: sst2, sst2"),
        ('name = "topic"', 'name = "my topic"', r"letters, digits, underscores.*'my topic'"),
        ("limit = 100", "limit = 0", r"`limit` must lie between 1 and .* table 2 of"),
        ("limit = 100", "limit = ", r"must be a TOML file"),
        ('[[task]]\nname = "topic"', "", r"two or more tables `\[\[task\]\]`"),
        ("[[task]]", "[[tasks]]", r"two or more tables"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tasks, old, new, message):
    with pytest.raises(ConfigError, match=message):
        tasks(TWO.replace(old, new))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="must be a TOML file"):
        read_tasks_file(tmp_path / "none.toml")
