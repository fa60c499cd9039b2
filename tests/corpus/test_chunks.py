import os

from albatross.corpus import chunks
from albatross.corpus.chunks import Group, read_chunks, reading_groups
from albatross.data.documents import CorpusFile, corpus_files, read_documents


def test_groups_are_consecutive_files_until_there_are_enough_bytes():
    sizes = [10, 50, 5, 70, 64, 1]
    files = [CorpusFile(f"memory://{n}", size * 2**20) for n, size in enumerate(sizes)]
    found = reading_groups([*files])
    assert [[file.size // 2**20 for file in group.files] for group in found] == [
        [10, 50, 5],
        [70],
        [64],
        [1],
    ]
    assert [group.number for group in found] == [0, 1, 2, 3]


def test_no_files_make_no_group():
    assert reading_groups([]) == []


def test_chunks_hold_the_documents_of_a_group_in_order(corpus, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 400)
    files = corpus_files([corpus])
    found = list(read_chunks(Group(7, "key", tuple(files))))
    assert [d for chunk in found for d in chunk.documents] == list(read_documents(files))
    assert [(chunk.group, chunk.number) for chunk in found] == [
        ("key", n) for n in range(len(found))
    ]
    sizes = [sum(len(s) for d in chunk.documents for s in d) for chunk in found]
    assert all(400 <= size < 700 for size in sizes[:-1])
    assert len(found) > 5


def test_a_groups_key_changes_when_one_of_its_files_does(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    keys: list[str] = []
    for text in ("one", "two", "three"):
        paths[1].write_text(text)
        paths[0].write_text("same")
        os.utime(paths[0], (1, 1))
        os.utime(paths[1], (1, len(keys)))
        keys.append(reading_groups(corpus_files(paths))[0].key)
    assert len(set(keys)) == 3
    assert reading_groups(corpus_files(paths))[0].key == keys[2]
