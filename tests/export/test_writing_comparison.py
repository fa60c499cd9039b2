"""Exporting a model that writes: its texts are torch's, or nothing is written."""

import json

import pytest
import torch
from tests.conftest import VOCABULARY
from tests.engine.test_open import run_without_torch

from albatross.atomic import read_json
from albatross.checkpoints.safetensors_file import read_header
from albatross.config import AlbertConfig
from albatross.engine.onnx_generator import OnnxGenerator
from albatross.engine.open import open_model
from albatross.engine.torch_generator import TorchGenerator
from albatross.errors import ConfigError, FolderError
from albatross.export import folder as module
from albatross.export.folder import export
from albatross.export.writing_comparison import compare_writing
from albatross.modeling.generation_model import AlbertForGeneration
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task_file import write_tasks
from albatross.tokenizer.unigram import UnigramTokenizer

TEXTS = ["The gull flew over the harbour.", "", "It did not."]


def written(folder, decoder, *, seed=4, beams=1):
    """A folder as fine-tuning leaves it, of random weights that say something else to each text."""
    tokenizer = UnigramTokenizer.from_file(VOCABULARY)
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=128,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=96,
        initializer_range=0.05,
    )
    model = AlbertForGeneration(config, decoder=decoder, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    model.save_pretrained(folder)
    tokenizer.save(folder)
    task = GenerationTask(
        "answers", tokenizer, decoder, max_length=48, target_length=24, beams=beams
    )
    write_tasks(folder, [task])
    return folder


@pytest.fixture(params=["cross", "prefix"])
def model(request, tmp_path):
    return written(tmp_path / "model", request.param)


@pytest.fixture
def out(model, tmp_path):
    return export(ExportSettings(model, tmp_path / "out"))


def texts(folder, **options):
    return [list(answer.candidates) for answer in load(folder, **options)(TEXTS)]


# === As torch ===


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("decoder", ["cross", "prefix"])
def test_an_exported_folder_writes_what_the_model_writes(tmp_path, decoder, beams):
    model = written(tmp_path / "model", decoder, beams=beams)
    out = export(ExportSettings(model, tmp_path / "out"))
    expected = texts(model)
    assert len(set(map(str, expected))) == len(TEXTS)
    assert texts(out) == expected
    assert texts(out, engine="torch") == expected


def test_an_exported_folder_writes_where_torch_is_not_installed(model, out):
    done = run_without_torch("predict", out, *TEXTS, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = [list(json.loads(line)["candidates"]) for line in done.stdout.splitlines()]
    assert found == texts(model)


def test_without_torch_a_folder_without_graphs_says_what_is_missing(model):
    done = run_without_torch("predict", model, "a")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert 'pip install "albatross[train]"' in done.stderr


def test_graphs_are_taken_where_they_are(model, out):
    assert isinstance(open_model(out).engine, OnnxGenerator)
    assert isinstance(open_model(out, engine="torch").engine, TorchGenerator)
    assert isinstance(open_model(model).engine, TorchGenerator)
    with pytest.raises(FolderError, match=r"without `layer\.0\.onnx`\. Run `albatross export`"):
        open_model(model, engine="onnx")


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_weights_write_without_torch(model, tmp_path, dtype):
    out = export(ExportSettings(model, tmp_path / "out", dtype))
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (out, model)]
    assert sizes[0] < 0.9 * sizes[1]
    assert len(texts(out)) == len(TEXTS)


def test_weights_are_those_of_the_model_and_graphs_have_checksums(model, out):
    tensors = [read_header(folder / "model.safetensors").keys() for folder in (model, out)]
    assert tensors[0] == tensors[1]
    graphs = {path.name for path in out.glob("*.onnx")}
    assert {"memory.0.onnx", "decode_layer.0.onnx", "predictions.onnx"} <= graphs
    assert read_json(out / "run.json")["sha256"].keys() == {*graphs, "model.safetensors"}


# === Refusals ===


def test_engines_of_other_weights_are_told_apart(model, tmp_path):
    opened = open_model(model)
    task = opened.task
    assert isinstance(task, GenerationTask)
    same, other = (
        TorchGenerator.from_folder(written(tmp_path / str(seed), task.decoder, seed=seed))
        for seed in (4, 5)
    )
    compare_writing(opened.engine, same, task, 1e-4)
    with pytest.raises(FolderError, match=r"must write alike, within 0\.0001"):
        compare_writing(opened.engine, other, task, 1e-4)


def test_engines_that_differ_leave_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(FolderError, match=r"Both engines must write alike.*in the task answers"):
        export(ExportSettings(model, tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_graph_that_was_changed_is_refused(out):
    path = out / "decode_layer.0.onnx"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(FolderError, match=r"`decode_layer\.0\.onnx` must have the checksum"):
        open_model(out)


def test_a_model_that_writes_is_not_put_into_one_file(model, tmp_path):
    with pytest.raises(ConfigError, match=r"answers at once, and does not write.*answers"):
        export(ExportSettings(model, tmp_path / "out", single_file=True))
    assert not (tmp_path / "out").exists()
