"""Residuals of single depths: nothing at first, everything at full rank. And adapters to a task."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from albatross.adapter_spec import AdapterSpec
from albatross.checkpoints.huggingface import encoder_shapes
from albatross.config import AlbertConfig
from albatross.costs import model_cost
from albatross.data.packing import pack
from albatross.modeling.model import AlbertForPreTraining, AlbertModel
from albatross.modeling.packed import PackedInputs

IDS = torch.tensor([[2, 7, 4, 9, 3], [2, 5, 3, 1, 8]])
MAPS = (
    *("attention.query", "attention.key", "attention.value", "attention.dense"),
    *("ffn", "ffn_output"),
)
NORMS = ("attention.LayerNorm", "full_layer_layer_norm")


@pytest.fixture
def relaxed(tiny):
    return replace(tiny, depth_lora_rank=3)


def with_weights_of(other, config):
    """A new model with residuals over another model's weights."""
    model = AlbertModel(config, seed=5).eval()
    absent = model.load_state_dict(other.state_dict(), strict=False)
    assert not absent.unexpected_keys
    return model


def un_shared(config):
    return replace(config, cross_layer_sharing="none", num_hidden_groups=config.num_hidden_layers)


def residuals_of(model, depth):
    """Every tensor that a depth has to itself."""
    prefix = f"encoder.depth_residuals.{depth}."
    return {n: p for n, p in model.named_parameters() if n.startswith(prefix)}


@torch.no_grad()
def become(model, separate):
    """Set a model's residuals, by singular values, to what makes it equal an un-shared one."""
    inner = model.config.inner_group_num
    for depth, residual in enumerate(model.encoder.depth_residuals):
        repeat, index = divmod(depth, inner)
        shared = model.encoder.albert_layer_groups[model.config.group_of(repeat)]
        shared = shared.albert_layers[index]
        own = separate.encoder.albert_layer_groups[repeat].albert_layers[index]
        for name in MAPS + NORMS:
            target, source = own.get_submodule(name), shared.get_submodule(name)
            added = residual.get_submodule(name)
            added.bias.copy_(target.bias - source.bias)
            difference = target.weight - source.weight
            if name in NORMS:
                added.weight.copy_(difference)
                continue
            left, values, right = torch.linalg.svd(difference.double(), full_matrices=False)
            added.lora_B.weight.zero_()[:, : len(values)] = left * values
            added.lora_A.weight.zero_()[: len(values)] = right


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"inner_group_num": 2, "num_hidden_groups": 2},
        {"cross_layer_sharing": "ffn"},
        {"depth_lora_rank": 16},
    ],
)
def test_new_residuals_leave_the_function_as_it_was(tiny, relaxed, shaken, packed, values):
    shared = shaken(AlbertModel(replace(tiny, **{**values, "depth_lora_rank": 0})))
    model = with_weights_of(shared, replace(relaxed, **values))
    assert len(list(model.encoder.depth_residuals)) == model.config.depth
    assert torch.equal(model.encode(packed), shared.encode(packed))


def test_only_lora_a_starts_at_random(relaxed):
    for name, tensor in residuals_of(AlbertModel(relaxed), 2).items():
        assert bool(tensor.any()) == ("lora_A" in name), name


