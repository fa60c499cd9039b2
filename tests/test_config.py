from dataclasses import replace

import pytest

from albatross.config import VARIANTS, AlbertConfig, unshared, variant
from albatross.errors import ConfigError

BASE = AlbertConfig().to_dict()


def refusal(**values):
    with pytest.raises(ConfigError) as caught:
        AlbertConfig(**values)
    return str(caught.value)


# === Rules ===


def test_every_broken_rule_is_reported_at_once():
    message = refusal(
        vocab_size=0,
        num_hidden_groups=5,
        hidden_dropout_prob=1.0,
        layer_norm_eps=float("nan"),
        hidden_act="swish",
        cross_layer_sharing="some",
        embedding_projection=False,
        extra={"position_embedding_type": "relative_key"},
    )
    for name in (
        "vocab_size",
        "num_hidden_groups=5",
        "hidden_dropout_prob",
        "layer_norm_eps",
        "'swish'",
        "'some'",
        "embedding_size=128",
        "'relative_key'",
    ):
        assert name in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden_layers", 1_000_000),
        ("inner_group_num", 1_000_000),
        ("hidden_size", 10**9),
        ("intermediate_size", 10**9),
        ("vocab_size", 10**9),
        ("max_position_embeddings", 10**9),
        ("hidden_size", 768.0),
        ("hidden_size", True),
        ("hidden_size", "768"),
        ("hidden_size", None),
        ("num_attention_heads", -12),
        ("pad_token_id", -1),
        ("depth_lora_rank", -1),
        ("depth_lora_rank", 2.0),
        ("depth_lora_rank", None),
        ("initializer_range", 0),
        ("initializer_range", float("inf")),
        ("layer_norm_eps", "tiny"),
        ("hidden_dropout_prob", None),
        ("hidden_dropout_prob", float("nan")),
        ("embedding_projection", 1),
        ("hidden_act", ["gelu"]),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name, value):
    assert f"`{name}`" in refusal(**{name: value})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_hidden_groups": 5}, "num_hidden_layers=12, num_hidden_groups=5"),
        ({"num_hidden_groups": 24}, "num_hidden_layers=12, num_hidden_groups=24"),
        ({"num_attention_heads": 7}, "hidden_size=768, num_attention_heads=7"),
        ({"cross_layer_sharing": "none"}, "`num_hidden_groups` to 12"),
        ({"extra": {"hidden_size": 4, "model_type": "bert"}}, "Received: hidden_size, model_type"),
        ({"depth_lora_rank": 769}, "depth_lora_rank=769, hidden_size=768"),
        ({"extra": {"id2label": "names"}}, "`id2label`"),
        ({"extra": {"num_labels": 0}}, "`num_labels`"),
    ],
)
def test_values_that_do_not_go_together_are_refused(values, words):
    assert words in refusal(**values)


# === Files ===


def test_unknown_keys_survive_a_round_trip():
    foreign = {
        "architectures": ["AlbertForMaskedLM"],
        "dtype": "float32",
        "net_structure_type": 0,
        "down_scale_factor": None,
        "rope_parameters": {"rope_type": "default", "factors": [1, 2]},
        "extra": {"of": "theirs"},
    }
    config = AlbertConfig.from_dict({**BASE, **foreign})
    written = config.to_dict()
    assert {key: written[key] for key in foreign} == foreign
    assert AlbertConfig.from_dict(written) == config


def test_every_variant_survives_a_round_trip():
    for name in VARIANTS:
        assert AlbertConfig.from_dict(variant(name).to_dict()) == variant(name)


def test_a_rank_is_written_where_there_is_one_and_older_files_stay_as_they_were():
    assert "depth_lora_rank" not in BASE
    written = AlbertConfig(depth_lora_rank=4).to_dict()
    assert written["depth_lora_rank"] == 4
    assert AlbertConfig.from_dict(written) == AlbertConfig(depth_lora_rank=4)


@pytest.mark.parametrize("model_type", ["bert", "", None, 7])
def test_the_file_of_another_model_is_refused(model_type):
    with pytest.raises(ConfigError, match="model_type="):
        AlbertConfig.from_dict({**BASE, "model_type": model_type})


