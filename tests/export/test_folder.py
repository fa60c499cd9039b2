import json
import sys

import pytest
from transformers import AlbertForSequenceClassification

from albatross.checkpoints.model_folder import read_weights, write_weights
from albatross.errors import FolderError, MissingDependencyError
from albatross.export import folder as module
from albatross.export.folder import export
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings
from albatross.training.transfer import Adaptation


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def shares(folder, reviews, **options):
    answers = load(folder, **options)([text for text, _ in reviews])
    return [answer.probabilities["positive"] for answer in answers]


# === What is written ===


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 5e-3)])
def test_an_exported_folder_answers_as_the_model(finetuned, tmp_path, reviews, dtype, tolerance):
    out = export(ExportSettings(finetuned, tmp_path / "out", dtype))
    expected = pytest.approx(shares(finetuned, reviews), abs=tolerance)
    assert shares(out, reviews) == expected
    assert shares(out, reviews, engine="torch") == expected


def test_half_precision_halves_the_weights(exported, finetuned, tmp_path):
    half = export(ExportSettings(finetuned, tmp_path / "half", "float16"))
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, exported)]
    assert sizes[0] / sizes[1] == pytest.approx(0.5, abs=0.01)


def test_transformers_opens_an_exported_folder(exported):
    model, report = AlbertForSequenceClassification.from_pretrained(
        exported, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_a_folder_holds_weights_once_and_names_its_checksums(exported):
    graphs = sorted(path.name for path in exported.glob("*.onnx"))
    assert graphs == ["embed.onnx", "heads.onnx", "layer.0.onnx"]
    assert set(read(exported / "run.json")["sha256"]) == {*graphs, "model.safetensors"}
    weights = (exported / "model.safetensors").stat().st_size
    assert sum((exported / name).stat().st_size for name in graphs) < weights / 50


def test_training_is_remembered_in_an_exported_folder(exported, finetuned):
    run, before = read(exported / "run.json"), read(finetuned / "run.json")
    assert {key: run[key] for key in ("verb", "settings", "metrics")} == {
        key: before[key] for key in ("verb", "settings", "metrics")
    }
    assert (exported / "README.md").read_bytes() == (finetuned / "README.md").read_bytes()


def test_an_export_may_be_exported_again(exported, tmp_path, reviews):
    again = export(ExportSettings(exported, tmp_path / "again"))
    assert shares(again, reviews) == shares(exported, reviews)


def test_a_folder_of_transformers_is_exported_with_its_labels(exported, tmp_path, reviews):
    theirs = tmp_path / "theirs"
    model = AlbertForSequenceClassification.from_pretrained(exported)
    model.save_pretrained(theirs)
    (theirs / "spiece.model").write_bytes((exported / "spiece.model").read_bytes())
    out = export(ExportSettings(theirs, tmp_path / "out"))
    assert shares(out, reviews) == pytest.approx(shares(exported, reviews), abs=1e-5)


def test_a_vocabulary_in_tokenizer_json_alone_comes_along(exported, with_tokenizer_json, tmp_path):
    source = with_tokenizer_json(exported)
    out = export(ExportSettings(source, tmp_path / "out"))
    assert load(out)("anything") == load(source)("anything")


def test_a_pretrained_model_predicts_words(pretrained, tmp_path):
    out = export(ExportSettings(pretrained, tmp_path / "out"))
    graphs = sorted(path.name for path in out.glob("*.onnx"))
    assert graphs == ["embed.onnx", "heads.onnx", "layer.0.onnx", "predictions.onnx"]
    model = load(out)
    assert list(model.tasks) == ["fill-mask", "coherence"]
    (gap,) = model("The gull [MASK] over the sea.").gaps
    by_torch = load(out, engine="torch")("The gull [MASK] over the sea.").gaps[0]
    assert gap == pytest.approx(by_torch, abs=1e-5)
    order = model(("The gull flew.", "Then it sat down."), task="coherence")
    assert order.label in ("in order", "out of order")


def test_words_that_differ_leave_nothing(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(FolderError, match=r"must answer alike.*in `predictions`"):
        export(ExportSettings(pretrained, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


# === Refusals ===


def test_a_model_is_not_exported_onto_itself(finetuned, copy_of):
    folder = copy_of(finetuned)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for out in (folder, folder / ".." / folder.name):
        with pytest.raises(FolderError, match="must not write over what it reads"):
            export(ExportSettings(folder, out))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_earlier_export_is_replaced_and_nothing_else(finetuned, copy_of, exported, pretrained):
    out = copy_of(exported)
    assert export(ExportSettings(finetuned, out, "float16")) == out
    assert read(out / "run.json")["export"] == {"dtype": "float16"}
    for taken in (copy_of(pretrained), copy_of(pretrained.parent / "shards")):
        with pytest.raises(FolderError, match="must not overwrite what another command wrote"):
            export(ExportSettings(finetuned, taken))


def test_a_run_that_was_interrupted_is_not_shipped(finetuned, copy_of, tmp_path):
    folder = copy_of(finetuned)
    (folder / "training_state").mkdir()
    with pytest.raises(FolderError, match="whose run was interrupted"):
        export(ExportSettings(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_without_any_head_is_refused(pretrained, copy_of, tmp_path):
    folder = copy_of(pretrained)
    write_weights(
        folder, {n: a for n, a in read_weights(folder).items() if n.startswith("albert.")}
    )
    (folder / "run.json").unlink()
    with pytest.raises(FolderError, match="pre-trained only"):
        export(ExportSettings(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_engines_that_differ_leave_nothing(finetuned, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(FolderError, match=r"Both engines must answer alike.*in `classifier`"):
        export(ExportSettings(finetuned, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_error_says_how_to_install_it(finetuned, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "albatross.export.step_graphs")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "albatross\[export\]"'):
        export(ExportSettings(finetuned, tmp_path / "out"))


def test_without_torch_an_export_is_written_all_the_same(finetuned, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "albatross.engine.torch_engine", raising=False)
    monkeypatch.delattr("albatross.engine.torch_engine", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    out = export(ExportSettings(finetuned, tmp_path / "out"))
    assert load(out)("Not a stale line.").label in ("negative", "positive")


# === Delta folders ===


def test_a_delta_folder_becomes_a_whole_one_with_its_adapter_merged(
    delta_of, pretrained, reviews, tmp_path
):
    labels = ("negative", "positive")
    folder = delta_of(pretrained, "delta", Adaptation("lora", 4), labels=labels)
    out = export(ExportSettings(folder, tmp_path / "out"))
    assert not (out / "base.json").exists()
    assert "adapter" not in read(out / "config.json")
    expected = pytest.approx(shares(folder, reviews), abs=1e-5)
    assert shares(out, reviews) == expected
    assert shares(out, reviews, engine="torch") == expected


@pytest.mark.parametrize("adapt", ["lora", "adapter"])
def test_an_adapter_of_each_depth_is_exported_as_it_is(
    delta_of, pretrained, reviews, tmp_path, adapt
):
    labels = ("negative", "positive")
    adaptation = Adaptation(adapt, 4, per_depth=True)
    folder = delta_of(pretrained, "delta", adaptation, labels=labels)
    out = export(ExportSettings(folder, tmp_path / "out"))
    assert read(out / "config.json")["adapter"]["per_depth"] is True
    assert shares(out, reviews) == pytest.approx(shares(folder, reviews), abs=1e-5)


def test_the_next_command_is_one_that_the_export_can_do(exported, pretrained, tmp_path):
    assert "predict" in ExportSettings(exported, exported).following
    out = export(ExportSettings(pretrained, tmp_path / "out"))
    assert ExportSettings(pretrained, out).following == 'albatross predict {out} "A [MASK] film."'
