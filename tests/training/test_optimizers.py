from copy import deepcopy
from typing import get_args

import pytest
import torch
from torch import nn

from albatross.config import variant
from albatross.data.packing import Example, pack
from albatross.errors import ConfigError
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.training.muon import Muon, orthogonal
from albatross.training.optimizers import (
    OptimizerName,
    layer_matrices,
    make_optimizers,
    parameter_groups,
    undecayed,
)

NAMES = get_args(OptimizerName)
# LAMB's rate is a share of a tensor's norm, Adam's a distance.
RATES = dict.fromkeys(NAMES, 3e-3) | {"lamb": 2e-2, "lamb-google": 2e-2}


def tiny(**config):
    torch.manual_seed(0)
    return AlbertForPreTraining(variant("albatross-tiny", vocab_size=50, **config))


def made(model, name, rate=1e-3, weight_decay=0.01):
    options = {"learning_rate": rate, "beta2": 0.98, "weight_decay": weight_decay}
    return make_optimizers(model, name, **options)


def learn(model, name, loss_of, steps, rate):
    """Take steps at a falling rate; the losses before each."""
    optimizers, losses = made(model, name, rate, 0.0), []
    for step in range(steps):
        for group in (group for one in optimizers for group in one.param_groups):
            group["lr"] = rate * group["rate_scale"] * (1 - step / steps)
        loss = loss_of(model)
        losses.append(float(loss.detach()))
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return losses


# === Learning ===


