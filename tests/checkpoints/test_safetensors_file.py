import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from albatross.checkpoints.safetensors_file import (
    TensorEntry,
    map_arrays,
    read_header,
    read_header_text,
)
from albatross.errors import FolderError

ARRAYS: dict[str, np.ndarray] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(4, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float16),
    "scalar": np.array(7, np.float32),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One file for all that hypothesis draws."""
    return tmp_path_factory.mktemp("fuzz") / "model.safetensors"


def raw_file(header, data=b"", length=None):
    """A safetensors file with this header, or with a header of this pretended length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def one_tensor(shape, data, dtype="F32"):
    return raw_file({"a": entry(shape, 0, len(data), dtype)}, data)


def read_or_refusal(path):
    try:
        return map_arrays(path), ""
    except FolderError as error:
        return {}, str(error)


def contents(arrays):
    return {name: array.tobytes() for name, array in arrays.items()}


# === There and back ===


def test_every_tensor_is_what_the_format_s_own_library_reads(path):
    path.write_bytes(save(ARRAYS, metadata={"format": "pt"}))
    found, expected = map_arrays(path), load(path.read_bytes())
    assert found.keys() == expected.keys() == ARRAYS.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_the_header_says_where_each_tensor_lies(path):
    content = save({"a": ARRAYS["a"]})
    path.write_bytes(content)
    assert read_header(path) == {"a": TensorEntry("F32", (2, 3), len(content) - 24, len(content))}
    assert content[8:].startswith(read_header_text(path))


def test_writing_to_an_array_leaves_the_file_and_other_readers_alone(path):
    path.write_bytes(save(ARRAYS))
    first, second = map_arrays(path), map_arrays(path)
    first["a"][0, 0] = 9
    assert first["a"][0, 0] == 9
    np.testing.assert_array_equal(second["a"], ARRAYS["a"])
    np.testing.assert_array_equal(load(path.read_bytes())["a"], ARRAYS["a"])


def test_arrays_outlive_the_name_of_their_file(path):
    path.write_bytes(save(ARRAYS))
    found = map_arrays(path)
    path.unlink()
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])


def test_data_that_is_not_aligned_is_read_all_the_same(path):
    header = json.dumps({"a": entry([2, 3], 0, 24)}).encode()
    for spaces in range(4):
        path.write_bytes(raw_file(header + b" " * spaces, ARRAYS["a"].tobytes()))
        found = map_arrays(path)["a"]
        assert found.flags.aligned
        np.testing.assert_array_equal(found, ARRAYS["a"])


def test_bfloat16_is_read_as_float32(path):
    values = np.array([1.0, -2.5, 0.15625, 3e38, -0.0, np.inf], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    path.write_bytes(one_tensor([2, 3], halves.tobytes(), "BF16"))
    found = map_arrays(path)["a"]
    assert found.dtype == np.float32
    assert np.allclose(found.astype(float), values.reshape(2, 3), rtol=2**-8, atol=0)


def test_opening_reads_no_more_than_it_must(path):
    path.write_bytes(save({"a": np.ones((64, 2**18), np.float32)}))  # 67 MB
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from albatross.checkpoints.safetensors_file import map_arrays\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); arrays = map_arrays(Path(sys.argv[1])); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert int(done.stdout) < 5_000  # kilobytes


# === Lies: one line that says what is wrong ===

