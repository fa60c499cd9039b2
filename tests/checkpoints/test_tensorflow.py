"""Checkpoints that TensorFlow wrote (`tensorflow_files.json`) and ones that are wrong."""

import base64
import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albatross.checkpoints.bundle_index import Entry, encode_entry, encode_header, slice_key
from albatross.checkpoints.sorted_table import TableWriter, crc32c_masked
from albatross.checkpoints.tensorflow import TensorFlowCheckpoint, Variable, find_checkpoint
from albatross.errors import FolderError, MissingDependencyError

RECORDED = json.loads(Path(__file__).with_name("tensorflow_files.json").read_text("utf-8"))
FILES = {name: base64.b64decode(text) for name, text in RECORDED["files"].items()}
VALUES = {name: np.array(values, dtype) for name, (dtype, values) in RECORDED["values"].items()}
BINARY = sorted(name for name in FILES if name != "checkpoint")


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of TensorFlow's."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def read_all(folder):
    checkpoint = TensorFlowCheckpoint.open(find_checkpoint(folder))
    return {name: checkpoint.read(name) for name in checkpoint.variables}


def is_as_recorded(arrays):
    return arrays.keys() == VALUES.keys() and all(
        array.dtype == VALUES[name].dtype and np.array_equal(array, VALUES[name])
        for name, array in arrays.items()
    )


def write(folder, entries, data=b"", header=None):
    """A checkpoint with these records, each with the right checksum of its values."""
    with (folder / "m.index").open("wb") as file:
        table = TableWriter(file)
        table.add(b"", encode_header() if header is None else header)
        for key, entry in sorted(entries.items()):
            table.add(key, encode_entry(entry))
        table.finish()
    (folder / "m.data-00000-of-00001").write_bytes(data)
    return folder / "m"


def part(start, length, data):
    """The key and the record of one slice of `v`."""
    checksum = crc32c_masked(data[4 * start : 4 * (start + length)])
    entry = Entry(1, (length,), 0, 4 * start, 4 * length, checksum)
    return {slice_key(b"v", ((start, length),)): entry}


# === TensorFlow's own ===


def test_what_tensorflow_wrote_is_read(folder):
    assert is_as_recorded(read_all(folder))


def test_variables_are_told_without_reading_values(folder):
    for path in folder.glob("*.data-*"):
        path.write_bytes(bytes(path.stat().st_size))
    found = TensorFlowCheckpoint.open(folder / "model.ckpt-best").variables
    name = "bert/embeddings/word_embeddings"
    assert found.keys() == VALUES.keys()
    assert found[name] == Variable(name, np.dtype(np.int8), (140, 1))
    assert found["narrow"] == Variable("narrow", np.dtype(np.float32), (3,))


def test_an_array_is_a_view_that_may_be_written_to_and_the_file_stays(tmp_path):
    data = np.arange(2, dtype=np.float32).tobytes()
    entry = Entry(1, (2,), size=8, checksum=crc32c_masked(data))
    checkpoint = TensorFlowCheckpoint.open(write(tmp_path, {b"v": entry}, data))
    array = checkpoint.read("v")
    assert not array.flags.owndata
    array[0] = 7
    assert (tmp_path / "m.data-00000-of-00001").read_bytes() == data


def test_tensorflow_reads_the_recorded_files_as_we_do(folder):
    tensorflow = pytest.importorskip("tensorflow")
    reader = tensorflow.train.load_checkpoint(str(folder / "model.ckpt-best"))
    for name, array in read_all(folder).items():
        np.testing.assert_array_equal(reader.get_tensor(name).astype(array.dtype), array)


def test_without_crc32c_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[hub\]"):
        TensorFlowCheckpoint.open(folder / "model.ckpt-best")


# === Finding ===


def test_a_folder_a_prefix_and_an_index_mean_the_same(folder):
    prefix = folder / "model.ckpt-best"
    assert find_checkpoint(folder) == prefix
    assert find_checkpoint(prefix) == prefix
    assert find_checkpoint(folder / "model.ckpt-best.index") == prefix


def test_a_hub_module_has_its_variables_below(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "variables" / "variables"


@pytest.mark.parametrize("where", ["", "/home/somebody/run/", "C:\\\\run\\\\", "../elsewhere/"])
def test_of_several_the_named_one_is_taken_wherever_it_lay(folder, where):
    (folder / "model.ckpt-7.index").touch()
    text = f'model_checkpoint_path: "{where}model.ckpt-7"\nall_model_checkpoint_paths: "x"\n'
    (folder / "checkpoint").write_text(text)
    assert find_checkpoint(folder) == folder / "model.ckpt-7"


@pytest.mark.parametrize(
    "text", [None, "", "model_checkpoint_path: 5", 'model_checkpoint_path: ".."']
)
def test_several_without_a_named_one_are_refused(folder, text):
    (folder / "model.ckpt-7.index").touch()
    (folder / "checkpoint").unlink()
    if text is not None:
        (folder / "checkpoint").write_text(text)
    with pytest.raises(FolderError, match=r"model\.ckpt-7, model\.ckpt-best"):
        find_checkpoint(folder)


def test_what_is_no_checkpoint_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"of the old format")
    with pytest.raises(FolderError, match="format V1"):
        find_checkpoint(tmp_path / "model.ckpt")
    with pytest.raises(FolderError, match=r"'nothing\.index' is not"):
        find_checkpoint(tmp_path / "nothing")
    with pytest.raises(FolderError, match=r"must hold a `\.index` file"):
        find_checkpoint(tmp_path)


