import base64
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albatross.checkpoints.frozen_graph import read_frozen_graph
from albatross.errors import FolderError
from albatross.protobuf import encode_field, encode_varint

RECORDED = json.loads(Path(__file__).with_name("tensorflow_files.json").read_text("utf-8"))
GRAPH = base64.b64decode(RECORDED["frozen_graph"])
VALUES = {name: np.array(values, dtype) for name, (dtype, values) in RECORDED["values"].items()}


def constant(tensor, name=b"v", operation=b"Const"):
    """A graph with one node that has this value."""
    value = encode_field(1, b"value") + encode_field(2, encode_field(8, tensor))
    node = encode_field(1, name) + encode_field(2, operation) + encode_field(5, value)
    return encode_field(1, node)


def tensor(kind, shape, field=None, values=b""):
    dimensions = b"".join(encode_field(2, encode_field(1, size)) for size in shape)
    listed = encode_field(field, values) if field else b""
    return encode_field(1, kind) + encode_field(2, dimensions) + listed


@pytest.fixture
def read(tmp_path):
    def read_bytes(content):
        (tmp_path / "frozen.pb").write_bytes(content)
        return read_frozen_graph(tmp_path / "frozen.pb")

    return read_bytes


def test_what_tensorflow_froze_is_read(read):
    found = read(GRAPH)
    for name in VALUES.keys() - {"bert/embeddings/word_embeddings"}:
        np.testing.assert_array_equal(found[name], VALUES[name], strict=True)
    np.testing.assert_array_equal(found["filled"], np.full((2, 2), 2.5, np.float32), strict=True)
    assert "text" not in found


def test_tensorflow_freezes_what_is_read(read):
    tensorflow = pytest.importorskip("tensorflow")
    graph = tensorflow.Graph()
    values = {name: array for name, array in VALUES.items() if "narrow" not in name}
    with graph.as_default():
        for name, array in values.items():
            tensorflow.constant(array, name=name)
    found = read(graph.as_graph_def().SerializeToString())
    for name, array in values.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (tensor(1, [2], 5, np.array([1.5, 2], "<f4").tobytes()), np.array([1.5, 2], np.float32)),
        (tensor(1, [3], 5, np.array([1.5, 2], "<f4").tobytes()), np.array([1.5, 2, 2], np.float32)),
        (tensor(1, []) + encode_field(5, 2.5), np.array(2.5, np.float32)),
        (tensor(2, [1], 6, np.array([2.5], "<f8").tobytes()), np.array([2.5])),
        (tensor(3, []) + encode_field(7, -3), np.array(-3, np.int32)),
        (tensor(9, [2], 10, encode_varint(7) + encode_varint(-7)), np.array([7, -7])),
        (tensor(10, [2], 11, b"\1\0"), np.array([True, False])),
        (tensor(10, [], 4, b"\1"), np.array(True)),
        (tensor(14, [1], 13, encode_varint(0x3FC0)), np.array([1.5], np.float32)),
        (tensor(19, [1], 13, encode_varint(0x3E00)), np.array([1.5], np.float16)),
        (tensor(23, [1], 17, encode_varint(2**63)), np.array([2**63], np.uint64)),
        (tensor(1, [2, 0]), np.zeros((2, 0), np.float32)),
        (tensor(1, [2]), np.zeros(2, np.float32)),
    ],
)
def test_each_way_to_write_values_is_read(read, value, expected):
    np.testing.assert_array_equal(read(constant(value))["v"], expected, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "without any"),
        (constant(tensor(1, []), operation=b"Identity"), "without any"),
        (constant(tensor(7, [], 8, b"text")), "without any"),
        (constant(tensor(1, [2], 4, bytes(4))), "4 bytes for"),
        (constant(tensor(1, [1], 5, bytes(8))), "2 values or more"),
        (constant(tensor(1, [1], 5, bytes(3))), "multiple of element size"),
        (constant(tensor(1, [1], 7, b"\1")), "lists values of another"),
        (constant(tensor(1, [2**40])), "64 MiB"),
        (constant(tensor(1, [2**60])), "a shape is"),
        (2 * constant(tensor(1, [2])), "two constants"),
        (constant(tensor(1, []), name=b"\xff"), "utf-8"),
        (encode_field(1, encode_field(1, b"v") + encode_field(2, b"Const")), "has no value"),
        (encode_field(1, 1), "field 1 holds a number"),
    ],
)
def test_what_cannot_be_is_refused(read, content, message):
    with pytest.raises(FolderError, match=message):
        read(content)


def test_many_small_repeats_are_refused_together(read):
    graph = b"".join(constant(tensor(1, [2**20]), name=b"v%d" % number) for number in range(17))
    with pytest.raises(FolderError, match="64 MiB"):
        read(graph)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FolderError, match="No such file"):
        read_frozen_graph(tmp_path / "frozen.pb")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(GRAPH) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_or_refused(read, position, change):
    damaged = bytearray(GRAPH)
    damaged[position] ^= change
    with suppress(FolderError):  # and nothing else
        assert all(isinstance(array, np.ndarray) for array in read(damaged).values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80).map(lambda data: constant(tensor(1, [2]) + data)) | st.binary())
def test_any_bytes_are_read_or_refused(read, content):
    with suppress(FolderError):  # and nothing else
        assert read(content)
