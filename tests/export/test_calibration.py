"""Second moments over all depths, as numpy has them; which texts they are of."""

import shutil

import numpy as np
import pytest

from albatross.checkpoints.model_folder import read_config, read_weights
from albatross.data.packing import Example, pack
from albatross.data.records import TextRecord
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.open import open_model
from albatross.export import calibration as module
from albatross.export.calibration import calibration_texts, second_moments

LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0"
MATRICES = [
    *(f"{LAYER}.attention.{part}.weight" for part in ("dense", "key", "query", "value")),
    *(f"{LAYER}.{part}.weight" for part in ("ffn", "ffn_output")),
]


@pytest.fixture
def folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "folder")


def examples(*lengths):
    draw = np.random.default_rng(0)
    return [Example(draw.integers(5, 250, n), np.zeros(n, np.int64)) for n in lengths]


def test_moments_of_the_first_product_are_summed_over_all_depths(folder):
    config, texts = read_config(folder), examples(9, 30)
    engine, batch = OnnxEngine(folder, config), pack(texts)
    rows = engine.embed(batch)
    expected = np.zeros((rows.shape[1], rows.shape[1]))
    for depth in range(config.depth):
        expected = expected + rows.T.astype(np.float64) @ rows
        rows = engine.layer(rows, batch.cu_seqlens, depth)
    found = second_moments(folder, config, texts)
    for name in ("query", "key", "value"):
        moments = found[f"{LAYER}.attention.{name}.weight"]
        np.testing.assert_allclose(moments, expected, rtol=1e-3, atol=1e-3)


def test_each_matrix_of_a_layer_has_moments_of_its_inputs(folder):
    found = second_moments(folder, read_config(folder), examples(9))
    weights = read_weights(folder)
    assert sorted(found) == MATRICES
    for name, moments in found.items():
        assert moments.shape == (weights[name].shape[1],) * 2
        assert np.linalg.eigvalsh(moments).min() > -1e-3 * np.trace(moments)


def test_moments_do_not_depend_on_batches(folder, monkeypatch):
    config, texts = read_config(folder), examples(9, 30, 4)
    together = second_moments(folder, config, texts)
    monkeypatch.setattr(module, "_BATCH_TOKENS", 1)
    alone = second_moments(folder, config, texts)
    for name, moments in together.items():
        np.testing.assert_allclose(alone[name], moments, rtol=1e-3, atol=1e-3)


def test_matrices_with_too_wide_an_input_are_left_out(folder, monkeypatch):
    monkeypatch.setattr(module, "_WIDEST", 128)
    found = second_moments(folder, read_config(folder), examples(9))
    assert sorted(found) == MATRICES[:-1]


def test_texts_are_drawn_until_there_are_enough_tokens(finetuned, monkeypatch):
    monkeypatch.setattr(module, "_MOST_TOKENS", 30)
    task = open_model(finetuned).task
    records = [TextRecord("gull " * at, label="positive") for at in range(1, 11)]
    found = [example.input_ids.tolist() for example in calibration_texts(task, records)]
    assert 30 <= sum(map(len, found)) < 30 + max(map(len, found))
    assert all(ids in [task.features(r)[0].input_ids.tolist() for r in records] for ids in found)


def test_fewer_records_are_all_taken_once(finetuned):
    task = open_model(finetuned).task
    found = calibration_texts(task, [TextRecord("gull " * at) for at in range(1, 5)])
    assert len({tuple(example.input_ids.tolist()) for example in found}) == 4
