import json
import os
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from albatross.checkpoints.model_folder import (
    CONFIG,
    RUN,
    WEIGHTS,
    check_digest,
    read_config,
    read_weights,
    update_model,
    weight_files,
    write_model,
    write_weights,
)
from albatross.config import AlbertConfig
from albatross.errors import ConfigError, FolderError, MissingDependencyError

ARRAYS = {"classifier.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path, AlbertConfig(), ARRAYS, {"command": "test"})
    return tmp_path


def write_shards(folder, shards, places=None, suffix="safetensors"):
    """Writes each dictionary into a shard, and an index that names the tensors' places."""
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    found: dict[str, str] = {}
    for number, arrays in enumerate(shards, 1):
        name = f"{stem}-{number:05}-of-{len(shards):05}.{suffix}"
        if suffix == "safetensors":
            save_file(arrays, folder / name)
        else:
            tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
            torch.save(tensors, folder / name)
        found |= dict.fromkeys(arrays, name)
    index = {"metadata": {"total_size": 1}, "weight_map": found if places is None else places}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


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


# === Where weights may stand ===

PARTS = [{"classifier.weight": np.ones((2, 3), np.float32)}, {"classifier.bias": np.zeros(2)}]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_put_together(tmp_path, suffix):
    write_shards(tmp_path, PARTS, suffix=suffix)
    found = read_weights(tmp_path)
    assert found.keys() == {"classifier.weight", "classifier.bias"}
    assert found["classifier.weight"].all()
    assert [path.suffix for path in weight_files(tmp_path)] == [f".{suffix}"] * 2


def test_safetensors_are_taken_before_shards_and_shards_before_a_pickle(tmp_path):
    torch.save({"classifier.bias": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path)["classifier.bias"].shape == (1,)
    write_shards(tmp_path, [{"classifier.bias": np.ones(2)}])
    assert read_weights(tmp_path)["classifier.bias"].shape == (2,)
    write_weights(tmp_path, {"classifier.bias": np.ones(3)})
    assert read_weights(tmp_path)["classifier.bias"].shape == (3,)


OUTSIDE = ["../out.safetensors", "/tmp/out.safetensors", "a/out.safetensors", "..", "", "C:a.bin"]


@pytest.mark.parametrize("place", [*OUTSIDE, "a\\out.bin", ".a.bin", "a.pkl", "a.bin\n", 3, None])
def test_a_shard_outside_the_folder_is_refused(tmp_path, place):
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(ARRAYS, tmp_path / "out.safetensors")
    write_shards(folder, [], {"classifier.weight": place})
    for read in (read_weights, weight_files):
        with pytest.raises(FolderError, match=r"must name .* files of its own folder.*folder'"):
            read(folder)


@pytest.mark.parametrize("places", [{}, [], "a.safetensors", 3])
def test_an_index_without_places_is_refused(tmp_path, places):
    write_shards(tmp_path, [], places)
    with pytest.raises(FolderError, match="must hold a `weight_map`"):
        read_weights(tmp_path)


@pytest.mark.parametrize("change", ["more", "fewer", "moved"])
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path, change):
    first, second = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
    places = {"classifier.weight": first, "classifier.bias": second}
    if change == "moved":
        places = {"classifier.weight": second, "classifier.bias": first}
    elif change == "more":
        places["pooler.bias"] = second
    else:
        del places["classifier.bias"]
        places["pooler.bias"] = second
    write_shards(tmp_path, PARTS, places)
    with pytest.raises(FolderError, match=r"must hold the tensors that .* looks for there"):
        read_weights(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    write_shards(tmp_path, PARTS)
    weight_files(tmp_path)[1].unlink()
    with pytest.raises(FolderError, match=r"must hold `model-00002-of-00002.safetensors`"):
        read_weights(tmp_path)


def test_a_shard_is_held_against_the_checksum_of_the_run(tmp_path):
    write_shards(tmp_path, PARTS)
    name = weight_files(tmp_path)[1].name
    (tmp_path / RUN).write_text(json.dumps({"sha256": {name: "0" * 64}}))
    with pytest.raises(FolderError, match=f"`{name}` must have the checksum"):
        read_weights(tmp_path)


def test_a_pickle_alone_needs_torch(tmp_path, monkeypatch):
    torch.save({"classifier.bias": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "albatross.checkpoints.pickle_file", raising=False)
    with pytest.raises(MissingDependencyError, match=r"`torch` is needed.*albatross\[train\]"):
        read_weights(tmp_path)


# === Written ===


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


@pytest.mark.parametrize("content", [b"", b"\1" * 7, b"\0" * 8, b"\x80\x04\x95pickle"])
def test_a_damaged_weights_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(FolderError, match=f"whole safetensors file.*{tmp_path.name}") as caught:
        read_weights(tmp_path)
    assert "\n" not in str(caught.value)


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


@pytest.mark.parametrize("name", ["model.pt", "weights.safetensors", "tf_model.h5"])
def test_other_files_are_never_read_as_weights(folder, name):
    (folder / WEIGHTS).rename(folder / name)
    (folder / RUN).unlink()
    with pytest.raises(FolderError, match=r"must hold `model.safetensors` or `pytorch_model.bin`"):
        read_weights(folder)


def test_a_pickle_in_place_of_the_weights_of_a_run_is_refused(folder):
    (folder / WEIGHTS).unlink()
    torch.save({"classifier.bias": torch.ones(1)}, folder / "pytorch_model.bin")
    with pytest.raises(FolderError, match=r"must hold `model.safetensors`.*without it"):
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


def test_weights_may_be_written_over_the_file_they_are_mapped_from(folder):
    arrays = read_weights(folder)
    update_model(folder, AlbertConfig(), arrays)
    for found in (arrays, read_weights(folder)):
        np.testing.assert_array_equal(found["classifier.weight"], ARRAYS["classifier.weight"])


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
