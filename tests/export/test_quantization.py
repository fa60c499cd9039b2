"""Products in 8 bits: exact whole numbers, each row by itself, on any processor."""

import json

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto
from transformers import AlbertForSequenceClassification

from albatross.checkpoints.eight_bits import LARGEST_ENTRY, LARGEST_WEIGHT, rounded
from albatross.checkpoints.huggingface import (
    encoder_shapes,
    head_shapes,
    masked_lm_shapes,
    sentence_order_shapes,
)
from albatross.checkpoints.model_folder import read_stored_weights, read_weights, write_weights
from albatross.config import variant
from albatross.conversion.convert import convert
from albatross.data.packing import Example, pack
from albatross.engine.engine import run
from albatross.engine.open import open_model
from albatross.errors import FolderError
from albatross.export.folder import export
from albatross.export.graph import Graph, Weights
from albatross.export.quantization import quantise
from albatross.head_spec import HeadSpec
from albatross.info import info
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings, InfoSettings
from albatross.settings.conversion import ConvertSettings
from albatross.tasks.classification import ClassificationTask

WORDS, PROJECTION = (
    "albert.embeddings.word_embeddings",
    "albert.encoder.embedding_hidden_mapping_in",
)
LABELS = ("no", "yes")
LARGEST_SUM = 32_767
# What makes whole numbers of the rows below: steps of 1 in a row whose largest value is 127.
LARGEST_ROW = 127


def session(folder, weights):
    """A graph of one product `m`, over weights (in, out) and their scales, or over a table."""
    write_weights(folder, weights)
    graph = Graph(Weights.read(folder / "model.safetensors"))
    whole = weights["m.weight_int8"]
    shape = whole.shape[::-1] if weights["m.weight_scale"].ndim == 2 else whole.shape
    rows = graph.input("rows", ["n", shape[0]], TensorProto.FLOAT)
    graph.output("product", graph.product("m", rows, *shape), ["n", shape[1]])
    (folder / "product.onnx").write_bytes(graph.model("product").SerializeToString())
    path = folder / "product.onnx"
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def product(folder, rows, whole, scales):
    opened = session(folder, {"m.weight_int8": whole, "m.weight_scale": scales})
    return opened.run(None, {"rows": rows})[0]


def exact(rows, whole, scales):
    """The same product in numpy: rows by their largest value, sums in 64 bits."""
    largest = np.maximum(np.abs(rows).max(1, keepdims=True), np.float32(1e-10))
    step = np.float32(1 / 127)
    unsigned = np.clip(np.rint(rows / largest / step) + 128, 0, 255).astype(np.int64)
    sums = (unsigned - 128) @ whole.astype(np.int64)
    return sums.astype(np.float32) * (scales * step) * largest


def drawn(seed, rows, wide_in, wide_out):
    draw = np.random.default_rng(seed)
    whole = draw.integers(-LARGEST_WEIGHT, LARGEST_WEIGHT + 1, (wide_in, wide_out), dtype=np.int8)
    scales = draw.uniform(1e-3, 1e-1, wide_out).astype(np.float32)
    spread = 10.0 ** draw.integers(-6, 7, (rows, 1))
    return (draw.normal(size=(rows, wide_in)) * spread).astype(np.float32), whole, scales


@pytest.fixture(scope="module")
def small(finetuned, runs):
    return export(ExportSettings(finetuned, runs / "int8", "int8"))


# === Whole numbers ===


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 40),
    wide_in=st.integers(1, 300),
    wide_out=st.integers(1, 70),
)
def test_a_product_equals_exact_integer_arithmetic(tmp_path_factory, seed, rows, wide_in, wide_out):
    given_rows, whole, scales = drawn(seed, rows, wide_in, wide_out)
    found = product(tmp_path_factory.mktemp("product"), given_rows, whole, scales)
    np.testing.assert_allclose(found, exact(given_rows, whole, scales), rtol=3e-7, atol=0)


