import json
import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest

from albatross.checkpoints.model_folder import read_weights, write_weights
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.open import open_model
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import (
    AlbatrossError,
    AlbatrossWarning,
    ConfigError,
    FolderError,
    TokenizerError,
    WeightsError,
)

# Puts a finder before all others that knows of no torch, as where it is not installed.
WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from albatross.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_torch(*words):
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# === Which engine ===


def test_exported_folders_are_opened_with_onnx_and_others_with_torch(finetuned, exported):
    assert isinstance(open_model(exported).engine, OnnxEngine)
    assert isinstance(open_model(exported, engine="torch").engine, TorchEngine)
    assert isinstance(open_model(finetuned).engine, TorchEngine)


def test_exits_that_stand_beside_a_head_are_opened(finetuned, copy_of):
    folder = copy_of(finetuned)
    weights = dict(read_weights(folder))
    for depth, name in product(range(3), ("weight", "bias")):
        weights[f"exits.classifier.{depth}.{name}"] = weights[f"classifier.{name}"]
    write_weights(folder, weights)
    (folder / "run.json").unlink()
    assert open_model(folder).engine.model.exit_names == ("classifier",)
    assert open_model(finetuned).engine.model.exit_names == ()


def test_onnx_needs_an_exported_folder(finetuned):
    with pytest.raises(
        FolderError, match=r"without `layer\.0\.onnx`\. Run `albatross export` on it"
    ):
        open_model(finetuned, engine="onnx")


def test_an_exported_folder_answers_where_torch_is_not_installed(exported):
    done = run_without_torch("predict", exported, "Not a stale line.")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(("positive", "negative"))


@pytest.mark.parametrize(
    "words", [("predict", "FOLDER", "--engine", "torch", "--", "a"), ("pretrain", "a", "b")]
)
def test_without_torch_the_error_says_how_to_install_it(exported, words):
    done = run_without_torch(*(exported if word == "FOLDER" else word for word in words))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert 'pip install "albatross[train]"' in done.stderr


# === Which folder ===


def test_a_run_that_was_interrupted_answers_with_a_warning(finetuned, copy_of):
    folder = copy_of(finetuned)
    (folder / "training_state").mkdir()
    with pytest.warns(AlbatrossWarning, match=r"whose run was interrupted.*run its command again"):
        open_model(folder)


def test_a_folder_without_heads_has_nothing_to_answer(pretrained, copy_of):
    folder = copy_of(pretrained)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["AlbertModel"]}))
    with pytest.raises(FolderError, match=r"pre-trained only\. Run `albatross finetune`"):
        open_model(folder)


@pytest.mark.parametrize("name", ["no such folder", "", "\0", "x" * 200])
def test_what_is_neither_folder_nor_name_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / ".." if name == "" else tmp_path)
    with pytest.raises((FolderError, ConfigError)):
        open_model(name)


# === Damage: each is one clear line, for both engines ===


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty_vocabulary(folder):
    (folder / "spiece.model").write_bytes(b"")


DAMAGES = {
    "weights cut": (cut, FolderError, "must have the checksum"),
    "weights flipped": (flip, FolderError, "must have the checksum"),
    "weights missing": (
        lambda folder: (folder / "model.safetensors").unlink(),
        FolderError,
        r"must hold `model\.safetensors`",
    ),
    "vocabulary missing": (
        lambda folder: (folder / "spiece.model").unlink(),
        FolderError,
        r"must hold a vocabulary: `spiece\.model`",
    ),
    "vocabulary empty": (empty_vocabulary, TokenizerError, "whole SentencePiece model"),
    "config missing": (
        lambda folder: (folder / "config.json").unlink(),
        FolderError,
        r"must hold `config\.json`",
    ),
    "config no JSON": (
        lambda folder: (folder / "config.json").write_text("{"),
        FolderError,
        r"`config\.json` must be a JSON object",
    ),
    "tasks no JSON": (
        lambda folder: (folder / "task.json").write_bytes(b"\xff"),
        FolderError,
        r"`task\.json` must be a JSON object",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_damage_is_one_clear_error(exported, copy_of, engine, name):
    damage, kind, message = DAMAGES[name]
    folder = copy_of(exported)
    damage(folder)
    with pytest.raises(kind, match=message) as caught:
        open_model(folder, engine=engine)
    assert isinstance(caught.value, AlbatrossError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 128},
        {"vocab_size": 300},
        {"intermediate_size": 512},
        {"max_position_embeddings": 128},
        {"inner_group_num": 2},
        {"num_hidden_groups": 2},
    ],
)
def test_a_configuration_of_other_sizes_is_refused(exported, copy_of, change_json, engine, sizes):
    folder = copy_of(exported)
    change_json(folder / "config.json", **sizes)
    with pytest.raises(FolderError, match=r"tensors of .* config\.json describes|must hold `layer"):
        open_model(folder, engine=engine)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_labels_that_do_not_fit_the_head_are_refused(exported, copy_of, change_json, engine):
    folder, labels = copy_of(exported), ["a", "b", "c"]
    task = {"kind": "classification", "labels": labels, "values": labels}
    change_json(folder / "task.json", reviews={**task, "max_length": 48, "head": "classifier"})
    with pytest.raises(WeightsError, match=r"classifier\.weight \(2, 64\) for \(3, 64\)"):
        open_model(folder, engine=engine)


