import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from transformers import AlbertConfig as TransformersConfig
from transformers import AlbertForSequenceClassification

from albatross.checkpoints.model_folder import write_weights
from albatross.checkpoints.safetensors_file import read_header_text
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.engine import run
from albatross.engine.onnx_engine import OnnxEngine, layer_files
from albatross.errors import DataError, FolderError
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads

TINY = AlbertConfig(
    vocab_size=60,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=4,
    num_hidden_groups=2,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.3,
)


def write_folder(folder, config):
    torch.manual_seed(0)
    model = AlbertForSequenceClassification(TransformersConfig(**config.to_dict(), num_labels=2))
    model.save_pretrained(folder)
    write_step_graphs(folder, config, {"classifier": HeadSpec("sequence", 2)})


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "model", TINY)
    return tmp_path / "model"


@pytest.fixture
def engine(folder):
    return OnnxEngine(folder, TINY)


def example(length, seed=0):
    rng = np.random.default_rng([seed, length])
    return Example(rng.integers(0, 60, length), rng.integers(0, 2, length))


def logits(engine, *examples):
    return run(engine, pack(examples))["classifier"]


# === Answers ===


@pytest.mark.parametrize("lengths", [(1,), (1, 1, 1), (16,), (1, 16, 2, 15, 9), (7, 7)])
def test_an_answer_does_not_depend_on_its_company(engine, lengths):
    examples = [example(length, seed) for seed, length in enumerate(lengths)]
    alone = np.concatenate([logits(engine, one) for one in examples])
    assert alone.shape == (len(lengths), 2)
    np.testing.assert_allclose(logits(engine, *examples), alone, atol=1e-6, rtol=0)


def test_an_answer_depends_on_every_token(engine):
    first = example(6)
    changed = Example(np.append(first.input_ids[:-1], 1), first.token_type_ids)
    assert first.input_ids[-1] != 1
    difference = np.abs(logits(engine, first, example(9)) - logits(engine, changed, example(9)))
    assert difference[0].max() > 1e-3
    assert difference[1].max() == 0


def test_sequences_may_be_regrouped_between_depths(engine):
    short, long = pack([example(3)]), pack([example(11)])
    rows = [engine.layer(engine.embed(batch), batch.cu_seqlens, 0) for batch in (long, short)]
    joined, cu_seqlens = engine.concat(rows), np.array([0, 11, 14])
    joined = engine.layer(joined, cu_seqlens, 1)
    left = engine.select(joined, np.arange(11, 14))
    for depth in (2, 3):
        left = engine.layer(left, short.cu_seqlens, depth)
    answer = engine.heads(left, short)["classifier"]
    np.testing.assert_allclose(answer, logits(engine, example(3)), atol=1e-6, rtol=0)


def test_gathers_follow_a_change_of_the_batch_in_place(engine):
    batch = pack([example(4), example(8)])
    rows = engine.embed(batch)
    cu_seqlens = batch.cu_seqlens.copy()
    engine.layer(rows, cu_seqlens, 0)
    cu_seqlens[1] = 6
    other = engine.layer(rows, np.array([0, 6, 12]), 0)
    engine.layer(rows, batch.cu_seqlens, 0)
    np.testing.assert_array_equal(engine.layer(rows, cu_seqlens, 0), other)
    assert np.abs(other - engine.layer(rows, batch.cu_seqlens, 0)).max() > 1e-3


def test_each_depth_uses_its_own_group(engine):
    batch = pack([example(5)])
    rows = engine.embed(batch)
    results = [engine.layer(rows, batch.cu_seqlens, depth) for depth in range(4)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[2], results[3])
    assert np.abs(results[1] - results[2]).max() > 1e-3


def test_the_number_of_threads_does_not_change_answers(folder):
    examples = [example(16, seed) for seed in range(4)]
    one, two = (logits(OnnxEngine(folder, TINY, threads=n), *examples) for n in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-6, rtol=0)


def test_layers_are_numbered_by_first_use():
    config = replace(TINY, cross_layer_sharing="ffn", inner_group_num=2, num_hidden_layers=2)
    assert layer_files(config) == [f"layer.{number}.onnx" for number in range(4)]
    assert layer_files(replace(TINY, num_hidden_groups=1)) == ["layer.0.onnx"] * 4


def test_repr_says_what_is_shared(engine):
    assert repr(engine) == "OnnxEngine(depth=4, layers=2, threads=None)"


def test_answering_imports_neither_torch_nor_onnx(folder):
    script = (
        "import sys, numpy as np; from pathlib import Path\n"
        "for name in ('torch', 'onnx', 'safetensors', 'transformers'): sys.modules[name] = None\n"
        "from albatross.config import AlbertConfig\n"
        "from albatross.data.packing import Example, pack\n"
        "from albatross.engine.engine import run\n"
        "from albatross.engine.onnx_engine import OnnxEngine\n"
        f"config = AlbertConfig.from_dict({TINY.to_dict()!r})\n"
        "batch = pack([Example(np.arange(5), np.zeros(5, int))])\n"
        "print(run(OnnxEngine(Path(sys.argv[1]), config), batch)['classifier'].shape)"
    )
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "(1, 2)\n"), done.stderr


