import pytest

from albatross.data.records import TextRecord
from albatross.errors import DataError, LabelError
from albatross.training.few_texts import check_counts, texts_of


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("text\tlabel\nnew\ta\nnew\tb\nknown\tc\nother\t\n", encoding="utf-8")
    return path


def test_texts_come_once_without_labels_and_without_the_known_ones(file):
    found = texts_of(file, {}, [TextRecord("known", label="a")])
    assert found == [TextRecord("new"), TextRecord("other")]


def test_a_column_of_labels_need_not_be_there(file):
    assert len(texts_of(file, {"text": "text", "label": "stars"}, [])) == 3


def test_a_file_without_new_texts_is_refused(file):
    known = [TextRecord(text) for text in ("new", "known", "other")]
    with pytest.raises(DataError, match="`--unlabeled` must hold texts that are not among"):
        texts_of(file, {}, known)


def test_a_label_that_comes_once_is_refused():
    records = [TextRecord("x", label=label) for label in "aab"]
    with pytest.raises(LabelError, match=r"at least 2 examples\. Received: 1 of 'b'"):
        check_counts(records)
