"""Replaced-token detection: what is proposed, what counts as replaced, where gradients go."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from albatross.config import variant
from albatross.data.packing import pack
from albatross.modeling.encoder import AlbertTransformer
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.modeling.replaced_tokens import (
    DetectorHead,
    ReplacedTokenDetector,
    draw_words,
    generator_config,
)

MASKED = torch.tensor([1, 4, 8, 20, 25])


@pytest.fixture
def detector(tiny):
    return ReplacedTokenDetector(AlbertForPreTraining(tiny), seed=1)


@pytest.fixture
def propose(detector, monkeypatch):
    """Runs the detector with proposals that are given in place of drawn ones."""

    def run(inputs, targets, proposed):
        where = "albatross.modeling.replaced_tokens.draw_words"
        monkeypatch.setattr(where, lambda logits, seed: proposed)
        return detector(inputs, MASKED, targets, 0)

    return run


def test_a_proposal_equal_to_the_original_counts_as_original(propose, packed):
    targets = packed.input_ids[MASKED]
    proposed = targets.clone()
    proposed[[0, 3]] += 1
    replaced = propose(packed, targets, proposed).replaced
    assert replaced.nonzero().flatten().tolist() == [1, 20]


def test_the_model_reads_the_proposed_words(propose, detector, packed):
    proposed = torch.tensor([7, 8, 9, 10, 11])
    found = propose(packed, packed.input_ids[MASKED], proposed)
    ids = packed.input_ids.clone()
    ids[MASKED] = proposed
    rows = detector.model.albert.encode(replace(packed, input_ids=ids))
    torch.testing.assert_close(found.rows, rows)
    torch.testing.assert_close(
        found.detector_logits, detector.discriminator_predictions(rows), atol=1e-6, rtol=0
    )


def test_the_generator_reads_the_masks_whatever_is_proposed(detector, packed):
    targets = packed.input_ids[MASKED]
    first, second = (detector(packed, MASKED, targets, seed) for seed in (1, 2))
    assert torch.equal(first.generator_logits, second.generator_logits)
    assert first.generator_logits.shape == (5, 40)
    assert not torch.equal(first.rows, second.rows)


def test_rows_that_are_wanted_change_nothing_for_the_detector(detector, examples, packed):
    inputs = PackedInputs.from_batch(pack(examples), wanted=MASKED.numpy())
    found = detector(inputs, MASKED, packed.input_ids[MASKED], 0)
    expected = detector(packed, MASKED, packed.input_ids[MASKED], 0)
    torch.testing.assert_close(found.generator_logits, expected.generator_logits)
    torch.testing.assert_close(found.rows, expected.rows)


def test_no_gradient_goes_from_the_detector_into_the_generator(detector, packed):
    found = detector(packed, MASKED, packed.input_ids[MASKED], 0)
    found.detector_logits.pow(2).sum().backward()
    assert all(p.grad is None for p in detector.generator.parameters())
    assert all(p.grad is None for p in detector.generator_head.parameters())
    assert all(p.grad is not None for p in detector.discriminator_predictions.parameters())


def test_the_generator_trains_the_tables_that_both_read(detector, packed):
    found = detector(packed, MASKED, packed.input_ids[MASKED], 0)
    found.generator_logits.pow(2).sum().backward()
    tables = detector.model.albert.embeddings
    assert tables.word_embeddings.weight.grad.abs().sum() > 0
    assert tables.position_embeddings.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in detector.model.albert.encoder.parameters())


def test_words_are_drawn_by_their_probabilities():
    logits = torch.tensor([0.5, 0.3, 0.2, 0.0]).log().expand(100_000, -1)
    shares = draw_words(logits, 3).bincount(minlength=4) / 100_000
    torch.testing.assert_close(shares, logits[0].exp(), atol=6e-3, rtol=0)
    assert shares[3] == 0


def test_the_seed_alone_says_which_words_are_drawn():
    logits = torch.zeros(50, 1_000)
    torch.manual_seed(0)
    first = draw_words(logits, 3)
    assert torch.equal(first, draw_words(logits, 3))
    assert not torch.equal(first, draw_words(logits, 4))


@pytest.mark.parametrize("name", ["albert-base-v2", "albatross-mini", "bert-base"])
def test_a_generator_is_a_quarter_to_a_half_as_wide(name):
    large = variant(name)
    small = generator_config(large)
    assert 1 / 4 <= small.hidden_size / large.hidden_size <= 1 / 2
    assert (small.embedding_size, small.depth) == (large.embedding_size, large.depth)
    with torch.device("meta"):
        AlbertTransformer(small)


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 16])
def test_any_number_of_heads_has_a_generator(tiny, packed, heads):
    config = replace(tiny, num_attention_heads=heads, hidden_size=16 * heads)
    small = generator_config(config)
    assert small.hidden_size < config.hidden_size
    detector = ReplacedTokenDetector(AlbertForPreTraining(config), seed=0)
    assert detector(packed, MASKED, packed.input_ids[MASKED], 0).generator_logits.shape == (5, 40)


def test_the_detector_head_has_the_names_of_transformers(tiny):
    electra = pytest.importorskip("transformers.models.electra.modeling_electra")
    theirs = electra.ElectraConfig(hidden_size=16, hidden_act="gelu_new")
    head = electra.ElectraDiscriminatorPredictions(theirs)
    ours = DetectorHead(tiny)
    ours.load_state_dict(head.state_dict())
    rows = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(rows), head(rows), atol=1e-6, rtol=0)


def test_it_learns_to_find_the_replaced_words_of_four_sequences(tiny, examples):
    config = replace(tiny, hidden_size=32, initializer_range=0.1)
    detector = ReplacedTokenDetector(AlbertForPreTraining(config), seed=0)
    optimizer = torch.optim.Adam(detector.parameters(), lr=2e-3)
    inputs = PackedInputs.from_batch(pack(examples))
    assert inputs.input_ids is not None
    targets = inputs.input_ids[MASKED]
    for step in range(200):
        optimizer.zero_grad()
        found = detector(inputs, MASKED, targets, step)
        # The generator stays as it is, and goes on to propose what is wrong.
        functional.binary_cross_entropy_with_logits(
            found.detector_logits, found.replaced.float()
        ).backward()
        optimizer.step()
    found = detector(inputs, MASKED, targets, 1_000)
    assert found.replaced.sum() >= 4
    assert torch.equal(found.detector_logits > 0, found.replaced.bool())


def test_the_generator_learns_the_masked_words(tiny, examples):
    config = replace(tiny, hidden_size=32, initializer_range=0.1)
    detector = ReplacedTokenDetector(AlbertForPreTraining(config), seed=0)
    optimizer = torch.optim.Adam(detector.parameters(), lr=5e-3)
    inputs = PackedInputs.from_batch(pack(examples))
    assert inputs.input_ids is not None
    targets = inputs.input_ids[MASKED]
    masked = replace(inputs, input_ids=inputs.input_ids.index_fill(0, MASKED, 0))
    for step in range(150):
        optimizer.zero_grad()
        logits = detector(masked, MASKED, targets, step).generator_logits
        functional.cross_entropy(logits, targets).backward()
        optimizer.step()
    assert torch.equal(logits.argmax(-1), targets)
