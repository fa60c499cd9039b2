import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AlbertConfig as TransformersConfig
from transformers import AlbertForSequenceClassification

from albatross.adapter_spec import AdapterSpec
from albatross.checkpoints.model_folder import read_config, write_weights
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.open import open_model
from albatross.errors import FolderError, WeightsError
from albatross.export import single_file, single_folder
from albatross.export.folder import export
from albatross.export.quantization import quantise
from albatross.export.single_file import write_single_file
from albatross.export.single_folder import put_into_one_file
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.settings.answering import ExportSettings

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
CLASSIFIER = {"classifier": HeadSpec("sequence", 3)}
ALL = {
    **CLASSIFIER,
    "heads.choice": HeadSpec("choice", 1),
    "heads.tags": HeadSpec("token", 5),
    "heads.span": HeadSpec("span", 2),
    "heads.beam": HeadSpec("beam_span", 2),
    "heads.vector": HeadSpec("embedding", 16),
}
# First and end column of what a row shows.
RIGHT, EITHER = ((0, 9), (0, 1), (0, 16), (0, 5)), ((0, 9), (7, 16), (0, 16), (3, 4))


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options)


def answers(path, feeds, depth=None):
    session = session_of(path)
    names = [output.name for output in session.get_outputs()]
    given = feeds if depth is None else {**feeds, "depth": np.array(depth)}
    return dict(zip(names, session.run(names, given), strict=True))


def padded(bounds, tokens=16):
    rng = np.random.default_rng(3)
    shape = len(bounds), tokens
    mask = np.zeros(shape, dtype=np.int64)
    for row, (start, end) in enumerate(bounds):
        mask[row, start:end] = 1
    types = np.sort(rng.integers(0, 2, shape))
    return {
        "input_ids": rng.integers(0, 60, shape),
        "attention_mask": mask,
        "token_type_ids": types,
    }


def packed(feeds):
    shown = [np.flatnonzero(row) for row in feeds["attention_mask"]]
    ids, types = feeds["input_ids"], feeds["token_type_ids"]
    batch = pack([Example(ids[row][at], types[row][at]) for row, at in enumerate(shown)])
    return replace(batch, position_ids=np.concatenate(shown))


def write_transformers(folder, config):
    torch.manual_seed(0)
    model = AlbertForSequenceClassification(
        TransformersConfig(**config.to_dict(), num_labels=3)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def write_ours(folder, config, heads):
    torch.manual_seed(0)
    model = AlbertWithHeads(config, heads=heads).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder.mkdir(exist_ok=True)
    write_weights(folder, model.to_arrays())
    return model


# === Equality ===


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_padded_batches_are_answered_as_by_transformers(tmp_path, groups, inner):
    config = replace(TINY, num_hidden_groups=groups, inner_group_num=inner)
    model = write_transformers(tmp_path, config)
    feeds = padded(RIGHT)
    with torch.no_grad():
        expected = model(**{name: torch.tensor(cells) for name, cells in feeds.items()}).logits
    logits = answers(write_single_file(tmp_path, config, CLASSIFIER), feeds)["classifier"]
    assert np.ptp(logits, axis=0).min() > 0.01
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("bounds", [RIGHT, EITHER, ((0, 1),), ((2, 7), (2, 7))])
def test_every_head_answers_as_in_torch_wherever_pads_stand(tmp_path, bounds):
    model = write_ours(tmp_path, TINY, ALL)
    feeds = padded(bounds)
    with torch.no_grad():
        expected = {name: rows.numpy() for name, rows in model(packed(feeds)).items()}
    received = answers(write_single_file(tmp_path, TINY, ALL), feeds)
    assert received.keys() == expected.keys()
    for name, rows in expected.items():
        found = received[name]
        if found.ndim == 3:
            assert (found[feeds["attention_mask"] == 0] == 0).all()
            found = found[feeds["attention_mask"] > 0]
        if not name.endswith("_index"):
            np.testing.assert_allclose(found, rows, atol=1e-5, rtol=0, err_msg=name)


def test_the_beam_head_names_columns_of_the_padded_batch(tmp_path):
    model = write_ours(tmp_path, TINY, ALL)
    bounds = EITHER[:3]  # where nothing is open no place means anything
    feeds = padded(bounds)
    feeds["token_type_ids"][:, 3:] = 1
    with torch.no_grad():
        expected = {name: rows.numpy() for name, rows in model(packed(feeds)).items()}
    received = answers(write_single_file(tmp_path, TINY, ALL), feeds)
    for part in ("start", "end"):
        possible = expected[f"heads.beam.{part}_log_probs"] > -1e29
        assert possible.any()
        places = expected[f"heads.beam.{part}_index"].astype(int) + np.array(bounds)[:, :1]
        columns = received[f"heads.beam.{part}_index"]
        np.testing.assert_array_equal(columns[possible], places[possible])


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, 9])
def test_the_depth_says_after_how_many_layers_heads_answer(tmp_path, depth):
    config = replace(TINY, num_hidden_groups=2)
    write_ours(tmp_path, config, CLASSIFIER)
    write_step_graphs(tmp_path, config, CLASSIFIER)
    engine, feeds = OnnxEngine(tmp_path, config), padded(RIGHT)
    batch = packed(feeds)
    rows = engine.embed(batch)
    for number in range(min(depth, 4)):
        rows = engine.layer(rows, batch.cu_seqlens, number)
    path = write_single_file(tmp_path, config, CLASSIFIER)
    received = answers(path, feeds, depth)["classifier"]
    np.testing.assert_allclose(received, engine.heads(rows, batch)["classifier"], atol=1e-5, rtol=0)
    if depth >= 4:
        np.testing.assert_array_equal(received, answers(path, feeds)["classifier"])


