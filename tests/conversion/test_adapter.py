"""Adapters merged into weights: the same function where that is exact, refused where it is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from albatross.adapter_spec import AdapterSpec
from albatross.config import AlbertConfig
from albatross.conversion.adapter import is_mergeable, merge_adapter
from albatross.conversion.structure import restructure
from albatross.conversion.target import formed
from albatross.errors import ConfigError
from albatross.modeling.model import AlbertModel

IDS = torch.tensor([[2, 7, 4, 9, 3], [2, 5, 3, 1, 8]])
LORA = AdapterSpec("lora", 3, scale=0.5)
CONFIG = AlbertConfig(
    vocab_size=40,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=24,
    initializer_range=0.1,
    adapter=LORA,
)
UNSHARED = {"num_hidden_groups": 4, "inner_group_num": 2}


def drawn(config):
    """A model whose adapter acts."""
    model = AlbertModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adapters" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"num_hidden_groups": 2, "inner_group_num": 2},
        {"cross_layer_sharing": "attention"},
        {"depth_lora_rank": 2},
        {"adapter": AdapterSpec("lora", 3, parts=("attention.query", "ffn_output"))},
        {**UNSHARED, "adapter": replace(LORA, per_depth=True)},
    ],
)
def test_a_merged_model_computes_the_same(values):
    model = drawn(replace(CONFIG, **values))
    arrays = {f"albert.{name}": array for name, array in model.to_arrays().items()}
    merged = merge_adapter(model.config, arrays)
    assert merged.config == replace(model.config, adapter=None)
    again = AlbertModel.from_arrays(merged.config, merged.arrays)
    found, expected = (m(IDS).last_hidden_state for m in (again, model))
    torch.testing.assert_close(found, expected, atol=3e-6, rtol=0)
    assert (
        AlbertModel.from_arrays(merged.config, without(arrays))(IDS).last_hidden_state - expected
    ).abs().max() > 0.01


def without(arrays):
    return {name: array for name, array in arrays.items() if "adapters" not in name}


def test_the_merged_weight_is_the_sum():
    arrays = {f"albert.{n}": a for n, a in drawn(CONFIG).to_arrays().items()}
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    up, down = (arrays[f"albert.encoder.adapters.0.ffn.lora_{m}.weight"] for m in "BA")
    expected = arrays[layer].astype(np.float64) + 0.5 * up.astype(np.float64) @ down
    merged = merge_adapter(CONFIG, arrays).arrays[layer].astype(np.float64)
    np.testing.assert_allclose(merged, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(LORA, per_depth=True), "Received: one per depth of shared layers"),
        (AdapterSpec("bottleneck", 3), "Received: a bottleneck"),
    ],
)
def test_what_has_no_merged_weight_is_refused(spec, message):
    config = replace(CONFIG, adapter=spec)
    assert not is_mergeable(config)
    with pytest.raises(ConfigError, match=message):
        merge_adapter(config, {})


def test_a_model_without_an_adapter_stays_as_it_is():
    config = replace(CONFIG, adapter=None)
    arrays = drawn(config).to_arrays()
    merged = merge_adapter(config, arrays)
    assert merged.config is config
    assert merged.arrays == arrays


def test_another_depth_is_refused_where_each_has_an_adapter():
    config = replace(CONFIG, adapter=replace(LORA, per_depth=True))
    with pytest.raises(ConfigError, match=r"keeps its depth\. Received: --layers 8 for 4"):
        restructure(config, {}, layers=8)


@pytest.mark.parametrize("target", ["huggingface", "google"])
def test_other_programs_get_the_merged_weights(target):
    arrays = {f"albert.{n}": a for n, a in drawn(CONFIG).to_arrays().items()}
    form = formed(CONFIG, arrays, target)
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    assert form.config.adapter is None
    assert not any("adapters" in name for name in form.arrays)
    assert (form.arrays[layer] == merge_adapter(CONFIG, arrays).arrays[layer]).all()