def test_a_task_of_unknown_kind_is_refused(exported, copy_of, change_json):
    folder = copy_of(exported)
    change_json(folder / "task.json", reviews={"kind": "poetry"})
    with pytest.raises(ConfigError, match=r"kind must be one of classification.*'poetry'"):
        open_model(folder)


def test_a_vocabulary_larger_than_the_model_is_refused(exported, copy_of, change_json):
    folder = copy_of(exported)
    change_json(folder / "config.json", vocab_size=279)
    with pytest.raises(FolderError, match="must not have more pieces than its model"):
        open_model(folder)


def test_a_task_asks_for_no_more_than_the_model_has_positions_for(exported, copy_of, change_json):
    folder = copy_of(exported)
    task = {"kind": "classification", "labels": ["a", "b"], "values": ["a", "b"]}
    change_json(folder / "task.json", reviews={**task, "max_length": 9_999, "head": "classifier"})
    assert open_model(folder).task.to_dict()["max_length"] == 512


# === Graphs ===


@pytest.mark.parametrize("recorded", [True, False])
def test_a_graph_in_place_of_another_is_refused(exported, copy_of, change_json, recorded):
    folder = copy_of(exported)
    (folder / "layer.0.onnx").write_bytes((folder / "heads.onnx").read_bytes())
    if not recorded:
        change_json(folder / "run.json", sha256={})
    message = "must have the checksum" if recorded else "must take block_to_rows, key_lengths"
    with pytest.raises(FolderError, match=rf"`layer\.0\.onnx` {message}"):
        open_model(folder)


def test_a_head_that_no_graph_has_is_refused(exported, copy_of, change_json):
    folder = copy_of(exported)
    inputs: dict[str, Any] = {"max_length": 48, "stride": None, "format": "text", "columns": {}}
    values = {"kind": "similarity", "loss": "cosine", "low": 0, "high": 1, **inputs}
    change_json(
        folder / "task.json", alike={**values, "head": "heads.embedding", "metric": "spearman"}
    )
    with pytest.raises(FolderError, match=r"`heads\.onnx` must answer .*no output for 'heads\.emb"):
        open_model(folder)
    assert set(open_model(folder, engine="torch").tasks) == {"reviews", "alike"}


def test_exits_that_no_graph_has_are_refused(exported, copy_of):
    folder = copy_of(exported)
    weights = dict(read_weights(folder))
    for depth, name in product(range(3), ("weight", "bias")):
        weights[f"exits.classifier.{depth}.{name}"] = weights[f"classifier.{name}"]
    write_weights(folder, weights)
    (folder / "run.json").unlink()
    with pytest.raises(FolderError, match=r"must have been exported from the `model\.safetensors`"):
        open_model(folder)


def test_other_weights_under_the_same_graphs_are_refused(exported, copy_of):
    folder = copy_of(exported)
    arrays = {name: np.array(array) * 2 for name, array in read_weights(folder).items()}
    write_weights(folder, arrays)
    with pytest.raises(FolderError, match=r"`model\.safetensors` must have the checksum"):
        open_model(folder)
