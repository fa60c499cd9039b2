"""The verb demo writes over nothing but an earlier demonstration."""

import pytest

from albatross.demo import demo
from albatross.errors import FolderError
from albatross.settings.answering import DemoSettings


@pytest.mark.parametrize("name", ["train.tsv", "tokenizer"])
def test_a_folder_with_other_things_is_refused_and_left(tmp_path, name):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / name / "mine.txt" if name == "tokenizer" else tmp_path / name).write_text("mine")
    with pytest.raises(FolderError, match="new, empty, or of an earlier one"):
        demo(DemoSettings(tmp_path))
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FolderError, match="a file"):
        demo(DemoSettings(tmp_path / "a"))
