"""Google's names against ours, without a file: the table read both ways."""

from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.google import (
    from_google,
    google_config,
    name_pairs,
    names_used,
    read_google_config,
    recognize,
    to_google,
)
from albatross.checkpoints.huggingface import (
    encoder_shapes,
    masked_lm_shapes,
    sentence_order_shapes,
)
from albatross.config import AlbertConfig, variant
from albatross.errors import ConfigError, WeightsError

TINY = AlbertConfig(
    vocab_size=30,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=6,
)
GOOGLE = {
    "attention_probs_dropout_prob": 0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0,
    "embedding_size": 128,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "num_hidden_groups": 1,
    "net_structure_type": 0,
    "gap_size": 0,
    "num_memory_blocks": 0,
    "inner_group_num": 1,
    "down_scale_factor": 1,
    "type_vocab_size": 2,
    "vocab_size": 30000,
}
# The variables of a real checkpoint of albert_tiny_zh, with their shapes.
ALBERT_ZH = {
    "bert/embeddings/LayerNorm/beta": (6,),
    "bert/embeddings/LayerNorm/gamma": (6,),
    "bert/embeddings/position_embeddings": (5, 6),
    "bert/embeddings/token_type_embeddings": (2, 6),
    "bert/embeddings/word_embeddings": (30, 4),
    "bert/embeddings/word_embeddings_2": (4, 6),
    "bert/encoder/layer_shared/attention/output/LayerNorm/beta": (6,),
    "bert/encoder/layer_shared/attention/output/LayerNorm/gamma": (6,),
    "bert/encoder/layer_shared/attention/output/dense/bias": (6,),
    "bert/encoder/layer_shared/attention/output/dense/kernel": (6, 6),
    "bert/encoder/layer_shared/attention/self/key/bias": (6,),
    "bert/encoder/layer_shared/attention/self/key/kernel": (6, 6),
    "bert/encoder/layer_shared/attention/self/query/bias": (6,),
    "bert/encoder/layer_shared/attention/self/query/kernel": (6, 6),
    "bert/encoder/layer_shared/attention/self/value/bias": (6,),
    "bert/encoder/layer_shared/attention/self/value/kernel": (6, 6),
    "bert/encoder/layer_shared/intermediate/dense/bias": (24,),
    "bert/encoder/layer_shared/intermediate/dense/kernel": (6, 24),
    "bert/encoder/layer_shared/output/LayerNorm/beta": (6,),
    "bert/encoder/layer_shared/output/LayerNorm/gamma": (6,),
    "bert/encoder/layer_shared/output/dense/bias": (6,),
    "bert/encoder/layer_shared/output/dense/kernel": (24, 6),
    "bert/pooler/dense/bias": (6,),
    "bert/pooler/dense/kernel": (6, 6),
    "cls/predictions/output_bias": (30,),
    "cls/predictions/transform/LayerNorm/beta": (6,),
    "cls/predictions/transform/LayerNorm/gamma": (6,),
    "cls/predictions/transform/dense/bias": (6,),
    "cls/predictions/transform/dense/kernel": (6, 6),
    "cls/seq_relationship/output_bias": (2,),
    "cls/seq_relationship/output_weights": (2, 6),
}
ZH_CONFIG = {
    "hidden_act": "gelu",
    "hidden_size": 6,
    "embedding_size": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 5,
    "num_attention_heads": 2,
    "num_hidden_layers": 4,
    "type_vocab_size": 2,
    "vocab_size": 30,
    "ln_type": "postln",
}


def shapes_of(config):
    return encoder_shapes(config) | masked_lm_shapes(config) | sentence_order_shapes(config)


