"""Dropout acts where Google's code applies it; each place is shut wholly and seen to be shut."""

from dataclasses import replace

import pytest
import torch

from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.task_models import AlbertForSequenceClassification


@pytest.fixture
def model(tiny, shaken):
    return shaken(AlbertForPreTraining(tiny)).train()


@pytest.fixture
def layer(model):
    return model.albert.encoder.albert_layer_groups[0].albert_layers[0]


@pytest.fixture
def rows(packed):
    return torch.linspace(-2, 2, 26 * 16).view(26, 16).sin()


def test_embeddings_are_dropped_after_their_norm(model, packed):
    assert model.albert.embeddings(packed).any(1).all()
    model.albert.embeddings.dropout.p = 1.0
    assert not model.albert.embeddings(packed).any()


def test_attention_probabilities_are_dropped(layer, rows, packed):
    attention = layer.attention
    expected = attention.LayerNorm(rows + attention.dense.bias)
    assert not torch.allclose(attention(rows, packed.layout), expected, atol=1e-2)
    attention.attention_dropout = 1.0
    torch.testing.assert_close(attention(rows, packed.layout), expected)


def test_the_output_of_attention_is_dropped_before_the_residual(layer, rows, packed):
    attention = layer.attention
    expected = attention.LayerNorm(rows)
    assert not torch.allclose(attention(rows, packed.layout), expected, atol=1e-2)
    attention.output_dropout.p = 1.0
    torch.testing.assert_close(attention(rows, packed.layout), expected)


def test_the_output_of_the_feed_forward_block_is_dropped_before_the_residual(layer, rows):
    expected = layer.full_layer_layer_norm(rows)
    assert not torch.allclose(layer.feed_forward(rows), expected, atol=1e-2)
    layer.dropout.p = 1.0
    torch.testing.assert_close(layer.feed_forward(rows), expected)


def test_the_input_of_a_task_head_is_dropped(tiny, shaken):
    config = replace(tiny, classifier_dropout_prob=0.5)
    head = shaken(AlbertForSequenceClassification(config)).train().classifier
    torch.manual_seed(0)
    dropped = head(torch.eye(16)) - head.bias
    zeros = (dropped == 0).all(1)
    assert 2 < zeros.sum() < 14
    torch.testing.assert_close(dropped[~zeros], 2 * head.weight.T[~zeros])


def test_sentence_order_is_told_without_dropout(tiny, shaken):
    config = replace(tiny, classifier_dropout_prob=0.9, hidden_dropout_prob=0.9)
    head = shaken(AlbertForPreTraining(config)).sop_classifier
    pooled = torch.linspace(-1, 1, 32).view(2, 16)
    assert torch.equal(head.train()(pooled), head.eval()(pooled))


@pytest.mark.parametrize("name", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_each_setting_makes_training_noisy_and_evaluation_not(tiny, packed, name):
    model = AlbertForPreTraining(replace(tiny, **{name: 0.5}))
    first, second = (model.train().albert.encode(packed) for _ in "12")
    third, fourth = (model.eval().albert.encode(packed) for _ in "12")
    assert not torch.allclose(first, second, atol=1e-2)
    assert torch.equal(third, fourth)


def test_the_setting_reaches_all_its_places(tiny):
    config = replace(tiny, hidden_dropout_prob=0.25, attention_probs_dropout_prob=0.125)
    encoder = AlbertForPreTraining(config).albert
    places = [module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)]
    assert places == [0.25] * 3
    assert encoder.encoder.attention_of(0).attention_dropout == 0.125
