import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from albatross.data.documents import corpus_files, format_of, read_documents, read_lines
from albatross.errors import DataError

DOCUMENTS = [["It flew.", "It sank."], ["Übersee, 遠い。"], ["One", "Two", "Three"]]
TEXT = "\n\n".join("\n".join(document) for document in DOCUMENTS) + "\n"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def documents(path: Path, **options) -> list[list[str]]:
    return list(read_documents([path], **options))


def complaint(path: Path) -> str:
    """The one line in which reading a file fails."""
    with pytest.raises(DataError) as caught:
        documents(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# === What is read ===


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("ending", [".txt", ".jsonl"])
def test_all_formats_hold_the_same_documents(tmp_path, ending, packing):
    records = "".join(json.dumps({"text": "\n".join(d), "id": 1}) + "\n" for d in DOCUMENTS)
    content = (TEXT if ending == ".txt" else records).encode()
    path = write(tmp_path / f"a{ending}{packing}", PACK[packing](content))
    assert documents(path) == DOCUMENTS


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


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert documents(write(tmp_path / "a.txt", b"\xef\xbb\xbfOne.\n")) == [["One."]]


@pytest.mark.parametrize("content", ["", "\n\n", " \r\n"])
def test_an_empty_file_holds_no_document(tmp_path, content):
    assert documents(write(tmp_path / "a.txt", content)) == []


def test_rules_split_running_text_into_sentences(tmp_path):
    path = write(tmp_path / "a.txt", "It flew. It sank.\nDr. Gray saw it.\n")
    assert documents(path, breaks="rules") == [["It flew.", "It sank.", "Dr. Gray saw it."]]


def test_a_line_of_a_million_characters_is_one_sentence(tmp_path):
    path = write(tmp_path / "a.txt", "x" * 10**6 + "\ny\n")
    assert [len(sentence) for sentence in documents(path)[0]] == [10**6, 1]


@pytest.mark.parametrize("packing", PACK)
def test_progress_adds_up_to_the_bytes_on_disk(tmp_path, packing):
    path = write(tmp_path / f"a.txt{packing}", PACK[packing](os.urandom(90_000).hex().encode()))
    told: list[int] = []
    documents(path, on_bytes=told.append)
    assert sum(told) == path.stat().st_size
    assert len(told) > 1


# === What is refused ===


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("damage", ["cut short", "no such packing", "changed", "torn"])
def test_a_damaged_file_is_one_clear_error(tmp_path, packing, damage):
    content = bytearray(PACK[packing](os.urandom(4_000).hex().encode()))
    if damage == "changed":
        content[len(content) // 2] ^= 0xFF
    if damage == "torn":
        content[10:20] = b"\xff" * 10
    wrong = {"cut short": content[:-9], "no such packing": b"plain text\n"}.get(damage, content)
    path = write(tmp_path / f"a.txt{packing}", bytes(wrong))
    assert f"readable to its end. Received: {str(path)!r}, which breaks after line" in complaint(
        path
    )


@pytest.mark.parametrize("packing", PACK)
def test_the_line_of_a_byte_that_is_no_utf_8_is_named(tmp_path, packing):
    lines = [b"fine \xc3\xbc"] * 700 + [b"not \xe9 fine"] + [b"fine"] * 700
    path = write(tmp_path / f"a.txt{packing}", PACK[packing](b"\n".join(lines)))
    assert f"must be UTF-8. Received: byte 0xe9 in line 701 of {str(path)!r}" in complaint(path)


def test_a_character_cut_at_the_end_of_a_file_is_named(tmp_path):
    assert "byte 0xc3 in line 2" in complaint(write(tmp_path / "a.txt", b"fine\ncut \xc3"))


def test_a_folder_in_the_place_of_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "a.txt").mkdir()
    assert "Is a directory" in complaint(tmp_path / "a.txt")


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


def test_a_reader_that_stops_early_leaves_no_file_open(tmp_path):
    reader = read_lines(write(tmp_path / "a.txt.gz", gzip.compress(b"One.\nTwo.\n")))
    assert next(reader) == "One."
    del reader  # an open file would be a ResourceWarning, which is an error here


# === Which files ===


def test_a_folder_gives_its_files_in_a_fixed_order(tmp_path):
    (tmp_path / "deep").mkdir()
    wanted = ["a.jsonl", "b.txt", "d.TXT.XZ", "deep/c.txt.gz", *(f"{n}.txt" for n in range(9))]
    for name in [*wanted, "notes.md", "e.txt.zip"]:
        write(tmp_path / name, "")
    found = [path.relative_to(tmp_path).as_posix() for path in corpus_files([tmp_path])]
    assert found == sorted(wanted)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.txt", "exist"), ("a.pdf", r"must end in \.txt or \.jsonl"), ("empty", "must hold")],
)
def test_a_path_without_a_corpus_is_one_clear_error(tmp_path, name, message):
    write(tmp_path / "a.pdf", "")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"{message}.*Received: .*{name}"):
        corpus_files([tmp_path / name])


def test_the_format_is_the_ending_below_the_packing():
    names = ["a.txt", "a.TXT.GZ", "a.tar.gz", "a.jsonl.xz", "a"]
    assert [format_of(Path(name)) for name in names] == [".txt", ".txt", ".tar", ".jsonl", ""]
