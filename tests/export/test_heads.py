"""The graph of every head beside torch's own: names, shapes, values, and what it asks for."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import save_file
from transformers import AlbertConfig as TransformersConfig
from transformers import AlbertForMaskedLM

from albatross.checkpoints.model_folder import write_weights
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.engine import run
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import ConfigError
from albatross.export.comparison import differences
from albatross.export.graph import Graph, Weights
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads

TINY = AlbertConfig(
    vocab_size=60,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=16,
    initializer_range=0.3,
)
SPECS = {
    "sequence": HeadSpec("sequence", 3),
    "choice": HeadSpec("choice", 1),
    "token": HeadSpec("token", 5),
    "span": HeadSpec("span", 2),
    "beam_span": HeadSpec("beam_span", 2),
    "embedding": HeadSpec("embedding", 0),
}
BLOCK = {"rows", "rows_to_block", "key_lengths"}
INPUTS = {
    "sequence": {"rows", "first"},
    "choice": {"rows", "first"},
    "token": {"rows"},
    "span": {"rows"},
    "beam_span": BLOCK | {"first", "token_type_ids"},
    "embedding": BLOCK,
}


def pairs(*lengths):
    draw = np.random.default_rng(1)
    return [
        Example(draw.integers(0, 60, n), (np.arange(n) >= n // 2).astype(np.int64)) for n in lengths
    ]


@pytest.fixture(params=SPECS)
def kind(request):
    return request.param


@pytest.fixture
def engines(tmp_path, kind):
    """Torch and ONNX Runtime over one head."""
    model = AlbertWithHeads(TINY, heads={"heads.a": SPECS[kind]})
    write_weights(tmp_path, model.to_arrays())
    write_step_graphs(tmp_path, TINY, {"heads.a": SPECS[kind]})
    return TorchEngine(model), OnnxEngine(tmp_path, TINY)


@pytest.mark.parametrize("lengths", [(1,), (2,), (16,), (1, 1, 1), (7, 7), (1, 16, 2, 15, 9, 1)])
def test_a_head_gives_what_torch_gives(engines, kind, lengths):
    batch = pack(pairs(*lengths))
    expected, found = (run(engine, batch) for engine in engines)
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
        n: (a.shape, a.dtype) for n, a in expected.items()
    }
    (difference,) = differences(expected, found, {"heads.a": SPECS[kind]}).values()
    assert difference <= 1e-5


def test_equal_rows_have_equal_outputs(engines):
    example = pairs(9)[0]
    for name, rows in run(engines[1], pack([example] * 3)).items():
        first, *others = np.split(rows, 3)
        for other in others:
            np.testing.assert_allclose(other, first, atol=1e-6, rtol=0, err_msg=name)


def test_a_head_asks_for_what_it_reads_and_no_more(engines, kind, tmp_path):
    graph = onnx.load(tmp_path / "heads.onnx", load_external_data=False).graph
    assert {value.name for value in graph.input} == INPUTS[kind]


def test_the_pooler_is_there_for_heads_that_read_it(engines, kind, tmp_path):
    graph = onnx.load(tmp_path / "heads.onnx", load_external_data=False).graph
    names = {tensor.name for tensor in graph.initializer}
    assert ("albert.pooler.weight" in names) == (kind in ("sequence", "choice"))


def test_no_padding_enters_a_product_with_a_weight(engines, kind, tmp_path):
    probe = onnx.load(tmp_path / "heads.onnx", load_external_data=False)
    products = [node.output[0] for node in probe.graph.node if node.op_type in ("Gemm", "MatMul")]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in products)
    (tmp_path / "heads.onnx").write_bytes(probe.SerializeToString())
    outputs = run(OnnxEngine(tmp_path, TINY), pack(pairs(3, 11)))
    rows = {outputs[name].shape[0] for name in products}
    assert rows <= {2, 14}  # sequences, or tokens
    assert bool(rows) == (kind != "embedding")


def test_all_heads_share_a_graph_and_its_pooler(tmp_path):
    heads = {f"heads.{kind}": spec for kind, spec in SPECS.items()}
    model = AlbertWithHeads(TINY, heads=heads)
    write_weights(tmp_path, model.to_arrays())
    write_step_graphs(tmp_path, TINY, heads)
    graph = onnx.load(tmp_path / "heads.onnx", load_external_data=False).graph
    assert sum(node.op_type == "Tanh" for node in graph.node) == 3  # pooler, two in the beam head
    batch = pack(pairs(5, 16))
    expected, found = (run(e, batch) for e in (TorchEngine(model), OnnxEngine(tmp_path, TINY)))
    assert list(found) == list(expected)
    assert max(differences(expected, found, heads).values()) <= 1e-5


def test_a_beam_that_cannot_be_is_impossible(tmp_path):
    heads = {"beam_qa": SPECS["beam_span"]}
    write_weights(tmp_path, AlbertWithHeads(TINY, heads=heads).to_arrays())
    write_step_graphs(tmp_path, TINY, heads)
    found = run(OnnxEngine(tmp_path, TINY), pack(pairs(6)))  # [CLS], and 2 of the context
    assert (found["beam_qa.start_log_probs"][0] > -1e29).tolist() == [True] * 3 + [False] * 2
    assert set(found["beam_qa.start_index"][0, :3]) == {0, 3, 4}
    assert (np.diff(found["beam_qa.start_log_probs"][0]) <= 0).all()


# === Words ===


@pytest.fixture
def masked(tmp_path):
    """A masked-word model of transformers, exported."""
    torch.manual_seed(0)
    model = AlbertForMaskedLM(TransformersConfig(**TINY.to_dict())).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    arrays = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    arrays.pop("predictions.decoder.bias", None)
    save_file(
        {**arrays, "predictions.bias": model.predictions.bias.detach().numpy()},
        tmp_path / "model.safetensors",
    )
    write_step_graphs(tmp_path, TINY, {})
    return model, tmp_path


def test_words_are_those_of_transformers(masked):
    model, folder = masked
    (example,) = pairs(11)
    ids, types = torch.tensor(example.input_ids), torch.tensor(example.token_type_ids)
    with torch.no_grad():
        expected = model(input_ids=ids[None], token_type_ids=types[None]).logits[0].numpy()
    engine, batch = OnnxEngine(folder, TINY), pack([example])
    rows = engine.embed(batch)
    for depth in range(TINY.depth):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
    asked = np.array([3, 7])
    found = engine.predictions(engine.select(rows, asked))
    np.testing.assert_allclose(found, expected[asked], atol=1e-5, rtol=0)


def test_a_pretrained_folder_has_words_and_no_heads(masked):
    engine = OnnxEngine(masked[1], TINY)
    assert (engine.output_names, engine.exit_names) == (("predictions",), ())
    batch = pack([replace(example, asked=2) for example in pairs(4, 9)])
    assert run(engine, batch)["predictions"].shape == (2, TINY.vocab_size)


def test_a_fine_tuned_folder_has_no_words(engines):
    with pytest.raises(ConfigError, match=r"without `predictions\.onnx`"):
        engines[1].predictions(np.zeros((1, 16), np.float32))


# === 8 bits ===


@pytest.mark.parametrize("is_table", [False, True])
def test_a_matrix_in_8_bits_is_read_as_floats(tmp_path, is_table):
    whole = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    scale = np.array([0.5, 2, 1], np.float32)
    stored, scales = (whole, scale[:, None]) if is_table else (whole.T, scale)
    weight = np.ascontiguousarray(stored)
    save_file({"a.weight_int8": weight, "a.weight_scale": scales}, tmp_path / "model.safetensors")
    graph = Graph(Weights.read(tmp_path / "model.safetensors"))
    graph.output("out", graph.matrix("a", (3, 4)), [3, 4])
    (tmp_path / "a.onnx").write_bytes(graph.model("a").SerializeToString())
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    np.testing.assert_array_equal(session.run(None, {})[0], whole * scale[:, None])
