"""What the task classes take and refuse; their numbers are compared elsewhere."""

from dataclasses import replace

import pytest
import torch

import albatross
from albatross.errors import ConfigError, DataError
from albatross.modeling.heads import position_loss

IDS = torch.tensor([[2, 7, 4, 9], [2, 5, 3, 0]])
SHOWN = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
CLASSES = [
    albatross.AlbertForSequenceClassification,
    albatross.AlbertForTokenClassification,
    albatross.AlbertForMultipleChoice,
    albatross.AlbertForQuestionAnswering,
    albatross.AlbertForBeamQuestionAnswering,
]
classes = pytest.mark.parametrize("kind", CLASSES)


def inputs_of(kind):
    ids = IDS[:, None] if kind is albatross.AlbertForMultipleChoice else IDS
    return {"input_ids": ids, "attention_mask": SHOWN.view_as(ids)}


# === All of them ===


@classes
def test_without_labels_there_is_no_loss(tiny, kind):
    assert kind(tiny)(**inputs_of(kind)).loss is None


@classes
def test_hidden_states_and_attentions_come_when_asked_for(tiny, kind):
    wanted = {"output_hidden_states": True, "output_attentions": True}
    outputs = kind(tiny).eval()(**inputs_of(kind), **wanted)
    assert len(outputs.hidden_states) == 5
    assert outputs.attentions[3].shape == (2, 4, 4, 4)


@classes
def test_only_heads_over_whole_sequences_have_a_pooler(tiny, kind):
    pools = kind in (CLASSES[0], CLASSES[2])
    assert any("pooler" in name for name in kind(tiny).state_dict()) == pools


@classes
def test_a_saved_model_comes_back_the_same(tmp_path, tiny, shaken, kind):
    model = shaken(kind(tiny))
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    for one, other in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)
    found, expected = (m(**inputs_of(kind)) for m in (again, model))
    for one, other in zip(found, expected, strict=True):
        # Mapped weights lie elsewhere in memory, and sums may take another order.
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", CLASSES[:2])
def test_the_classifier_reads_what_dropout_left(tiny, kind):
    config = replace(tiny, classifier_dropout_prob=0.5)
    model = kind(config).train()
    assert not torch.equal(model(IDS).logits, model(IDS).logits)
    model.classifier.dropout = 1.0
    expected = model.classifier.bias.expand_as(model(IDS).logits)
    assert torch.equal(model(IDS).logits, expected)


def test_questions_are_answered_without_dropout_by_the_plain_head_alone(tiny):
    config = replace(tiny, classifier_dropout_prob=0.9)
    plain = albatross.AlbertForQuestionAnswering(config).train()
    beam = albatross.AlbertForBeamQuestionAnswering(config).train()
    assert torch.equal(plain(IDS).start_logits, plain(IDS).start_logits)
    assert torch.equal(beam(IDS).end_top_log_probs, beam(IDS).end_top_log_probs)
    assert not torch.equal(beam(IDS).cls_logits, beam(IDS).cls_logits)


# === Classes of tokens, choices ===


def test_tokens_labelled_minus_100_do_not_count(tiny, shaken):
    model = shaken(albatross.AlbertForTokenClassification(tiny, num_labels=3))
    labels = torch.tensor([[0, -100, 2, -100], [-100, 1, -100, -100]])
    logits = model(IDS, SHOWN).logits
    rows = logits[labels != -100].log_softmax(-1)
    expected = -rows[range(3), [0, 2, 1]].mean()
    torch.testing.assert_close(model(IDS, SHOWN, labels=labels).loss, expected)


def test_all_labels_ignored_give_zero_and_no_nan(tiny):
    model = albatross.AlbertForTokenClassification(tiny)
    assert model(IDS, labels=torch.full_like(IDS, -100)).loss == 0


@pytest.mark.parametrize("given", [{"input_ids": IDS}, {"inputs_embeds": torch.zeros(2, 4, 8)}, {}])
def test_choices_without_their_dimension_are_refused(tiny, given):
    with pytest.raises(DataError, match=r"\(batch, choices, tokens\)"):
        albatross.AlbertForMultipleChoice(tiny)(**given)


# === Answers ===


@pytest.mark.parametrize("extra", [{"num_labels": 3}, {"id2label": {"0": "a"}}])
def test_an_answer_has_a_start_and_an_end_and_nothing_else(tiny, extra):
    config = replace(tiny, extra=extra)
    with pytest.raises(ConfigError, match=r"must be 2\. Received: [13]"):
        albatross.AlbertForQuestionAnswering(config)
    assert albatross.AlbertForQuestionAnswering(config, num_labels=2).config.num_labels == 2


def test_no_answer_lies_where_the_mask_hides_tokens(tiny, shaken):
    outputs = shaken(albatross.AlbertForQuestionAnswering(tiny))(IDS, SHOWN)
    for logits in (outputs.start_logits, outputs.end_logits):
        assert logits.softmax(-1)[1, 3] == 0
        assert (logits.softmax(-1)[SHOWN.bool()] > 0).all()


def test_a_start_without_an_end_gives_no_loss(tiny):
    assert albatross.AlbertForQuestionAnswering(tiny)(IDS, start_positions=IDS[:, 0]).loss is None


@pytest.mark.parametrize("position", [3, 4, 900])
def test_positions_that_cannot_be_chosen_are_ignored(position):
    logits = torch.linspace(-1, 2, 8).view(2, 4).cos()
    closed = ~SHOWN.bool()
    found = position_loss(logits, torch.tensor([[1], [position]]), closed)
    torch.testing.assert_close(found, -logits[0].log_softmax(0)[1])
    assert position_loss(logits[1:], torch.tensor([position]), closed[1:]) == 0


def test_a_negative_position_is_the_first_token_as_in_transformers():
    logits, closed = torch.linspace(-1, 2, 8).view(2, 4).cos(), ~SHOWN.bool()
    first = position_loss(logits, torch.tensor([0, 2]), closed)
    assert position_loss(logits, torch.tensor([-1, 2]), closed) == first
