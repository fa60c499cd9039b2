import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albatross.data.records import (
    SourceRecord,
    TextRecord,
    read_text_records,
    source_records,
)
from albatross.errors import DataError

RECORDS = [
    TextRecord("It flew.", None, "good"),
    TextRecord('A "quoted" text', None, "bad"),
    TextRecord("Übersee, 遠い。", None, None),
    TextRecord("", None, "good"),
]


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_tsv(records) -> str:
    return "text\tlabel\n" + "".join(f"{r.text}\t{r.label or ''}\n" for r in records)


def as_csv(records) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([("text", "label"), *((r.text, r.label or "") for r in records)])
    return out.getvalue()


def as_jsonl(records) -> str:
    return "".join(json.dumps({"text": r.text, "label": r.label}) + "\n" for r in records)


WRITERS = {".tsv": as_tsv, ".csv": as_csv, ".jsonl": as_jsonl}


def complaint(path: Path) -> str:
    """The one line in which reading a file fails."""
    with pytest.raises(DataError) as caught:
        read_text_records(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels(tmp_path: Path, *cells: str) -> list[str | None]:
    """The labels that JSON cells give."""
    lines = "".join(f'{{"text": "a", "label": {cell}}}\n' for cell in cells)
    return [r.label for r in read_text_records(write(tmp_path / "a.jsonl", lines))]


# === What is read ===


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte-order mark"])
def test_all_formats_hold_the_same_records(tmp_path, ending, mark):
    content = mark + WRITERS[ending](RECORDS).encode()
    assert read_text_records(write(tmp_path / f"a{ending}", content)) == RECORDS
    packed = write(tmp_path / f"b{ending}.gz", gzip.compress(content))
    assert read_text_records(packed) == RECORDS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(alphabet="a\",' \né\u2028x\x00", max_size=9), min_size=1, max_size=5))
def test_csv_and_jsonl_hold_any_text(tmp_path, texts):
    records = [TextRecord(text, None, "1") for text in texts]
    for ending in (".csv", ".jsonl"):
        path = write(tmp_path / f"a{ending}", WRITERS[ending](records))
        assert read_text_records(path) == records


def test_a_pair_may_have_the_benchmarks_column_names(tmp_path):
    path = write(tmp_path / "a.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tentailment\n")
    assert read_text_records(path) == [TextRecord("A", "B", "entailment", id="0")]