@pytest.mark.parametrize(("groups", "inner"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_at_full_rank_they_reproduce_layers_that_are_not_shared(
    tiny, shaken, packed, groups, inner
):
    config = replace(tiny, num_hidden_groups=groups, inner_group_num=inner, depth_lora_rank=16)
    separate = shaken(AlbertModel(un_shared(replace(config, depth_lora_rank=0))))
    outside = {n: t for n, t in separate.state_dict().items() if "layer_groups" not in n}
    model = shaken(AlbertModel(config), seed=1)
    model.load_state_dict(outside, strict=False)
    expected = separate.encode(packed)
    assert (model.encode(packed) - expected).abs().max() > 0.1
    become(model, separate)
    torch.testing.assert_close(model.encode(packed), expected, atol=1e-5, rtol=0)


def test_attention_is_shown_with_its_residuals(tiny, shaken):
    config = replace(tiny, depth_lora_rank=16)
    separate = shaken(AlbertModel(un_shared(tiny)))
    outside = {n: t for n, t in separate.state_dict().items() if "layer_groups" not in n}
    model = shaken(AlbertModel(config), seed=1)
    model.load_state_dict(outside, strict=False)
    become(model, separate)
    found, expected = (m(IDS, output_attentions=True).attentions for m in (model, separate))
    for weights, others in zip(found, expected, strict=True):
        torch.testing.assert_close(weights, others, atol=1e-5, rtol=0)


def test_a_residual_changes_its_own_depth_and_later_ones_alone(relaxed, shaken):
    model = shaken(AlbertModel(relaxed))
    before = model(IDS, output_hidden_states=True).hidden_states
    with torch.no_grad():
        model.encoder.depth_residuals[2].ffn.bias.add_(1)
    after = model(IDS, output_hidden_states=True).hidden_states
    equal = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert equal == [True, True, True, False, False]


def test_gradients_reach_every_residual(relaxed, shaken, packed):
    model = shaken(AlbertModel(relaxed, add_pooling_layer=False))
    model.encode(packed).pow(3).sum().backward()
    for depth in range(4):
        for name, parameter in residuals_of(model, depth).items():
            if not name.endswith("key.bias"):  # it moves all scores of a query alike
                assert parameter.grad.abs().max() > 1e-4, name


def test_activation_checkpointing_gives_residuals_equal_gradients(relaxed, shaken, packed):
    config = replace(relaxed, hidden_dropout_prob=0.2, inner_group_num=2)
    gradients, model = [], shaken(AlbertModel(config, add_pooling_layer=False)).train()
    for enabled in (False, True):
        model.activation_checkpointing(enabled)
        model.zero_grad()
        torch.manual_seed(0)
        model.encode(packed).pow(3).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def test_residuals_alone_learn_what_frozen_shared_layers_do_not_know(relaxed):
    model = AlbertForPreTraining(replace(relaxed, hidden_size=32, initializer_range=0.1)).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("albert_layer_groups" not in name)
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(4, 40, (8, 10), generator=generator)
    masked = torch.arange(80).view(8, 10) % 4 == 1
    inputs = {"input_ids": words.masked_fill(masked, 3), "labels": words.where(masked, -100)}
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=5e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    name = "albert.encoder.depth_residuals.{}.ffn.lora_B.weight"
    first, *others = (model.get_parameter(name.format(depth)) for depth in range(4))
    assert all(not torch.allclose(first, other, atol=1e-3) for other in others)


def test_a_folder_with_residuals_comes_back_and_says_that_it_is_ours(tmp_path, relaxed, shaken):
    model = shaken(AlbertModel(relaxed))
    model.save_pretrained(tmp_path)
    again = AlbertModel.from_pretrained(tmp_path)
    assert again.config.depth_lora_rank == 3
    assert again.config.to_dict()["model_type"] == "albatross"
    assert torch.equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_residuals_can_be_added_to_a_folder_without(tmp_path, tiny, relaxed, shaken):
    shared = shaken(AlbertModel(tiny))
    shared.save_pretrained(tmp_path)
    name = "encoder.depth_residuals"
    model = AlbertModel.from_pretrained(tmp_path, config=relaxed, initialize=name)
    assert torch.equal(model(IDS).last_hidden_state, shared(IDS).last_hidden_state)
    assert model.get_parameter(f"{name}.3.ffn.lora_A.weight").std() > 0.1


def test_a_shared_model_has_no_residuals_at_all(tiny):
    assert not any("residual" in name for name in AlbertModel(tiny).state_dict())
    assert AlbertConfig().depth_lora_rank == 0


# === Adapters ===

KINDS = [
    *(AdapterSpec("lora", 3), AdapterSpec("lora", 3, per_depth=True, parts=("attention.value",))),
    *(AdapterSpec("bottleneck", 3), AdapterSpec("bottleneck", 3, per_depth=True)),
    AdapterSpec("bottleneck", 3, parts=("attention.dense", "ffn_output")),
]


def adapters_of(model):
    """Every tensor of the adapters, by name."""
    return {n: p for n, p in model.named_parameters() if ".adapters." in n}


@pytest.mark.parametrize("spec", KINDS)
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"inner_group_num": 2, "num_hidden_groups": 2},
        {"cross_layer_sharing": "ffn"},
        {"depth_lora_rank": 4},
    ],
)
def test_new_adapters_leave_the_function_as_it_was(tiny, shaken, packed, spec, values):
    plain = shaken(AlbertModel(replace(tiny, **values)))
    model = with_weights_of(plain, replace(tiny, **values, adapter=spec))
    assert len(model.encoder.adapters) == (model.config.depth if spec.per_depth else 1)
    assert torch.equal(model.encode(packed), plain.encode(packed))


@pytest.mark.parametrize("spec", KINDS)
def test_the_tensors_of_an_adapter_are_those_that_a_folder_is_checked_for(tiny, spec):
    config = replace(tiny, adapter=spec)
    state = AlbertModel(config).state_dict()
    shapes = {f"albert.{name}": tuple(tensor.shape) for name, tensor in state.items()}
    assert encoder_shapes(config) == shapes


@pytest.mark.parametrize("depth_lora_rank", [0, 2])
@pytest.mark.parametrize("spec", KINDS)
def test_gradients_reach_every_tensor_of_an_adapter(tiny, shaken, packed, spec, depth_lora_rank):
    config = replace(tiny, adapter=spec, depth_lora_rank=depth_lora_rank, inner_group_num=2)
    model = shaken(AlbertModel(config, add_pooling_layer=False))
    model.encode(packed).pow(3).sum().backward()
    for name, parameter in adapters_of(model).items():
        assert parameter.grad.abs().max() > 1e-5, name


