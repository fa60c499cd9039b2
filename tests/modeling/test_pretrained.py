"""Opening model folders as modules: nothing ever starts at random unasked."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants

from albatross.checkpoints.huggingface import encoder_shapes, masked_lm_shapes
from albatross.checkpoints.model_folder import WEIGHTS, read_config, read_weights, update_model
from albatross.config import AlbertConfig, variant
from albatross.errors import AlbatrossWarning, FolderError, WeightsError
from albatross.head_spec import HeadSpec
from albatross.modeling.model import (
    AlbertForMaskedLM,
    AlbertForPreTraining,
    AlbertModel,
)
from albatross.modeling.task_models import AlbertForSequenceClassification
from albatross.modeling.with_heads import AlbertWithHeads

CONFIG = AlbertConfig(
    vocab_size=10,
    embedding_size=4,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=6,
)
CLASSES = [AlbertModel, AlbertForPreTraining, AlbertForMaskedLM, AlbertForSequenceClassification]
MODES = [
    {},
    {"num_hidden_groups": 2},
    {"inner_group_num": 2},
    {"cross_layer_sharing": "attention"},
    {"cross_layer_sharing": "ffn", "inner_group_num": 2},
    {"cross_layer_sharing": "none", "num_hidden_groups": 2},
]


@pytest.fixture
def folder(tmp_path):
    AlbertForPreTraining(CONFIG, seed=1).save_pretrained(tmp_path)
    return tmp_path


def assert_same_weights(first, second):
    assert first.state_dict().keys() == second.state_dict().keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_saved_model_comes_back_the_same(tmp_path, kind, mode):
    model = kind(replace(CONFIG, **mode), seed=3)
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert_same_weights(model, again)
    assert not again.training
    assert replace(again.config, extra={}) == replace(model.config, extra={})


def test_an_opened_model_can_be_trained_and_leaves_its_file_alone(folder):
    before = (folder / WEIGHTS).read_bytes()
    model = AlbertForPreTraining.from_pretrained(folder)
    model(torch.tensor([[1, 2]]), labels=torch.tensor([[3, 4]])).loss.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert (folder / WEIGHTS).read_bytes() == before
    with pytest.raises(AssertionError):
        assert_same_weights(model, AlbertForPreTraining.from_pretrained(folder))


@pytest.mark.parametrize("kind", [AlbertModel, AlbertForMaskedLM])
def test_parts_that_a_class_lacks_are_left_out(folder, kind):
    source = AlbertForPreTraining.from_pretrained(folder).state_dict()
    for name, tensor in kind.from_pretrained(folder).state_dict().items():
        known = source[name] if name in source else source[f"albert.{name}"]
        assert torch.equal(tensor, known)


def test_a_head_that_the_file_lacks_is_refused_unless_asked_for(folder):
    with pytest.raises(WeightsError, match=r"missing: classifier.bias, classifier.weight"):
        AlbertForSequenceClassification.from_pretrained(folder)
    model = AlbertForSequenceClassification.from_pretrained(folder, initialize=["classifier"])
    assert model.classifier.weight.std() > 0.005
    assert not model.classifier.bias.any()


def test_only_what_is_named_starts_anew(folder):
    one, same, other = (
        AlbertForSequenceClassification.from_pretrained(folder, initialize="classifier", seed=seed)
        for seed in (5, 5, 6)
    )
    assert_same_weights(one, same)
    assert_same_weights(one.albert, other.albert)
    assert_same_weights(one.albert, AlbertModel.from_pretrained(folder))
    assert not torch.equal(one.classifier.weight, other.classifier.weight)


def test_a_part_that_fits_is_kept_even_when_it_may_start_anew(folder):
    model = AlbertForPreTraining.from_pretrained(folder, initialize=["sop_classifier"], seed=9)
    assert_same_weights(model, AlbertForPreTraining.from_pretrained(folder))


def test_a_head_of_another_size_starts_anew_when_asked_for(tmp_path):
    AlbertForSequenceClassification(CONFIG, num_labels=2).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"classifier.weight \(2, 8\) for \(5, 8\)"):
        AlbertForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    model = AlbertForSequenceClassification.from_pretrained(
        tmp_path, num_labels=5, initialize=["classifier"]
    )
    assert model.classifier.weight.shape == (5, 8)


def test_one_prefix_given_as_text_is_one_prefix(tmp_path):
    AlbertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    # Its letters are not prefixes: `albert.pooler` is missing, and begins with one of them.
    with pytest.raises(WeightsError, match=r"missing: albert.pooler"):
        AlbertForSequenceClassification.from_pretrained(tmp_path, initialize="classifier")


@pytest.mark.parametrize("prefix", ["pooler", "albert.pooler"])
def test_a_prefix_may_be_written_with_and_without_the_name_of_the_encoder(tmp_path, prefix):
    AlbertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    model = AlbertModel.from_pretrained(tmp_path, initialize=[prefix])
    assert model.pooler.weight.std() > 0.005
    assert not any(parameter.is_meta for parameter in model.parameters())


# === Parts that a file lacks ===

TOKENS = torch.tensor([[1, 2, 3]])


def test_a_model_without_the_file_s_absent_pooler_is_made_with_a_warning(tmp_path):
    AlbertForMaskedLM(CONFIG, seed=2).save_pretrained(tmp_path)
    with pytest.warns(AlbatrossWarning, match=r"without albert\.pooler; .*`initialize`") as caught:
        model = AlbertModel.from_pretrained(tmp_path)
    assert Path(caught[0].filename) == Path(__file__)
    assert model(TOKENS).pooler_output is None
    assert model(TOKENS).last_hidden_state.shape == (1, 3, 8)


def test_a_published_checkpoint_without_sentence_order_opens_for_pretraining(folder):
    arrays = {n: a for n, a in read_weights(folder).items() if not n.startswith("sop_")}
    update_model(folder, CONFIG, arrays)
    with pytest.warns(AlbatrossWarning, match=r"without sop_classifier; "):
        model = AlbertForPreTraining.from_pretrained(folder)
    assert model(TOKENS).sop_logits is None
    assert model(TOKENS, labels=TOKENS).loss.isfinite()


def test_a_part_that_is_named_starts_anew_without_a_warning(folder):
    arrays = {n: a for n, a in read_weights(folder).items() if not n.startswith("sop_")}
    update_model(folder, CONFIG, arrays)
    model = AlbertForPreTraining.from_pretrained(folder, initialize="sop_classifier")
    assert model.sop_classifier.classifier.weight.std() > 0.005


def test_a_part_that_its_caller_declines_needs_no_warning(tmp_path):
    AlbertForMaskedLM(CONFIG).save_pretrained(tmp_path)
    assert (
        AlbertModel.from_pretrained(tmp_path, add_pooling_layer=False)(TOKENS).pooler_output is None
    )


def test_half_a_part_is_refused(folder):
    arrays = {n: a for n, a in read_weights(folder).items() if n != "albert.pooler.bias"}
    update_model(folder, CONFIG, arrays)
    with pytest.raises(WeightsError, match=r"missing: albert\.pooler\.bias"):
        AlbertModel.from_pretrained(folder)


# === Published checkpoints ===


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What transformers' users have of `albert-base-v1`, with weights of zero."""
    folder, config = tmp_path_factory.mktemp("v1"), variant("albert-base-v1", hidden_act="gelu")
    shapes = encoder_shapes(config) | masked_lm_shapes(config)
    update_model(folder, config, {n: np.zeros(s, np.float32) for n, s in shapes.items()})
    return folder