def random(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


# === Names ===


def test_every_tensor_of_base_has_the_name_that_the_published_checkpoint_gives_it():
    pairs = {pair.ours: pair.google for pair in name_pairs(variant("albert-base-v2"))}
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    block = "bert/encoder/transformer/group_0/inner_group_0"
    assert shapes_of(variant("albert-base-v2")).keys() <= pairs.keys()
    assert pairs[f"{layer}.ffn_output.weight"] == f"{block}/ffn_1/intermediate/output/dense/kernel"
    assert pairs[f"{layer}.attention.LayerNorm.bias"] == f"{block}/LayerNorm/beta"
    assert pairs[f"{layer}.full_layer_layer_norm.weight"] == f"{block}/LayerNorm_1/gamma"
    assert pairs["sop_classifier.classifier.weight"] == "cls/seq_relationship/output_weights"


@pytest.mark.parametrize("groups", [1, 12])
def test_no_two_tensors_share_a_name(groups):
    pairs = name_pairs(variant("albert-base-v2", num_hidden_groups=groups, inner_group_num=2))
    assert len({pair.ours for pair in pairs}) == len({pair.google for pair in pairs}) == len(pairs)


@pytest.mark.parametrize(
    "values",
    [{}, {"num_hidden_groups": 2}, {"inner_group_num": 2}, {"num_hidden_groups": 4}],
    ids=str,
)
def test_what_goes_to_google_comes_back(values):
    config = replace(TINY, **values)
    arrays = random(shapes_of(config))
    back = from_google(to_google(arrays, config), config, "google-research")
    assert back.keys() == arrays.keys()
    assert all(np.array_equal(back[name], array) for name, array in arrays.items())


def test_kernels_are_stored_in_out_and_classifiers_out_in():
    arrays = random(shapes_of(TINY) | {"classifier.weight": (3, 8)})
    google = to_google(arrays, TINY)
    block = "bert/encoder/transformer/group_0/inner_group_0"
    assert google[f"{block}/ffn_1/intermediate/dense/kernel"].shape == (8, 12)
    assert google["output_weights"].shape == (3, 8)
    assert google["bert/embeddings/word_embeddings"].shape == (30, 4)


# === Recognising ===


@pytest.mark.parametrize("prefix", ["", "module/", "import/albert/"])
def test_a_prefix_is_found_and_slots_are_set_apart(prefix):
    names = [prefix + pair.google for pair in name_pairs(TINY)]
    slots = [f"{prefix}bert/pooler/dense/kernel/{slot}" for slot in ("adam_m", "lamb_v")]
    found = recognize([*names, *slots, "global_step"])
    assert (found.layout, found.prefix) == ("google-research", prefix)
    assert found.optimizer == tuple(sorted([*slots, "global_step"]))


def test_the_early_chinese_names_are_recognised():
    assert recognize(ALBERT_ZH).layout == "albert_zh"
    assert names_used(read_google_config(ZH_CONFIG, "albert_zh"), "albert_zh") >= set(ALBERT_ZH)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "ALBERT's"),
        (["dense/kernel", "dense/bias"], "2 others, such as dense/bias"),
        (["bert/encoder/layer_0/attention/self/query/bias"], "a BERT's"),
        (
            [f"{p}bert/encoder/layer_shared/attention/self/query/bias" for p in ("a/", "b/")],
            "'a/', 'b/'",
        ),
    ],
)
def test_other_models_are_refused(names, words):
    with pytest.raises(WeightsError, match=words):
        recognize(names)


# === Configurations ===


def test_their_gelu_is_the_tanh_form():
    config = read_google_config(GOOGLE, "google-research")
    assert config == replace(variant("albert-base-v2"), extra=config.extra)
    assert google_config(config) == GOOGLE


def test_chinese_models_keep_their_relu():
    values = {**GOOGLE, "hidden_act": "relu", "vocab_size": 21128}
    assert read_google_config(values, "google-research").hidden_act == "relu"
    assert google_config(read_google_config(values, "google-research")) == values


def test_where_e_equals_h_there_is_no_projection():
    config = read_google_config({**GOOGLE, "embedding_size": 768}, "google-research")
    assert not config.embedding_projection
    assert not any("hidden_mapping_in" in pair.google for pair in name_pairs(config))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden_act": "gelu"}, "by erf"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps"),
        ({"num_hidden_layers": 44, "num_hidden_groups": 22}, "would skip one"),
        ({"embedding_size": 8}, "a projection where E equals H"),
        ({"cross_layer_sharing": "ffn"}, "--groups"),
    ],
    ids=str,
)
def test_what_their_code_computes_otherwise_is_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        google_config(replace(TINY, **values))


def test_pre_norm_models_are_refused():
    with pytest.raises(ConfigError, match="ln_type='preln'"):
        read_google_config({**ZH_CONFIG, "ln_type": "preln"}, "albert_zh")


def test_the_early_chinese_embeddings_are_multiplied_out():
    config = read_google_config(ZH_CONFIG, "albert_zh")
    variables = random(ALBERT_ZH)
    arrays = from_google(variables, config, "albert_zh")
    assert {name: array.shape for name, array in arrays.items()} == shapes_of(config)
    words, projection = (variables[f"bert/embeddings/word_embeddings{n}"] for n in ("", "_2"))
    found = np.asarray(arrays["albert.embeddings.word_embeddings.weight"], np.float32)
    np.testing.assert_allclose(found, words @ projection, rtol=1e-6)
