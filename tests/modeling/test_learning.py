"""How weights start, and that they learn."""

from dataclasses import replace

import pytest
import torch

import albatross
from albatross.modeling.model import AlbertForPreTraining, AlbertModel

LEARNER = {"hidden_size": 32, "initializer_range": 0.1}


def learn(model, inputs, steps=150):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**inputs).loss.backward()
        optimizer.step()


def eight_sequences(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(4, 40, (8, *shape, 10), generator=generator)


def states_equal(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("deviation", [0.02, 0.05])
def test_matrices_start_normal_cut_off_at_two_deviations(tiny, deviation):
    config = replace(tiny, vocab_size=20_000, initializer_range=deviation)
    words = AlbertModel(config).embeddings.word_embeddings.weight.detach()
    # A normal cut off at two deviations has 0.8796 of its deviation.
    assert float(words.std()) == pytest.approx(0.8796 * deviation, rel=0.01)
    assert float(words.mean()) == pytest.approx(0, abs=0.01 * deviation)
    assert 1.99 * deviation < words.abs().max() <= 2 * deviation


def test_every_matrix_is_drawn_and_norms_and_biases_are_not(tiny):
    model = AlbertForPreTraining(replace(tiny, num_hidden_groups=2, inner_group_num=2))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            assert 0.2 < parameter.std() < 0.32, name
        else:
            assert (parameter == (0 if name.endswith("bias") else 1)).all(), name


def test_the_seed_alone_says_how_weights_start(tiny):
    torch.manual_seed(1)
    first = AlbertForPreTraining(tiny, seed=7)
    torch.manual_seed(2)
    assert states_equal(first, AlbertForPreTraining(tiny, seed=7))
    assert not states_equal(first, AlbertForPreTraining(tiny, seed=8))


def test_initialize_takes_a_model_back_to_its_start(tiny, shaken):
    model = shaken(AlbertForPreTraining(tiny, seed=7))
    assert not states_equal(model, AlbertForPreTraining(tiny, seed=7))
    model.initialize(7)
    assert states_equal(model, AlbertForPreTraining(tiny, seed=7))


def test_a_tiny_model_learns_eight_sequences_by_heart(tiny):
    model = AlbertForPreTraining(replace(tiny, **LEARNER)).train()
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(4, 40, (8, 10), generator=generator)
    masked = torch.arange(80).view(8, 10) % 4 == 1
    inputs = {"input_ids": words.masked_fill(masked, 3), "labels": words.where(masked, -100)}
    inputs["sentence_order_label"] = torch.arange(8) % 2
    assert model(**inputs).loss > 3
    learn(model, inputs)
    assert model(**inputs).loss < 0.1


# === Heads ===


def test_sequence_classification_learns_eight_records(tiny):
    model = albatross.AlbertForSequenceClassification(replace(tiny, **LEARNER), num_labels=4)
    inputs = {"input_ids": eight_sequences(), "labels": torch.arange(8) % 4}
    learn(model.train(), inputs)
    assert torch.equal(model.eval()(inputs["input_ids"]).logits.argmax(-1), inputs["labels"])


def test_token_classification_learns_eight_records(tiny):
    model = albatross.AlbertForTokenClassification(replace(tiny, **LEARNER), num_labels=3)
    ids = eight_sequences()
    labels = (ids + ids.roll(1, 1)) % 3  # a token's class hangs on its neighbour
    learn(model.train(), {"input_ids": ids, "labels": labels}, steps=250)
    assert (model.eval()(ids).logits.argmax(-1) == labels).float().mean() > 0.95


def test_multiple_choice_learns_eight_records(tiny):
    model = albatross.AlbertForMultipleChoice(replace(tiny, **LEARNER))
    inputs = {"input_ids": eight_sequences(3), "labels": torch.arange(8) % 3}
    learn(model.train(), inputs)
    assert torch.equal(model.eval()(inputs["input_ids"]).logits.argmax(-1), inputs["labels"])


def test_question_answering_learns_eight_records(tiny):
    model = albatross.AlbertForQuestionAnswering(replace(tiny, **LEARNER))
    starts = torch.arange(8)
    answers = {"start_positions": starts, "end_positions": (starts + 2).clamp(max=9)}
    ids = eight_sequences()
    learn(model.train(), {"input_ids": ids, **answers})
    outputs = model.eval()(ids)
    assert torch.equal(outputs.start_logits.argmax(1), answers["start_positions"])
    assert torch.equal(outputs.end_logits.argmax(1), answers["end_positions"])


def test_beam_question_answering_learns_eight_records_half_without_answer(tiny):
    model = albatross.AlbertForBeamQuestionAnswering(replace(tiny, **LEARNER))
    impossible = torch.arange(8) % 2
    starts = (torch.arange(8) + 1) * (1 - impossible)
    answers = {"start_positions": starts, "end_positions": starts + 2 * (starts > 0)}
    answers["end_positions"].clamp_(max=9)
    ids = eight_sequences()
    learn(model.train(), {"input_ids": ids, **answers, "is_impossible": impossible})
    found = model.eval()(ids)
    assert torch.equal(found.start_top_index[:, 0], answers["start_positions"])
    assert torch.equal(found.end_top_index[:, 0], answers["end_positions"])
    assert torch.equal(found.cls_logits > 0, impossible.bool())