@pytest.mark.parametrize("wide_in", [1, 2, 63, 128, 3_072])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_extremes_do_not_saturate(tmp_path, wide_in, sign):
    rows = np.full((5, wide_in), LARGEST_ROW, dtype=np.float32)
    whole = np.full((wide_in, 40), sign * LARGEST_WEIGHT, dtype=np.int8)
    found = product(tmp_path, rows, whole, np.ones(40, dtype=np.float32))
    expected = sign * LARGEST_ROW * LARGEST_WEIGHT * wide_in
    np.testing.assert_allclose(found, np.float32(expected), rtol=2e-7)


def test_a_pair_of_products_fits_16_bits_as_avx2_adds_them():
    assert 2 * 255 * LARGEST_WEIGHT <= LARGEST_SUM
    assert 2 * 255 * LARGEST_ENTRY > LARGEST_SUM  # why a table that is looked up in may have more


@settings(max_examples=50)
@given(
    values=arrays(np.float32, (4, 9), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    largest=st.sampled_from([LARGEST_WEIGHT, LARGEST_ENTRY]),
)
def test_no_weight_leaves_its_bits_nor_half_a_step(values, largest):
    whole, scales = rounded(values, largest)
    assert np.abs(whole.astype(int)).max() <= largest
    error = np.abs(whole * scales[:, None] - values)
    assert (error <= scales[:, None] * np.float32(0.5001)).all()


# === Rows by themselves ===


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), rows=st.integers(2, 50), outlier=st.sampled_from([1e4, 1e30]))
def test_a_row_gives_the_same_bits_beside_an_outlier(tmp_path_factory, seed, rows, outlier):
    given_rows, whole, scales = drawn(seed, rows, 128, 48)
    weights = {"m.weight_int8": whole, "m.weight_scale": scales}
    opened = session(tmp_path_factory.mktemp("rows"), weights)
    given_rows[-1] = outlier
    together = opened.run(None, {"rows": given_rows})[0]
    alone = [opened.run(None, {"rows": given_rows[at : at + 1]})[0] for at in range(rows)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("rows", [0, 1])
def test_no_row_and_one_row_are_products_too(tmp_path, rows):
    given_rows, whole, scales = drawn(1, rows, 32, 8)
    assert product(tmp_path, given_rows, whole, scales).shape == (rows, 8)


def test_a_row_of_zeros_gives_zeros(tmp_path):
    rows, whole, scales = drawn(1, 3, 32, 8)
    rows[1] = 0
    found = product(tmp_path, rows, whole, scales)
    np.testing.assert_array_equal(found[1], 0)
    assert found[[0, 2]].all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_rows_of_any_size_stay_finite(tmp_path, size):
    rows, whole, scales = drawn(1, 3, 32, 8)
    found = product(tmp_path, np.float32(size) * rows / np.abs(rows).max(), whole, scales)
    assert np.isfinite(found).all()


def test_an_answer_in_8_bits_does_not_depend_on_its_company(small):
    engine = open_model(small).engine
    draw = np.random.default_rng(0)
    examples = [Example(draw.integers(5, 250, n), np.zeros(n, np.int64)) for n in (1, 40, 7, 23)]
    together = run(engine, pack(examples))["classifier"]
    alone = np.concatenate([run(engine, pack([one]))["classifier"] for one in examples])
    np.testing.assert_allclose(together, alone, atol=1e-6, rtol=0)


# === What is stored ===


def random_arrays(shapes):
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_matrices_and_tables_are_whole_numbers_and_the_rest_floats():
    shapes = {"a.query.weight": (256, 128), "a.query.bias": (256,), "classifier.weight": (2, 128)}
    stored = quantise(random_arrays(shapes | {f"{WORDS}.weight": (300, 128)}))
    assert {name: (array.dtype.name, array.shape) for name, array in stored.items()} == {
        "a.query.weight_int8": ("int8", (128, 256)),
        "a.query.weight_scale": ("float32", (256,)),
        "a.query.bias": ("float32", (256,)),
        "classifier.weight": ("float32", (2, 128)),
        f"{WORDS}.weight_int8": ("int8", (300, 128)),
        f"{WORDS}.weight_scale": ("float32", (300, 1)),
    }


def test_the_map_that_all_depths_read_from_keeps_16_bits():
    stored = quantise(random_arrays({f"{PROJECTION}.weight": (128, 128)}))
    assert {name: array.dtype for name, array in stored.items()} == {
        f"{PROJECTION}.weight": np.float16
    }


def test_a_table_that_is_multiplied_too_keeps_to_7_bits_and_is_stored_once():
    shapes = {f"{WORDS}.weight": (300, 128)}
    looked_up = quantise(random_arrays(shapes))
    multiplied = quantise(random_arrays(shapes | {"predictions.bias": (300,)}))
    largest = [int(np.abs(a[f"{WORDS}.weight_int8"]).max()) for a in (looked_up, multiplied)]
    assert largest == [LARGEST_ENTRY, LARGEST_WEIGHT]
    assert [name for name, array in multiplied.items() if array.ndim == 2] == [
        f"{WORDS}.weight_int8",
        f"{WORDS}.weight_scale",
    ]


def test_a_product_with_a_table_equals_exact_integer_arithmetic(tmp_path):
    rows, whole, scales = drawn(2, 6, 32, 90)
    table = {"m.weight_int8": np.ascontiguousarray(whole.T), "m.weight_scale": scales[:, None]}
    found = session(tmp_path, table).run(None, {"rows": rows})[0]
    np.testing.assert_allclose(found, exact(rows, whole, scales), rtol=3e-7)


def test_a_base_model_with_its_heads_takes_at_most_12_megabytes_and_a_half():
    config = variant("albert-base-v2")
    shapes = encoder_shapes(config) | masked_lm_shapes(config) | sentence_order_shapes(config)
    shapes |= head_shapes(config, {"classifier": HeadSpec("sequence", 3)})
    stored = quantise({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    assert 11.5e6 < sum(array.nbytes for array in stored.values()) <= 12.5e6


# === Folders ===


def test_a_folder_in_8_bits_answers_nearly_as_its_model(small, finetuned, reviews):
    texts = [text for text, _ in reviews]
    found, expected = (load(folder)(texts) for folder in (small, finetuned))
    assert [answer.label for answer in found] == [answer.label for answer in expected]
    shares = [[answer.probabilities["positive"] for answer in each] for each in (found, expected)]
    assert 0 < np.abs(np.ptp(shares, axis=0)).max() < 0.02


def test_a_folder_in_8_bits_says_so_and_takes_a_quarter(untrained, tmp_path):
    wide = {"hidden_size": 128, "intermediate_size": 512}
    model = untrained(lambda inputs: ClassificationTask("one", LABELS, LABELS, inputs), **wide)
    small, large = (
        export(ExportSettings(model, tmp_path / dtype, dtype)) for dtype in ("int8", "float32")
    )
    assert json.loads((small / "run.json").read_text())["export"] == {"dtype": "int8"}
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (small, large)]
    assert sizes[0] / sizes[1] < 0.3
    assert "float16, float32, int8" in str(info(InfoSettings(str(small))))


def test_torch_says_in_one_line_that_it_has_no_8_bits(small, tmp_path):
    with pytest.raises(FolderError, match=r"8 bits are computed with by ONNX Runtime alone"):
        load(small, engine="torch")
    with pytest.raises(FolderError, match=r"Use the folder that it was exported from"):
        convert(ConvertSettings(small, tmp_path / "again"))


def test_transformers_refuses_8_bits_instead_of_starting_anew(small):
    with pytest.raises(ValueError, match="quant_method"):
        AlbertForSequenceClassification.from_pretrained(small)


def test_weights_in_8_bits_are_read_only_where_they_are_asked_for(small):
    names = read_stored_weights(small).keys()
    assert f"{WORDS}.weight_int8" in names
    with pytest.raises(FolderError, match=f"Received: '{small}'"):
        read_weights(small)
