import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from albatross.checkpoints.huggingface import (
    beam_qa_shapes,
    encoder_shapes,
    head_shapes,
    masked_lm_shapes,
    sentence_order_shapes,
)
from albatross.config import VARIANTS, unshared, variant
from albatross.costs import model_cost
from albatross.data.packing import Example, pack
from albatross.errors import ConfigError
from albatross.head_spec import HeadSpec
from albatross.modeling.attention import AlbertAttention
from albatross.modeling.model import AlbertForPreTraining, AlbertModel
from albatross.modeling.packed import PackedInputs
from albatross.modeling.task_models import (
    AlbertForBeamQuestionAnswering,
    AlbertForQuestionAnswering,
    AlbertForTokenClassification,
)
from albatross.modeling.with_heads import AlbertWithHeads

# Counted by their authors: encoder and pooler, without the pre-training heads.
PUBLISHED = {
    "albert-base-v1": 11_683_584,
    "albert-base-v2": 11_683_584,
    "albert-large-v2": 17_683_968,
    "albert-xlarge-v2": 58_724_864,
    "albert-xxlarge-v2": 222_595_584,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
}
SHARINGS: dict[str, dict] = {
    "all": {"num_hidden_groups": 1},
    "two groups": {"num_hidden_groups": 2},
    "attention": {"cross_layer_sharing": "attention"},
    "attention in two groups": {"cross_layer_sharing": "attention", "num_hidden_groups": 2},
    "ffn": {"cross_layer_sharing": "ffn"},
    "none": {"cross_layer_sharing": "none", "num_hidden_groups": 4},
}
MODES = {**SHARINGS, "residuals": {"depth_lora_rank": 3, "num_hidden_groups": 2}}
sharings = pytest.mark.parametrize("sharing", SHARINGS)
modes = pytest.mark.parametrize("mode", MODES)


