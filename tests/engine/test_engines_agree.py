"""Both engines on one folder: the same answers, whatever is shared and however it is stored."""

import numpy as np
import onnx
import pytest
from torch import nn

from albatross.atomic import write_json
from albatross.checkpoints.model_folder import write_weights
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.engine import run
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.torch_engine import TorchEngine
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads

HEADS = {"classifier": HeadSpec("sequence", 3)}
LENGTHS = (1, 16, 2, 15, 9, 1)


def model_of(groups=1, inner=1):
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
    )
    return AlbertWithHeads(config, heads=HEADS).eval()


def examples():
    draw = np.random.default_rng(0)
    return [Example(draw.integers(0, 60, n), draw.integers(0, 2, n)) for n in LENGTHS]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_engines_agree_on_ragged_batches(tmp_path, groups, inner, dtype):
    model = model_of(groups, inner)
    write_weights(tmp_path, {n: a.astype(dtype) for n, a in model.to_arrays().items()})
    write_json(tmp_path / "config.json", model.config.to_dict())
    write_step_graphs(tmp_path, model.config, HEADS)
    engines = TorchEngine.from_folder(tmp_path, HEADS), OnnxEngine(tmp_path, model.config)
    found, expected = (run(engine, pack(examples()))["classifier"] for engine in engines)
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


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
    session = engine._layers[0]

    class Watched:
        def run(self, names, inputs):
            found.extend(array.shape for array in session.run(products, inputs))
            return session.run(names, inputs)

    engine._layers = [Watched()] * 4
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


def test_dropout_is_off_while_the_engine_answers():
    model = model_of()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    model.train()
    first, second = (run(TorchEngine(model), pack(examples()))["classifier"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