def test_a_record_knows_its_place_id_and_subset(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tid\tsubset\nOne\t7\tnews\n")
    (record,) = read_text_records(path)
    assert record == TextRecord("One", id="7", subset="news")
    assert record.place == f"line 2 of {str(path)!r}"


def test_a_file_without_names_is_read_by_numbers(tmp_path):
    path = write(tmp_path / "a.csv", '1,"One, or so"\n0,Two\n')
    assert read_text_records(path, {"label": "1", "text": "2"}) == [
        TextRecord("One, or so", None, "1"),
        TextRecord("Two", None, "0"),
    ]


def test_a_given_text_has_no_pair_that_is_not_given(tmp_path):
    path = write(tmp_path / "a.tsv", "a\tsentence2\nOne\tTwo\n")
    assert read_text_records(path, {"text": "a"}) == [TextRecord("One")]
    columns = {"text": "a", "text_pair": "sentence2"}
    assert read_text_records(path, columns) == [TextRecord("One", "Two")]


def test_a_list_gives_several_labels(tmp_path):
    lines = '{"text": "a", "labels": ["x", 1]}\n{"text": "b", "labels": []}\n'
    records = read_text_records(write(tmp_path / "a.jsonl", lines))
    assert [record.labels for record in records] == [("x", "1"), ()]
    assert [record.label for record in records] == [None, None]


def test_a_cell_that_spells_a_list_gives_several_labels(tmp_path):
    path = write(tmp_path / "a.tsv", 'text\tlabel\na\t["x", "y"]\nb\t[sic]\nc\tx\n')
    records = read_text_records(path)
    assert [record.labels for record in records] == [("x", "y"), None, None]
    assert [record.label for record in records] == [None, "[sic]", "x"]


def test_a_source_may_have_many_references_and_be_a_list_of_sentences(tmp_path):
    lines = '{"source": ["A.", "B."], "target": ["a", "b"]}\n{"source": "C", "target": "c"}\n'
    assert list(source_records(write(tmp_path / "a.jsonl", lines))) == [
        SourceRecord("A. B.", ("a", "b")),
        SourceRecord("C", ("c",)),
    ]


def test_a_source_may_have_no_reference_and_one_that_looks_like_a_list(tmp_path):
    path = write(tmp_path / "a.tsv", 'source\tsummary\nA\t\nB\t[1]\nC\t["x", "y"]\n')
    found = [record.references for record in source_records(path)]
    assert found == [(), ("[1]",), ("x", "y")]


def test_a_csv_cell_may_hold_line_ends_and_a_million_characters(tmp_path):
    long = "x" * 10**6
    path = write(tmp_path / "a.csv", f'text,label\r\n"one\r\ntwo",a\r\n{long},b\r\n')
    assert [record.text for record in read_text_records(path)] == ["one\ntwo", long]


def test_a_quote_in_a_tsv_is_a_quote(tmp_path):
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"Half a quote\t1\n')
    assert read_text_records(path) == [TextRecord('"Half a quote', None, "1")]


def test_a_mapping_gives_shares_of_labels_the_largest_first(tmp_path):
    lines = '{"text": "a", "label": {"x": 1, " y ": 3}}\n{"text": "b", "label": "x"}\n'
    first, second = read_text_records(write(tmp_path / "a.jsonl", lines))
    assert (first.label, first.shares) == ("y", (("y", 0.75), ("x", 0.25)))
    assert (second.label, second.shares) == ("x", None)
    table = 'text\tlabel\na\t{"x": 0.5, "y": 1.5}\nb\t{x\n'
    spelled, text = read_text_records(write(tmp_path / "a.tsv", table))
    assert (spelled.label, spelled.shares, text.label) == ("y", (("y", 0.75), ("x", 0.25)), "{x")


def test_json_numbers_are_labels_by_their_value(tmp_path):
    assert labels(tmp_path, "1", '"1"', "1.0", '" 1 "') == ["1"] * 4
    assert labels(tmp_path, "0.5", "-3.0", '"1.0"') == ["0.5", "-3", "1.0"]


def test_json_truth_is_a_label_of_its_own(tmp_path):
    assert labels(tmp_path, "true", "false", "1") == ["true", "false", "1"]


def test_an_empty_label_is_none(tmp_path):
    assert labels(tmp_path, "null", '""', '"  "', "NaN") == [None] * 4
    path = write(tmp_path / "a.tsv", "text\tlabel\nOne\t\nTwo\t \n")
    assert [record.label for record in read_text_records(path)] == [None, None]


def test_blank_lines_are_passed_over(tmp_path):
    for ending, content in [(".tsv", "\ntext\n\nOne\n\n"), (".csv", "\ntext\n\nOne\n\n")]:
        assert read_text_records(write(tmp_path / f"a{ending}", content)) == [TextRecord("One")]
    assert read_text_records(write(tmp_path / "a.jsonl", '\n{"text": "One"}\n \n')) == [
        TextRecord("One")
    ]


# === What is refused ===


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", "at least one record"),
        ("a.csv", "text,label\n", "at least one record"),
        ("a.jsonl", "\n", "at least one record"),
        ("a.txt", "One\n", "another ending"),
        ("a.tsv", "One\t1\nTwo\t0\n", "line 2 of .* with the columns One, 1"),
        ("a.tsv", "text\tlabel\nOne\t1\nTwo\n", r"line 3 of .* with 1\. Mend"),
        ("a.csv", "text,label\n\nOne,1\nTwo, or so,1\n", r"line 4 of .* with 3\. Mend"),
        ("a.csv", 'text,label\nOne,1\n"Two\n\n,1\n', r"row that starts at line 3 of"),
        ("a.csv", 'text,label\n"a\n\nb",1\nTwo\n', r"line 5 of .* with 1\. Mend"),
        ("a.csv", 'text,label\n"One"!,1\n', r"row that starts at line 2 of"),
        ("a.csv", "text,label,label\nOne,1,2\n", "different names. Received: label more than"),
        ("a.tsv", "text\ttext\nOne\t1\n", "different names. Received: text more than"),
        ("a.jsonl", '{"text": "One"}\n{"text"}\n', "must be JSON. Received: line 2"),
        ("a.jsonl", "[" * 100_000, "must be JSON. Received: line 1"),
        ("a.jsonl", "[1]\n", "a list"),
        ("a.jsonl", '{"txt": "One"}\n', "line 1 of .* with the columns txt"),
        ("a.jsonl", '{"text": 3}\n', "text must be a string. Received: 3 in line 1"),
        ("a.jsonl", '{"text": "a", "text_pair": [1]}\n', r"string\. Received: \[1\] in line 1"),
        ("a.jsonl", '{"text": "a", "label": {"a": 0}}\n', r'Shares .*\{"a": 0\} in line 1'),
        ("a.jsonl", '{"text": "a", "label": {"a": 1, "b": -1}}\n', r"none below 0.*in line 1"),
        ("a.jsonl", '{"text": "a", "label": {"a": [1]}}\n', r"must be numbers.*in line 1"),
        ("a.jsonl", '{"text": "a", "label": {" ": 1}}\n', r"Shares of labels.*in line 1"),
        (
            "a.jsonl",
            f'{{"text": "a", "label": {{"a": 1{400 * "0"}}}}}\n',
            r"Shares of labels.*in line 1",
        ),
        ("a.tsv", "text\tlabel\na\t{}\n", r"Shares of labels.*in line 2"),
        ("a.jsonl", '{"text": null}\n', "text must be a string. Received: null in line 1"),
        ("a.jsonl", '{"text": "a", "labels": ["x", "x"]}\n', r"different.*in line 1"),
        ("a.jsonl", '{"text": "a", "labels": ["x", null]}\n', r"none empty.*in line 1"),
        ("a.tsv", "sentence\treview\na\tb\n", "line 2 of .* with sentence and review"),
        ("a.csv", b"text\nfine\n\xe9\n", "byte 0xe9 in line 3"),
    ],
)
def test_a_file_that_breaks_a_rule_is_one_clear_error(tmp_path, name, content, message):
    found = complaint(write(tmp_path / name, content))
    assert str(tmp_path / name) in found
    assert re.search(message, found)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path):
    (tmp_path / "a.tsv").mkdir()
    assert "a folder" in complaint(tmp_path / "a.tsv")
    assert "no such file" in complaint(tmp_path / "b.tsv")


def test_of_many_usual_names_the_first_are_told(tmp_path):
    path = write(tmp_path / "a.tsv", "number\tname\n1\tAnn\n")
    with pytest.raises(DataError, match=r"column text or sentence or sentence1 or text1 or the"):
        read_text_records(path)
