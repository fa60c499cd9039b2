"""Both engines on one folder: the same answers, whatever is shared and however it is stored."""

import sys
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from albatross.adapter_spec import AdapterSpec
from albatross.atomic import write_json
from albatross.checkpoints.model_folder import write_weights
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.engine import run, run_depths
from albatross.engine.onnx_engine import OnnxEngine, layer_files
from albatross.engine.step_graph import StepGraph
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import ConfigError, DataError
from albatross.export.comparison import differences
from albatross.export.quantization import quantise
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads

HEADS = {"classifier": HeadSpec("sequence", 3)}
LENGTHS = (1, 16, 2, 15, 9, 1)


def model_of(groups=1, inner=1, heads=HEADS, **more):
    config = AlbertConfig(
        vocab_size=60,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=4,
        num_hidden_groups=groups,
        inner_group_num=inner,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.3,
        **more,
    )
    return AlbertWithHeads(config, heads=heads).eval()


def stirred(model):
    """The model with other weights: what is added to layers must act."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
    return model


def exported(folder, model, dtype="float32"):
    """Both engines of a model, stirred."""
    stirred(model)
    write_weights(folder, {n: a.astype(dtype) for n, a in model.to_arrays().items()})
    write_json(folder / "config.json", model.config.to_dict())
    write_step_graphs(folder, model.config, model.specs)
    return TorchEngine.from_folder(folder, model.specs), OnnxEngine(folder, model.config)


def examples(lengths=LENGTHS):
    draw = np.random.default_rng(0)
    return [Example(draw.integers(0, 60, n), draw.integers(0, 2, n)) for n in lengths]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_engines_agree_on_ragged_batches(tmp_path, groups, inner, dtype):
    engines = exported(tmp_path, model_of(groups, inner), dtype)
    expected, found = (run(engine, pack(examples()))["classifier"] for engine in engines)
    assert np.ptp(expected, axis=0).min() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


ADDED: dict[str, dict[str, Any]] = {
    "residuals": {"depth_lora_rank": 3},
    "residuals of groups": {"depth_lora_rank": 3, "groups": 2, "inner": 2},
    "residuals of no sharing": {"depth_lora_rank": 3, "groups": 4, "cross_layer_sharing": "none"},
    "lora of each depth": {"adapter": AdapterSpec("lora", 2, True, scale=2.0)},
    "lora of one map": {"adapter": AdapterSpec("lora", 2, True, ("ffn",))},
    "one bottleneck": {"adapter": AdapterSpec("bottleneck", 2)},
    "bottlenecks": {"adapter": AdapterSpec("bottleneck", 2, True, ("attention.dense",))},
    "both": {"depth_lora_rank": 2, "adapter": AdapterSpec("bottleneck", 2, True), "inner": 2},
    "both over shared feed-forward": {
        "depth_lora_rank": 2,
        "adapter": AdapterSpec("lora", 2, True),
        "cross_layer_sharing": "ffn",
    },
}


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_engines_agree_on_what_is_added_to_a_layer(tmp_path, name, dtype):
    engines = exported(tmp_path, model_of(**ADDED[name]), dtype)
    batch = pack(examples())
    expected, found = ([engine.embed(batch)] for engine in engines)
    for engine, rows in zip(engines, (expected, found), strict=True):
        for depth in range(engine.config.depth):
            rows.append(engine.layer(rows[-1], batch.cu_seqlens, depth))
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ADDED)
def test_a_layer_asks_for_the_depth_only_where_depths_differ(tmp_path, name):
    model = model_of(**ADDED[name])
    exported(tmp_path, model)
    config, files = model.config, layer_files(model.config)
    own = config.depth_lora_rank or (config.adapter is not None and config.adapter.per_depth)
    for file in set(files):
        graph = onnx.load(tmp_path / file, load_external_data=False).graph
        asks = "depth" in {value.name for value in graph.input}
        assert asks == (bool(own) and files.count(file) > 1)


KINDS = {
    "sequence": HeadSpec("sequence", 3),
    "choice": HeadSpec("choice", 1),
    "token": HeadSpec("token", 5),
    "span": HeadSpec("span", 2),
    "beam_span": HeadSpec("beam_span", 2),
    "embedding": HeadSpec("embedding", 0),
}
SHAPES = [(1,), (16,), (1, 1, 1), (7, 7, 7), LENGTHS]


@pytest.mark.parametrize("lengths", SHAPES)
def test_engines_agree_on_every_kind_of_head(tmp_path, lengths):
    heads = {f"heads.{kind}": spec for kind, spec in KINDS.items()}
    engines = exported(tmp_path, model_of(heads=heads))
    for made in (examples(lengths), [examples(lengths)[0]] * 3):
        expected, found = (run(engine, pack(made)) for engine in engines)
        assert list(found) == list(expected)
        assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
            n: (a.shape, a.dtype) for n, a in expected.items()
        }
        assert max(differences(expected, found, heads).values()) <= 1e-4


@pytest.mark.parametrize("name", ADDED)
def test_every_head_and_addition_answers_nearly_alike_in_8_bits(tmp_path, monkeypatch, name):
    monkeypatch.setattr(sys.modules["albatross.checkpoints.eight_bits"], "_LEAST_SIZE", 1)
    heads = {f"heads.{kind}": spec for kind, spec in KINDS.items()}
    heads["exits"] = HeadSpec("sequence", 3, {"exits": True})
    model = stirred(model_of(heads=heads, **ADDED[name]))
    rounded = quantise(model.to_arrays())
    assert {"exits.exits.0.weight_int8", "heads.beam_span.end_dense.weight_int8"} <= set(rounded)
    write_weights(tmp_path, rounded)
    write_step_graphs(tmp_path, model.config, heads)
    batch = pack(examples())
    pair = TorchEngine(model), OnnxEngine(tmp_path, model.config)
    for expected, found in zip(*(run_depths(engine, batch) for engine in pair), strict=True):
        assert list(found) == list(expected)
        apart = differences(expected, found, {n: heads[n] for n in heads if n in expected})
        assert 0 < max(apart.values()) < 0.6


# === Exits ===

EXITS = {"classifier": HeadSpec("sequence", 3, {"exits": True}), "other": HeadSpec("sequence", 2)}


@pytest.mark.parametrize("lengths", SHAPES)
def test_engines_agree_after_every_depth(tmp_path, lengths):
    engines = exported(tmp_path, model_of(inner=2, heads=EXITS))
    assert [engine.exit_names for engine in engines] == [("classifier",)] * 2
    expected, found = (run_depths(engine, pack(examples(lengths))) for engine in engines)
    assert [list(outputs) for outputs in found] == [list(outputs) for outputs in expected]
    assert [list(outputs) for outputs in found] == [["classifier"]] * 7 + [["classifier", "other"]]
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs["classifier"], ours["classifier"], atol=1e-4, rtol=0)


def test_after_the_last_depth_heads_answer_as_without_exits(tmp_path):
    engine, batch = exported(tmp_path, model_of(heads=EXITS))[1], pack(examples())
    last, plain = run_depths(engine, batch)[-1], run(engine, batch)
    for name in plain:
        np.testing.assert_array_equal(last[name], plain[name])


def test_a_model_without_exits_refuses_an_earlier_depth_in_either_engine(tmp_path):
    batch = pack(examples())
    for engine in exported(tmp_path, model_of()):
        assert engine.exit_names == ()
        with pytest.raises(ConfigError, match=r"need exits\. Received: a model without"):
            engine.heads(engine.embed(batch), batch, 0)


def test_a_sequence_beyond_the_positions_is_refused_alike_by_both(tmp_path):
    messages = []
    for engine in exported(tmp_path, model_of()):
        with pytest.raises(DataError, match=r"at most 16 tokens .*Received: 17\.") as caught:
            engine.embed(pack(examples((3, 17))))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# === Torch ===


def test_an_answer_does_not_depend_on_its_company():
    engine = TorchEngine(model_of())
    alone = [run(engine, pack([example]))["classifier"] for example in examples()]
    together = run(engine, pack(examples()))["classifier"]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6, rtol=0)


def test_no_padding_enters_a_product_with_a_weight():
    model = model_of()
    rows = []
    for module in model.albert.encoder.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda m, inputs: rows.append(inputs[0].shape))
    run(TorchEngine(model), pack(examples()))
    assert len(rows) == 1 + 4 * 6
    assert {shape[0] for shape in rows} == {sum(LENGTHS)}
    assert {len(shape) for shape in rows} == {2}


def test_no_padding_enters_a_product_of_the_exported_layer(tmp_path):
    model = model_of()
    write_weights(tmp_path, model.to_arrays())
    write_step_graphs(tmp_path, model.config, HEADS)
    probe = onnx.load(tmp_path / "layer.0.onnx", load_external_data=False)
    products = [node.output[0] for node in probe.graph.node if node.op_type == "Gemm"]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in products)
    (tmp_path / "layer.0.onnx").write_bytes(probe.SerializeToString())
    engine, batch = OnnxEngine(tmp_path, model.config), pack(examples())
    found: list[tuple[int, ...]] = []
    graph = engine._layers[0]

    class Watched(StepGraph):
        def run(self, inputs):
            outputs = graph.run(inputs)
            found.extend(outputs[name].shape for name in products)
            return outputs

    engine._layers = [Watched(graph.session)] * 4
    run(engine, batch)
    assert len(found) == 4 * 6
    assert {shape[0] for shape in found} == {sum(LENGTHS)}


def test_sequences_may_be_regrouped_between_depths():
    engine = TorchEngine(model_of())
    short, long = (pack([examples()[i]]) for i in (2, 3))
    rows = [engine.layer(engine.embed(batch), batch.cu_seqlens, 0) for batch in (long, short)]
    joined = engine.layer(engine.concat(rows), np.array([0, 15, 17]), 1)
    left = engine.select(joined, np.arange(15, 17))
    for depth in (2, 3):
        left = engine.layer(left, short.cu_seqlens, depth)
    answer = engine.heads(left, short)["classifier"]
    np.testing.assert_allclose(answer, run(engine, short)["classifier"], atol=1e-6, rtol=0)


def test_layouts_follow_a_change_of_the_batch_in_place():
    engine, batch = TorchEngine(model_of()), pack(examples()[1:3])
    rows, cu_seqlens = engine.embed(batch), batch.cu_seqlens.copy()
    engine.layer(rows, cu_seqlens, 0)
    cu_seqlens[1] = 5
    found = engine.layer(rows, cu_seqlens, 0)
    expected = TorchEngine(engine.model).layer(rows, np.array([0, 5, 18]), 0)
    np.testing.assert_array_equal(found, expected)


def test_threads_that_share_an_engine_keep_their_own_layouts(monkeypatch):
    engine, batch = TorchEngine(model_of()), pack(examples())
    rows = engine.embed(batch)
    expected = engine.layer(rows, batch.cu_seqlens, 0)
    equal = np.array_equal

    def equal_and_another_thread(*arrays):
        found = equal(*arrays)
        monkeypatch.setattr(np, "array_equal", equal)
        engine.layer(rows[:3], np.array([0, 3]), 0)
        return found

    monkeypatch.setattr(np, "array_equal", equal_and_another_thread)
    found = engine.layer(rows, batch.cu_seqlens, 0)
    np.testing.assert_array_equal(found, expected)


def test_dropout_is_off_while_the_engine_answers():
    model = model_of()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    model.train()
    first, second = (run(TorchEngine(model), pack(examples()))["classifier"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
