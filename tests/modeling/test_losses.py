from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from albatross.errors import ConfigError
from albatross.modeling.heads import cross_entropy
from albatross.modeling.model import (
    AlbertForMaskedLM,
    AlbertForPreTraining,
)
from albatross.modeling.task_models import AlbertForSequenceClassification

IDS = torch.tensor([[2, 7, 4, 9], [2, 5, 3, 1]])
WORDS = torch.tensor([[-100, 8, -100, 1], [-100, -100, 6, -100]])
ORDER = torch.tensor([1, 0])


def ignored(labels):
    return torch.full_like(labels, -100)


@pytest.fixture
def model(tiny, shaken):
    return shaken(AlbertForPreTraining(tiny))


def test_the_mean_is_over_labels_that_are_not_ignored():
    logits = torch.linspace(-2, 2, 15).view(3, 5).cos()
    expected = functional.cross_entropy(logits[1:], torch.tensor([2, 4]))
    found = cross_entropy(logits, torch.tensor([-100, 2, 4], dtype=torch.int32))
    torch.testing.assert_close(found, expected)


def test_the_two_losses_add_up(model):
    words = model(IDS, labels=WORDS).loss
    order = model(IDS, sentence_order_label=ORDER).loss
    both = model(IDS, labels=WORDS, sentence_order_label=ORDER).loss
    assert min(words, order) > 0.01
    torch.testing.assert_close(both, words + order)


def test_a_sequence_without_order_leaves_the_order_loss_to_the_others(model):
    found = model(IDS, sentence_order_label=torch.tensor([-100, 0])).loss
    torch.testing.assert_close(found, model(IDS[1:], sentence_order_label=ORDER[1:]).loss)


def test_labels_that_are_all_ignored_give_zero_and_no_nan(model):
    loss = model(IDS, labels=ignored(WORDS), sentence_order_label=ignored(ORDER)).loss
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_an_ignored_loss_leaves_the_other_as_it_was(model):
    alone = model(IDS, labels=WORDS).loss
    assert model(IDS, labels=WORDS, sentence_order_label=ignored(ORDER)).loss == alone


def test_without_labels_there_is_no_loss(tiny, model):
    assert model(IDS).loss is None
    assert AlbertForMaskedLM(tiny)(IDS).loss is None
    assert AlbertForSequenceClassification(tiny)(IDS).loss is None


def test_masked_lm_has_no_pooler(tiny):
    names = AlbertForMaskedLM(tiny).state_dict()
    assert not any("pooler" in name for name in names)
    assert AlbertForMaskedLM(tiny).albert(IDS).pooler_output is None


@pytest.mark.parametrize(
    ("count", "labels", "kind"),
    [
        (1, torch.tensor([0.5, -1.0]), "regression"),
        (1, torch.tensor([[1], [0]]), "regression"),
        (3, torch.tensor([2, 0]), "single_label_classification"),
        (3, torch.tensor([[True, False, True], [False] * 3]), "multi_label_classification"),
        (3, torch.tensor([[1.0, 0.0, 1.0], [0.0] * 3]), "multi_label_classification"),
    ],
)
def test_the_labels_tell_the_kind_of_problem(tiny, count, labels, kind):
    plain = AlbertForSequenceClassification(tiny, num_labels=count).eval()
    config = replace(plain.config, extra={**plain.config.extra, "problem_type": kind})
    assert (
        plain(IDS, labels=labels).loss
        == AlbertForSequenceClassification(config).eval()(IDS, labels=labels).loss
    )


def test_an_unknown_kind_of_problem_is_refused(tiny):
    model = AlbertForSequenceClassification(replace(tiny, extra={"problem_type": "ranking"}))
    with pytest.raises(ConfigError, match="Received: 'ranking'"):
        model(IDS, labels=ORDER)


def test_the_number_of_labels_goes_into_the_configuration(tiny):
    config = AlbertForSequenceClassification(tiny, num_labels=5).config
    assert len(config.extra["id2label"]) == config.num_labels == 5
    assert AlbertForSequenceClassification(config).classifier.weight.shape == (5, 16)
