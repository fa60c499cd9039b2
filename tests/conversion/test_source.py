"""Every kind of checkpoint opened the same way, and what is none refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.google import name_pairs, to_google
from albatross.checkpoints.model_folder import write_model
from albatross.checkpoints.tensorflow_writer import write_checkpoint
from albatross.cli import main
from albatross.config import variant
from albatross.conversion.source import open_source
from albatross.errors import AlbatrossError, ConfigError, FolderError, WeightsError

ZH_CONFIG = {
    "hidden_act": "gelu",
    "hidden_size": 16,
    "embedding_size": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "vocab_size": 40,
    "type_vocab_size": 2,
}


@pytest.fixture
def google(tmp_path, tiny, arrays_of):
    """A folder as Google's archives unpack: configuration and one checkpoint."""
    write_checkpoint(tmp_path / "model.ckpt-best", to_google(arrays_of(tiny), tiny))
    values = {**ZH_CONFIG, "num_hidden_groups": 1, "inner_group_num": 1}
    (tmp_path / "albert_config.json").write_text(json.dumps(values))
    return tmp_path


@pytest.mark.parametrize("name", ["", "model.ckpt-best", "model.ckpt-best.index"])
def test_a_checkpoint_is_found_by_folder_prefix_and_index(google, name):
    found = open_source(google / name)
    assert found.path == google / "model.ckpt-best"
    assert found.heads == ("predictions", "sop_classifier")
    assert found.origins["albert.pooler.bias"] == "bert/pooler/dense/bias"


def test_the_early_chinese_layout_computes_what_its_own_code_computes(
    tmp_path, tiny, arrays_of, outputs
):
    """Words times E x H matrix, positions and norm in H, the output through both matrices."""
    config = replace(tiny, embedding_size=16, embedding_projection=False)
    arrays = arrays_of(config)
    rng = np.random.default_rng(0)
    factors = {"": rng.normal(size=(40, 8)), "_2": rng.normal(size=(8, 16))}
    folded = {**arrays, "albert.embeddings.word_embeddings.weight": factors[""] @ factors["_2"]}
    variables = {
        pair.google: folded[pair.ours].T if pair.transposed else folded[pair.ours]
        for pair in name_pairs(config, "albert_zh")
        if pair.ours in folded
    }
    variables |= {f"bert/embeddings/word_embeddings{n}": a for n, a in factors.items()}
    variables = {name: np.asarray(array, np.float32) for name, array in variables.items()}
    write_checkpoint(tmp_path / "albert_model.ckpt", variables)
    (tmp_path / "albert_config.json").write_text(json.dumps(ZH_CONFIG))
    found = open_source(tmp_path)
    assert "albert_zh" in found.kind
    np.testing.assert_allclose(
        outputs(found.config, found.arrays), outputs(config, folded), rtol=1e-4, atol=1e-4
    )


def test_tensors_that_do_not_fit_the_configuration_are_named(google, change_json):
    change_json(google / "albert_config.json", intermediate_size=25)
    with pytest.raises(WeightsError, match=r"ffn.weight \(24, 16\) for \(25, 16\)"):
        open_source(google)


def test_a_configuration_of_a_million_layers_is_refused(google, change_json):
    change_json(google / "albert_config.json", num_hidden_layers=1_000_000)
    with pytest.raises(ConfigError, match="at most 1,000"):
        open_source(google)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_checkpoints_are_refused_in_one_line(google, capsys, part, damage):
    path = google / f"model.ckpt-best.{part}"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(["info", str(google)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_tensors_that_have_no_name_here_are_set_apart(tmp_path, tiny, arrays_of):
    arrays = {**arrays_of(tiny), "crf.transitions": np.ones(3, np.float32)}
    write_model(tmp_path, tiny, arrays, {"verb": "x"})
    assert open_source(tmp_path).left == ("crf.transitions",)


def test_the_folder_that_one_stands_in_is_opened(google, monkeypatch):
    monkeypatch.chdir(google)
    assert open_source(".").path.name == "model.ckpt-best"


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "../x"])
def test_what_is_not_there_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AlbatrossError, match=name):
        open_source(name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FolderError, match=r"config\.json"):
        open_source(tmp_path)


def test_a_file_of_weights_alone_asks_for_its_folder(tmp_path, tiny, arrays_of):
    write_model(tmp_path, tiny, arrays_of(tiny), {"verb": "x"})
    with pytest.raises(FolderError, match="folder"):
        open_source(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "name", ["albert-base-v2", "albert-xxlarge-v1", "albert-base-zh", "albert-xlarge-zh"]
)
def test_every_published_size_has_all_its_tensors_in_the_table(name):
    from albatross.checkpoints.huggingface import encoder_shapes

    assert encoder_shapes(variant(name)).keys() <= {p.ours for p in name_pairs(variant(name))}
