"""How weights start, and that they learn."""

from dataclasses import replace

import pytest
import torch

from albatross.modeling.model import AlbertForPreTraining, AlbertModel


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
    model = AlbertForPreTraining(replace(tiny, hidden_size=32, initializer_range=0.1)).train()
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(4, 40, (8, 10), generator=generator)
    masked = torch.arange(80).view(8, 10) % 4 == 1
    inputs = {"input_ids": words.masked_fill(masked, 3), "labels": words.where(masked, -100)}
    inputs["sentence_order_label"] = torch.arange(8) % 2
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    first = model(**inputs).loss
    for _ in range(150):
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
    assert first > 3
    assert loss < 0.1