def test_the_exact_gelu_of_a_published_checkpoint_is_warned_of(published):
    with pytest.warns(AlbatrossWarning, match=r"tanh form of GELU.*hidden_act='gelu'") as caught:
        AlbertModel.from_pretrained(published)
    assert Path(caught[0].filename) == Path(__file__)
    assert "albatross convert FOLDER OUT --hidden-act gelu_new" in str(caught[0].message)


@pytest.mark.parametrize("form", ["gelu", "gelu_new"])
def test_who_gives_a_configuration_has_chosen_the_gelu(published, form):
    config = replace(read_config(published), hidden_act=form)
    assert AlbertModel.from_pretrained(published, config=config).config.hidden_act == form


def test_what_was_trained_with_the_exact_gelu_is_not_warned_of(published, tmp_path):
    for name in ("config.json", WEIGHTS):
        (tmp_path / name).symlink_to(published / name)
    (tmp_path / "run.json").write_text("{}")
    assert AlbertModel.from_pretrained(tmp_path).config.hidden_act == "gelu"


def test_what_was_fine_tuned_with_the_exact_gelu_is_not_warned_of(published, tmp_path):
    head = {"classifier.weight": np.zeros((2, 768)), "classifier.bias": np.zeros(2)}
    update_model(tmp_path, read_config(published), read_weights(published) | head)
    assert AlbertModel.from_pretrained(tmp_path).config.hidden_act == "gelu"


