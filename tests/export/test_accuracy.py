"""The gate: what rounding costs on the user's records, and a word of warning without them."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.eight_bits import rounded
from albatross.checkpoints.model_folder import read_stored_weights, write_weights
from albatross.config import AlbertConfig, variant
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.open import open_model
from albatross.errors import AlbatrossWarning, ConfigError, DataError, FolderError, LabelError
from albatross.export import accuracy as module
from albatross.export import folder as folder_module
from albatross.export.accuracy import Accuracy, check_probes, difference, probes
from albatross.export.folder import export
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.settings.answering import ExportSettings


@pytest.fixture
def dev(tmp_path, reviews):
    """As many wrong labels as make the figure move: the last quarter is turned round."""
    turned = {"positive": "negative", "negative": "positive"}
    rows = [
        (text, turned[label] if at % 4 == 3 else label) for at, (text, label) in enumerate(reviews)
    ]
    path = tmp_path / "dev.tsv"
    lines = "".join(f"{text}\t{label}\n" for text, label in rows)
    path.write_text(f"sentence\tlabel\n{lines}", encoding="utf-8")
    return path


@pytest.fixture
def rounds_coarsely(monkeypatch):
    """Makes every weight of an export zero: even one bit and a sign knows the reviews by heart."""
    from albatross.export import quantization

    monkeypatch.setattr(quantization, "rounded", lambda values, _: rounded(0 * values, 1))


def run_of(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


# === Points ===


@pytest.mark.parametrize(
    ("metric", "before", "after", "points"),
    [
        ("accuracy", 0.91, 0.9, 1.0),
        ("accuracy", 0.9, 0.91, -1.0),
        ("bleu", 31.5, 31.0, 0.5),
        ("mse", 0.50, 0.51, 2.0),
        ("mae", 0.0, 0.0, 0.0),
    ],
)
def test_a_point_is_a_hundredth_of_the_figure(metric, before, after, points):
    assert Accuracy(metric, 9, before, after, "int8").loss == pytest.approx(points)


def test_the_table_shows_both_figures_and_what_is_lost():
    shown = str(Accuracy("accuracy", 1_234, 0.91, 0.9, "int8")).split()
    assert shown == [
        *("float32", "int8", "points", "lost"),
        *("accuracy", "0.9100", "0.9000", "1.00", "on", "1,234", "records"),
    ]


# === With records ===


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_an_export_is_measured_on_the_records_that_are_given(
    finetuned, tmp_path, dev, dtype, capsys
):
    out = export(ExportSettings(finetuned, tmp_path / "out", dtype, dev=(str(dev),)))
    found = run_of(out)["export"]
    assert found["dtype"] == dtype
    (measured,) = found["dev"].values()
    assert (measured["file"], measured["metric"]) == ("dev.tsv", "accuracy")
    assert measured["float32"] == measured[dtype] == pytest.approx(0.75)
    assert "accuracy                0.7500    0.7500          0.00   on 32 records" in (
        capsys.readouterr().err
    )


def test_more_loss_than_is_allowed_leaves_nothing(finetuned, tmp_path, train_file, rounds_coarsely):
    settings = ExportSettings(finetuned, tmp_path / "out", "int8", dev=(str(train_file),))
    with pytest.raises(FolderError, match=r"no more than --max-loss 0\.5 points of accuracy\. Rec"):
        export(settings)
    assert list(tmp_path.iterdir()) == []


def test_what_is_lost_may_be_allowed(finetuned, tmp_path, train_file, rounds_coarsely):
    settings = ExportSettings(
        finetuned, tmp_path / "out", "int8", dev=(str(train_file),), max_loss=100
    )
    (found,) = run_of(export(settings))["export"]["dev"].values()
    assert found["float32"] - found["int8"] > 0.005


def test_records_that_cannot_be_scored_leave_nothing(finetuned, tmp_path):
    bad = tmp_path / "bad.tsv"
    bad.write_text("sentence\tlabel\nA lovely film.\tsplendid\n", encoding="utf-8")
    with pytest.raises(DataError, match="splendid"):
        export(ExportSettings(finetuned, tmp_path / "out", "int8", dev=(str(bad),)))
    assert list(tmp_path.iterdir()) == [bad]


def test_a_loss_below_zero_cannot_be_asked_for(finetuned, tmp_path):
    with pytest.raises(ConfigError, match="`--max-loss` must lie between 0 and 100"):
        ExportSettings(finetuned, tmp_path / "out", "int8", max_loss=-1.0)


# === Without records ===


def test_without_records_outputs_that_move_far_are_warned_of(finetuned, tmp_path, rounds_coarsely):
    with pytest.warns(AlbatrossWarning, match=r"Outputs in int8 should stay within 20%.*--dev"):
        out = export(ExportSettings(finetuned, tmp_path / "out", "int8"))
    assert run_of(out)["export"] == {"dtype": "int8"}


def test_a_pretrained_model_is_compared_by_its_words(
    pretrained, copy_of, change_json, tmp_path, monkeypatch
):
    # Its few steps have taught it nothing of order: all texts are alike to that head.
    pretrained = copy_of(pretrained)
    change_json(pretrained / "config.json", architectures=["AlbertForMaskedLM"])
    asked = []
    monkeypatch.setattr(folder_module, "check_probes", lambda *a: asked.append(check_probes(*a)))
    out = export(ExportSettings(pretrained, tmp_path / "out", "int8"))
    assert 0 < asked[0] < module._SUSPICIOUS / 2
    table = read_stored_weights(out)["albert.embeddings.word_embeddings.weight_int8"]
    assert np.abs(table.astype(int)).max() == 63


def test_a_pretrained_model_is_measured_on_gaps(pretrained, tmp_path, dev):
    gaps = tmp_path / "gaps.tsv"
    gaps.write_text("text\tlabel\nthe gull [MASK] over the sea\tthe\n[MASK] sea\tthe\n")
    out = export(ExportSettings(pretrained, tmp_path / "out", "int8", dev=(str(gaps),)))
    assert run_of(out)["export"]["dev"]["fill-mask"]["metric"] == "accuracy"
    with pytest.raises(LabelError, match="must have one gap"):
        export(ExportSettings(pretrained, tmp_path / "none", "int8", dev=(str(dev),)))
    assert not (tmp_path / "none").exists()


def test_every_task_is_measured_on_records_of_its_own(pretrained, tmp_path, capsys):
    gaps, orders = tmp_path / "gaps.tsv", tmp_path / "orders.tsv"
    gaps.write_text("text\tlabel\nthe gull [MASK] over the sea\tthe\n[MASK] sea\tthe\n")
    rows = [f"the gull flew\tover the sea\t{label}" for label in ("in order", "out of order")]
    orders.write_text("\n".join(["text\ttext_pair\tlabel", *rows]) + "\n")
    named = (f"coherence={orders}", f"fill-mask={gaps}")
    settings = ExportSettings(pretrained, tmp_path / "out", "int8", dev=named, max_loss=100)
    found = run_of(export(settings))["export"]["dev"]
    assert {name: each["file"] for name, each in found.items()} == {
        "coherence": "orders.tsv",
        "fill-mask": "gaps.tsv",
    }
    assert found["coherence"]["int8"] == 0.5
    shown = [line.split()[0] for line in capsys.readouterr().err.splitlines() if "points" in line]
    assert shown == ["coherence", "fill-mask"]
    with pytest.raises(ConfigError, match=r"one file a task\. Received two for the task 'fill-m"):
        export(replace(settings, dev=(str(gaps), f"fill-mask={gaps}")))


def test_outputs_that_stay_are_not_warned_of(finetuned, tmp_path, exported):
    out = export(ExportSettings(finetuned, tmp_path / "out", "int8"))
    before, after = (open_model(folder).engine for folder in (exported, out))
    assert 0 < check_probes(before, after, "int8") < module._SUSPICIOUS / 2
    assert check_probes(before, before, "int8") == 0


@pytest.mark.parametrize("ruined", ["", "end_dense", "answer_dense"])
def test_heads_for_answers_are_looked_into(tmp_path, ruined):
    config = variant("albatross-tiny", vocab_size=40, initializer_range=0.3)
    heads = {"beam_qa": HeadSpec("beam_span", 0)}
    model = AlbertWithHeads(config, heads=heads, seed=0)
    arrays = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    engines = []
    for folder in (tmp_path / "before", tmp_path / "after"):
        folder.mkdir()
        write_weights(folder, arrays)
        write_step_graphs(folder, config, heads)
        engines.append(OnnxEngine(folder, config))
        if ruined:
            arrays[f"beam_qa.{ruined}.weight"] *= -1
    with nullcontext() if not ruined else pytest.warns(AlbatrossWarning, match="their spread"):
        check_probes(engines[0], engines[1], "int8")


def test_a_difference_is_a_share_of_the_outputs_spread():
    before = {"a": np.array([[0.0], [2.0]]), "b": np.array([[1.0], [1.0]])}
    after = {"a": np.array([[0.1], [2.1]]), "b": before["b"]}
    assert difference(before, after) == pytest.approx(0.1)


def test_outputs_that_are_no_numbers_are_no_small_difference():
    before = {"a": np.array([[0.0], [2.0]]), "b": np.array([[1.0], [2.0]])}
    after = {"a": np.array([[np.nan], [2.0]]), "b": before["b"]}
    assert not difference(before, after) <= module._SUSPICIOUS


def test_probes_fit_the_model_and_are_always_the_same():
    config = AlbertConfig.from_dict({**variant("albatross-tiny").to_dict(), "vocab_size": 20})
    found = probes(config)
    assert {tuple(sorted(set(example.token_type_ids))) for example in found} == {(0, 1)}
    assert max(example.input_ids.max() for example in found) == 19
    assert [e.input_ids.tolist() for e in found] == [e.input_ids.tolist() for e in probes(config)]
