"""The verb convert: round trips through every form, nothing lost, structure changed on request."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from albatross.checkpoints.google import to_google
from albatross.checkpoints.huggingface import encoder_shapes
from albatross.checkpoints.model_folder import (
    read_config,
    read_weights,
    update_model,
    write_model,
)
from albatross.checkpoints.tensorflow_writer import write_checkpoint
from albatross.cli import main
from albatross.config import unshared, variant
from albatross.conversion import target
from albatross.conversion.convert import convert
from albatross.conversion.source import open_source
from albatross.errors import ConfigError, FolderError, WeightsError
from albatross.modeling.model import AlbertForPreTraining
from albatross.settings.conversion import ConvertSettings
from albatross.tokenizer.folder import open_tokenizer
from albatross.training.transfer import Adaptation


def put(folder, config, arrays):
    shutil.rmtree(folder)
    folder.mkdir()
    write_model(folder, config, arrays, {"verb": "x"})


def assert_same_tensors(first, second):
    first, second = read_weights(first), read_weights(second)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


# === There and back ===


@pytest.mark.parametrize("form", ["google", "huggingface", "albatross"])
def test_a_model_comes_back_from_every_form(folder, tmp_path, form):
    there = convert(ConvertSettings(folder, tmp_path / "there", to=form))
    back = convert(ConvertSettings(tmp_path / "there", tmp_path / "back"))
    assert_same_tensors(folder, tmp_path / "back")
    assert there.preserving
    assert max(there.difference.values()) == max(back.difference.values()) == 0
    heads = {"beam_qa", "classifier", "predictions", "sop_classifier"}
    assert {"last_hidden_state", "pooler", *heads} == there.difference.keys()
    assert set(there.heads) == heads


@pytest.mark.parametrize(
    "values", [{"num_hidden_groups": 2}, {"inner_group_num": 2}, {"hidden_act": "relu"}], ids=str
)
def test_groups_inner_layers_and_relu_come_back_from_google(
    folder, tmp_path, tiny, arrays_of, values
):
    config = replace(tiny, **values)
    put(folder, config, arrays_of(config))
    convert(ConvertSettings(folder, tmp_path / "google", to="google"))
    convert(ConvertSettings(tmp_path / "google", tmp_path / "back"))
    assert_same_tensors(folder, tmp_path / "back")
    assert replace(read_config(tmp_path / "back"), extra={}) == config


def test_keys_that_we_do_not_know_survive_the_round_trip(folder, tmp_path):
    convert(ConvertSettings(folder, tmp_path / "out", to="huggingface"))
    assert read_config(tmp_path / "out").extra["my_key"] == [1, 2]


def test_what_goes_to_huggingface_opens_in_transformers_with_equal_logits(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    convert(ConvertSettings(folder, tmp_path / "out", to="huggingface"))
    theirs = transformers.AlbertForPreTraining.from_pretrained(tmp_path / "out").eval()
    ours = AlbertForPreTraining.from_pretrained(folder)
    ids = torch.arange(1, 13).view(2, 6)
    with torch.inference_mode():
        wanted, found = theirs(ids), ours(ids)
    torch.testing.assert_close(found.prediction_logits, wanted.prediction_logits)
    torch.testing.assert_close(found.sop_logits, wanted.sop_logits)


@pytest.mark.parametrize(
    "values",
    [
        {"depth_lora_rank": 2},
        {"cross_layer_sharing": "attention"},
        {"embedding_size": 16, "embedding_projection": False},
    ],
    ids=str,
)
def test_what_transformers_does_not_know_is_written_out_for_it(
    folder, tmp_path, tiny, arrays_of, values
):
    transformers = pytest.importorskip("transformers")
    config = replace(tiny, **values, extra={"architectures": ["AlbertForPreTraining"]})
    put(folder, config, arrays_of(config))
    report = convert(ConvertSettings(folder, tmp_path / "out", to="huggingface"))
    theirs = transformers.AlbertForPreTraining.from_pretrained(tmp_path / "out").eval()
    ours = AlbertForPreTraining.from_pretrained(folder)
    ids = torch.arange(1, 13).view(2, 6)
    with torch.inference_mode():
        wanted, found = theirs(ids).prediction_logits, ours(ids).prediction_logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert report.preserving
    assert report.changes


# === BERT ===


@pytest.fixture
def bert(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=12,
        initializer_range=0.3,
    )
    transformers.BertForPreTraining(config).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_a_bert_comes_back_as_a_bert(bert, tmp_path):
    from transformers import BertForPreTraining

    convert(ConvertSettings(bert, tmp_path / "ours"))
    convert(ConvertSettings(tmp_path / "ours", tmp_path / "back", to="huggingface"))
    first, second = (BertForPreTraining.from_pretrained(p) for p in (bert, tmp_path / "back"))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_a_bert_becomes_an_albert_and_residuals_bring_it_nearer(bert, tmp_path):
    distances = {}
    for rank in (0, 8, 16):
        settings = ConvertSettings(bert, tmp_path / f"{rank}", groups=1, depth_lora_rank=rank)
        report = convert(settings)
        assert read_config(settings.out).num_hidden_groups == 1
        distances[rank] = report.difference["last_hidden_state"]
    assert distances[16] < 1e-4 < distances[8] < distances[0]


def test_a_full_rank_is_reported_as_the_same_function_and_a_mean_is_not(bert, tmp_path):
    kept = convert(ConvertSettings(bert, tmp_path / "a", groups=1, depth_lora_rank=16))
    lost = convert(ConvertSettings(bert, tmp_path / "b", groups=1))
    assert (kept.preserving, lost.preserving) == (True, False)
    assert "4 -> 1 groups by average" in lost.changes


def test_an_albert_unshares_into_groups_exactly(folder, tmp_path):
    report = convert(ConvertSettings(folder, tmp_path / "out", groups=4))
    assert report.preserving
    assert max(report.difference.values()) == 0
    assert read_config(tmp_path / "out").num_hidden_groups == 4


# === Google's folders ===


@pytest.fixture
def google(folder, tmp_path):
    convert(ConvertSettings(folder, tmp_path / "google", to="google"))
    return tmp_path / "google"


def rewrite(google, change):
    """Write the checkpoint again with its variables changed."""
    from albatross.checkpoints.tensorflow import TensorFlowCheckpoint

    prefix = google / "model.ckpt-best"
    checkpoint = TensorFlowCheckpoint.open(prefix)
    variables = {name: np.array(checkpoint.read(name)) for name in checkpoint.variables}
    write_checkpoint(prefix, change(variables))


def test_a_hub_module_is_read_by_its_prefix(google, folder, tmp_path):
    rewrite(google, lambda variables: {f"module/{n}": a for n, a in variables.items()})
    module = tmp_path / "module"
    (module / "variables").mkdir(parents=True)
    (module / "assets").mkdir()
    for path in google.glob("model.ckpt-best.*"):
        name = path.name.replace("model.ckpt-best", "variables")
        shutil.copy(path, module / "variables" / name)
    shutil.copy(google / "albert_config.json", module / "assets")
    convert(ConvertSettings(module, tmp_path / "back"))
    assert_same_tensors(folder, tmp_path / "back")


def test_optimizer_slots_are_skipped_and_named(google, tmp_path):
    slots = {"global_step": np.int64(7), "bert/pooler/dense/kernel/adam_m": np.ones((16, 16))}
    rewrite(google, lambda variables: {**variables, **slots})
    report = convert(ConvertSettings(google, tmp_path / "out"))
    assert report.skipped == tuple(sorted(slots))


def test_something_trained_that_has_no_place_is_not_lost_in_silence(google, tmp_path, capsys):
    rewrite(google, lambda variables: {**variables, "crf/transitions": np.ones((3, 3))})
    words = ["convert", str(google), str(tmp_path / "out")]
    assert main(words) == 1
    assert "crf/transitions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--drop", "crf/"]) == 0


def test_a_head_that_google_has_not_is_not_lost_in_silence(folder, tmp_path):
    config = replace(read_config(folder), extra={"architectures": ["AlbertForTokenClassification"]})
    put(folder, config, read_weights(folder))
    with pytest.raises(WeightsError, match=r"classifier\.bias, classifier\.weight"):
        convert(ConvertSettings(folder, tmp_path / "out", to="google"))


def test_a_race_checkpoint_can_be_told_from_a_regression(google, tmp_path):
    one = {"output_weights": np.ones((1, 16), np.float32), "output_bias": np.ones(1, np.float32)}
    heads = ("start_logits", "end_logits", "answer_class")
    rewrite(
        google,
        lambda variables: {n: a for n, a in variables.items() if not n.startswith(heads)} | one,
    )
    settings = ConvertSettings(google, tmp_path / "out", architecture="AlbertForMultipleChoice")
    report = convert(settings)
    assert read_config(settings.out).extra["architectures"] == ["AlbertForMultipleChoice"]
    assert report.difference["classifier"] < 1e-5


def test_their_gelu_becomes_gelu_new(google):
    assert json.loads((google / "albert_config.json").read_text())["hidden_act"] == "gelu"
    assert open_source(google).config.hidden_act == "gelu_new"


def test_a_checkpoint_without_its_configuration_asks_for_it(google, tmp_path):
    shutil.move(google / "albert_config.json", tmp_path / "c.json")
    with pytest.raises(FolderError, match="--config"):
        open_source(google)
    assert open_source(google, config=tmp_path / "c.json").config.hidden_size == 16


# === What is asked for ===


def test_a_wrong_activation_is_corrected(folder, tmp_path):
    report = convert(ConvertSettings(folder, tmp_path / "out", hidden_act="gelu"))
    assert read_config(tmp_path / "out").hidden_act == "gelu"
    assert not report.preserving
    assert report.difference["last_hidden_state"] > 0


def test_the_report_names_every_tensor_and_what_is_missing(folder, tmp_path, capsys):
    assert main(["convert", str(folder), str(tmp_path / "out"), "--to", "google", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "out" / "run.json").read_text())["conversion"]
    assert printed == kept
    assert len(kept["tensors"]) == len(read_weights(folder))
    assert kept["tensors"]["sop_classifier.classifier.bias"] == "cls/seq_relationship/output_bias"


def test_parts_that_the_source_lacks_are_named(folder, tmp_path):
    arrays = {n: a for n, a in read_weights(folder).items() if not n.startswith("sop_classifier")}
    put(folder, read_config(folder), arrays)
    report = convert(ConvertSettings(folder, tmp_path / "out"))
    assert report.missing == ("sentence-order head",)


@pytest.mark.parametrize("target", ["huggingface", "albatross"])
def test_types_that_transformers_does_not_give_are_told(folder, tmp_path, target):
    tasks = {"a": {"kind": "regression", "mark_shared": True}, "b": {"kind": "tagging"}}
    (folder / "task.json").write_text(json.dumps(tasks), encoding="utf-8")
    changes = convert(ConvertSettings(folder, tmp_path / "out", to=target)).changes
    told = ["both texts" in change for change in changes if "does not mark" in change]
    assert told == ([True] if target == "huggingface" else [])


def test_the_table_is_short(folder, tmp_path, capsys):
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 0
    found = capsys.readouterr()
    assert len(found.out.splitlines()) < 16
    assert "same function" in found.out
    assert "Next: albatross info" in found.err


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"drop": ("nothing.",)}, WeightsError, "--drop"),
        ({"drop": ("albert.encoder",)}, WeightsError, "can be without"),
        ({"groups": 3}, ConfigError, "divisible"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    folder, tmp_path, values, kind, words
):
    with pytest.raises(kind, match=words):
        convert(ConvertSettings(folder, tmp_path / "out", **values))
    assert not (tmp_path / "out").exists()


def test_a_result_that_computes_something_else_is_not_kept(folder, tmp_path, monkeypatch):
    def spoilt(arrays, config):
        return {name: array * 2 for name, array in to_google(arrays, config).items()}

    monkeypatch.setattr(target, "to_google", spoilt)
    with pytest.raises(FolderError, match="must compute the same function"):
        convert(ConvertSettings(folder, tmp_path / "out", to="google"))
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_written_over_itself(folder):
    with pytest.raises(FolderError, match="onto itself"):
        convert(ConvertSettings(folder, folder))


def test_another_command_s_folder_is_not_replaced(folder, pretrained, copy_of, tmp_path):
    other = copy_of(pretrained)
    with pytest.raises(FolderError, match="must not overwrite what another command wrote"):
        convert(ConvertSettings(folder, other))
    for _ in range(2):
        convert(ConvertSettings(folder, tmp_path / "out"))


def test_a_vocabulary_of_another_model_is_refused(folder, pretrained, tmp_path):
    with pytest.raises(FolderError, match="must not have more pieces than its model"):
        convert(ConvertSettings(folder, tmp_path / "out", vocabulary=pretrained))
    assert not (tmp_path / "out").exists()


def test_an_unshared_model_is_written_as_google_knows_it(folder, tmp_path, tiny, arrays_of):
    config = unshared(tiny)
    put(folder, config, arrays_of(config))
    convert(ConvertSettings(folder, tmp_path / "google", to="google"))
    convert(ConvertSettings(tmp_path / "google", tmp_path / "back"))
    assert_same_tensors(folder, tmp_path / "back")


# === Version-1 folders that name the wrong activation ===


@pytest.fixture
def version_1(tmp_path):
    """A folder of base's size as the hub has it: gelu, and no record of ours."""
    config = variant("albert-base-v1", hidden_act="gelu")
    arrays = {n: np.zeros(shape, np.float32) for n, shape in encoder_shapes(config).items()}
    update_model(tmp_path / "base-v1", config, arrays)
    return tmp_path / "base-v1"


