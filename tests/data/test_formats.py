"""One table of all formats; and the published data sets, where a machine has them."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from albatross.data.formats import FORMATS, read_records
from albatross.data.records import TextRecord
from albatross.errors import AlbatrossWarning, ConfigError, DataError

NUMBERED = {"label": "1", "text": "2"}


def test_a_format_that_is_none_names_those_that_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"text, choice, span.*Received: 'glue'"):
        read_records(tmp_path, "glue")


def test_columns_reach_the_reader(write):
    path = write("a.csv", "body,stars\nFine.,5\n")
    found = read_records(path, "text", {"text": "body", "label": "stars"})
    assert found == [TextRecord("Fine.", None, "5")]


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].record is TextRecord])
def test_plain_tables_alone_take_columns(write, name):
    path = write("a.tsv", "text\tlabel\n")
    rule = "at least one record" if name == "text" else "formats of plain tables alone"
    with pytest.raises(DataError, match=rule):
        read_records(path, name, {"text": "text"})


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"slots", "race", "dream", "squad"}))
def test_an_empty_file_is_refused_by_every_format(write, name):
    path = write("a.tsv", "")
    with pytest.raises(DataError, match=r"at least one record.*a\.tsv"):
        read_records(path, name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_is_refused_by_every_format(tmp_path, name):
    with pytest.raises(DataError, match=r"no such|without it"):
        read_records(tmp_path / "a.tsv", name)


# === Files of anything ===

ANSWERS = [{"text": "B", "answer_start": 2}]
QUESTION = {"id": "1", "question": "Q", "answers": ANSWERS, "is_impossible": False}
ROWS = {
    "text": {"text": "a", "text_pair": "b", "label": ["x"], "id": 1},
    "choice": {"context": "a", "question": "b", "choices": ["c", "d"], "label": 1},
    "span": {"question": "Q", "context": "A B", "answers": ANSWERS, "is_impossible": False},
    "words": {"words": ["a", "b"], "tags": ["O", "B-X"], "id": 1, "subset": "s"},
    "source": {"source": ["a", "b"], "references": ["c"]},
    "squad": {"data": [{"title": "T", "paragraphs": [{"context": "A B", "qas": [QUESTION]}]}]},
    "race": {
        "id": 1,
        "article": "a",
        "questions": ["q"],
        "options": [["x", "y"]],
        "answers": ["A"],
    },
    "dream": [[["a"], [{"question": "q", "choice": ["x", "y"], "answer": "x"}], "1"]],
}
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    0.5,
    math.nan,
    math.inf,
    "",
    "[1]",
    "{}",
    "\ud800",
    [],
    [[]],
    [None],
    {},
    {"": 0},
)


def spoiled(value: Any) -> Iterator[Any]:
    """A JSON value with each of its parts replaced by each odd one, or left out."""
    yield from ODD
    places = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    for key in places:
        for other in spoiled(value[key]):
            copy = value.copy()
            copy[key] = other
            yield copy
        copy = value.copy()
        del copy[key]
        yield copy


@pytest.mark.filterwarnings("ignore::albatross.errors.AlbatrossWarning")
@pytest.mark.parametrize("name", ROWS)
def test_a_row_with_any_part_spoiled_is_read_or_refused(write, name):
    assert read_records(write("a.jsonl", json.dumps(ROWS[name])), name)
    for value in spoiled(ROWS[name]):
        path = write("a.jsonl", json.dumps(value))
        with suppress(DataError):
            assert all(isinstance(r, FORMATS[name].record) for r in read_records(path, name))


# === Published data: the counts of the folders' own lists ===

COUNTS = {
    ("glue/CoLA/train.tsv.gz", "cola"): 8551,
    ("glue/CoLA/dev.tsv", "cola"): 522,
    ("glue/CoLA/test.tsv", "cola"): 1063,
    ("glue/SST-2/train.tsv.gz", "sst2"): 67_349,
    ("glue/SST-2/dev.tsv", "sst2"): 436,
    ("glue/SST-2/test.tsv", "sst2"): 1821,
    ("glue/MRPC/train.tsv.gz", "mrpc"): 3668,
    ("glue/MRPC/dev.tsv", "mrpc"): 408,
    ("glue/STS-B/train.tsv.gz", "stsb"): 5749,
    ("glue/STS-B/dev.tsv.gz", "stsb"): 1500,
    ("glue/QQP/train.tsv.gz", "qqp"): 8999,
    ("glue/QQP/dev.tsv", "qqp"): 500,
    ("glue/MNLI/train.tsv.gz", "mnli"): 8999,
    ("glue/MNLI/train-full-columns-sample.tsv.gz", "mnli"): 480,
    ("glue/MNLI/dev_matched.tsv", "mnli"): 1000,
    ("glue/QNLI/train.tsv.gz", "qnli"): 9999,
    ("glue/QNLI/dev.tsv.gz", "qnli"): 2463,
    ("glue/RTE/train.tsv.gz", "rte"): 2490,
    ("glue/RTE/dev.tsv", "rte"): 139,
    ("glue/RTE/test.tsv.gz", "rte"): 3000,
    ("glue/SNLI/train.tsv.gz", "snli"): 8999,
    ("glue/SNLI/dev.tsv", "snli"): 1000,
    ("squad/v1.1/train-v1.1-articles.json.gz", "squad"): 3482,
    ("squad/v1.1/train-v1.1-sample.json.gz", "squad"): 3639,
    ("squad/v1.1/dev-v1.1-xquad-en.json.gz", "squad"): 960,
    ("squad/v2.0/train-v2.0-small.json.gz", "squad"): 3627,
    ("squad/v2.0/dev-v2.0-small.json.gz", "squad"): 1388,
    ("race/train", "race"): 3204,
    ("race/dev", "race"): 908,
    ("wnut17/wnut17train.conll.gz", "conll"): 3394,
    ("wnut17/emerging.dev.conll", "conll"): 1009,
    ("wikigold/wikigold.conll.txt.gz", "conll"): 1696,
    ("snips/train", "slots"): 13_084,
    ("snips/valid", "slots"): 700,
    ("banking77/train.csv.gz", "text"): 10_003,
    ("banking77/test.csv", "text"): 1540,
    ("imdb-small/train.jsonl.gz", "text"): 1000,
    ("bbc-news-summary/train.jsonl.gz", "text"): 1780,
    ("bbc-news-summary/train.jsonl.gz", "source"): 1780,
    ("scitldr/train.jsonl.gz", "source"): 1992,
    ("dialogsum/dialogsum.dev.jsonl.gz", "source"): 500,
}
NUMBERED_COUNTS = {
    "sms-spam/SMSSpamCollection.tsv.gz": 4575,
    "ag-news/train-5000.csv.gz": 4999,
    "ag-news/test.csv.gz": 5600,
    "few-shot/cr/test.csv": 2000,
    "few-shot/cr/16-13/train.csv": 32,
    "few-shot/mpqa/test.csv": 2000,
    "few-shot/trec/test.csv": 500,
    "few-shot/trec/16-13/dev.csv": 96,
}


@pytest.mark.parametrize(("path", "name"), COUNTS)
def test_a_published_file_has_all_of_its_records(real_data, path, name):
    assert len(read_records(real_data / path, name)) == COUNTS[path, name]


@pytest.mark.parametrize("path", NUMBERED_COUNTS)
def test_a_published_file_without_names_has_all_of_its_records(real_data, path):
    records = read_records(real_data / path, "text", NUMBERED)
    assert len(records) == NUMBERED_COUNTS[path]
    assert all(record.label for record in records)


def test_the_questions_of_covid_qa_keep_their_answers(real_data):
    path = real_data / "qa-covid" / "COVID-QA-200423.json.gz"
    with pytest.warns(AlbatrossWarning, match="234 that do not"):
        records = read_records(path, "squad")
    assert len(records) == 1380
    for record in records:
        for answer in record.answers:
            assert record.context[answer.start :].startswith(answer.text)


def test_the_parts_of_published_files_are_told_apart(real_data):
    levels = Counter(record.subset for record in read_records(real_data / "race/train", "race"))
    assert levels == {"high": 2020, "middle": 1184}
    dev = read_records(real_data / "squad/v2.0/dev-v2.0-small.json.gz", "squad")
    assert sum(record.is_impossible for record in dev) == 716
    tags = {
        tag
        for record in read_records(real_data / "wikigold/wikigold.conll.txt.gz", "conll")
        for tag in record.tags
    }
    assert tags == {"O", *(f"{p}-{k}" for p in "BI" for k in ("PER", "LOC", "ORG", "MISC"))}
