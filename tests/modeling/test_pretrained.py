"""Opening model folders as modules: nothing ever starts at random unasked."""

from dataclasses import replace

import pytest
import torch

from albatross.checkpoints.model_folder import WEIGHTS
from albatross.config import AlbertConfig, HeadSpec
from albatross.errors import FolderError, WeightsError
from albatross.modeling.model import (
    AlbertForMaskedLM,
    AlbertForPreTraining,
    AlbertForSequenceClassification,
    AlbertModel,
    AlbertWithHeads,
)

CONFIG = AlbertConfig(
    vocab_size=10,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=6,
)
CLASSES = [AlbertModel, AlbertForPreTraining, AlbertForMaskedLM, AlbertForSequenceClassification]
MODES = [
    {},
    {"num_hidden_groups": 2},
    {"inner_group_num": 2},
    {"cross_layer_sharing": "attention"},
    {"cross_layer_sharing": "ffn", "inner_group_num": 2},
    {"cross_layer_sharing": "none", "num_hidden_groups": 2},
]


@pytest.fixture
def folder(tmp_path):
    AlbertForPreTraining(CONFIG, seed=1).save_pretrained(tmp_path)
    return tmp_path


def assert_same_weights(first, second):
    assert first.state_dict().keys() == second.state_dict().keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_saved_model_comes_back_the_same(tmp_path, kind, mode):
    model = kind(replace(CONFIG, **mode), seed=3)
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert_same_weights(model, again)
    assert not again.training
    assert replace(again.config, extra={}) == replace(model.config, extra={})


def test_an_opened_model_can_be_trained_and_leaves_its_file_alone(folder):
    before = (folder / WEIGHTS).read_bytes()
    model = AlbertForPreTraining.from_pretrained(folder)
    model(torch.tensor([[1, 2]]), labels=torch.tensor([[3, 4]])).loss.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert (folder / WEIGHTS).read_bytes() == before
    with pytest.raises(AssertionError):
        assert_same_weights(model, AlbertForPreTraining.from_pretrained(folder))


@pytest.mark.parametrize("kind", [AlbertModel, AlbertForMaskedLM])
def test_parts_that_a_class_lacks_are_left_out(folder, kind):
    source = AlbertForPreTraining.from_pretrained(folder).state_dict()
    for name, tensor in kind.from_pretrained(folder).state_dict().items():
        known = source[name] if name in source else source[f"albert.{name}"]
        assert torch.equal(tensor, known)


def test_a_head_that_the_file_lacks_is_refused_unless_asked_for(folder):
    with pytest.raises(WeightsError, match=r"missing: classifier.bias, classifier.weight"):
        AlbertForSequenceClassification.from_pretrained(folder)
    model = AlbertForSequenceClassification.from_pretrained(folder, initialize=["classifier"])
    assert model.classifier.weight.std() > 0.005
    assert not model.classifier.bias.any()


def test_only_what_is_named_starts_anew(folder):
    one, same, other = (
        AlbertForSequenceClassification.from_pretrained(folder, initialize="classifier", seed=seed)
        for seed in (5, 5, 6)
    )
    assert_same_weights(one, same)
    assert_same_weights(one.albert, other.albert)
    assert_same_weights(one.albert, AlbertModel.from_pretrained(folder))
    assert not torch.equal(one.classifier.weight, other.classifier.weight)


def test_a_part_that_fits_is_kept_even_when_it_may_start_anew(folder):
    model = AlbertForPreTraining.from_pretrained(folder, initialize=["sop_classifier"], seed=9)
    assert_same_weights(model, AlbertForPreTraining.from_pretrained(folder))


def test_a_head_of_another_size_starts_anew_when_asked_for(tmp_path):
    AlbertForSequenceClassification(CONFIG, num_labels=2).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"classifier.weight \(2, 8\) for \(5, 8\)"):
        AlbertForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    model = AlbertForSequenceClassification.from_pretrained(
        tmp_path, num_labels=5, initialize=["classifier"]
    )
    assert model.classifier.weight.shape == (5, 8)


def test_one_prefix_given_as_text_is_one_prefix(tmp_path):
    AlbertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    # Its letters are not prefixes: `albert.pooler` is missing, and begins with one of them.
    with pytest.raises(WeightsError, match=r"missing: albert.pooler"):
        AlbertForSequenceClassification.from_pretrained(tmp_path, initialize="classifier")


@pytest.mark.parametrize("prefix", ["pooler", "albert.pooler"])
def test_a_prefix_may_be_written_with_and_without_the_name_of_the_encoder(tmp_path, prefix):
    AlbertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"missing: albert.pooler"):
        AlbertModel.from_pretrained(tmp_path)
    model = AlbertModel.from_pretrained(tmp_path, initialize=[prefix])
    assert model.pooler.weight.std() > 0.005
    assert not any(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize(
    "values", [{"hidden_size": 16}, {"num_hidden_groups": 2}, {"vocab_size": 11}]
)
def test_another_configuration_is_refused(folder, values):
    with pytest.raises(WeightsError, match=r"must be those that its config.json describes"):
        AlbertForPreTraining.from_pretrained(folder, config=replace(CONFIG, **values))


def test_another_dropout_may_be_given(folder):
    config = replace(CONFIG, hidden_dropout_prob=0.5)
    model = AlbertForPreTraining.from_pretrained(folder, config=config)
    assert model.albert.embeddings.dropout.p == 0.5


def test_half_precision_is_widened(tmp_path):
    model = AlbertForMaskedLM(CONFIG)
    model.half().save_pretrained(tmp_path)
    again = AlbertForMaskedLM.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert_same_weights(again, model.float())


def test_a_bfloat16_model_is_saved_as_float32(tmp_path):
    model = AlbertForMaskedLM(CONFIG).bfloat16()
    model.save_pretrained(tmp_path)
    assert_same_weights(AlbertForMaskedLM.from_pretrained(tmp_path), model.float())


def test_heads_by_name_come_back(tmp_path):
    heads = {"classifier": HeadSpec("sequence", 2), "heads.topic": HeadSpec("sequence", 3)}
    model = AlbertWithHeads(CONFIG, heads=heads, seed=4)
    model.save_pretrained(tmp_path)
    assert_same_weights(AlbertWithHeads.from_pretrained(tmp_path, heads=heads), model)


def test_a_folder_without_weights_is_refused(folder):
    (folder / WEIGHTS).unlink()
    with pytest.raises(FolderError, match=r"must hold `model.safetensors`"):
        AlbertForPreTraining.from_pretrained(folder)