@pytest.mark.parametrize("name", ["hidden_size", "num_attention_heads", "intermediate_size"])
def test_a_file_must_say_its_size_since_defaults_differ(name):
    values = {key: value for key, value in BASE.items() if key != name}
    with pytest.raises(ConfigError, match=f"without {name}"):
        AlbertConfig.from_dict(values)


def test_null_means_what_it_means_to_transformers():
    values = {"classifier_dropout_prob": None, "pad_token_id": None, "bos_token_id": None}
    config = AlbertConfig.from_dict({**BASE, **values, "hidden_dropout_prob": 0.3})
    assert config.classifier_dropout_prob == 0.3
    assert (config.pad_token_id, config.bos_token_id) == (0, 2)


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "hidden_act"])
def test_null_is_no_size_and_no_activation(name):
    with pytest.raises(ConfigError, match=f"`{name}`.*None"):
        AlbertConfig.from_dict({**BASE, name: None})


def test_whole_numbers_do_for_real_ones():
    config = AlbertConfig.from_dict({**BASE, "hidden_dropout_prob": 0, "initializer_range": 1})
    assert type(config.hidden_dropout_prob) is type(config.initializer_range) is float
    assert config == AlbertConfig(initializer_range=1.0)


@pytest.mark.parametrize("value", [10**400, -(10**400), 2])
def test_a_number_too_large_for_a_dropout_is_refused(value):
    with pytest.raises(ConfigError, match="hidden_dropout_prob"):
        AlbertConfig.from_dict({**BASE, "hidden_dropout_prob": value})


def test_a_first_version_file_with_gelu_opens():
    first = {**variant("albert-base-v1").to_dict(), "hidden_act": "gelu", "num_memory_blocks": 0}
    del first["cross_layer_sharing"], first["embedding_projection"]
    config = AlbertConfig.from_dict(first)
    assert config == replace(
        variant("albert-base-v1"), hidden_act="gelu", extra={"num_memory_blocks": 0}
    )


@pytest.mark.parametrize(
    ("extra", "count"),
    [
        ({}, 2),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, 3),
        ({"id2label": None, "num_labels": 4}, 4),
        ({"id2label": {"0": "a"}, "num_labels": 4}, 1),
        ({"num_labels": None}, 2),
    ],
)
def test_labels_are_counted_as_transformers_counts_them(extra, count):
    assert AlbertConfig(extra=extra).num_labels == count


@pytest.mark.parametrize(
    ("values", "model_type"),
    [
        ({}, "albert"),
        ({"num_hidden_groups": 12, "cross_layer_sharing": "none"}, "albert"),
        ({"cross_layer_sharing": "attention"}, "albatross"),
        ({"cross_layer_sharing": "ffn"}, "albatross"),
        ({"depth_lora_rank": 768}, "albatross"),
    ],
)
def test_only_what_transformers_computes_alike_is_called_albert(values, model_type):
    assert AlbertConfig(**values).to_dict()["model_type"] == model_type


# === Variants ===


def test_an_unknown_variant_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"albert-base-v2.*Received: 'albert-huge'"):
        variant("albert-huge")


def test_first_versions_have_dropout_where_second_ones_have_none():
    first, second = variant("albert-large-v1"), variant("albert-large-v2")
    assert first.hidden_dropout_prob == first.attention_probs_dropout_prob == 0.1
    assert second == replace(first, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    assert variant("albert-xxlarge-v1") == variant("albert-xxlarge-v2")


def test_values_of_a_variant_can_be_replaced():
    assert variant("albatross-tiny", vocab_size=99).vocab_size == 99


def test_the_bert_of_a_size_shares_nothing():
    config = unshared(AlbertConfig(num_hidden_layers=6, depth_lora_rank=8))
    assert config.num_attention_groups == config.num_ffn_groups == 6
    assert config.embedding_size == 768
    assert config.depth_lora_rank == 0
    assert config.to_dict()["model_type"] == "albatross"
