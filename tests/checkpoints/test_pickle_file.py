import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.checkpoints.pickle_file import read_bin
from albatross.errors import FolderError

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pytorch_model.bin"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A whole file in each format, and a place for what hypothesis makes of it."""
    folder = tmp_path_factory.mktemp("fuzz")
    for name, is_zip in (("zip", True), ("legacy", False)):
        torch.save(STATE, folder / name, _use_new_zipfile_serialization=is_zip)
    return folder


class Code:
    """Makes a folder as soon as somebody unpickles it."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(torch.from_numpy(found[name].copy()), tensor)


def read_or_refusal(path):
    try:
        return read_bin(path), ""
    except FolderError as error:
        return {}, str(error)


# === There and back ===


@pytest.mark.parametrize("is_zip", [True, False])
def test_the_tensors_of_both_formats_are_read(path, is_zip):
    torch.save(OrderedDict(STATE), path, _use_new_zipfile_serialization=is_zip)
    assert_same(read_bin(path), STATE)


@pytest.mark.parametrize("is_zip", [True, False])
def test_writing_to_an_array_leaves_the_file_alone(path, is_zip):
    torch.save(STATE, path, _use_new_zipfile_serialization=is_zip)
    read_bin(path)["a"][0, 0] = 9
    assert_same(read_bin(path), STATE)


def test_bfloat16_is_read_as_float32(path):
    torch.save({"a": STATE["a"].bfloat16()}, path)
    assert_same(read_bin(path), {"a": STATE["a"]})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int8, torch.bool])
def test_every_kind_of_number_keeps_its_kind(path, dtype):
    torch.save({"a": torch.ones(2, 3, dtype=dtype)}, path)
    assert read_bin(path)["a"].dtype == str(dtype).removeprefix("torch.")


def test_tensors_that_share_their_bytes_are_read_as_they_were(path):
    words = torch.arange(6.0).reshape(2, 3)
    state = {"words": words, "tied": words, "turned": words.T, "row": words[1]}
    torch.save(state, path)
    assert_same(read_bin(path), state)


def test_parameters_are_tensors(path):
    torch.save({"a": torch.nn.Parameter(STATE["a"])}, path)
    assert_same(read_bin(path), {"a": STATE["a"]})


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_weights_beside_an_optimizer_are_found(path, wrapper):
    torch.save({wrapper: STATE, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    assert_same(read_bin(path), STATE)


# === Attacks and damage: one line, and nothing is run ===


@pytest.mark.parametrize("is_zip", [True, False, None])
def test_code_in_a_pickle_is_refused_and_not_run(path, tmp_path, is_zip):
    state = {**STATE, "c": Code(tmp_path / "trace")}
    if is_zip is None:
        path.write_bytes(pickle.dumps(state["c"]))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(FolderError, match=r"Nothing in it was run") as caught:
        read_bin(path)
    assert is_zip is None or f"the code of `{os.name}.mkdir`" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "trace").exists()


VALUES = {
    "a nested dictionary": {"a": dict(STATE)},
    "a number": {"a": 3},
    "a list": [STATE["a"]],
    "a tensor without a name": STATE["a"],
    "a name that is a number": {3: STATE["a"]},
    "a name of two lines": {"a\nb": None},
    "a sparse tensor": {"a": torch.eye(3).to_sparse()},
    "a tensor without memory": {"a": torch.empty(2**40, device="meta")},
    "complex numbers": {"a": torch.zeros(2, dtype=torch.complex64)},
    "one number claimed to be a billion": {"a": torch.zeros(1).expand(2**30)},
    "rows laid over each other": {"a": torch.zeros(9).as_strided((8, 8), (0, 1))},
    "one storage claimed by many": dict.fromkeys("abcdefgh", torch.zeros(10_000)),
}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", VALUES)
def test_what_is_no_tensor_by_name_is_refused(path, name, is_zip):
    torch.save(VALUES[name], path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(FolderError, match="must hold tensors by name") as caught:
        read_bin(path)
    assert "\n" not in str(caught.value)


def test_a_compressed_part_is_refused(path, tmp_path):
    torch.save(STATE, tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(path, "w") as packed:
        for part in whole.infolist():
            packed.writestr(part.filename, whole.read(part), zipfile.ZIP_DEFLATED)
    with pytest.raises(FolderError, match="a compressed part"):
        read_bin(path)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_file_cut_off_is_refused(path, saved, kind):
    whole = (saved / kind).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FolderError, match="tensors alone") as caught:
            read_bin(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@settings(max_examples=100)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=9))
def test_bytes_changed_anywhere_are_refused_or_read(saved, kind, where, bytes_there):
    content = bytearray((saved / kind).read_bytes())
    start = where % len(content)
    content[start : start + len(bytes_there)] = bytes_there
    path = saved / "changed"
    path.write_bytes(content)
    found, refusal = read_or_refusal(path)
    assert refusal.isprintable()
    assert sum(np.asarray(array).nbytes for array in found.values()) < 4 * len(content)


def test_a_pickle_of_another_protocol_is_refused_without_a_warning(tmp_path, recwarn):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps({"a": Path("x")}, protocol=4))
    with pytest.raises(FolderError, match="Nothing in it was run"):
        read_bin(path)
    assert not recwarn.list
