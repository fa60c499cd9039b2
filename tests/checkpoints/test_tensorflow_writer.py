import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from albatross.checkpoints import tensorflow_writer
from albatross.checkpoints.tensorflow import TensorFlowCheckpoint
from albatross.checkpoints.tensorflow_writer import write_checkpoint
from albatross.errors import FolderError

DTYPES = ["f4", "f8", "f2", "i4", "i8", "i2", "i1", "u1", "u2", "u4", "u8", "?"]
ARRAYS = {
    **{f"bert/{dtype}": np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES},
    "global_step": np.array(125_000),
    "nothing": np.zeros((3, 0), np.float32),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "cut": np.arange(400, dtype=np.float32).reshape(200, 2),
    "ä/ß": np.array([1.5], np.float32),
}
SLICES = {"cut": [3, 70, 199], "turned": [2]}


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("slices", [None, SLICES])
def test_what_is_written_is_read(tmp_path, slices):
    write_checkpoint(tmp_path / "m", ARRAYS, slices=slices)
    checkpoint = TensorFlowCheckpoint.open(tmp_path / "m")
    assert list(checkpoint.variables) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert_same(checkpoint.read(name), array)


@pytest.mark.parametrize("slices", [None, SLICES])
def test_tensorflow_reads_what_is_written(tmp_path, slices):
    tensorflow = pytest.importorskip("tensorflow")
    write_checkpoint(tmp_path / "m", ARRAYS, slices=slices)
    reader = tensorflow.train.load_checkpoint(str(tmp_path / "m"))
    assert reader.get_variable_to_shape_map().keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert_same(np.asarray(reader.get_tensor(name)), array)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays(np.float32, array_shapes(min_dims=0, min_side=0, max_dims=4)))
def test_every_shape_comes_back_bit_by_bit(tmp_path, array):
    write_checkpoint(tmp_path / "m", {"v": array})
    found = TensorFlowCheckpoint.open(tmp_path / "m").read("v")
    assert (found.shape, found.tobytes()) == (array.shape, array.tobytes())


def test_a_large_array_is_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_writer, "_PIECE", 40)
    pieces = list(tensorflow_writer._pieces(ARRAYS["cut"].T[:, :30].T))
    assert max(piece.nbytes for piece in pieces) <= 40 < len(pieces) * 40
    write_checkpoint(tmp_path / "m", ARRAYS)
    assert_same(TensorFlowCheckpoint.open(tmp_path / "m").read("cut"), ARRAYS["cut"])


def test_the_order_of_the_arrays_does_not_change_the_files(tmp_path):
    write_checkpoint(tmp_path / "a", ARRAYS)
    write_checkpoint(tmp_path / "b", dict(reversed(ARRAYS.items())))
    for ending in (".index", ".data-00000-of-00001"):
        first, second = (tmp_path / f"{name}{ending}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "array"),
    [("v", np.array(["text"])), ("v", np.array([1j])), ("", np.zeros(1)), ("\0v", np.zeros(1))],
)
def test_what_tensorflow_would_not_take_is_refused_and_nothing_written(tmp_path, name, array):
    with pytest.raises(FolderError, match="must have a name, and numbers"):
        write_checkpoint(tmp_path / "m", {name: array})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("starts", [[0], [2, 2], [3, 1], [200], [-1]])
def test_parts_out_of_order_are_refused(tmp_path, starts):
    with pytest.raises(FolderError, match="must start at rows of it, in order"):
        write_checkpoint(tmp_path / "m", ARRAYS, slices={"cut": starts})
