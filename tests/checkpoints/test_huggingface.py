import numpy as np
import pytest

from albatross.checkpoints.huggingface import (
    ENGLISH,
    WORD_EMBEDDINGS,
    canonical,
    encoder_shapes,
    fit,
    masked_lm_shapes,
    published_gelu,
    sentence_order_shapes,
)
from albatross.config import AlbertConfig, variant
from albatross.errors import WeightsError

CONFIG = AlbertConfig(
    vocab_size=10,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=6,
)
LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0"


def arrays(shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


# === One spelling ===


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("embeddings.word_embeddings.weight", WORD_EMBEDDINGS),
        (
            "encoder.embedding_hidden_mapping_in.bias",
            "albert.encoder.embedding_hidden_mapping_in.bias",
        ),
        ("pooler.weight", "albert.pooler.weight"),
        ("albert.embeddings.LayerNorm.gamma", "albert.embeddings.LayerNorm.weight"),
        ("embeddings.LayerNorm.beta", "albert.embeddings.LayerNorm.bias"),
        ("predictions.LayerNorm.beta", "predictions.LayerNorm.bias"),
        ("classifier.weight", "classifier.weight"),
    ],
)
def test_older_spellings_become_the_present_one(before, after):
    assert list(canonical({before: np.ones(2)})) == [after]


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_prefix_of_a_wrapped_model_is_taken_off(wrapper):
    names = ("embeddings.LayerNorm.gamma", "classifier.bias")
    found = canonical({wrapper + name: np.ones(2) for name in names})
    assert list(found) == ["albert.embeddings.LayerNorm.weight", "classifier.bias"]


def test_a_prefix_that_only_some_tensors_have_is_a_name():
    names = {"module.bias", "classifier.bias"}
    assert canonical({name: np.ones(2) for name in names}).keys() == names


@pytest.mark.parametrize("prefix", ["", "albert."])
def test_buffers_are_left_out(prefix):
    buffers = {
        f"{prefix}embeddings.{name}_ids": np.arange(3) for name in ("position", "token_type")
    }
    assert canonical({**buffers, "classifier.bias": np.ones(2)}).keys() == {"classifier.bias"}


def test_tied_tensors_are_kept_once():
    words, bias = np.arange(6.0).reshape(3, 2), np.arange(3.0)
    found = canonical(
        {
            WORD_EMBEDDINGS: words,
            "predictions.decoder.weight": words.copy(),
            "predictions.bias": bias,
            "predictions.decoder.bias": bias.copy(),
        }
    )
    assert found.keys() == {WORD_EMBEDDINGS, "predictions.bias"}
    assert found[WORD_EMBEDDINGS] is words


def test_a_tied_tensor_alone_takes_the_name_of_the_absent_one():
    words, bias = np.ones((3, 2)), np.ones(3)
    found = canonical({"predictions.decoder.weight": words, "predictions.decoder.bias": bias})
    assert found[WORD_EMBEDDINGS] is words
    assert found["predictions.bias"] is bias


@pytest.mark.parametrize("zero", ["predictions.bias", "predictions.decoder.bias"])
def test_of_two_biases_that_were_added_the_one_that_is_not_zero_is_kept(zero):
    names = {"predictions.bias", "predictions.decoder.bias"}
    biases = {name: np.full(3, name != zero, np.float32) for name in names}
    assert canonical(biases)["predictions.bias"].tolist() == [1, 1, 1]


def test_words_that_are_zero_are_no_reason_to_take_other_ones():
    with pytest.raises(WeightsError, match=r"`predictions.decoder.weight` must equal"):
        canonical({WORD_EMBEDDINGS: np.zeros(3), "predictions.decoder.weight": np.ones(3)})


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_decoder_that_was_trained_apart_is_refused(name):
    original = {"weight": WORD_EMBEDDINGS, "bias": "predictions.bias"}[name]
    apart = {original: np.full(3, 2.0), f"predictions.decoder.{name}": np.ones(3)}
    with pytest.raises(WeightsError, match=f"`predictions.decoder.{name}` must equal"):
        canonical(apart)


@pytest.mark.parametrize("twin", ["pooler.bias", "albert.pooler.beta"])
def test_one_tensor_under_two_spellings_is_refused(twin):
    with pytest.raises(WeightsError, match=r"`albert.pooler.bias` under two spellings"):
        canonical({"albert.pooler.bias": np.zeros(2), twin: np.ones(2)})


# === Fitting ===


def test_arrays_that_fit_leave_nothing_unused():
    shapes = encoder_shapes(CONFIG) | masked_lm_shapes(CONFIG)
    assert fit(arrays(shapes), shapes) == []


def test_heads_that_are_not_needed_are_named_and_no_fault():
    other = arrays(sentence_order_shapes(CONFIG)) | {"heads.topic.bias": np.zeros(2)}
    found = fit(arrays(encoder_shapes(CONFIG)) | other, encoder_shapes(CONFIG))
    assert found == ["heads.topic.bias", *sorted(sentence_order_shapes(CONFIG))]


def test_a_pooler_that_is_not_needed_is_no_fault():
    needed = encoder_shapes(CONFIG, pooler=False)
    assert fit(arrays(encoder_shapes(CONFIG)), needed) == [
        "albert.pooler.bias",
        "albert.pooler.weight",
    ]


def test_missing_unexpected_and_misshapen_tensors_are_listed_together():
    found = arrays(encoder_shapes(CONFIG))
    del found["albert.pooler.weight"]
    found[f"{LAYER}.ffn.weight"] = np.zeros((12, 9), np.float32)
    found["albert.encoder.layer.7.weight"] = np.zeros(3, np.float32)
    found["lstm.weight"] = np.zeros(3, np.float32)
    found["albert.pooler.bias"] = np.zeros(8, np.int8)
    with pytest.raises(WeightsError) as caught:
        fit(found, encoder_shapes(CONFIG), source="the folder")
    message = str(caught.value)
    assert "The tensors of the folder" in message
    assert "missing: albert.pooler.weight;" in message
    assert "unexpected: albert.encoder.layer.7.weight, lstm.weight;" in message
    assert f"shape: {LAYER}.ffn.weight (12, 9) for (12, 8);" in message
    assert "not real: albert.pooler.bias int8" in message


def test_a_long_list_is_cut_short():
    with pytest.raises(WeightsError, match=r"missing: (\S+, ){5}\S+ and \d+ more"):
        fit({}, encoder_shapes(CONFIG))


def test_names_from_a_file_stay_in_one_line():
    with pytest.raises(WeightsError, match=r"unexpected: 'a\\nb', x+\.") as caught:
        fit({"a\nb": np.zeros(2), "x" * 10_000: np.zeros(2)}, {"classifier.bias": (2,)})
    assert len(str(caught.value)) < 1_000


# === The published configurations ===


def test_eight_english_models_are_published():
    assert len(ENGLISH) == 8
    assert ENGLISH[0] == "albert-base-v1"


@pytest.mark.parametrize("name", ENGLISH)
def test_a_published_size_with_the_exact_gelu_is_known(name):
    assert published_gelu(variant(name, hidden_act="gelu"))
    assert not published_gelu(variant(name))


@pytest.mark.parametrize(
    "other", [{"vocab_size": 21_128}, {"num_hidden_layers": 6}, {"num_hidden_groups": 2}]
)
def test_other_sizes_may_have_any_gelu(other):
    assert not published_gelu(variant("albert-base-v1", hidden_act="gelu", **other))
