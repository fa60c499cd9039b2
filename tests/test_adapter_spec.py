"""What an adapter may be, and what `config.json` says of it."""

from typing import Any

import pytest

from albatross.adapter_spec import ADAPTED_PARTS, AdapterSpec
from albatross.config import AlbertConfig
from albatross.errors import ConfigError

SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}


def test_each_kind_has_its_usual_parts():
    assert AdapterSpec("lora", 4).parts == ADAPTED_PARTS["lora"]
    assert AdapterSpec("bottleneck", 4).parts == ("ffn_output",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "prefix"}, "`kind` must be lora or bottleneck. Received: 'prefix'"),
        ({"rank": 0}, "`rank` must be a positive whole number. Received: 0"),
        ({"rank": True}, "`rank` must be a positive whole number. Received: True"),
        ({"per_depth": 1}, "`per_depth` must be true or false. Received: 1"),
        ({"parts": ("pooler",)}, "acts on some of attention.query.*Received: pooler"),
        ({"parts": ("ffn", "ffn")}, "each once. Received: ffn, ffn"),
        ({"kind": "bottleneck", "parts": ("ffn",)}, "acts on some of attention.dense, ffn_output"),
        ({"scale": 0.0}, "`scale` must be a number above 0"),
    ],
)
def test_what_breaks_a_rule_is_told(values, message):
    with pytest.raises(ConfigError, match=message):
        AdapterSpec(**{"kind": "lora", "rank": 4, **values})


@pytest.mark.parametrize("values", [None, [], {"kind": "lora"}, {"kind": "lora", "r": 4}])
def test_a_damaged_key_is_refused(values):
    with pytest.raises(ConfigError, match="`adapter` must be an object with kind and rank"):
        AdapterSpec.from_dict(values)


def test_a_rank_above_the_width_is_refused():
    with pytest.raises(ConfigError, match="Received: rank=33, hidden_size=32"):
        AlbertConfig(**SIZES, adapter=AdapterSpec("lora", 33))


def test_a_configuration_comes_back_with_its_adapter_and_says_that_it_is_ours():
    config = AlbertConfig(**SIZES, adapter=AdapterSpec("bottleneck", 8, per_depth=True))
    values = config.to_dict()
    assert values["model_type"] == "albatross"
    assert AlbertConfig.from_dict(values) == config


def test_a_configuration_without_an_adapter_has_no_such_key():
    values = AlbertConfig(**SIZES).to_dict()
    assert "adapter" not in values
    assert values["model_type"] == "albert"