def test_a_wrong_activation_is_warned_of_in_one_line(version_1, tmp_path, capsys):
    assert main(["convert", str(version_1), str(tmp_path / "out")]) == 0
    warning = capsys.readouterr().err.splitlines()[0]
    assert warning.startswith("albatross: warning: ")
    assert "--hidden-act gelu_new" in warning


def test_the_right_activation_is_taken_without_a_warning(version_1, tmp_path, capsys):
    words = ["convert", str(version_1), str(tmp_path / "out"), "--hidden-act", "gelu_new"]
    assert main(words) == 0
    assert "warning" not in capsys.readouterr().err
    assert read_config(tmp_path / "out").hidden_act == "gelu_new"


# === Precision ===


def test_weights_can_be_stored_in_half_the_bytes(folder, tmp_path):
    report = convert(ConvertSettings(folder, tmp_path / "half", dtype="float16"))
    before, after = read_weights(folder), read_weights(tmp_path / "half")
    assert {array.dtype.name for array in after.values()} == {"float16"}
    assert all(np.allclose(before[name], after[name], atol=1e-3) for name in before)
    assert "weights stored as float16" in report.changes
    assert not report.preserving


def test_a_precision_that_the_weights_have_changes_nothing(folder, tmp_path):
    report = convert(ConvertSettings(folder, tmp_path / "same", dtype="float32"))
    assert_same_tensors(folder, tmp_path / "same")
    assert report.preserving


@pytest.mark.parametrize("target", ["albatross", "huggingface"])
def test_a_folder_over_a_base_takes_its_vocabulary_along(delta_of, pretrained, tmp_path, target):
    folder = delta_of(pretrained, "delta", Adaptation("layers"))
    convert(ConvertSettings(folder, tmp_path / "whole", to=target))
    assert open_tokenizer(tmp_path / "whole").sha256 == open_tokenizer(pretrained).sha256