# === Other files and places ===


def test_a_pickle_opens_as_the_same_model(folder):
    model = AlbertForPreTraining.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    assert_same_weights(AlbertForPreTraining.from_pretrained(folder), model)


def test_weights_that_lie_turned_in_a_pickle_are_laid_straight(folder):
    model = AlbertForPreTraining.from_pretrained(folder)
    state = {n: t.T.contiguous().T if t.dim() == 2 else t for n, t in model.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    again = AlbertForPreTraining.from_pretrained(folder)
    assert_same_weights(again, model)
    assert all(parameter.is_contiguous() for parameter in again.parameters())


def test_a_published_name_opens_from_the_hub_s_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "cache" / "models--albert--albert-base-v2"
    shutil.copytree(folder, model / "snapshots" / "1", ignore=shutil.ignore_patterns("cache"))
    (model / "refs").mkdir()
    (model / "refs" / "v1").write_text("1")
    opened = AlbertModel.from_pretrained("albert-base-v2", revision="v1")
    assert_same_weights(opened, AlbertModel.from_pretrained(folder))


def test_opening_costs_neither_memory_for_weights_nor_torch_s_compiler(published):
    code = (
        "import sys; from albatross.modeling.model import AlbertModel\n"
        "import resource, warnings; warnings.simplefilter('ignore')\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); model = AlbertModel.from_pretrained(sys.argv[1])\n"
        "print(peak() - before)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, published], capture_output=True, check=True)
    assert int(done.stdout) < 20_000  # kilobytes, of 47,000


@pytest.mark.parametrize(
    "values", [{"hidden_size": 16}, {"num_hidden_groups": 2}, {"vocab_size": 11}]
)
def test_another_configuration_is_refused(folder, values):
    with pytest.raises(WeightsError, match=r"must be those that its config.json describes"):
        AlbertForPreTraining.from_pretrained(folder, config=replace(CONFIG, **values))


def test_another_dropout_may_be_given(folder):
    config = replace(CONFIG, hidden_dropout_prob=0.5)
    model = AlbertForPreTraining.from_pretrained(folder, config=config)
    assert model.albert.embeddings.dropout.p == 0.5


def test_half_precision_is_widened(tmp_path):
    model = AlbertForMaskedLM(CONFIG)
    model.half().save_pretrained(tmp_path)
    again = AlbertForMaskedLM.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert_same_weights(again, model.float())


def test_a_bfloat16_model_is_saved_as_float32(tmp_path):
    model = AlbertForMaskedLM(CONFIG).bfloat16()
    model.save_pretrained(tmp_path)
    assert_same_weights(AlbertForMaskedLM.from_pretrained(tmp_path), model.float())


def test_heads_by_name_come_back(tmp_path):
    heads = {"classifier": HeadSpec("sequence", 2), "heads.topic": HeadSpec("sequence", 3)}
    model = AlbertWithHeads(CONFIG, heads=heads, seed=4)
    model.save_pretrained(tmp_path)
    assert_same_weights(AlbertWithHeads.from_pretrained(tmp_path, heads=heads), model)


def test_a_folder_without_weights_is_refused(folder):
    (folder / WEIGHTS).unlink()
    with pytest.raises(FolderError, match=r"must hold `model.safetensors`"):
        AlbertForPreTraining.from_pretrained(folder)
