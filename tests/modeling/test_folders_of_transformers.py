"""Folders go both ways between transformers' classes and ours, with equal results."""

import pytest
import torch

import albatross
from albatross.config import AlbertConfig

transformers = pytest.importorskip("transformers")
CLASSES = {
    "AlbertModel": ("last_hidden_state", "pooler_output"),
    "AlbertForPreTraining": ("prediction_logits", "sop_logits"),
    "AlbertForMaskedLM": ("logits",),
    "AlbertForSequenceClassification": ("logits",),
    "AlbertForTokenClassification": ("logits",),
    "AlbertForQuestionAnswering": ("start_logits", "end_logits"),
    "AlbertForMultipleChoice": ("logits",),
}
VALUES = {
    "vocab_size": 40,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_hidden_groups": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "initializer_range": 0.3,
}


def assert_equal_results(name, first, second):
    ids = torch.arange(1, 13).view(1, 2, 6) if "Choice" in name else torch.arange(1, 13).view(2, 6)
    with torch.inference_mode():
        found, wanted = first.eval()(ids), second.eval()(ids)
    for output in CLASSES[name]:
        torch.testing.assert_close(found[output], wanted[output], msg=output)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_transformers_opens_here(name, file, tmp_path):
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(transformers.AlbertConfig(**VALUES))
    theirs.save_pretrained(tmp_path)
    if file == "pytorch_model.bin":  # as versions before safetensors wrote it, tied tensors twice
        (tmp_path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / file)
    assert_equal_results(name, getattr(albatross, name).from_pretrained(tmp_path), theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_a_folder_of_ours_opens_in_transformers(name, tmp_path):
    ours = getattr(albatross, name)(AlbertConfig.from_dict({**VALUES, "my_key": {"a": 1}}))
    ours.save_pretrained(tmp_path)
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    assert_equal_results(name, ours, theirs)
    assert theirs.config.my_key == {"a": 1}