# === What cannot be ===


def test_a_missing_file_of_values_is_named(folder):
    (folder / "model.ckpt-best.data-00001-of-00002").unlink()
    with pytest.raises(FolderError, match=r"data-00001-of-00002'.*No such file"):
        read_all(folder)


@pytest.mark.parametrize("name", BINARY)
def test_a_file_cut_short_is_refused(folder, name):
    for size in range(len(FILES[name])):
        (folder / name).write_bytes(FILES[name][:size])
        with pytest.raises(FolderError, match="whole and as its index"):
            read_all(folder)


@pytest.mark.parametrize("name", BINARY)
def test_a_flipped_bit_is_refused_or_changes_nothing(folder, name):
    num_refused = 0
    for position in range(len(FILES[name])):
        damaged = bytearray(FILES[name])
        damaged[position] ^= 1 << position % 8
        (folder / name).write_bytes(damaged)
        try:
            assert is_as_recorded(read_all(folder))
        except FolderError:
            num_refused += 1
    assert num_refused > len(FILES[name]) / 2


def test_a_shape_larger_than_any_file_is_refused_before_memory_is_taken(tmp_path):
    whole = Entry(1, (2**40,), slices=(((0, 2**40),),))
    prefix = write(tmp_path, {b"v": whole, **part(0, 1, bytes(4))}, bytes(4))
    with pytest.raises(FolderError, match="missing or of another shape"):
        TensorFlowCheckpoint.open(prefix)
    prefix = write(tmp_path, {b"v": Entry(1, (2**30,), size=2**32)}, bytes(4))
    with pytest.raises(FolderError, match="up to byte 4,294,967,296"):
        TensorFlowCheckpoint.open(prefix)


def test_slices_over_each_other_are_refused(tmp_path):
    data = np.arange(4, dtype=np.float32).tobytes()
    twice = Entry(1, (3,), slices=(((0, 2),), ((0, 1),)))
    parts = part(0, 2, data) | {slice_key(b"v", ((0, 1),)): Entry(1, (1,), 0, 8, 4, 0)}
    checkpoint = TensorFlowCheckpoint.open(write(tmp_path, {b"v": twice, **parts}, data))
    with pytest.raises(FolderError, match="lie over each other"):
        checkpoint.read("v")


def test_slices_are_put_together_in_any_order(tmp_path):
    data = np.arange(4, dtype=np.float32).tobytes()
    whole = Entry(1, (4,), slices=(((3, 1),), ((0, 3),)))
    entries = {b"v": whole, **part(0, 3, data), **part(3, 1, data)}
    checkpoint = TensorFlowCheckpoint.open(write(tmp_path, entries, data))
    np.testing.assert_array_equal(checkpoint.read("v"), np.arange(4))


def test_strings_are_listed_and_not_read(tmp_path):
    checkpoint = TensorFlowCheckpoint.open(write(tmp_path, {b"s": Entry(7, (), size=3)}, b"abc"))
    assert checkpoint.variables["s"] == Variable("s", None, ())
    with pytest.raises(FolderError, match="which holds no numbers"):
        checkpoint.read("s")
    with pytest.raises(FolderError, match="which it does not hold"):
        checkpoint.read("t")


def test_an_empty_variable_needs_no_file(tmp_path):
    prefix = write(tmp_path, {b"v": Entry(1, (0, 3), checksum=crc32c_masked(b""))})
    (tmp_path / "m.data-00000-of-00001").unlink()
    assert TensorFlowCheckpoint.open(prefix).read("v").shape == (0, 3)


SMALL = st.integers(-1, 9) | st.integers(-(2**63), 2**63 - 1)
ENTRIES = st.builds(
    Entry,
    kind=st.integers(0, 24),
    shape=st.lists(SMALL, max_size=3).map(tuple),
    shard=st.integers(0, 2),
    offset=SMALL,
    size=SMALL,
    slices=st.lists(
        st.lists(st.tuples(SMALL, st.none() | SMALL), max_size=2).map(tuple), max_size=2
    ).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.binary(min_size=1, max_size=6), ENTRIES, max_size=4), st.binary())
def test_any_records_are_read_or_refused(tmp_path, entries, data):
    try:
        checkpoint = TensorFlowCheckpoint.open(write(tmp_path, entries, data))
    except FolderError:
        return
    for name in checkpoint.variables:
        with suppress(FolderError):
            assert checkpoint.read(name).nbytes <= 2 * len(data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(BINARY), st.binary(max_size=200))
def test_any_bytes_are_refused_or_change_nothing(tmp_path, name, data):
    for other, content in FILES.items():
        (tmp_path / other).write_bytes(content)
    (tmp_path / name).write_bytes(data)
    with suppress(FolderError):
        assert is_as_recorded(read_all(tmp_path))