LIES = {
    "zero bytes": (b"", "header that would be 0 bytes long"),
    "seven bytes": (b"\x01" * 7, "header that would be"),
    "no header": (raw_file(b""), "header that would be 0 bytes long"),
    "a header longer than the file": (raw_file({}, length=1_000), "would be 1,000 bytes long"),
    "a header without end": (raw_file({}, length=2**63), "would be 9,223,372,036,854,775,808"),
    "a header that is no JSON": (raw_file(b"{nothing}"), "no JSON"),
    "a header that is a list": (raw_file([1]), "no JSON object"),
    "a header that is no UTF-8": (raw_file(b"\xff\xfe"), "no JSON"),
    "a header in UTF-16": (raw_file('{"a": 1}'.encode("utf-16")), "no JSON"),
    "a header of endless depth": (raw_file(b"[" * 100_000), "endless depth"),
    "a pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x08builtins.", "header that would be"),
    "a tensor that is a number": (raw_file({"a": 1}), "'a' without dtype, shape"),
    "a tensor without a shape": (raw_file({"a": {"dtype": "F32"}}), "'a' without dtype, shape"),
    "a name given twice": (
        raw_file(b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":1}', bytes(4)),
        "twice",
    ),
    "metadata that is no text": (raw_file({"__metadata__": {"a": 1}}), "metadata"),
    "a shape beyond the bytes": (one_tensor([1_000, 1_000], bytes(8)), "number of bytes differ"),
    "a shape below the bytes": (one_tensor([1], bytes(8)), "number of bytes differ"),
    "a shape that overflows": (one_tensor([2**40, 2**40], bytes(8)), "number of bytes differ"),
    "a shape that overflows to nothing": (one_tensor([2**62, 8], b""), "number of bytes differ"),
    "an empty shape of endless size": (one_tensor([0, 2**62, 8], b""), "beyond all memory"),
    "a negative shape": (one_tensor([-2, -1], bytes(8)), "no short list of sizes"),
    "a shape that is true": (one_tensor([True], bytes(4)), "no short list of sizes"),
    "a shape of real numbers": (one_tensor([2.0], bytes(8)), "no short list of sizes"),
    "a shape that is a number": (one_tensor(2, bytes(8)), "no short list of sizes"),
    "too many dimensions": (one_tensor([1] * 65, bytes(4)), "no short list of sizes"),
    "bytes that are not there": (raw_file({"a": entry([2], 0, 8)}, bytes(4)), "beyond the file"),
    "bytes that nobody owns": (one_tensor([2], bytes(8)) + bytes(8), "8 bytes that belong to no"),
    "a hole": (raw_file({"a": entry([1], 4, 8)}, bytes(8)), "4 bytes that belong to no tensor"),
    "offsets turned round": (raw_file({"a": entry([1], 4, 0)}, bytes(4)), "bytes differ"),
    "negative offsets": (raw_file({"a": entry([2], -8, 0)}, b""), "the two offsets"),
    "three offsets": (
        raw_file({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, bytes(4)),
        "the two offsets",
    ),
    "tensors over each other": (
        raw_file({name: entry([2], 0, 8) for name in "ab"}, bytes(8)),
        "'a', whose bytes lie over 'b'",
    ),
    "tensors that overlap": (
        raw_file({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        "'a', whose bytes lie over 'b'",
    ),
    "an unknown dtype": (one_tensor([2], bytes(8), "F33"), "'a' of dtype 'F33'"),
    "numbers that numpy lacks": (one_tensor([8], bytes(8), "F8_E4M3"), "'a' of dtype 'F8_E4M3'"),
    "a dtype that is a list": (one_tensor([8], bytes(8), ["F32"]), "'a' of dtype"),
    "a name of two lines": (raw_file({"a\nb": 1}), r"'a\\nb' without"),
}


@pytest.mark.parametrize("read", [map_arrays, read_header, read_header_text])
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_in_one_line(path, read, lie):
    content, reason = LIES[lie]
    path.write_bytes(content)
    with pytest.raises(FolderError, match=f"whole safetensors file.*{reason}") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert f"in {str(path.parent)!r}: {len(content):,} bytes" in str(caught.value)


def test_a_file_cut_off_or_lengthened_anywhere_is_refused(path):
    whole = save(ARRAYS)
    for content in [*(whole[:length] for length in range(len(whole))), whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(FolderError, match=f"{len(content):,} bytes with"):
            map_arrays(path)


@pytest.mark.parametrize("make", ["mkdir", "exists"])
def test_what_is_no_file_is_refused(path, make):
    getattr(path, make)()
    with pytest.raises(FolderError, match=r"must hold `model.safetensors`"):
        map_arrays(path)


NUMBERS = st.integers(-2, 40) | st.sampled_from([2**31, 2**63, 2**64, True, None, 1.5, "3"])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "BOOL", "I64", "F33", 4]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3),
    }
)


@settings(max_examples=300)
@given(st.dictionaries(st.text(max_size=3), ENTRIES, max_size=3), st.binary(max_size=60))
def test_a_drawn_header_is_refused_or_fits_the_file(place, header, data):
    place.write_bytes(raw_file(header, data))
    found, refusal = read_or_refusal(place)
    assert refusal.isprintable()
    if not refusal and not any(values["dtype"] == "BF16" for values in header.values()):
        assert contents(found) == contents(load(place.read_bytes()))


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=9))
def test_bytes_changed_anywhere_are_refused_or_read(place, where, bytes_there):
    content = bytearray(save(ARRAYS))
    start = where % len(content)
    content[start : start + len(bytes_there)] = bytes_there
    place.write_bytes(content)
    found, refusal = read_or_refusal(place)
    assert refusal.isprintable()
    assert sum(array.nbytes for array in found.values()) < len(content)
