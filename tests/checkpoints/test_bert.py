"""BERT's names and configuration, against transformers itself where it is installed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from albatross.checkpoints.bert import bert_config, from_bert, is_bert, read_bert_config, to_bert
from albatross.config import AlbertConfig, unshared, variant
from albatross.errors import ConfigError, WeightsError
from albatross.modeling.model import AlbertForPreTraining

VALUES = {
    "model_type": "bert",
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}
IDS = torch.arange(1, 13).view(2, 6)


@pytest.fixture(scope="module")
def bert():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(**{**VALUES, "initializer_range": 0.3})
    return transformers.BertForPreTraining(config).eval()


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def ours(config, arrays):
    model = AlbertForPreTraining(config)
    model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in model.state_dict()})
    return model.eval()


def test_a_bert_computes_the_same_under_our_names(bert):
    config = read_bert_config(bert.config.to_dict())
    model = ours(config, from_bert(arrays_of(bert), config))
    with torch.inference_mode():
        wanted, found = bert(IDS), model(IDS)
    torch.testing.assert_close(found.prediction_logits, wanted.prediction_logits)
    torch.testing.assert_close(found.sop_logits, wanted.seq_relationship_logits)


def test_names_come_back(bert):
    config = read_bert_config(bert.config.to_dict())
    known = {n: a for n, a in arrays_of(bert).items() if "decoder" not in n}
    back = to_bert(from_bert(arrays_of(bert), config), config)
    assert back.keys() == known.keys()


def test_a_bare_bert_may_lack_the_prefix(bert):
    config = read_bert_config(bert.config.to_dict())
    bare = {f"albert.{name}": tensor.numpy() for name, tensor in bert.bert.state_dict().items()}
    whole = from_bert(arrays_of(bert), config)
    assert from_bert(bare, config).keys() == {n for n in whole if n.startswith("albert.")}


def test_an_output_matrix_of_its_own_is_refused(bert):
    config = read_bert_config(bert.config.to_dict())
    arrays = arrays_of(bert)
    arrays["cls.predictions.decoder.weight"] = arrays["cls.predictions.decoder.weight"] + 1
    with pytest.raises(WeightsError, match="would be lost"):
        from_bert(arrays, config)


def test_a_config_comes_back():
    values = {**VALUES, "classifier_dropout": 0.2, "architectures": ["BertForMaskedLM"]}
    config = read_bert_config(values)
    assert is_bert(config)
    assert config.extra["architectures"] == ["AlbertForMaskedLM"]
    assert values.items() <= bert_config(config).items()
    assert read_bert_config(bert_config(config)) == config


def test_the_defaults_are_those_of_bert_base():
    assert replace(read_bert_config({}), extra={}) == replace(
        variant("bert-base"), hidden_act="gelu"
    )


def test_a_decoder_is_refused():
    with pytest.raises(ConfigError, match="must be an encoder"):
        read_bert_config({**VALUES, "is_decoder": True})


@pytest.mark.parametrize(
    "config",
    [AlbertConfig(), replace(unshared(AlbertConfig()), depth_lora_rank=2)],
    ids=["albert", "residuals"],
)
def test_only_whole_unshared_layers_are_a_bert(config):
    assert not is_bert(config)


def test_unknown_tensors_keep_their_names():
    config = read_bert_config(VALUES)
    assert from_bert({"my_head.weight": np.ones(2)}, config).keys() == {"my_head.weight"}