class Bowl(nn.Module):
    """A matrix that is to become another one; it bears a layer's name, so that Muon moves it."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.goal = torch.randn(6, 4, generator=generator) / 10
        self.albert_layer_groups = nn.ParameterList(
            [torch.full((6, 4), 0.1), torch.full((6,), 0.2)]
        )

    def forward(self):
        weight, bias = self.albert_layer_groups
        return (weight - self.goal).square().sum() + (bias - 0.1).square().sum()


@pytest.mark.parametrize("name", NAMES)
def test_each_finds_the_bottom_of_a_bowl(name):
    torch.manual_seed(0)
    losses = learn(Bowl(), name, lambda bowl: bowl(), 400, rate=1e-2)
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_each_teaches_a_tiny_model_its_sentences(name):
    ids = torch.randint(5, 50, (8, 12), generator=torch.Generator().manual_seed(0)).numpy()
    batch = PackedInputs.from_batch(pack([Example(row, 0 * row) for row in ids]), "cpu")
    goal = torch.as_tensor(ids.reshape(-1)).roll(1)

    def loss_of(model):
        rows = model.albert.encode(batch)
        logits = model.predictions(rows, model.albert.embeddings.word_embeddings.weight)
        return nn.functional.cross_entropy(logits, goal)

    model = tiny(hidden_dropout_prob=0.0).train()
    losses = learn(model, name, loss_of, 40, RATES[name])
    assert losses[-1] < 0.5 * losses[0]


def test_lamb_corrects_its_bias_and_as_in_google_s_code_does_not():
    moved = {}
    for name in ("lamb", "lamb-google"):
        weights = nn.Linear(3, 2, bias=True)
        nn.init.zeros_(weights.bias)
        weights.bias.grad = torch.ones(2)
        for optimizer in made(weights, name, rate=1.0):
            optimizer.step()
        moved[name] = -float(weights.bias[0].detach())
    # (1 - beta1) over the root of (1 - beta2), of a gradient of 1.
    assert moved == pytest.approx({"lamb": 1.0, "lamb-google": 0.1 / 0.02**0.5}, rel=1e-4)


# === Which weights ===


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_is_moved_once(name):
    model = tiny(depth_lora_rank=2)
    groups = [group for one in made(model, name) for group in one.param_groups]
    moved = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(moved) == sorted(id(parameter) for parameter in model.parameters())


def test_biases_and_norms_are_neither_decayed_nor_adapted():
    model = tiny()
    decayed, plain = parameter_groups(model, 0.3)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert (decayed["layer_adaptation"], plain["layer_adaptation"]) == (True, False)
    assert all(parameter.dim() == 2 for parameter in decayed["params"])
    assert all(parameter.dim() == 1 for parameter in plain["params"])


def test_what_is_not_decayed_can_be_listed():
    names = undecayed(tiny())
    assert "predictions.bias" in names
    assert "albert.embeddings.LayerNorm.weight" in names
    assert not any(name.endswith("ffn.weight") for name in names)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_gradient_decays_weights_and_leaves_biases(name):
    model = tiny()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in made(model, name, rate=0.1, weight_decay=0.1):
        optimizer.step()
    kept = set(undecayed(model))
    for found, parameter in model.named_parameters():
        assert bool((parameter == 1).all()) == (found in kept), found


def test_muon_moves_the_matrices_of_the_layers_alone():
    model = tiny(depth_lora_rank=2)
    names = layer_matrices(model)
    assert len(names) == 6
    assert all(".albert_layers." in name and name.endswith("weight") for name in names)
    assert not any("LayerNorm" in name or "depth_residuals" in name for name in names)


def test_steps_of_muon_are_as_large_as_those_of_adamw():
    sizes = {}
    for name in ("muon", "adamw"):
        model = tiny()
        before = {key: value.detach().clone() for key, value in model.named_parameters()}
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        for optimizer in made(model, name, rate=0.01, weight_decay=0.0):
            optimizer.step()
        steps = [(p - before[key]).square().mean().sqrt() for key, p in model.named_parameters()]
        sizes[name] = torch.stack(steps).detach() / 0.01
    assert bool((sizes["adamw"] - 1).abs().max() < 0.01)
    assert 0.1 < float(sizes["muon"].min()) <= float(sizes["muon"].max()) < 1.1


def test_muon_needs_layers():
    with pytest.raises(ConfigError, match="without `albert_layer_groups`"):
        made(nn.Linear(2, 2), "muon")


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
@pytest.mark.parametrize(("dtype", "near"), [(torch.bfloat16, 0.0), (torch.float32, 0.03)])
def test_muon_is_that_of_torch_but_for_the_precision(dtype, near, shape):
    """In bfloat16 bit by bit; its state is taken over in either direction."""
    draw = torch.Generator().manual_seed(0)
    start, *gradients = (torch.randn(shape, generator=draw).to(dtype) for _ in range(5))
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    theirs_step = torch.optim.Muon([theirs], 0.02, 0.1, adjust_lr_fn="match_rms_adamw")
    ours_step = Muon([ours], 0.02, 0.1)
    for number, gradient in enumerate(gradients):
        if number == 2:
            ours_step.load_state_dict(deepcopy(theirs_step.state_dict()))
        for one, step in ((ours, ours_step), (theirs, theirs_step)):
            one.grad = gradient.clone()
            step.step()
    moved = float((theirs - start).detach().norm())
    assert float((ours - theirs).detach().norm()) <= near * moved


def test_orthogonal_directions_are_nearly_so():
    matrix = torch.randn(40, 90, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrix)
    torch.testing.assert_close(found, orthogonal(matrix.double()).float(), atol=1e-4, rtol=0)
    values = torch.linalg.svdvals(found)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


# === State ===


@pytest.mark.parametrize("name", NAMES)
def test_state_by_name_is_enough_to_go_on(name):
    def steps(model, optimizers, seeds):
        for seed in seeds:
            torch.manual_seed(seed)
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            for optimizer in optimizers:
                optimizer.step()

    whole, second = tiny(), tiny()
    steps(whole, made(whole, name), range(4))
    first = tiny()
    optimizers = made(first, name)
    steps(first, optimizers, range(2))
    second.load_state_dict(first.state_dict())
    going_on = made(second, name)
    for before, after in zip(optimizers, going_on, strict=True):
        for group in after.param_groups:
            named = {id(p): key for key, p in second.named_parameters()}
            for parameter in group["params"]:
                old = before.state[dict(first.named_parameters())[named[id(parameter)]]]
                after.state[parameter] = {key: torch.as_tensor(v).clone() for key, v in old.items()}
    steps(second, going_on, range(2, 4))
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
