import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from albatross.data import documents as documents_module
from albatross.data.documents import CorpusFile, corpus_files, read_documents, total_bytes
from albatross.errors import DataError, MissingDependencyError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

DOCUMENTS = [["It flew.", "It sank."], ["Übersee, 遠い。"], ["One", "Two", "Three"]]
TEXT = "\n\n".join("\n".join(document) for document in DOCUMENTS) + "\n"


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_table(path: Path, column: Any = None, name: str = "text", **options: Any) -> Path:
    """A parquet file of numbers and texts; a row group holds two rows."""
    texts = ["\n".join(document) for document in DOCUMENTS] if column is None else column
    table = pyarrow.table({"number": range(len(texts)), name: texts})
    parquet.write_table(table, path, **{"row_group_size": 2, **options})
    return path


def documents(path: Path | str, **options: Any) -> list[list[str]]:
    return list(read_documents(corpus_files([path]), **options))


def complaint(path: Path, **options: Any) -> str:
    """The one line in which reading a file fails."""
    with pytest.raises(DataError) as caught:
        documents(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_all(folder: Path, name: str) -> Path:
    """The same documents in any format."""
    records = "".join(json.dumps({"text": "\n".join(d), "id": 1}) + "\n" for d in DOCUMENTS)
    if name.endswith(".parquet"):
        return write_table(folder / name)
    content = (TEXT if ".txt" in name else records).encode()
    return write(folder / name, gzip.compress(content) if name.endswith(".gz") else content)


NAMES = ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz", "a.parquet"]


# === What is read ===


@pytest.mark.parametrize("name", NAMES)
def test_all_formats_hold_the_same_documents(tmp_path, name):
    assert documents(write_all(tmp_path, name)) == DOCUMENTS


@pytest.mark.parametrize("name", NAMES)
def test_an_address_is_read_as_a_path_is(tmp_path, name):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe(f"/documents/{name}", write_all(tmp_path, name).read_bytes())
    told: list[int] = []
    assert documents(f"memory://documents/{name}", on_bytes=told.append) == DOCUMENTS
    assert sum(told) == memory.size(f"/documents/{name}")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ending", [".txt", ".jsonl"])
def test_every_kind_of_line_end_is_one(tmp_path, ending, end):
    text = "One.\nTwo.\n".replace("\n", end)
    path = write(tmp_path / f"a{ending}", text if ending == ".txt" else json.dumps({"text": text}))
    assert documents(path) == [["One.", "Two."]]


@pytest.mark.parametrize("odd", ["\f", "\x0b", "\u2028", "\u2029", "\x85", "\x1c"])
@pytest.mark.parametrize("ending", [".txt", ".jsonl"])
def test_other_separators_do_not_end_a_line(tmp_path, ending, odd):
    text = f"One{odd}half."
    path = write(tmp_path / f"a{ending}", text if ending == ".txt" else json.dumps({"text": text}))
    assert documents(path) == [[text]]


@pytest.mark.parametrize("blank", ["\n", " \t\n", "\f\n", "\u2028\n", "\r\n\r\n"])
def test_a_blank_line_ends_a_document(tmp_path, blank):
    path = write(tmp_path / "a.txt", f"One.\n{blank}{blank}Two.\n")
    assert documents(path) == [["One."], ["Two."]]


@pytest.mark.parametrize("content", ["", "\n\n", " \r\n"])
def test_an_empty_file_holds_no_document(tmp_path, content):
    assert documents(write(tmp_path / "a.txt", content)) == []


def test_rules_split_running_text_into_sentences(tmp_path):
    path = write(tmp_path / "a.txt", "It flew. It sank.\nDr. Gray saw it.\n")
    assert documents(path, breaks="rules") == [["It flew.", "It sank.", "Dr. Gray saw it."]]


def test_a_line_of_a_million_characters_is_one_sentence(tmp_path):
    path = write(tmp_path / "a.txt", "x" * 10**6 + "\ny\n")
    assert [len(sentence) for sentence in documents(path)[0]] == [10**6, 1]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a.parquet"])
def test_progress_adds_up_to_the_bytes_on_disk(tmp_path, name):
    path = write_all(tmp_path, name)
    told: list[int] = []
    documents(path, on_bytes=told.append)
    assert sum(told) == path.stat().st_size == total_bytes(corpus_files([path]))


def test_a_table_without_rows_is_read_to_its_end(tmp_path):
    path = write_table(tmp_path / "a.parquet", pyarrow.array([], "string"))
    told: list[int] = []
    assert documents(path, on_bytes=told.append) == []
    assert sum(told) == path.stat().st_size


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_texts_of_a_table_may_be_stored_in_any_way(tmp_path, kind):
    texts = pyarrow.array(["One.\nTwo.", None, "", "One.\nTwo."])
    texts = texts.dictionary_encode() if kind == "dictionary" else texts.cast(kind)
    path = write_table(tmp_path / "a.parquet", texts, compression="zstd")
    assert documents(path) == [["One.", "Two."], ["One.", "Two."]]


def test_the_text_may_have_another_name(tmp_path):
    table = write_table(tmp_path / "a.parquet", ["It flew."], name="body")
    records = write(tmp_path / "a.jsonl", '{"text": "wrong", "body": "It flew."}\n')
    assert documents(table, text_column="body") == [["It flew."]]
    assert documents(records, text_column="body") == [["It flew."]]


def test_a_text_without_blank_lines_is_cut_into_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(documents_module, "_LONGEST_DOCUMENT", 20)
    path = write(tmp_path / "a.txt", "It flew.\n" * 5 + "\n" + "x" * 50 + "\n")
    assert [len(document) for document in documents(path)] == [2, 2, 1, 1]


# === What is refused ===


@pytest.mark.parametrize(
    "line",
    [
        *["{", "[1]", '"text"', "3", '{"words": "a"}', '{"text": null}', '{"text": 3}'],
        *["1" * 5_000, "[" * 100_000],
    ],
    ids=lambda line: line[:10],
)
def test_a_json_line_without_a_text_is_named(tmp_path, line):
    path = write(tmp_path / "a.jsonl", '{"text": "One."}\n\n' + line + "\n")
    assert f"`text` is a string. Received: line 3 of {str(path)!r}" in complaint(path)


@pytest.mark.parametrize(
    ("column", "name", "message"),
    [
        (["It flew."], "body", r"column `text` of strings.*body \(string\)"),
        ([1, 2], "text", r"column `text` of strings.*text \(int64\)"),
        ([b"a", b"b"], "text", r"text \(binary\)"),
        ([["a"], ["b"]], "text", r"text \(list"),
    ],
)
def test_a_table_without_texts_says_what_it_has(tmp_path, column, name, message):
    path = write_table(tmp_path / "a.parquet", column, name=name)
    with pytest.raises(DataError, match=message):
        documents(path)


@pytest.mark.parametrize("damage", ["cut short", "no table", "empty", "changed"])
def test_a_damaged_table_is_one_clear_error(tmp_path, damage):
    texts = ["gull " * 1_000 + str(n) for n in range(40)]
    path = write_table(tmp_path / "a.parquet", texts, compression="gzip", use_dictionary=False)
    content = path.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + b"\xff" * 40 + content[middle + 40 :]
    wrong = {"cut short": content[:-9], "no table": b"plain text\n", "empty": b""}
    write(path, wrong.get(damage, changed))
    assert f"readable to its end. Received: {str(path)!r}, which breaks after row" in complaint(
        path
    )


def test_a_text_of_a_table_that_is_no_utf_8_is_named(tmp_path):
    spoilt = pyarrow.array([b"fine", b"not \xe9 fine"]).view(pyarrow.string())
    path = write_table(tmp_path / "a.parquet", spoilt)
    assert f"must be UTF-8. Received: rows 1 to 256 of {str(path)!r}" in complaint(path)


def test_a_table_without_pyarrow_names_its_extra(tmp_path, monkeypatch):
    path = write_table(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[corpus\]"):
        documents(path)


# === Which files ===


def test_a_folder_gives_its_files_in_a_fixed_order(tmp_path):
    (tmp_path / "deep").mkdir()
    wanted = ["a.jsonl", "b.txt", "d.TXT.XZ", "deep/c.txt.gz", *(f"{n}.txt" for n in range(9))]
    wanted += ["e.txt.zst", "f.parquet"]
    for name in [*wanted, "notes.md", "e.txt.zip", "f.parquet.gz.md"]:
        write(tmp_path / name, "four")
    found = corpus_files([tmp_path])
    assert found == [CorpusFile(str(tmp_path / name), 4) for name in sorted(wanted)]


def test_a_pattern_gives_the_texts_among_its_matches(tmp_path):
    for name in ["b1.txt", "b2.txt", "b3.md", "c.txt"]:
        write(tmp_path / name, "It flew.\n")
    found = corpus_files([f"{tmp_path}/b*", tmp_path / "c.txt"])
    assert [Path(file.address).name for file in found] == ["b1.txt", "b2.txt", "c.txt"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *[("nowhere.txt", "exist"), ("*.txt", "exist"), ("empty", "must hold")],
        *[("a.pdf", r"must end in \.txt, \.jsonl or \.parquet"), ("*.pdf", "must hold")],
    ],
)
def test_a_path_without_a_corpus_is_one_clear_error(tmp_path, name, message):
    write(tmp_path / "a.pdf", "")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"{message}.*Received: ") as caught:
        corpus_files([tmp_path / name])
    assert name in str(caught.value)
