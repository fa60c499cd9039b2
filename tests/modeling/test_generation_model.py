"""Sequence to sequence on ALBERT: what sees what, kept state, warm starts, and files."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.errors import ConfigError, DataError, WeightsError
from albatross.modeling.decoder import blocks_of, sight, visible_keys
from albatross.modeling.generation_model import (
    DECODER_KEY,
    TIED_KEY,
    AlbertForGeneration,
    DecoderKind,
)
from albatross.modeling.model import AlbertForPreTraining, AlbertModel
from albatross.modeling.packed import PackedInputs

WAYS: list[tuple[DecoderKind, bool]] = [("cross", False), ("cross", True), ("prefix", False)]


@pytest.fixture
def tiny(tiny):
    return replace(tiny, max_position_embeddings=24)


@pytest.fixture(params=WAYS, ids=["cross", "tied", "prefix"])
def model(request, tiny, shaken):
    kind, tied = request.param
    return shaken(AlbertForGeneration(tiny, decoder=kind, tied=tied))


def drawn(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(5, 40, length) for length in lengths]


def example_of(model, source, target):
    """A source with its target, as the model's way of reading wants them."""
    if model.decoder_kind == "cross":
        ids = np.concatenate([source[:1], target])
        return Example(source, 0 * source, target=Example(ids, 0 * ids))
    types = np.repeat([0, 1], [len(source), len(target)])
    return Example(np.concatenate([source, target]), types)


def words_after(model, sources, targets):
    """Logits over each target's words, one array (words, vocab) a pair."""
    batch = pack([example_of(model, s, t) for s, t in zip(sources, targets, strict=True)])
    beside = None if batch.target is None else PackedInputs.from_batch(batch.target)
    with torch.no_grad():
        logits = model(PackedInputs.from_batch(batch), beside)
    ends = (batch.target or batch).cu_seqlens[1:]
    return [logits[end - 1 - len(t) : end] for end, t in zip(ends, targets, strict=True)]


def read_on(model, sources, targets):
    """The same logits, word by word from what is kept; all targets of one length."""
    found = []
    with torch.no_grad():
        said = model.begin(PackedInputs.from_batch(pack([Example(s, 0 * s) for s in sources])))
        found.append(said.logits)
        for ids in np.array(targets).T:
            said = model.advance(said.state, torch.from_numpy(ids.copy()))
            found.append(said.logits)
    return torch.stack(found, dim=1)


def test_a_later_target_word_changes_nothing_before_it(model):
    (source,), (target,) = drawn(7), drawn(6, seed=1)
    changed = target.copy()
    changed[3] = 4
    before, after = (words_after(model, [source], [t])[0] for t in (target, changed))
    torch.testing.assert_close(before[:4], after[:4], atol=0, rtol=0)
    assert (before[4:] - after[4:]).abs().amax(1).min() > 1e-4


def test_every_source_word_reaches_the_first_target_word(model):
    (source,), (target,) = drawn(7), drawn(3, seed=1)
    expected = words_after(model, [source], [target])[0][0]
    for place in range(7):
        changed = source.copy()
        changed[place] = 4
        found = words_after(model, [changed], [target])[0][0]
        assert (found - expected).abs().max() > 1e-4


def test_pairs_of_a_batch_do_not_see_each_other(model):
    sources, targets = drawn(7, 3, 5), drawn(2, 6, 1, seed=1)
    together = words_after(model, sources, targets)
    for source, target, found in zip(sources, targets, together, strict=True):
        alone = words_after(model, [source], [target])[0]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("lengths", [(7, 3, 5), (5, 5)])
def test_reading_word_by_word_equals_reading_at_once(model, lengths):
    sources, targets = drawn(*lengths), drawn(*(6 for _ in lengths), seed=1)
    expected = torch.stack(words_after(model, sources, targets))
    found = read_on(model, sources, targets)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_selected_state_goes_on_as_its_rows_would(model):
    sources, ids = drawn(7, 3, 5), torch.tensor([9, 9, 9])
    with torch.no_grad():
        said = model.begin(PackedInputs.from_batch(pack([Example(s, 0 * s) for s in sources])))
        state = model.advance(said.state, ids).state
        chosen = torch.tensor([2, 0, 0])
        expected = model.advance(state, ids).logits[chosen]
        found = model.advance(state.select(chosen), ids).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_reading_beyond_the_positions_is_refused(model):
    source = drawn(24)[0]
    with torch.no_grad():
        state = model.begin(PackedInputs.from_batch(pack([Example(source, 0 * source)]))).state
        state = replace(state, positions=torch.tensor([24]))
        with pytest.raises(DataError, match="at most 24 tokens"):
            model.advance(state, torch.tensor([9]))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("sharing", ["all", "attention", "ffn"])
def test_a_warm_decoder_applies_the_encoders_layers(tiny, shaken, groups, inner, sharing):
    config = replace(
        tiny, num_hidden_groups=groups, inner_group_num=inner, cross_layer_sharing=sharing
    )
    encoder = shaken(AlbertForPreTraining(config))
    model = AlbertForGeneration.from_arrays(config, encoder.to_arrays())
    own = blocks_of(model.albert.encoder)
    for made, block in zip(blocks_of(model.albert.encoder, model.decoder), own, strict=True):
        _check_equal(made.attention, block.attention)
        _check_equal(made.cross_attention, block.attention)
        _check_equal(made.feed_forward.ffn_output, block.feed_forward.ffn_output)
        assert made.attention.query.weight is not block.attention.query.weight