def test_a_depth_reaches_its_own_adapter_alone(tiny, shaken, packed):
    config = replace(tiny, adapter=AdapterSpec("bottleneck", 3, per_depth=True), inner_group_num=2)
    model = shaken(AlbertModel(config, add_pooling_layer=False))
    rows = torch.randn(len(packed.input_ids), 16, generator=torch.Generator().manual_seed(0))
    model.encoder.layer(rows, packed.layout, depth=5).pow(3).sum().backward()
    reached = {name for name, p in adapters_of(model).items() if p.grad is not None}
    assert reached == {n for n in adapters_of(model) if n.startswith("encoder.adapters.5.")}


@pytest.mark.parametrize("kind", ["lora", "bottleneck"])
def test_adapters_of_single_depths_learn_apart(tiny, shaken, packed, kind):
    spec = AdapterSpec(kind, 3, per_depth=True)
    model = shaken(AlbertModel(replace(tiny, adapter=spec), add_pooling_layer=False)).train()
    learned = adapters_of(model)
    with torch.no_grad():  # all alike at first, so that only what they learn tells them apart
        for name, parameter in learned.items():
            parameter.copy_(learned[re.sub(r"adapters\.\d", "adapters.0", name)])
    optimizer = torch.optim.SGD(learned.values(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model.encode(packed).pow(3).sum().backward()
        optimizer.step()
    first, *others = ([p for n, p in learned.items() if f"adapters.{d}." in n] for d in range(4))
    for other in others:
        assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(first, other, strict=True))


def test_lora_adds_its_scaled_product_to_the_weight(tiny, shaken, packed):
    config = replace(tiny, adapter=AdapterSpec("lora", 3, parts=("ffn",), scale=0.5))
    model = shaken(AlbertModel(config))
    added = model.encoder.adapters[0].ffn
    expected = with_weights_of(model_without(model), tiny)
    with torch.no_grad():
        ffn = expected.encoder.albert_layer_groups[0].albert_layers[0].ffn
        ffn.weight += 0.5 * added.lora_B.weight @ added.lora_A.weight
    torch.testing.assert_close(model.encode(packed), expected.encode(packed), atol=1e-5, rtol=0)


def model_without(model):
    """The same model without its adapter."""
    bare = AlbertModel(replace(model.config, adapter=None)).eval()
    bare.load_state_dict({n: t for n, t in model.state_dict().items() if ".adapters." not in n})
    return bare


@pytest.mark.parametrize("spec", KINDS)
@pytest.mark.parametrize("depth_lora_rank", [0, 2])
def test_fused_projections_and_wanted_rows_give_what_plain_ones_give(
    tiny, shaken, examples, spec, depth_lora_rank
):
    config = replace(tiny, adapter=spec, depth_lora_rank=depth_lora_rank)
    model = shaken(AlbertModel(config))
    batch = pack(examples)
    fused = model.encode(PackedInputs.from_batch(batch, wanted=np.empty(0, np.int64)))
    with torch.no_grad():  # without gradients nothing is fused
        plain = model.encode(PackedInputs.from_batch(batch))[batch.cu_seqlens[:-1]]
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("spec", KINDS)
def test_activation_checkpointing_gives_adapters_equal_gradients(tiny, shaken, packed, spec):
    config = replace(tiny, adapter=spec, hidden_dropout_prob=0.2)
    gradients, model = [], shaken(AlbertModel(config, add_pooling_layer=False)).train()
    for enabled in (False, True):
        model.activation_checkpointing(enabled)
        model.zero_grad()
        torch.manual_seed(0)
        model.encode(packed).pow(3).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def test_attention_is_shown_with_its_adapter(tiny, shaken):
    model = shaken(AlbertModel(replace(tiny, adapter=AdapterSpec("lora", 3))))
    bare = model_without(model)
    shown, others = (m(IDS, output_attentions=True).attentions for m in (model, bare))
    assert (shown[0] - others[0]).abs().max() > 0.01


@pytest.mark.parametrize("spec", KINDS)
def test_a_folder_with_an_adapter_comes_back(tmp_path, tiny, shaken, spec):
    model = shaken(AlbertModel(replace(tiny, adapter=spec)))
    model.save_pretrained(tmp_path)
    again = AlbertModel.from_pretrained(tmp_path)
    assert again.config.adapter == spec
    assert torch.equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


@pytest.mark.parametrize("spec", KINDS)
def test_costs_count_the_parameters_of_an_adapter(tiny, spec):
    config = replace(tiny, adapter=spec)
    counted = sum(p.numel() for p in adapters_of(AlbertModel(config)).values())
    assert model_cost(config).parameters["adapters"] == counted
