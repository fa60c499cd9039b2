from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from albatross.adapter_spec import AdapterSpec
from albatross.config import AlbertConfig, variant
from albatross.data.packing import Example, pack
from albatross.data.sampling import StepBatch
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.distributed import World
from albatross.training.gradients import Gradients
from albatross.training.head_losses import HeadLosses
from albatross.training.layer_decay import apply_layer_decay, gradient_scales, rate_scales
from albatross.training.optimizers import make_optimizers, undecayed

DECAY = 0.7
HEADS = {"classifier": HeadSpec("sequence", 2)}
TINY = variant("albatross-tiny", vocab_size=50, hidden_size=32, intermediate_size=64)
MODES: dict[str, dict[str, Any]] = {
    "all": {},
    "two groups": {"num_hidden_groups": 2},
    "two inner layers": {"num_hidden_groups": 2, "inner_group_num": 2},
    "attention": {"cross_layer_sharing": "attention"},
    "ffn": {"cross_layer_sharing": "ffn"},
    "none": {"cross_layer_sharing": "none", "num_hidden_groups": 4},
}


def batch():
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 50, length) for length in (9, 14, 5)]
    return pack([Example(i, 0 * i, {"classifier": n % 2}) for n, i in enumerate(ids)])


def model_of(config: AlbertConfig) -> AlbertWithHeads:
    return AlbertWithHeads(config, heads=HEADS, seed=0)


def backward(model):
    """Leave the gradients of one batch; return the loss."""
    found = HeadLosses(model)
    gradients = Gradients(found, found, World(), precision="float32", clip_norm=1e9, seed=0)
    return gradients.compute(StepBatch([batch()], (0,), 0, 0), 0, None)["loss"]


def untied(model: AlbertWithHeads) -> AlbertWithHeads:
    """The same function with a layer of its own for every depth, in repeats of one."""
    config = model.config
    own = replace(
        config,
        cross_layer_sharing="none",
        num_hidden_groups=config.num_hidden_layers,
    )
    other = model_of(own)
    state = dict(other.state_dict())
    for name, tensor in model.state_dict().items():
        if "albert_layer_groups" not in name:
            state[name] = tensor
    for name in state:
        if "albert_layer_groups" in name:
            state[name] = model.state_dict()[shared_name(name, config)]
    other.load_state_dict(state)
    return other


def shared_name(name: str, config: AlbertConfig) -> str:
    """Where the weights of an untied layer stand in the model that shares them."""
    before, _, rest = name.partition("albert_layer_groups.")
    repeat, _, rest = rest.partition(".")
    of = config.attention_group_of if ".attention." in rest else config.ffn_group_of
    return f"{before}albert_layer_groups.{of(int(repeat))}.{rest}"


@pytest.mark.parametrize("mode", MODES)
def test_shared_gradients_are_the_sum_of_scaled_ones_of_untied_copies(mode):
    model = model_of(replace(TINY, **MODES[mode]))
    config, other = model.config, untied(model)
    scales = apply_layer_decay(model, DECAY)
    loss = backward(model)
    assert backward(other) == pytest.approx(loss, rel=1e-6)
    expected: dict[str, torch.Tensor] = {}
    for name, parameter in other.named_parameters():
        assert parameter.grad is not None
        if "albert_layer_groups" not in name:
            expected[name] = parameter.grad
            continue
        _, repeat, _, inner, *_ = name.split("albert_layer_groups")[1].split(".")
        depth = int(repeat) * config.inner_group_num + int(inner)
        shared = shared_name(name, config)
        share = DECAY ** (config.depth - 1 - depth) / scales[shared]
        expected[shared] = expected.get(shared, 0) + share * parameter.grad
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_rate_is_the_mean_weight_of_a_blocks_depths(mode):
    model = model_of(replace(TINY, **MODES[mode]))
    config, names = model.config, [name for name, _ in model.named_parameters()]
    scales = rate_scales(names, config, DECAY)
    used: dict[str, list[float]] = {}
    for name, _ in untied(model).named_parameters():
        if "albert_layer_groups" in name:
            _, repeat, _, inner, *_ = name.split("albert_layer_groups")[1].split(".")
            depth = int(repeat) * config.inner_group_num + int(inner)
            used.setdefault(shared_name(name, config), []).append(
                DECAY ** (config.depth - 1 - depth)
            )
    assert {n: scales[n] for n in used} == pytest.approx({n: np.mean(w) for n, w in used.items()})
    others = {name: scales[name] for name in names if name not in used}
    below = DECAY**config.depth
    full = {n: below if ".embedding" in n else 1.0 for n in others}
    assert others == pytest.approx(full)


