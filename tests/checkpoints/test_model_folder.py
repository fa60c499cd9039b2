import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from albatross.checkpoints.model_folder import (
    CONFIG,
    RUN,
    WEIGHTS,
    check_digest,
    read_config,
    read_weights,
    update_model,
    write_model,
    write_weights,
)
from albatross.config import AlbertConfig
from albatross.errors import ConfigError, FolderError

ARRAYS = {"classifier.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path, AlbertConfig(), ARRAYS, {"command": "test"})
    return tmp_path


def raw_file(header, data=b"", length=None):
    """A safetensors file with this header, or with a header of this pretended length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def bytes_tensor(dtype, shape, data, **header):
    return raw_file({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}, data)


# === There and back ===


def test_what_is_written_is_read(folder):
    found = read_weights(folder)
    assert found.keys() == ARRAYS.keys()
    np.testing.assert_array_equal(found["classifier.weight"], ARRAYS["classifier.weight"])
    assert read_config(folder) == AlbertConfig()


def test_arrays_that_were_read_may_be_written_to(folder):
    array = read_weights(folder)["classifier.weight"]
    array[0, 0] = 7
    assert array[0, 0] == 7


def test_a_transposed_array_is_written_as_it_reads(tmp_path):
    write_weights(tmp_path, {"classifier.weight": ARRAYS["classifier.weight"].T})
    found = read_weights(tmp_path)["classifier.weight"]
    np.testing.assert_array_equal(found, ARRAYS["classifier.weight"].T)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "uint8", "bool"])
def test_every_kind_of_number_keeps_its_kind(tmp_path, dtype):
    write_weights(tmp_path, {"classifier.weight": np.ones((2, 3), dtype)})
    found = read_weights(tmp_path)["classifier.weight"]
    assert found.dtype == dtype
    assert found.all()


def test_bfloat16_is_read_as_float32(tmp_path):
    values = np.array([1.0, -2.5, 0.15625, 3e38, -0.0, np.inf], np.float32)
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    (tmp_path / WEIGHTS).write_bytes(bytes_tensor("BF16", [2, 3], halves.tobytes()))
    found = read_weights(tmp_path)["a"]
    assert found.dtype == np.float32
    assert np.allclose(found.astype(float), values.reshape(2, 3), rtol=2**-8, atol=0)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_file_has_the_rights_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_weights(tmp_path, ARRAYS)
        update_model(tmp_path / "other", AlbertConfig(), ARRAYS)
    finally:
        os.umask(before)
    for path in (tmp_path / WEIGHTS, tmp_path / "other" / WEIGHTS):
        assert path.stat().st_mode & 0o777 == mode


# === Damage: one line that says what is wrong ===

LIES = {
    "zero bytes": b"",
    "seven bytes": b"\x01" * 7,
    "a header longer than the file": raw_file({}, length=1_000),
    "a header without end": raw_file({}, length=2**63),
    "a header that is no JSON": raw_file(b"{nothing}"),
    "a header that is a list": raw_file([1]),
    "a header that is no UTF-8": raw_file(b"\xff\xfe"),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins.",
    "a shape beyond the bytes": bytes_tensor("F32", [1_000, 1_000], bytes(8)),
    "a shape below the bytes": bytes_tensor("F32", [1], bytes(8)),
    "a shape that overflows": bytes_tensor("F32", [2**40, 2**40], bytes(8)),
    "a negative shape": bytes_tensor("F32", [-2], bytes(8)),
    "bytes that are not there": raw_file(
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)
    ),
    "bytes that nobody owns": bytes_tensor("F32", [2], bytes(8)) + bytes(8),
    "overlapping tensors": raw_file(
        {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, bytes(8)
    ),
    "an unknown dtype": bytes_tensor("F33", [2], bytes(8)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_damaged_weights_file_is_refused_in_one_line(tmp_path, lie):
    (tmp_path / WEIGHTS).write_bytes(LIES[lie])
    with pytest.raises(FolderError, match=f"whole safetensors file.*{tmp_path.name}") as caught:
        read_weights(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    whole = save(ARRAYS)
    for length in range(len(whole)):
        (tmp_path / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(FolderError, match=f"{length:,} bytes"):
            read_weights(tmp_path)


def test_numbers_that_numpy_lacks_are_refused_by_name(tmp_path):
    (tmp_path / WEIGHTS).write_bytes(bytes_tensor("F8_E4M3", [8], bytes(8)))
    with pytest.raises(FolderError, match="Received: a of F8_E4M3"):
        read_weights(tmp_path)


@pytest.mark.parametrize("read", [read_weights, check_digest])
def test_other_bytes_than_the_run_wrote_are_refused(folder, read):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(FolderError, match="checksum"):
        read(folder)


def test_a_run_without_a_checksum_is_believed(folder):
    (folder / RUN).write_text("{}")
    write_weights(folder, {"classifier.bias": np.zeros(2)})
    assert read_weights(folder).keys() == {"classifier.bias"}


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "model.pt"])
def test_a_pickle_is_never_read(folder, pickled):
    (folder / WEIGHTS).rename(folder / pickled)
    (folder / RUN).unlink()
    with pytest.raises(FolderError, match=r"must hold `model.safetensors`"):
        read_weights(folder)


def test_a_place_that_is_no_folder_is_refused(tmp_path, folder):
    with pytest.raises(FolderError, match="not there"):
        read_config(tmp_path / "nowhere")
    with pytest.raises(FolderError, match="a file"):
        read_config(folder / CONFIG)


@pytest.mark.parametrize("text", ["", "[]", "{", "\ufeff{}"])
def test_a_damaged_config_is_refused(folder, text):
    (folder / CONFIG).write_text(text)
    with pytest.raises(FolderError, match=r"`config.json` must be a JSON object"):
        read_config(folder)


def test_a_config_that_breaks_a_rule_is_refused(folder):
    values = {**AlbertConfig().to_dict(), "num_hidden_layers": 1_000_000}
    (folder / CONFIG).write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        read_config(folder)


# === Writing again ===


def test_updating_keeps_other_files_and_renews_the_checksum(folder):
    (folder / "spiece.model").write_bytes(b"pieces")
    update_model(folder, AlbertConfig(), {"classifier.bias": np.zeros(2, np.float32)})
    assert read_weights(folder).keys() == {"classifier.bias"}
    assert json.loads((folder / RUN).read_text())["command"] == "test"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [CONFIG, RUN, WEIGHTS, "spiece.model"]
    )


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_the_dtype_in_the_file_is_that_of_the_weights(tmp_path, key):
    config = AlbertConfig(extra={key: "float16"})
    update_model(tmp_path, config, ARRAYS)
    assert json.loads((tmp_path / CONFIG).read_text())[key] == "float32"


def test_a_place_that_cannot_be_written_is_refused(folder):
    with pytest.raises(FolderError, match="must be writable"):
        update_model(folder / CONFIG, AlbertConfig(), ARRAYS)
