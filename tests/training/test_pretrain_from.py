"""Pre-training that goes on from a model: what stays, what starts anew, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albatross.checkpoints.model_folder import read_weights
from albatross.conversion.convert import convert
from albatross.errors import ConfigError, FolderError, TrainingError
from albatross.modeling.model import AlbertForPreTraining
from albatross.report import file_digest
from albatross.settings.conversion import ConvertSettings
from albatross.training.finetune import finetune
from albatross.training.pretrain import pretrain
from albatross.training.run_log import read_log

WORDPIECES = Path(__file__).parents[1] / "tokenizer" / "tiny_vocab.txt"


@pytest.fixture
def short(short):
    """A short run that leaves the shape to the model it goes on from."""
    return replace(short, shape=())


def first_loss(folder):
    """The masked-word loss of the first step."""
    return next(line["masked_lm_loss"] for line in read_log(folder / "log.jsonl") if "loss" in line)


def test_a_model_goes_on_where_it_stood(short, pretrained):
    before = first_loss(pretrained)
    out = pretrain(replace(short, from_model=pretrained, learning_rate=1e-5))
    assert first_loss(out) < before - 0.5
    digest = json.loads((out / "run.json").read_text())["data"]["model"][0]
    assert digest == file_digest(pretrained / "model.safetensors")


def test_a_model_that_grew_goes_on_and_its_groups_part(short, pretrained, tmp_path):
    convert(ConvertSettings(pretrained, tmp_path / "grown", groups=2, layers=6))
    out = pretrain(replace(short, from_model=tmp_path / "grown"))
    weights = read_weights(out)
    name = "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn.weight"
    assert not np.array_equal(weights[name.format(0)], weights[name.format(1)])


def test_heads_that_a_classifier_lost_start_anew_and_are_named(short, finetuned, capsys):
    out = pretrain(replace(short, from_model=finetuned))
    assert "Starting anew: predictions, sop_classifier" in capsys.readouterr().err
    assert AlbertForPreTraining.from_pretrained(out).config.extra["architectures"] == [
        "AlbertForPreTraining"
    ]


def test_shards_of_another_tokenizer_are_refused(short, pretrained, copy_of):
    other = copy_of(pretrained)
    (other / "spiece.model").unlink()
    shutil.copy(WORDPIECES, other / "vocab.txt")
    (other / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match="cut by its own tokenizer"):
        pretrain(replace(short, from_model=other))


def test_a_model_is_not_written_over_the_one_it_goes_on_from(short, pretrained):
    with pytest.raises(FolderError, match="must not write over what it reads"):
        pretrain(replace(short, from_model=pretrained, out=pretrained))


@pytest.mark.parametrize("start", ["normal", "sinusoidal"])
def test_new_positions_and_an_old_model_do_not_go_together(short, pretrained, start):
    with pytest.raises(ConfigError, match="--position-start"):
        replace(short, from_model=pretrained, position_start=start)


def test_a_new_shape_and_an_old_model_do_not_go_together(short, pretrained):
    with pytest.raises(ConfigError, match="--shape hidden_size=32 with --from-model"):
        replace(short, from_model=pretrained, shape=("hidden_size=32",))


def test_a_run_from_a_model_that_was_interrupted_ends_with_the_same_bits(
    short, pretrained, tmp_path, interrupt
):
    whole = pretrain(replace(short, from_model=pretrained))
    second = replace(short, from_model=pretrained, out=tmp_path / "second")
    interrupt(1)
    with pytest.raises(TrainingError, match="SIGTERM"):
        pretrain(second)
    pretrain(second)
    first, again = (read_weights(folder) for folder in (whole, second.out))
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_an_interrupted_run_does_not_go_on_without_its_model(short, pretrained, interrupt):
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(replace(short, from_model=pretrained))
    with pytest.raises(ConfigError, match="the data's model="):
        pretrain(short)


def test_a_model_over_a_base_goes_on_without_the_labels_it_had(short, finetune_settings, tmp_path):
    settings = replace(finetune_settings, out=tmp_path / "delta", epochs=1, adapt="layers")
    out = pretrain(replace(short, from_model=finetune(settings)))
    extra = AlbertForPreTraining.from_pretrained(out).config.extra
    assert not {"id2label", "label2id", "problem_type"} & extra.keys()


def test_a_pooler_stays_where_one_was_and_none_is_kept_that_nothing_trained(
    short, pretrained, tmp_path, finetune_settings
):
    words = replace(short, objective="none")
    new = pretrain(words)
    assert not [name for name in read_weights(new) if "pooler" in name]
    on = pretrain(replace(words, out=tmp_path / "on", from_model=new))
    assert not [name for name in read_weights(on) if "pooler" in name]
    other = pretrain(replace(words, out=tmp_path / "other", from_model=pretrained))
    name = "albert.pooler.weight"
    np.testing.assert_array_equal(read_weights(other)[name], read_weights(pretrained)[name])
    learned = finetune(replace(finetune_settings, model=new, out=tmp_path / "learned", epochs=1))
    assert name in read_weights(learned)


def test_words_alone_that_were_interrupted_end_with_the_same_bits(short, tmp_path, interrupt):
    words = replace(short, objective="none", save_minutes=0.0)
    whole = pretrain(replace(words, out=tmp_path / "whole"))
    interrupt(4)
    with pytest.raises(TrainingError, match="SIGTERM"):
        pretrain(words)
    pretrain(words)
    one, other = ((folder / "model.safetensors").read_bytes() for folder in (whole, words.out))
    assert one == other
