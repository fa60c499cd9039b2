import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.data.records import (
    ChoiceRecord,
    SourceRecord,
    SpanRecord,
    SpanText,
    TextRecord,
    WordsRecord,
)
from albatross.errors import ConfigError, DataError
from albatross.pipelines.requests import parts_of, records_of, text_lines, title_of, unlabelled
from albatross.settings.answering import PredictSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.inputs import Inputs
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.words import TextWords

MOOD = ClassificationTask("mood", ("a", "b"), ("a", "b"), Inputs(TOKENIZER))
QA = SpansTask("qa", False, False, Inputs(TOKENIZER, format="span"))


@pytest.fixture
def standard_input(monkeypatch):
    def put(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def asked(task, *texts, **options):
    return list(records_of(task, PredictSettings(Path("model"), texts, **options)))


# === What is asked ===


def test_texts_and_pairs_become_records():
    assert asked(MOOD, "x", "y") == [TextRecord("x"), TextRecord("y")]
    assert asked(MOOD, "x", "y", pair=("1", "2")) == [TextRecord("x", "1"), TextRecord("y", "2")]
    assert asked(QA, "who?", pair=("a gull",)) == [SpanRecord("who?", "a gull")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
def test_a_table_gives_records_without_its_labels(tmp_path, name):
    rows = {
        "a.jsonl": json.dumps({"text": "x, y", "label": "strange"}),
        "a.csv": 'text,label\n"x, y",strange',
        "a.tsv": "text\tlabel\nx, y\tstrange",
    }
    (tmp_path / name).write_text(rows[name] + "\n")
    assert asked(MOOD, file=tmp_path / name) == [TextRecord("x, y")]


def test_a_table_is_read_as_the_task_reads_its_own(tmp_path):
    row = {"question": "who?", "context": "a gull", "answers": ["gull"], "id": "7"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert asked(QA, file=tmp_path / "a.jsonl") == [SpanRecord("who?", "a gull", id="7")]


def test_columns_that_are_given_go_before_those_of_the_task(tmp_path):
    (tmp_path / "a.csv").write_text("ticket,text\nx,y\n")
    assert asked(MOOD, file=tmp_path / "a.csv", columns=["text=ticket"]) == [TextRecord("x")]


def test_any_other_file_is_lines_of_text(tmp_path):
    (tmp_path / "a.txt").write_text("x\ty\nz\n")
    assert asked(MOOD, file=tmp_path / "a.txt") == [TextRecord("x\ty"), TextRecord("z")]


def test_published_files_of_any_name_are_records(tmp_path):
    snli = replace(MOOD, inputs=Inputs(TOKENIZER, format="snli"))
    row = "gold_label\tsentence1\tsentence2\nneutral\tx\ty\n"
    (tmp_path / "snli_1.0_test.txt").write_text(row)
    assert asked(snli, file=tmp_path / "snli_1.0_test.txt") == [TextRecord("x", "y")]
    tagger = TaggingTask("names", ("O", "B-A", "I-A"), Inputs(TOKENIZER, format="conll"))
    for name in ("eng.testb", "wikigold.conll.txt"):
        (tmp_path / name).write_text("a B-A\nb O\n")
        assert asked(tagger, file=tmp_path / name) == [WordsRecord(("a", "b"))]
    (tmp_path / "mine.txt").write_text("a b\n")
    assert [each.words for each in asked(tagger, file=tmp_path / "mine.txt")] == [("a", "b")]


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (("x", "y"), {"pair": ("z",)}, r"`--pair` .* Received: 1 for 2 texts"),
        ((), {"pair": ("z",)}, r"`--pair` .* Received: 1 for 0 texts"),
        (("x",), {"file": "a.txt"}, "Received: both"),
        (("x",), {"columns": ("text=a",)}, "`--columns` goes with --file"),
    ],
)
def test_settings_that_contradict_are_refused(texts, options, message):
    with pytest.raises(ConfigError, match=message):
        PredictSettings(Path("model"), texts, **options)


def test_standard_input_is_read_line_by_line(standard_input):
    standard_input("a\r\n\u00fc\n\nlast".encode())
    assert asked(MOOD) == [TextRecord(text) for text in ("a", "\u00fc", "", "last")]


def test_a_mark_of_byte_order_is_no_text_in_a_file_nor_on_standard_input(standard_input, tmp_path):
    content = b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"
    standard_input(content)
    (tmp_path / "a.txt").write_bytes(content)
    assert list(text_lines(None)) == list(text_lines(tmp_path / "a.txt")) == ["a", "\ufeffb"]


def test_bytes_that_are_no_text_are_named(standard_input, tmp_path):
    standard_input(b"good\nb\xe9d\n")
    with pytest.raises(DataError, match=r"Received: byte 0xe9 in line 2\."):
        list(text_lines(None))
    (tmp_path / "bad.txt").write_bytes(b"good\nb\xe9d\n")
    with pytest.raises(DataError, match=r"byte 0xe9 in line 2"):
        list(text_lines(tmp_path / "bad.txt"))


@pytest.mark.parametrize("name", ["", "missing.txt"])
def test_what_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="`--file` must be a text file"):
        list(text_lines(tmp_path / name))


# === How records are shown ===

SHOWN = {
    "text": (TextRecord("x", None, "a", id="3"), {"text": "x", "id": "3"}, "x"),
    "empty": (TextRecord(""), {"text": ""}, ""),
    "pair": (TextRecord("x", "y"), {"text": "x", "text_pair": "y"}, "x | y"),
    "span": (
        SpanRecord("x", "y", (SpanText("y", 0),), is_labelled=True),
        {"question": "x", "context": "y"},
        "x",
    ),
    "choice": (
        ChoiceRecord("x", "", ("y", "z"), 1),
        {"context": "x", "choices": ("y", "z")},
        "x",
    ),
    "words": (WordsRecord(("x", "y"), ("O", "O")), {"words": ("x", "y")}, "x y"),
    "text of words": (TextWords(("x",), text="x ", spans=((0, 1),)), {"text": "x "}, "x "),
    "source": (SourceRecord("x", ("y",)), {"source": "x"}, "x"),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_a_record_is_shown_without_its_labels(kind):
    record, parts, title = SHOWN[kind]
    assert (parts_of(record), title_of(record)) == (parts, title)
    assert parts_of(unlabelled(record)) == parts


def test_no_label_is_left_on_a_record():
    span = SpanRecord("x", "y", (SpanText("y", 0),), is_impossible=True, is_labelled=True)
    assert unlabelled(span) == SpanRecord("x", "y")
    assert unlabelled(WordsRecord(("x",), ("O",))) == WordsRecord(("x",))
    assert unlabelled(TextRecord("x", "y", "a", ("a",))) == TextRecord("x", "y")
    shared = TextRecord("x", label="a", shares=(("a", 0.75), ("b", 0.25)))
    assert unlabelled(shared) == TextRecord("x")
    assert parts_of(shared) == {"text": "x"}
