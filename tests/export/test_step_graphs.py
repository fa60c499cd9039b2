import json
import struct
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AlbertConfig as TransformersConfig
from transformers import AlbertForSequenceClassification

from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.engine import run
from albatross.engine.onnx_engine import OnnxEngine, layer_files, layer_weights
from albatross.errors import ConfigError, FolderError, WeightsError
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec

HEADS = {"classifier": HeadSpec("sequence", 3)}
TINY = AlbertConfig(
    vocab_size=60,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.3,
)
GROUPS = "albert.encoder.albert_layer_groups"


def ragged_examples():
    rng = np.random.default_rng(7)
    return [Example(rng.integers(0, 60, n), rng.integers(0, 2, n)) for n in (5, 1, 16, 9)]


def export_transformers(folder, config, *, half=False):
    """A folder that transformers wrote, exported; and its model, computing in 32-bit floats."""
    torch.manual_seed(0)
    theirs = TransformersConfig(**config.to_dict(), num_labels=3)
    model = AlbertForSequenceClassification(theirs).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    (model.half() if half else model).save_pretrained(folder)
    write_step_graphs(folder, config, HEADS)
    return model.float()


def transformers_logits(model, examples):
    def one(example):
        ids, types = torch.tensor(example.input_ids), torch.tensor(example.token_type_ids)
        with torch.no_grad():
            return model(input_ids=ids[None], token_type_ids=types[None]).logits.numpy()

    return np.concatenate([one(example) for example in examples])


def engine_rows(engine, batch):
    rows = engine.embed(batch)
    for depth in range(engine.config.depth):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
    return rows


# === Equality with transformers ===


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_logits_equal_those_of_transformers(tmp_path, groups, inner):
    config = replace(TINY, num_hidden_groups=groups, inner_group_num=inner)
    model = export_transformers(tmp_path, config)
    logits = run(OnnxEngine(tmp_path, config), pack(ragged_examples()))["classifier"]
    assert np.ptp(logits, axis=0).min() > 0.01
    np.testing.assert_allclose(
        logits, transformers_logits(model, ragged_examples()), atol=1e-5, rtol=0
    )


