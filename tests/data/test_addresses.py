import sys

import pytest

from albatross.data.addresses import files_at, open_bytes
from albatross.errors import DataError, MissingDependencyError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store():
    """An empty store in memory, which all of fsspec shares."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    for name in ("c/b.txt", "c/deep/a.txt.gz", "c/notes.md"):
        memory.pipe(f"/{name}", name.encode())
    return memory


def test_a_file_goes_by_the_name_it_was_given(tmp_path, store):
    (tmp_path / "a[1].txt").write_text("four")
    assert files_at(str(tmp_path / "a[1].txt")) == {str(tmp_path / "a[1].txt"): 4}
    assert files_at("memory://c/b.txt") == {"memory://c/b.txt": 7}


def test_a_folder_is_all_files_below_it_in_order(tmp_path, store):
    for name in ("b", "a/z", "a/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert list(files_at(str(tmp_path))) == [str(tmp_path / name) for name in ("a/c", "a/z", "b")]
    names = ["c/b.txt", "c/deep/a.txt.gz", "c/notes.md"]
    assert files_at("memory://c") == {f"memory:///{name}": len(name) for name in names}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("c/*.txt", ["c/b.txt"]), ("c/**/*.gz", ["c/deep/a.txt.gz"]), ("c/d*", ["c/deep/a.txt.gz"])],
)
def test_patterns_are_opened_here_and_there_alike(tmp_path, store, pattern, names):
    for name in store.find("/c"):
        (tmp_path / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name[1:]).write_bytes(store.cat(name))
    assert list(files_at(f"{tmp_path}/{pattern}")) == [f"{tmp_path}/{name}" for name in names]
    assert list(files_at(f"memory://{pattern}")) == [f"memory:///{name}" for name in names]


def test_a_chained_address_keeps_its_chain(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one.txt", "It flew.")
    (address,) = files_at(f"zip://*.txt::{tmp_path}/all.zip")
    assert address.endswith(f"one.txt::{tmp_path}/all.zip")
    with open_bytes(address) as file:
        assert file.read() == b"It flew."


def test_bytes_are_read_from_wherever_they_are(tmp_path, store):
    (tmp_path / "b.txt").write_bytes(b"c/b.txt")
    for address in (str(tmp_path / "b.txt"), "memory://c/b.txt"):
        with open_bytes(address) as file:
            file.seek(2)
            assert file.read() == b"b.txt"


@pytest.mark.parametrize(
    "address", ["nowhere/*.txt", "nowhere", "memory://none/*", "memory://none"]
)
def test_an_address_without_files_gives_none(store, address):
    assert files_at(address) == {}


def test_a_store_that_cannot_be_reached_is_one_clear_error():
    for call in (files_at, lambda address: open_bytes(address).__enter__()):
        with pytest.raises(DataError, match=r"be reached\. Received: 'gull://a\.txt': Protocol"):
            call("gull://a.txt")


def test_an_address_without_fsspec_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[corpus\]"):
        files_at("memory://c/b.txt")
