"""LoRA by peft on our folders: what it finds, what it trains, and what comes back."""

import numpy as np
import pytest
import torch

import albatross
from albatross.checkpoints.model_folder import read_weights
from albatross.config import variant

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture(scope="module")
def names(recipe):
    return recipe("peft")


@pytest.fixture
def open_classifier(place, names):
    """A folder of `hf/` under a new head, there."""

    def load(name):
        kind = transformers.AutoModelForSequenceClassification
        return kind.from_pretrained(place / "hf" / name, num_labels=2)

    return load


def adapters_of(model):
    """How many matrices an adapter of peft stands on."""
    return sum(isinstance(module, peft.tuners.lora.Linear) for module in model.modules())


def test_peft_has_no_list_of_the_maps_of_albert(open_classifier):
    with pytest.raises(ValueError, match="target_modules"):
        peft.get_peft_model(open_classifier("pretrained"), peft.LoraConfig(task_type="SEQ_CLS"))


def test_one_adapter_serves_all_depths(names, open_classifier):
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=names["maps"])
    adapted = peft.get_peft_model(open_classifier("pretrained"), config)
    assert adapted.config.num_hidden_layers == 4
    assert adapters_of(adapted) == len(names["maps"])


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
def test_the_adapter_learns_the_records_by_heart(names):
    result = names["trainer"].predict(names["records"])
    assert np.mean(result.predictions.argmax(-1) == result.label_ids) >= 0.9


def test_training_moves_the_adapter_and_the_head_alone(place, open_classifier):
    adapted = peft.PeftModel.from_pretrained(
        open_classifier("pretrained"), place / "hf" / "adapter"
    )
    before = read_weights(place / "runs" / "pretrained")
    kept = {
        n.replace(".base_layer.", "."): t for n, t in adapted.get_base_model().named_parameters()
    }
    for name, array in before.items():
        if name.startswith("albert."):
            assert torch.equal(kept[name], torch.from_numpy(array)), name
    assert all(t.any() for name, t in kept.items() if "lora_B" in name)


def test_what_peft_merges_opens_here_with_equal_logits(place, names, texts, open_classifier):
    batch = names["tokenizer"](texts, padding=True, return_tensors="pt")
    base = open_classifier("pretrained")
    adapted = peft.PeftModel.from_pretrained(base, place / "hf" / "adapter").eval()
    with torch.inference_mode():
        wanted, found = adapted(**batch).logits, names["ours"](**batch).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_what_peft_merges_stays_one_layer_and_answers(place, names):
    answers = albatross.load(place / "hf" / "merged")(["A lovely film."])
    assert answers[0].label in names["labels"]
    assert names["ours"].config.num_hidden_groups == 1


def test_groups_give_peft_an_adapter_for_every_depth(place, names, open_classifier):
    folder = place / "hf" / "groups"
    albatross.convert(str(place / "runs" / "pretrained"), folder, groups=4, to="huggingface")
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=names["maps"])
    adapted = peft.get_peft_model(open_classifier("groups"), config)
    assert adapters_of(adapted) == 4 * len(names["maps"])


def test_our_residuals_are_one_for_every_depth_over_one_layer(place, names):
    config = variant("albatross-tiny", vocab_size=280, depth_lora_rank=4)
    model = albatross.AlbertModel(config)
    residuals = [name for name in model.state_dict() if name.endswith("lora_A.weight")]
    layers = [name for name in model.state_dict() if name.endswith(".attention.query.weight")]
    assert len(residuals) == config.num_hidden_layers * len(names["maps"])
    assert len(layers) == 1