def _check_equal(found, expected):
    tensors = dict(expected.named_parameters())
    assert tensors
    for name, tensor in found.named_parameters():
        torch.testing.assert_close(tensor, tensors[name], atol=0, rtol=0)


def test_a_decoder_starts_anew_when_asked_to(tiny, tmp_path):
    AlbertForPreTraining(tiny).save_pretrained(tmp_path)
    warm, anew, again = (
        AlbertForGeneration.from_pretrained(tmp_path, initialize=parts).state_dict()
        for parts in ((), "decoder", "decoder")
    )
    name = "decoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    assert not torch.equal(warm[name], anew[name])
    assert torch.equal(anew[name], again[name])
    assert torch.equal(warm["predictions.bias"], anew["predictions.bias"])


def test_depths_of_one_group_share_the_decoders_weights(tiny):
    model = AlbertForGeneration(tiny, decoder="cross")
    layer = 4 * (16 * 16 + 16) + 32
    feed_forward = 2 * 16 * 24 + 24 + 16 + 32
    assert sum(p.numel() for p in model.decoder.parameters()) == 2 * layer + feed_forward
    tied = AlbertForGeneration(tiny, decoder="cross", tied=True)
    assert sum(p.numel() for p in tied.decoder.parameters()) == layer


def test_prefix_has_no_weights_beside_the_pretrained_ones(tiny):
    names = set(AlbertForGeneration(tiny, decoder="prefix").state_dict())
    assert names < set(AlbertForPreTraining(tiny).state_dict())


def test_prefix_without_targets_reads_as_the_encoder_does(tiny, shaken):
    model = shaken(AlbertForGeneration(tiny, decoder="prefix"))
    inputs = PackedInputs.from_batch(pack([Example(s, 0 * s) for s in drawn(7, 3, 5)]))
    with torch.no_grad():
        found, expected = model.decode(inputs), model.albert.encode(inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_prefix_mask_is_that_of_unilm():
    batch = pack(
        [Example(np.arange(4), np.array([0, 0, 1, 1])), Example(np.arange(1), np.ones(1, np.int64))]
    )
    inputs = PackedInputs.from_batch(batch)
    mask = sight(visible_keys(inputs, prefix=True), inputs.layout)
    rows = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert mask[0, 0].int().tolist() == rows
    assert mask[1, 0].int().tolist()[0] == [1, 0, 0, 0]
    assert mask.any(-1).all()  # pads, too: a softmax over nothing is no number


def test_residuals_of_depths_act_in_prefix(tiny, shaken):
    config = replace(tiny, depth_lora_rank=2)
    model = shaken(AlbertForGeneration(config, decoder="prefix"))
    inputs = PackedInputs.from_batch(pack([Example(s, 0 * s) for s in drawn(7, 3)]))
    with torch.no_grad():
        found, expected = model.decode(inputs), model.albert.encode(inputs)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_saved_model_opens_as_it_was(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = AlbertForGeneration.from_pretrained(tmp_path)
    assert again.decoder_kind == model.decoder_kind
    assert again.config.extra[TIED_KEY] == model.config.extra[TIED_KEY]
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=0, rtol=0)


def test_a_pretrained_folder_warm_starts_either_decoder(tiny, tmp_path):
    AlbertForPreTraining(tiny).save_pretrained(tmp_path)
    for kind, tied in WAYS:
        model = AlbertForGeneration.from_pretrained(tmp_path, decoder=kind, tied=tied)
        assert model.config.extra[DECODER_KEY] == kind
        assert all(p.isfinite().all() for p in model.parameters())


def test_a_folder_without_a_word_head_is_refused(tiny, tmp_path):
    AlbertModel(tiny).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"predictions\.bias"):
        AlbertForGeneration.from_pretrained(tmp_path)


def test_a_damaged_decoder_is_not_warm_started(tiny):
    arrays = AlbertForGeneration(tiny).to_arrays()
    del arrays["decoder.albert_layer_groups.0.albert_layers.0.ffn.weight"]
    with pytest.raises(WeightsError, match=r"ffn\.weight"):
        AlbertForGeneration.from_arrays(tiny, arrays)


def test_what_a_decoder_has_no_place_for_is_refused(tiny):
    causal: Any = "causal"
    refused: list[tuple[AlbertConfig, DecoderKind, str]] = [
        (tiny, causal, "one of cross, prefix"),
        (replace(tiny, depth_lora_rank=2), "cross", "without residuals"),
        (AlbertConfig(type_vocab_size=1), "prefix", "token types"),
    ]
    for config, kind, message in refused:
        with pytest.raises(ConfigError, match=message):
            AlbertForGeneration(config, decoder=kind)


def test_cross_attention_without_targets_is_refused(tiny):
    source = drawn(4)[0]
    inputs = PackedInputs.from_batch(pack([Example(source, 0 * source)]))
    with pytest.raises(DataError, match="needs targets"):
        AlbertForGeneration(tiny, decoder="cross").decode(inputs)