def test_unshared_layers_learn_by_the_usual_rule_bit_for_bit():
    config = replace(TINY, **MODES["none"])
    ours, theirs = model_of(config), model_of(config)
    scales = apply_layer_decay(ours, DECAY)
    assert gradient_scales(config, DECAY) is None
    options: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6}
    by_hand = []
    for name, parameter in theirs.named_parameters():
        depth = config.depth if ".layer" not in name and "classifier" in name else -1
        if "albert_layer_groups" in name:
            depth = int(name.split("albert_layer_groups.")[1].split(".")[0])
        rate = 1.0 if "pooler" in name or "classifier" in name else DECAY ** (3 - depth)
        decay = 0.0 if name in undecayed(theirs) else 0.01
        by_hand.append({"params": [parameter], "lr": 1e-3 * rate, "weight_decay": decay})
    plain = torch.optim.AdamW(by_hand, **options, fused=True)
    rates: dict[str, Any] = {"learning_rate": 1e-3, "beta2": 0.999, "weight_decay": 0.01}
    (scaled,) = make_optimizers(ours, "adamw", **rates, rate_scales=scales)
    for _ in range(3):
        for group in scaled.param_groups:
            group["lr"] = 1e-3 * group["rate_scale"]
        for model, optimizer in ((ours, scaled), (theirs, plain)):
            backward(model)
            optimizer.step()
            optimizer.zero_grad()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_decay_changes_no_bit():
    plain, decayed = model_of(TINY), model_of(TINY)
    assert set(apply_layer_decay(decayed, 1.0).values()) == {1.0}
    assert gradient_scales(TINY, 1.0) is None
    for model in (plain, decayed):
        backward(model)
    for one, other in zip(plain.parameters(), decayed.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize(
    "own", [{"depth_lora_rank": 2}, {"adapter": AdapterSpec("bottleneck", 2, True)}]
)
def test_what_a_depth_has_to_itself_keeps_its_gradient(own):
    plain, decayed = model_of(replace(TINY, **own)), model_of(replace(TINY, **own))
    scales = apply_layer_decay(decayed, DECAY)
    for model in (plain, decayed):
        backward(model)
    names = [
        name for name, _ in plain.named_parameters() if "residuals." in name or "adapters." in name
    ]
    found = {name: dict(decayed.named_parameters())[name].grad for name in names}
    for name in names:
        depth = int(name.split("encoder.")[1].split(".")[1])
        assert scales[name] == pytest.approx(DECAY ** (3 - depth))
        torch.testing.assert_close(found[name], dict(plain.named_parameters())[name].grad)


def test_muon_takes_the_rates_of_the_layers():
    model = model_of(TINY)
    scales = apply_layer_decay(model, DECAY)
    rates: dict[str, Any] = {"learning_rate": 1e-3, "beta2": 0.999, "weight_decay": 0.01}
    muon, adam = make_optimizers(model, "muon", **rates, rate_scales=scales)
    mean = np.mean([DECAY**i for i in range(4)])
    assert [group["rate_scale"] for group in muon.param_groups] == pytest.approx([mean])
    found = sorted({group["rate_scale"] for group in adam.param_groups})
    assert found == pytest.approx([DECAY**4, mean, 1.0])
