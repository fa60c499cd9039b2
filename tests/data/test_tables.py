"""Rows of tables of every format. What the texts of cells become is tested in test_records."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from albatross.data.tables import Row, read_json_file, read_rows
from albatross.errors import DataError, MissingDependencyError


def cells(path, **options) -> list[dict]:
    return [dict(row.cells) for row in read_rows(path, **options)]


@pytest.fixture
def parquet(tmp_path):
    """A file of more rows than are read at once."""
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"t{n}" for n in range(3000)], "label": [0, None, 2] * 1000})
    pq.write_table(table, path)
    return path


def test_a_row_knows_its_place(write):
    path = write("a.tsv", "text\tlabel\n\nOne\t1\n")
    assert list(read_rows(path)) == [Row(f"line 3 of {str(path)!r}", {"text": "One", "label": "1"})]


def test_columns_without_names_are_numbered(write):
    path = write("a.csv", '1,"One, or so"\n0,Two\n')
    assert cells(path, has_header=False) == [
        {"1": "1", "2": "One, or so"},
        {"1": "0", "2": "Two"},
    ]


def test_semicolons_part_cells_where_they_part_the_names(write):
    path = write("a.csv", 'text;label\n"One; or, so";1\nTwo, three;0\n')
    assert cells(path) == [
        {"text": "One; or, so", "label": "1"},
        {"text": "Two, three", "label": "0"},
    ]


def test_a_semicolon_in_a_text_parts_nothing(write):
    path = write("a.csv", "text,label\nOne; or so,1\n")
    assert cells(path) == [{"text": "One; or so", "label": "1"}]
    unnamed = write("b.csv", "One; or so\n")
    assert cells(unnamed, has_header=False) == [{"1": "One; or so"}]


def test_another_ending_may_be_asked_for(write):
    path = write("a.txt", "text\tlabel\nOne\t1\n")
    assert cells(path, ending=".tsv") == [{"text": "One", "label": "1"}]


def test_rows_of_another_width_can_be_told_of_and_passed_over(write):
    path = write("a.tsv", "a\tb\n1\n1\t2\n1\t2\t3\n")
    broken: list[str] = []
    assert cells(path, on_broken=broken.append) == [{"a": "1", "b": "2"}]
    assert broken == [f"line {number} of {str(path)!r}" for number in (2, 4)]


def test_parquet_holds_rows_with_their_numbers(parquet):
    rows = list(read_rows(parquet))
    assert [row.cells["text"] for row in rows] == [f"t{n}" for n in range(3000)]
    assert rows[1500] == Row(f"row 1501 of {str(parquet)!r}", {"text": "t1500", "label": 0})
    assert rows[1].cells["label"] is None


def test_a_parquet_file_that_is_cut_short_is_refused(parquet):
    parquet.write_bytes(parquet.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet.*breaks after row 0"):
        list(read_rows(parquet))


def test_a_packed_parquet_file_says_to_unpack_it(write, parquet):
    path = write("b.parquet.gz", gzip.compress(parquet.read_bytes()))
    with pytest.raises(DataError, match=r"b\.parquet\.gz'\. Unpack it"):
        list(read_rows(path))


def test_parquet_without_pyarrow_names_the_extra(parquet, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[corpus\]"):
        list(read_rows(parquet))


def test_a_json_file_may_be_packed(write):
    assert read_json_file(write("a.json.gz", gzip.compress(b'{"a":\n [1]}'))) == {"a": [1]}


@pytest.mark.parametrize("content", ['{"a": ', "[" * 100_000, ""])
def test_a_json_file_that_is_none_is_named(write, content):
    with pytest.raises(DataError, match=r"must be JSON. Received: '.*a\.json'"):
        read_json_file(write("a.json", content))


def test_a_json_file_may_be_one_long_line(write, monkeypatch):
    monkeypatch.setattr("albatross.data.text_files.LONGEST_LINE", 8)
    assert read_json_file(write("a.json", '["SQuAD 2.0 is one line"]')) == ["SQuAD 2.0 is one line"]


def test_a_missing_json_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"b\.json': no such file"):
        read_json_file(tmp_path / "b.json")


def test_a_broken_line_is_named_with_its_number_and_character(write):
    path = write("a.jsonl", '{"text": "a"}\n{"text": \n')
    with pytest.raises(DataError, match=r"line 2 of '.*a\.jsonl': Expecting value at character"):
        list(read_rows(path))