def test_hidden_rows_equal_those_of_transformers(tmp_path):
    config = replace(TINY, num_hidden_groups=2, inner_group_num=2)
    model = export_transformers(tmp_path, config).albert
    example = ragged_examples()[2]
    ids, types = torch.tensor(example.input_ids), torch.tensor(example.token_type_ids)
    with torch.no_grad():
        theirs = model(input_ids=ids[None], token_type_ids=types[None]).last_hidden_state[0]
    rows = engine_rows(OnnxEngine(tmp_path, config), pack(ragged_examples()))
    np.testing.assert_allclose(rows[6:22], theirs.numpy(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("hidden_act", ["gelu_new", "gelu", "relu", "tanh"])
def test_each_activation_equals_that_of_transformers(tmp_path, hidden_act):
    config = replace(TINY, hidden_act=hidden_act)
    model = export_transformers(tmp_path, config)
    logits = run(OnnxEngine(tmp_path, config), pack(ragged_examples()))["classifier"]
    np.testing.assert_allclose(
        logits, transformers_logits(model, ragged_examples()), atol=1e-5, rtol=0
    )


def test_layer_norm_epsilon_is_that_of_the_configuration(tmp_path):
    config = replace(TINY, layer_norm_eps=0.5)
    model = export_transformers(tmp_path, config)
    logits = run(OnnxEngine(tmp_path, config), pack(ragged_examples()))["classifier"]
    np.testing.assert_allclose(
        logits, transformers_logits(model, ragged_examples()), atol=1e-5, rtol=0
    )


def test_half_precision_weights_are_computed_with_in_single(tmp_path):
    model = export_transformers(tmp_path, TINY, half=True)
    logits = run(OnnxEngine(tmp_path, TINY), pack(ragged_examples()))["classifier"]
    np.testing.assert_allclose(
        logits, transformers_logits(model, ragged_examples()), atol=1e-5, rtol=0
    )


def test_half_precision_weights_answer_nearly_as_single_ones(tmp_path):
    single, half = tmp_path / "single", tmp_path / "half"
    export_transformers(single, TINY)
    export_transformers(half, TINY, half=True)
    batch = pack(ragged_examples())
    expected = run(OnnxEngine(single, TINY), batch)["classifier"]
    received = run(OnnxEngine(half, TINY), batch)["classifier"]
    assert 0 < np.abs(received - expected).max() <= 1e-2


def test_an_exported_folder_still_opens_in_transformers(tmp_path):
    model = export_transformers(tmp_path, TINY)
    opened = AlbertForSequenceClassification.from_pretrained(tmp_path).eval()
    expected = transformers_logits(model, ragged_examples())
    received = transformers_logits(opened, ragged_examples())
    np.testing.assert_allclose(received, expected, atol=1e-6, rtol=0)


# === Equality with plain numpy, where transformers has no such model ===


def random_weights(config):
    """Tensors for any sharing, by Hugging Face's names."""
    rng = np.random.default_rng(3)
    hidden, wide, narrow = config.hidden_size, config.intermediate_size, config.embedding_size
    shapes: dict[str, tuple[int, ...]] = {
        "albert.embeddings.word_embeddings.weight": (config.vocab_size, narrow),
        "albert.embeddings.position_embeddings.weight": (config.max_position_embeddings, narrow),
        "albert.embeddings.token_type_embeddings.weight": (config.type_vocab_size, narrow),
    }
    products: dict[str, tuple[int, ...]] = {
        "albert.pooler": (hidden, hidden),
        "classifier": (3, hidden),
    }
    norms = {"albert.embeddings.LayerNorm": narrow}
    if config.embedding_projection:
        products["albert.encoder.embedding_hidden_mapping_in"] = (hidden, narrow)
    for depth in range(config.depth):
        attention, ffn = layer_prefixes(config, depth)
        for name in ("query", "key", "value", "dense"):
            products[f"{attention}.{name}"] = (hidden, hidden)
        products |= {f"{ffn}.ffn": (wide, hidden), f"{ffn}.ffn_output": (hidden, wide)}
        norms |= {f"{attention}.LayerNorm": hidden, f"{ffn}.full_layer_layer_norm": hidden}
    for prefix, shape in products.items():
        shapes |= {f"{prefix}.weight": shape, f"{prefix}.bias": shape[:1]}
    for prefix, width in norms.items():
        shapes |= {f"{prefix}.weight": (width,), f"{prefix}.bias": (width,)}
    return {k: rng.normal(0, 0.3, shape).astype(np.float32) for k, shape in shapes.items()}


def layer_prefixes(config, depth):
    used = layer_weights(config, depth)
    attention = f"{GROUPS}.{used.attention_group}.albert_layers.{used.inner}.attention"
    return attention, f"{GROUPS}.{used.ffn_group}.albert_layers.{used.inner}"


def plain_logits(weights, config, example):
    """ALBERT on one sequence, in numpy's words."""

    def dense(prefix, x):
        return x @ weights[f"{prefix}.weight"].T + weights[f"{prefix}.bias"]

    def norm(prefix, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]

    def heads_of(x):
        return x.reshape(len(x), config.num_attention_heads, -1).transpose(1, 0, 2)

    tables = "albert.embeddings.{}_embeddings.weight"
    x = weights[tables.format("word")][example.input_ids]
    x = x + weights[tables.format("token_type")][example.token_type_ids]
    x = norm("albert.embeddings.LayerNorm", x + weights[tables.format("position")][: len(x)])
    if config.embedding_projection:
        x = dense("albert.encoder.embedding_hidden_mapping_in", x)
    for depth in range(config.depth):
        attention, ffn = layer_prefixes(config, depth)
        query, key, value = (
            heads_of(dense(f"{attention}.{n}", x)) for n in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(config.head_size))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        mixed = dense(f"{attention}.dense", mixed.transpose(1, 0, 2).reshape(x.shape))
        x = norm(f"{attention}.LayerNorm", x + mixed)
        inside = dense(f"{ffn}.ffn", x)
        inside *= 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (inside + 0.044715 * inside**3)))
        x = norm(f"{ffn}.full_layer_layer_norm", x + dense(f"{ffn}.ffn_output", inside))
    return dense("classifier", np.tanh(dense("albert.pooler", x[0])))


SHARINGS = {
    "all": replace(TINY, num_hidden_groups=2),
    "attention": replace(TINY, cross_layer_sharing="attention", num_hidden_groups=2),
    "ffn": replace(TINY, cross_layer_sharing="ffn", inner_group_num=2),
    "none": replace(TINY, cross_layer_sharing="none", num_hidden_groups=4),
    "no projection": replace(TINY, embedding_size=16, embedding_projection=False),
}