@pytest.mark.parametrize("length", [17, 500])
def test_a_sequence_beyond_the_positions_is_refused_before_it_is_run(engine, length):
    too_long = Example(np.zeros(length, np.int64), np.zeros(length, np.int64))
    with pytest.raises(DataError, match=rf"at most 16 tokens .*Received: {length}\. Cut the text"):
        engine.embed(pack([example(3), too_long]))
    assert logits(engine, example(16)).shape == (1, 2)


# === Refusals ===


@pytest.mark.parametrize("name", ["embed.onnx", "layer.1.onnx", "heads.onnx"])
def test_a_missing_graph_is_named_with_its_remedy(folder, name):
    (folder / name).unlink()
    with pytest.raises(FolderError, match=rf"must hold `{name}`.*albatross export"):
        OnnxEngine(folder, TINY)


@pytest.mark.parametrize("keep", [0, 40, -20])
def test_a_damaged_graph_is_refused_in_one_line(folder, keep):
    path = folder / "layer.0.onnx"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FolderError, match=r"`layer.0.onnx` must be a step graph") as caught:
        OnnxEngine(folder, TINY)
    assert "\n" not in str(caught.value)


def change_graph(path, change):
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("name", "port", "message"),
    [
        ("embed.onnx", "input", "must take input_ids, position_ids, token_type_ids"),
        ("layer.1.onnx", "input", "must take block_to_rows, key_lengths, rows, rows_to_block"),
        ("heads.onnx", "input", "must take rows"),
        ("embed.onnx", "output", "must give rows"),
        ("layer.0.onnx", "output", "must give rows_out"),
    ],
)
def test_a_graph_of_another_version_is_refused(folder, name, port, message):
    def rename(model):
        value = getattr(model.graph, port)[0]
        for node in model.graph.node:
            names = getattr(node, port)
            names[:] = ["other" if one == value.name else one for one in names]
        value.name = "other"

    change_graph(folder / name, rename)
    with pytest.raises(FolderError, match=rf"`{name}` {message}\. Received: .* other") as caught:
        OnnxEngine(folder, TINY)
    assert "Run `albatross export` again, with this version." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["layer.0.onnx", "heads.onnx"])
def test_a_graph_that_asks_for_what_is_not_known_is_refused(folder, name):
    more = onnx.helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, [])
    change_graph(folder / name, lambda model: model.graph.input.append(more))
    with pytest.raises(FolderError, match=rf"`{name}` must take .* which takes .*other"):
        OnnxEngine(folder, TINY)


@pytest.mark.parametrize("name", ["embed.onnx", "layer.1.onnx", "heads.onnx"])
def test_a_graph_for_a_later_runtime_is_refused_in_one_line(folder, name):
    change_graph(folder / name, lambda model: setattr(model, "ir_version", 999))
    with pytest.raises(FolderError, match=rf"`{name}` must be a step graph .*999") as caught:
        OnnxEngine(folder, TINY)
    assert "\n" not in str(caught.value)


def test_an_exit_without_its_graph_is_named(tmp_path):
    heads = {"classifier": HeadSpec("sequence", 2, {"exits": True})}
    write_weights(tmp_path, AlbertWithHeads(TINY, heads=heads).to_arrays())
    write_step_graphs(tmp_path, TINY, heads)
    (tmp_path / "exits.onnx").unlink()
    with pytest.raises(FolderError, match=r"must hold `exits\.onnx`.*albatross export"):
        OnnxEngine(tmp_path, TINY)


@pytest.mark.parametrize("place", ["../x", "link", "absolute"])
def test_weights_outside_the_folder_are_refused(folder, place):
    outside = folder.parent / "x"
    outside.write_bytes((folder / "model.safetensors").read_bytes())
    os.symlink("../x", folder / "link")
    path = folder / "embed.onnx"
    model = onnx.load(path, load_external_data=False)
    for entry in [e for t in model.graph.initializer for e in t.external_data]:
        if entry.key == "location":
            entry.value = str(outside) if place == "absolute" else place
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FolderError, match="External data path"):
        OnnxEngine(folder, TINY)


def test_graphs_of_other_weights_are_refused(folder, tmp_path):
    write_folder(tmp_path / "other", replace(TINY, vocab_size=70))
    os.replace(tmp_path / "other/model.safetensors", folder / "model.safetensors")
    with pytest.raises(FolderError, match=r"must have been exported from the `model.safetensors`"):
        OnnxEngine(folder, TINY)


def test_weights_may_change_under_the_same_header(folder):
    before = logits(OnnxEngine(folder, TINY), example(5))
    path = folder / "model.safetensors"
    start = 8 + len(read_header_text(path))
    content = path.read_bytes()
    halved = np.frombuffer(content[start:], np.float32) * np.float32(0.5)
    path.write_bytes(content[:start] + halved.tobytes())
    assert np.abs(logits(OnnxEngine(folder, TINY), example(5)) - before).max() > 1e-3


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
def test_weights_without_a_header_are_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(FolderError, match="whole safetensors file"):
        OnnxEngine(folder, TINY)


def test_weights_cut_short_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(FolderError, match="whole safetensors file"):
        OnnxEngine(folder, TINY)


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FolderError, match=r"must hold `model.safetensors`"):
        OnnxEngine(folder, TINY)
