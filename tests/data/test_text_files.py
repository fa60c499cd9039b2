import bz2
import gzip
import lzma
import os
import sys
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from albatross.data import text_files
from albatross.data.text_files import format_of, read_lines, read_text
from albatross.errors import DataError, MissingDependencyError

pyarrow = pytest.importorskip("pyarrow")

TEXT = "It flew.\nIt sank.\n\nÜbersee, 遠い。\n"
LINES = TEXT.splitlines()


def zst(content: bytes) -> bytes:
    packed: bytes = pyarrow.Codec("zstd").compress(content, asbytes=True)
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}
# pyarrow writes no checksum into a .zst, as the zstd program does, so that a change goes unseen.
DAMAGES = {*product(list(PACK)[1:], ["cut short", "no such packing", "changed", "torn"])}
DAMAGES -= {(".zst", "changed")}


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def complaint(path: Path) -> str:
    """The one line in which reading a file fails."""
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# === What is read ===


@pytest.mark.parametrize("packing", PACK)
def test_all_packings_hold_the_same_lines(tmp_path, packing):
    path = write(tmp_path / f"a.txt{packing}", PACK[packing](TEXT.encode()))
    assert list(read_lines(path)) == LINES


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_file_may_be_written_in_several_parts(tmp_path, packing):
    halves = [PACK[packing](line.encode() + b"\n") for line in LINES]
    assert list(read_lines(write(tmp_path / f"a.txt{packing}", b"".join(halves)))) == LINES


@pytest.mark.parametrize("packing", PACK)
def test_an_address_is_read_as_a_path_is(packing):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe(f"/lines/a.txt{packing}", PACK[packing](TEXT.encode()))
    told: list[int] = []
    assert list(read_lines(f"memory://lines/a.txt{packing}", told.append)) == LINES
    assert sum(told) == len(PACK[packing](TEXT.encode()))


@pytest.mark.parametrize("packing", PACK)
def test_progress_adds_up_to_the_bytes_on_disk(tmp_path, packing):
    path = write(tmp_path / f"a.txt{packing}", PACK[packing](os.urandom(90_000).hex().encode()))
    told: list[int] = []
    list(read_lines(path, told.append))
    assert sum(told) == path.stat().st_size
    assert len(told) > 1


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert list(read_lines(write(tmp_path / "a.txt", b"\xef\xbb\xbfOne.\n"))) == ["One."]


def test_a_reader_that_stops_early_leaves_no_file_open(tmp_path):
    reader = read_lines(write(tmp_path / "a.txt.gz", gzip.compress(b"One.\nTwo.\n")))
    assert next(reader) == "One."
    del reader  # an open file would be a ResourceWarning, which is an error here


def test_the_format_is_the_ending_below_the_packing():
    names = ["a.txt", "a.TXT.GZ", "a.tar.gz", "a.jsonl.zst", "a", "s3://b/a.txt.xz"]
    found = [".txt", ".txt", ".tar", ".jsonl", "", ".txt"]
    assert [format_of(name) for name in names] == found
    assert format_of("zip://a.txt::s3://bucket/all.zip") == ".txt"


# === What is refused ===


@pytest.mark.parametrize(("packing", "damage"), sorted(DAMAGES))
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


@pytest.mark.parametrize("packing", PACK)
def test_an_endless_line_is_named_and_never_held(tmp_path, monkeypatch, packing):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 2**16)
    endless = PACK[packing](b"fine\n") + PACK[packing](b"gull" * 2**18) * 32
    path = write(tmp_path / f"a.txt{packing}", endless)
    tracemalloc.start()
    assert f"at most 65,536 characters. Received: line 2 of {str(path)!r}" in complaint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24  # a packing's own window is at most 8 MB


def test_a_whole_text_says_what_is_wrong_with_its_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a gull\n\xff")
    with pytest.raises(DataError, match="must be UTF-8"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(DataError, match="readable to its end"):
        read_text(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_text(tmp_path / "c.txt") == "one\ntwo"


def test_the_longest_line_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1_000)
    path = write(tmp_path / "a.txt", "x" * 1_000 + "\n" + "y" * 999 + "\nz")
    assert [len(line) for line in read_lines(path)] == [1_000, 999, 1]


def test_zst_without_pyarrow_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[corpus\]"):
        list(read_lines(write(tmp_path / "a.txt.zst", zst(b"One."))))