def test_heads_with_exits_answer_by_the_exit_of_the_depth(tmp_path):
    heads = {"classifier": HeadSpec("sequence", 3, {"exits": True})}
    model = write_ours(tmp_path, TINY, heads)
    write_step_graphs(tmp_path, TINY, heads)
    engine, feeds = OnnxEngine(tmp_path, TINY), padded(RIGHT)
    batch, path = packed(feeds), write_single_file(tmp_path, TINY, heads)
    rows = engine.embed(batch)
    for depth in range(TINY.depth):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
        expected = engine.heads(rows, batch, depth)["classifier"]
        received = answers(path, feeds, depth + 1)["classifier"]
        np.testing.assert_allclose(received, expected, atol=1e-5, rtol=0)
    assert model.exit_names == ("classifier",)


@pytest.mark.parametrize(
    "more",
    [
        {"cross_layer_sharing": "attention", "num_hidden_groups": 2},
        {"cross_layer_sharing": "none", "num_hidden_groups": 4},
        {"depth_lora_rank": 2, "num_hidden_groups": 2},
        {"adapter": AdapterSpec("lora", 2, per_depth=True)},
    ],
)
def test_what_depths_have_to_themselves_is_applied(tmp_path, more):
    config = replace(TINY, **more)
    model, feeds = write_ours(tmp_path, config, CLASSIFIER), padded(RIGHT)
    with torch.no_grad():
        expected = model(packed(feeds))["classifier"].numpy()
    received = answers(write_single_file(tmp_path, config, CLASSIFIER), feeds)["classifier"]
    np.testing.assert_allclose(received, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("is_int8", [False, True])
def test_an_answer_does_not_depend_on_its_company(tmp_path, is_int8):
    config = replace(TINY, hidden_size=128, intermediate_size=512, embedding_size=128)
    write_ours(tmp_path, config, CLASSIFIER)
    if is_int8:
        weights = quantise(load_file(tmp_path / "model.safetensors"))
        assert any(array.dtype == np.int8 for array in weights.values())
        save_file(weights, tmp_path / "model.safetensors")
    path, feeds = write_single_file(tmp_path, config, CLASSIFIER), padded(RIGHT)
    together = answers(path, feeds)["classifier"]
    for row, (start, end) in enumerate(RIGHT):
        alone = {name: cells[row : row + 1, start:end] for name, cells in feeds.items()}
        received = answers(path, alone)["classifier"][0]
        np.testing.assert_allclose(received, together[row], atol=1e-5, rtol=0)


def test_what_stands_at_pads_is_not_looked_at(tmp_path):
    write_ours(tmp_path, TINY, CLASSIFIER)
    path, feeds = write_single_file(tmp_path, TINY, CLASSIFIER), padded(EITHER)
    changed = np.where(feeds["attention_mask"] > 0, feeds["input_ids"], 59)
    assert (changed != feeds["input_ids"]).any()
    received = answers(path, {**feeds, "input_ids": changed})["classifier"]
    np.testing.assert_array_equal(received, answers(path, feeds)["classifier"])


# === The file ===


def test_weights_are_in_the_file_once_however_deep_the_model_is(tmp_path):
    write_ours(tmp_path, TINY, ALL)
    sizes = {
        layers: write_single_file(tmp_path, replace(TINY, num_hidden_layers=layers), ALL).stat()
        for layers in (1, 12)
    }
    assert abs(sizes[12].st_size - sizes[1].st_size) < 200
    weights = (tmp_path / "model.safetensors").stat().st_size
    model = onnx.load(tmp_path / "model.onnx")
    assert sum(len(t.raw_data) for t in model.graph.initializer) <= weights


def test_a_file_larger_than_its_weights_allow_is_refused(tmp_path, monkeypatch):
    write_ours(tmp_path, TINY, CLASSIFIER)
    monkeypatch.setattr(single_file, "_GRAPH_BYTES", 0)
    with pytest.raises(WeightsError, match=r"not be larger than 1\.1 times its weights"):
        write_single_file(tmp_path, TINY, CLASSIFIER)
    assert not (tmp_path / "model.onnx").exists()


def test_a_file_passes_the_checker_of_onnx_and_needs_no_other(tmp_path):
    config = replace(TINY, num_hidden_groups=2)
    write_ours(tmp_path, config, ALL)
    path = write_single_file(tmp_path, config, ALL)
    onnx.checker.check_model(path, full_check=True)
    alone = path.rename(tmp_path.parent / f"{tmp_path.name}.onnx")
    assert set(answers(alone, padded(RIGHT))) > {"classifier", "heads.tags"}


# === The folder ===


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_folder_of_one_file_holds_no_other_weights(finetuned, tmp_path, dtype):
    out = export(ExportSettings(finetuned, tmp_path / "out", dtype, single_file=True))
    assert [path.name for path in out.glob("*.onnx")] == ["model.onnx"]
    assert not (out / "model.safetensors").exists()
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert list(run["sha256"]) == ["model.onnx"]
    assert run["export"]["form"] == "single-file"
    with pytest.raises(FolderError, match="for any ONNX Runtime, not for Albatross"):
        open_model(out)


def test_a_pretrained_model_predicts_a_word_for_every_token(pretrained, tmp_path):
    out = export(ExportSettings(pretrained, tmp_path / "one", single_file=True))
    steps = export(ExportSettings(pretrained, tmp_path / "steps"))
    engine, feeds = OnnxEngine(steps, read_config(steps)), padded(RIGHT)
    batch = packed(feeds)
    rows = engine.embed(batch)
    for depth in range(engine.config.depth):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
    received = answers(out / "model.onnx", feeds)["predictions"][feeds["attention_mask"] > 0]
    np.testing.assert_allclose(received, engine.predictions(rows), atol=1e-4, rtol=0)


def test_a_file_that_answers_otherwise_leaves_nothing(finetuned, tmp_path, monkeypatch):
    monkeypatch.setattr(single_folder, "_LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(FolderError, match="must answer as the step graphs do"):
        export(ExportSettings(finetuned, tmp_path / "out", single_file=True))
    assert not (tmp_path / "out").exists()


def test_the_comparison_sees_a_layer_that_is_not_applied(tmp_path, monkeypatch):
    write_ours(tmp_path, TINY, CLASSIFIER)
    write_step_graphs(tmp_path, TINY, CLASSIFIER)
    shallow = replace(TINY, num_hidden_layers=3)
    monkeypatch.setattr(
        single_folder, "write_single_file", lambda f, c, h: write_single_file(f, shallow, h)
    )
    with pytest.raises(FolderError, match=r"difference of .* in `classifier`"):
        put_into_one_file(tmp_path, TINY, CLASSIFIER, is_int8=False)
