"""Our folders in transformers: pipelines, every class, Trainer, and back."""

import numpy as np
import pytest
import torch

import albatross

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

HEADS = {
    "Model": ("last_hidden_state", "pooler_output"),
    "ForPreTraining": ("prediction_logits", "sop_logits"),
    "ForMaskedLM": ("logits",),
    "ForSequenceClassification": ("logits",),
    "ForTokenClassification": ("logits",),
    "ForQuestionAnswering": ("start_logits", "end_logits"),
    "ForMultipleChoice": ("logits",),
}


@pytest.fixture(scope="module")
def names(recipe):
    return recipe("transformers")


@pytest.fixture(scope="module")
def converted(place, names):
    return place / "hf" / "pretrained"


@pytest.fixture
def batch(names, texts):
    return names["tokenizer"](texts[:3], padding=True, return_tensors="pt")


def assert_same_answers(answers, found, tolerance=1e-4):
    """Of a pipeline there and one here."""
    for theirs, ours in zip(answers, found, strict=True):
        shares = {one["label"]: one["score"] for one in theirs}
        assert shares == pytest.approx(ours.probabilities, abs=tolerance)
        assert max(shares, key=lambda label: shares[label]) == ours.label


def close_rows(found, wanted, mask):
    """Compare outputs where there are tokens; padded cells mean nothing."""
    if found.dim() > 1 and found.shape[:2] == mask.shape:
        found, wanted = found[mask.bool()], wanted[mask.bool()]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


# === Pipelines ===


def test_a_classifier_answers_as_here_with_its_labels_by_name(place, names, texts):
    ours = albatross.load(place / "runs" / "sst2")(texts)
    assert {answer.label for answer in ours} == {"negative", "positive"}
    assert_same_answers(names["classify"](texts, truncation=True), ours)


def test_a_text_longer_than_the_positions_is_cut(names):
    long, cut = names["classify"](["film " * 2_000, "film " * 600], truncation=True)
    assert {one["label"]: one["score"] for one in long} == pytest.approx(
        {one["label"]: one["score"] for one in cut}
    )


def test_masks_are_filled_by_our_logits(place, names):
    tokenizer, text = names["tokenizer"], "the [MASK] went home."
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    model = albatross.AlbertForMaskedLM.from_pretrained(place / "runs" / "pretrained")
    with torch.inference_mode():
        shares = model(ids).logits[ids == tokenizer.mask_token_id].softmax(-1)[0]
    best = shares.topk(5)
    assert [word["token"] for word in names["words"]] == best.indices.tolist()
    assert [word["score"] for word in names["words"]] == pytest.approx(best.values.tolist())


# === Classes ===


def test_the_tokenizer_gives_our_ids(place, names, texts):
    ours = albatross.load(place / "runs" / "sst2").tokenizer
    theirs = names["tokenizer"](texts)["input_ids"]
    assert theirs == [[ours.cls_id, *ours.encode(text), ours.sep_id] for text in texts]


@pytest.mark.parametrize("head", ["Model", "ForPreTraining", "ForMaskedLM"])
def test_a_pretrained_folder_computes_the_same_in_each_class(place, converted, batch, head):
    theirs = getattr(transformers, f"AutoModel{head.removeprefix('Model')}")
    theirs = theirs.from_pretrained(converted).eval()
    ours = getattr(albatross, f"Albert{head}").from_pretrained(place / "runs" / "pretrained")
    with torch.inference_mode():
        wanted, found = theirs(**batch), ours(**batch)
    for name in HEADS[head]:
        close_rows(getattr(found, name), getattr(wanted, name), batch["attention_mask"])


@pytest.mark.parametrize("head", [name for name in HEADS if name.startswith("For")])
def test_what_a_class_there_saves_opens_in_the_same_class_here(tmp_path, converted, batch, head):
    theirs = getattr(transformers, f"AutoModel{head}").from_pretrained(converted).eval()
    theirs.save_pretrained(tmp_path)
    ours = getattr(albatross, f"Albert{head}").from_pretrained(tmp_path)
    inputs = dict(batch)
    if head == "ForMultipleChoice":
        inputs = {name: values[None] for name, values in inputs.items()}
    with torch.inference_mode():
        wanted, found = theirs(**inputs), ours(**inputs)
    for name in HEADS[head]:
        close_rows(getattr(found, name), getattr(wanted, name), batch["attention_mask"])


def test_a_folder_that_only_albatross_can_compute_is_refused(place, converted, tmp_path):
    folder = tmp_path / "residuals"
    albatross.convert(str(place / "runs" / "pretrained"), folder, depth_lora_rank=4)
    with pytest.raises(ValueError, match="model type `albatross`"):
        transformers.AutoModel.from_pretrained(folder)


# === Trainer ===


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
def test_trainer_learns_the_records_by_heart(names):
    result = names["trainer"].predict(names["records"])
    assert np.mean(result.predictions.argmax(-1) == result.label_ids) >= 0.9


def test_what_trainer_saves_answers_the_same_here(place, names, texts):
    saved = place / "hf" / "reviews"
    theirs = transformers.pipeline("text-classification", model=str(saved), top_k=None)
    long = " ".join(texts * 30)[:600]  # hundreds of tokens, in one window there and here
    assert_same_answers(theirs([*texts, long]), names["ours"]([*texts, long]))


def test_what_trainer_saves_opens_by_its_tokenizer_json_alone(copy_of, place, texts):
    saved = place / "hf" / "reviews"
    bare = copy_of(saved)
    (bare / "spiece.model").unlink()
    with_model, alone = albatross.load(saved), albatross.load(bare)
    assert type(alone.tokenizer) is not type(with_model.tokenizer)
    assert [a.probabilities for a in alone(texts)] == [a.probabilities for a in with_model(texts)]


def test_what_trainer_saves_opens_in_our_class(place, names, batch):
    ours = albatross.AlbertForSequenceClassification.from_pretrained(place / "hf" / "reviews")
    theirs = names["trainer"].model.cpu().eval()
    with torch.inference_mode():
        torch.testing.assert_close(ours(**batch).logits, theirs(**batch).logits)