@pytest.mark.parametrize("name", SHARINGS)
def test_every_sharing_equals_plain_numpy(tmp_path, name):
    config = SHARINGS[name]
    weights = random_weights(config)
    save_file(weights, tmp_path / "model.safetensors")
    write_step_graphs(tmp_path, config, HEADS)
    logits = run(OnnxEngine(tmp_path, config), pack(ragged_examples()))["classifier"]
    expected = np.stack([plain_logits(weights, config, e) for e in ragged_examples()])
    np.testing.assert_allclose(logits, expected, atol=1e-5, rtol=0)


# === What is written ===


@pytest.fixture
def folder(tmp_path):
    save_file(random_weights(TINY), tmp_path / "model.safetensors")
    return tmp_path


def test_graphs_hold_no_weights_of_their_own(folder):
    write_step_graphs(folder, TINY, HEADS)
    for path in folder.glob("*.onnx"):
        graph = onnx.load(path, load_external_data=False).graph
        places = {e.value for t in graph.initializer for e in t.external_data[:1]}
        assert places == {"model.safetensors"}
        assert sum(len(t.raw_data) for t in graph.initializer) == 0


def test_there_is_one_layer_graph_for_each_distinct_layer(tmp_path):
    config = SHARINGS["ffn"]
    save_file(random_weights(config), tmp_path / "model.safetensors")
    write_step_graphs(tmp_path, config, HEADS)
    written = {path.name for path in tmp_path.glob("layer.*.onnx")}
    assert written == set(layer_files(config))
    assert len(written) == config.num_attention_groups * config.inner_group_num


def test_graphs_pass_the_checker_of_onnx(folder):
    write_step_graphs(folder, TINY, HEADS)
    for path in folder.glob("*.onnx"):
        onnx.checker.check_model(path)


def test_every_head_answers_under_its_own_name(folder):
    weights = load_file(folder / "model.safetensors")
    weights |= {
        "heads.topic.weight": -weights["classifier.weight"][:2],
        "heads.topic.bias": -weights["classifier.bias"][:2],
    }
    save_file(weights, folder / "model.safetensors")
    write_step_graphs(folder, TINY, {**HEADS, "heads.topic": HeadSpec("sequence", 2)})
    outputs = run(OnnxEngine(folder, TINY), pack(ragged_examples()))
    np.testing.assert_allclose(outputs["heads.topic"], -outputs["classifier"][:, :2], atol=1e-6)


def test_exporting_twice_writes_the_same_bytes(folder):
    write_step_graphs(folder, TINY, HEADS)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_step_graphs(folder, TINY, HEADS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


# === Refusals ===


def test_a_missing_tensor_is_named_and_nothing_is_written(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["albert.pooler.bias"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"albert\.pooler\.bias .*no such tensor"):
        write_step_graphs(folder, TINY, HEADS)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("array", "received"),
    [(np.zeros(16, np.float64), r"F64 of shape \(16,\)"), (np.zeros(5, np.float32), r"\(5,\)")],
)
def test_a_tensor_of_another_kind_is_refused(folder, array, received):
    weights = load_file(folder / "model.safetensors")
    weights["albert.pooler.bias"] = array
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=rf"albert\.pooler\.bias must be F32 .*{received}"):
        write_step_graphs(folder, TINY, HEADS)


def test_weights_cut_short_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FolderError, match="whole safetensors file"):
        write_step_graphs(folder, TINY, HEADS)


@pytest.mark.parametrize("header", [b"no JSON", b"[1]", json.dumps({"a": {"dtype": 1}}).encode()])
def test_a_damaged_header_is_refused(tmp_path, header):
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(FolderError, match="whole safetensors file"):
        write_step_graphs(tmp_path, TINY, HEADS)


def test_a_folder_without_a_head_is_refused(folder):
    with pytest.raises(ConfigError, match=r"at least one head\. Received: no head"):
        write_step_graphs(folder, TINY, {})
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


def test_a_head_of_another_size_is_refused(folder):
    with pytest.raises(WeightsError, match=r"classifier\.weight .*shape \(2, 16\).*\(3, 16\)"):
        write_step_graphs(folder, TINY, {"classifier": HeadSpec("span", 2)})


def test_what_depths_add_must_be_in_the_file(folder):
    with pytest.raises(WeightsError, match=r"depth_residuals\.0\..*no such tensor"):
        write_step_graphs(folder, replace(TINY, depth_lora_rank=2), HEADS)


def test_exits_must_be_in_the_file(folder):
    with pytest.raises(WeightsError, match=r"exits\.classifier\.0\.weight .*no such tensor"):
        write_step_graphs(folder, TINY, {"classifier": HeadSpec("sequence", 3, {"exits": True})})