def shapes_of(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def weightless(make, *arguments, **options):
    with torch.device("meta"):
        return make(*arguments, **options)


# === Sharing ===


def test_layers_of_one_group_share_weights(tiny):
    encoder = AlbertModel(replace(tiny, num_hidden_groups=2)).encoder
    blocks = [encoder.attention_of(depth) for depth in range(4)]
    assert blocks[0].query.weight is blocks[1].query.weight
    assert blocks[2].query.weight is blocks[3].query.weight
    assert blocks[1].query.weight is not blocks[2].query.weight


def test_groups_and_inner_layers_are_applied_in_order(tiny, packed):
    config = replace(tiny, num_hidden_layers=6, num_hidden_groups=3, inner_group_num=2)
    model, order = AlbertModel(config), []
    for name, module in model.encoder.named_modules():
        if isinstance(module, AlbertAttention):
            _, group, _, inner, _ = name.split(".")
            module.register_forward_hook(lambda *_, at=(int(group), int(inner)): order.append(at))
    model.encode(packed)
    assert order == [(g, i) for g in (0, 0, 1, 1, 2, 2) for i in (0, 1)]
    assert [config.group_of(repeat) for repeat in range(6)] == [0, 0, 1, 1, 2, 2]


def test_no_group_is_skipped_where_floating_point_would_skip_one():
    config = variant("albatross-tiny", num_hidden_layers=22, num_hidden_groups=22)
    assert [config.group_of(repeat) for repeat in range(22)] == list(range(22))
    assert [int(repeat / 22 * 22) for repeat in range(22)] != list(range(22))


@pytest.mark.parametrize(
    ("sharing", "attentions", "ffns"),
    [("all", 1, 1), ("two groups", 2, 2), ("attention", 1, 4), ("ffn", 4, 1), ("none", 4, 4)],
)
def test_each_mode_has_as_many_blocks_as_it_says(tiny, sharing, attentions, ffns):
    names = shapes_of(AlbertModel(replace(tiny, **SHARINGS[sharing])))
    assert sum(name.endswith("query.weight") for name in names) == attentions
    assert sum(name.endswith("ffn.weight") for name in names) == ffns


@sharings
def test_untied_copies_of_shared_weights_give_equal_rows(tiny, shaken, packed, sharing):
    shared = shaken(AlbertModel(replace(tiny, **SHARINGS[sharing])))
    config = replace(tiny, cross_layer_sharing="none", num_hidden_groups=4)
    untied = AlbertModel(config).eval()
    state = {n: t for n, t in shared.state_dict().items() if "albert_layer_groups" not in n}
    for repeat, group in enumerate(untied.encoder.albert_layer_groups):
        depth = shared.config.attention_group_of(repeat), shared.config.ffn_group_of(repeat)
        for name in group.state_dict():
            source = depth[0] if ".attention." in name else depth[1]
            key = "encoder.albert_layer_groups.{}." + name
            state[key.format(repeat)] = shared.state_dict()[key.format(source)]
    untied.load_state_dict(state)
    assert torch.equal(untied.encode(packed), shared.encode(packed))


@modes
def test_every_weight_has_a_say_in_the_result(tiny, shaken, packed, mode):
    config = replace(tiny, **MODES[mode], inner_group_num=2)
    model = shaken(AlbertModel(config, add_pooling_layer=False))
    model.encode(packed).pow(3).sum().backward()
    for name, parameter in model.named_parameters():
        # The bias of all keys moves all scores of a query alike, so it has none.
        if not name.endswith("key.bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-4, name


# === Names, shapes, counts ===


@modes
@pytest.mark.parametrize("inner", [1, 2])
def test_the_table_of_names_is_that_of_the_modules(tiny, mode, inner):
    config = replace(tiny, **MODES[mode], inner_group_num=inner)
    expected = encoder_shapes(config) | masked_lm_shapes(config) | sentence_order_shapes(config)
    assert shapes_of(AlbertForPreTraining(config)) == expected


def test_the_table_of_names_knows_the_variants():
    for name in VARIANTS:
        config = variant(name)
        model = weightless(AlbertModel, config, add_pooling_layer=False)
        found = {f"albert.{tensor}": shape for tensor, shape in shapes_of(model).items()}
        assert found == encoder_shapes(config, pooler=False), name


def test_the_table_of_names_knows_the_heads(tiny):
    heads = {"classifier": HeadSpec("sequence", 3), "heads.topic": HeadSpec("sequence", 7)}
    model = AlbertWithHeads(tiny, heads=heads)
    assert shapes_of(model) == encoder_shapes(tiny) | head_shapes(tiny, heads)


def test_the_table_of_names_knows_the_heads_of_tasks(tiny):
    for kind, head in (
        (AlbertForTokenClassification, {"classifier": HeadSpec("token", 2)}),
        (AlbertForQuestionAnswering, {"qa_outputs": HeadSpec("span", 2)}),
    ):
        expected = encoder_shapes(tiny, pooler=False) | head_shapes(tiny, head)
        assert shapes_of(kind(tiny)) == expected
    expected = encoder_shapes(tiny, pooler=False) | beam_qa_shapes(tiny)
    assert shapes_of(AlbertForBeamQuestionAnswering(tiny)) == expected


def test_residuals_cost_their_matrices_at_every_depth():
    plain, relaxed = (variant("albert-base-v2", depth_lora_rank=rank) for rank in (0, 8))
    with torch.device("meta"):
        residuals = AlbertModel(relaxed).encoder.depth_residuals
    matrices = sum(p.numel() for name, p in residuals.named_parameters() if "lora" in name)
    difference = model_cost(relaxed).flops_per_token - model_cost(plain).flops_per_token
    assert difference == 2 * matrices > 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_variants_have_the_published_number_of_parameters(name):
    model = weightless(AlbertModel, variant(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_cost_of_a_variant_counts_every_tensor(name):
    model = weightless(AlbertForPreTraining, variant(name))
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert sum(model_cost(variant(name)).parameters.values()) == counted


@modes
def test_the_cost_of_a_sharing_mode_counts_every_tensor(tiny, mode):
    config = replace(tiny, **MODES[mode], inner_group_num=2)
    counted = sum(p.numel() for p in AlbertModel(config).parameters())
    assert model_cost(config).encoder_parameters == counted


@pytest.mark.parametrize("name", ["albert", "a b", "", "heads.", "head_names"])
def test_a_head_without_a_name_of_its_own_is_refused(tiny, name):
    with pytest.raises(ConfigError, match="name of its own"):
        AlbertWithHeads(tiny, heads={name: HeadSpec("sequence", 2)})


def test_the_bert_of_a_size_has_no_projection(tiny):
    names = shapes_of(AlbertModel(unshared(tiny)))
    assert names["embeddings.word_embeddings.weight"] == (40, 16)
    assert not any("embedding_hidden_mapping_in" in name for name in names)


# === Memory ===


def test_activation_checkpointing_gives_equal_gradients(tiny, packed):
    config = replace(tiny, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    gradients, model = [], AlbertModel(config, add_pooling_layer=False).train()
    for enabled in (False, True):
        model.activation_checkpointing(enabled)
        model.zero_grad()
        torch.manual_seed(0)
        model.encode(packed).pow(3).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def bytes_kept(model, ids):
    """Bytes of distinct activations that autograd holds after a forward pass."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        if tensor.is_floating_point() and tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(ids)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("rank", [0, 8])
def test_the_estimate_of_activations_is_near_what_autograd_keeps(rank):
    config = variant("albatross-tiny", num_hidden_layers=8, depth_lora_rank=rank)
    ids = torch.ones(4, 64, dtype=torch.long)
    measured = bytes_kept(AlbertModel(config, add_pooling_layer=False).train(), ids)
    cost = model_cost(config, sequence_length=64, batch_size=4)
    at_the_peak = max(3 * config.vocab_size * 15 // 100, config.intermediate_size)
    beside = 16 * sum(cost.parameters.values()) + 4 * ids.numel() * at_the_peak
    estimate = cost.training_bytes - beside
    assert 0.8 < measured / estimate < 1.1, measured / estimate


def test_activation_checkpointing_keeps_a_quarter_and_less():
    model = AlbertModel(variant("albatross-tiny"), add_pooling_layer=False).train()
    ids = torch.ones(4, 64, dtype=torch.long)
    plain = bytes_kept(model, ids)
    model.activation_checkpointing()
    assert bytes_kept(model, ids) < plain / 4


def peak_of_a_step(model, batch):
    """Bytes of tensors alive at most in one step, weights left out."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        inputs = PackedInputs.from_batch(batch)
        masked = torch.arange(len(batch.input_ids))[::7]
        words = model.predict_words(model.albert.encode(inputs)[masked])
        targets = torch.from_numpy(batch.input_ids)[masked]
        torch.nn.functional.cross_entropy(words, targets).backward()
    events = profiler.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    return max(itertools.accumulate(changes))


@pytest.mark.parametrize("pieces", [8_192, 200])  # the peak is in the head, or in a layer
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_memory_told_is_near_that_alive_at_the_peak(pieces, checkpointing):
    config = variant("albatross-tiny", num_hidden_layers=8, vocab_size=pieces)
    model = AlbertForPreTraining(config).train()
    model.activation_checkpointing(checkpointing)
    ids = np.arange(5, 133)
    batch = pack([Example(ids, np.zeros_like(ids))] * 16)
    alive = peak_of_a_step(model, batch)
    sizes = {"sequence_length": 128, "batch_size": 16}
    cost = model_cost(config, **sizes, activation_checkpointing=checkpointing)
    told = cost.training_bytes - 12 * sum(cost.parameters.values())  # gradients are alive, too
    assert 0.8 < alive / told < 1.1, alive / told


def test_the_cost_of_training_counts_every_product():
    config = variant("albatross-tiny")
    model = AlbertForPreTraining(config).train()
    ids = np.arange(5, 133)
    masked = np.arange(0, 1_024, 8)
    inputs = PackedInputs.from_batch(pack([Example(ids, np.zeros_like(ids))] * 8), wanted=masked)
    assert inputs.wanted is not None
    # Of all attention kernels torch counts only plain products on a processor.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.predict_words(model.albert.encode(inputs)[inputs.wanted.asked]).sum().backward()
    cost = model_cost(config, masking_rate=1 / 8)
    assert counter.get_total_flops() / 1_024 == pytest.approx(
        cost.training_flops_per_token, rel=0.01
    )
