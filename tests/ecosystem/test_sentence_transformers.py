"""Our folders as sentence encoders: equal vectors, saved and opened again, and learning."""

import numpy as np
import pytest
import torch

import albatross

pytest.importorskip("accelerate")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("sentence_transformers.sentence_transformer.modules")


@pytest.fixture(scope="module")
def names(recipe):
    return recipe("sentence-transformers")


def margin(names, vectors, paraphrases):
    """How much nearer each text is to its paraphrase than to the other one: (texts,)."""
    similar = names["model"].similarity(vectors, paraphrases).numpy()
    return np.diag(similar) - np.diag(similar[:, ::-1])


def test_vectors_are_the_mean_of_our_rows(place, names):
    batch = names["tokenizer"](names["texts"], padding=True, return_tensors="pt")
    model = albatross.AlbertModel.from_pretrained(place / "runs" / "pretrained")
    mask = batch["attention_mask"].unsqueeze(-1)
    assert not mask.all()
    with torch.inference_mode():
        rows = model(**batch).last_hidden_state
    mean = (rows * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(names["before"], mean.numpy(), atol=1e-5)


def test_training_brings_paraphrases_nearer(place, names):
    pooling, modules = names["Pooling"], names["Transformer"](str(place / "hf" / "pretrained"))
    pooled = pooling(modules.get_embedding_dimension(), "mean")
    untrained = sentence_transformers.SentenceTransformer(modules=[modules, pooled])
    texts, paraphrases = names["texts"], names["paraphrases"]
    first = margin(names, *map(untrained.encode, (texts, paraphrases)))
    last = margin(names, *map(names["model"].encode, (texts, paraphrases)))
    assert (last > first + 0.2).all()


def test_what_is_saved_opens_again_with_equal_vectors(place, names, texts):
    saved = sentence_transformers.SentenceTransformer(str(place / "hf" / "sentences"))
    np.testing.assert_allclose(saved.encode(texts), names["model"].encode(texts), atol=1e-6)


def test_what_is_saved_opens_here_as_an_encoder(place, names):
    ours = albatross.AlbertModel.from_pretrained(place / "hf" / "sentences")
    theirs = names["encoder"].model.cpu().eval()
    batch = names["tokenizer"](names["texts"], padding=True, return_tensors="pt")
    mask = batch["attention_mask"].bool()
    with torch.inference_mode():
        found, wanted = (m(**batch).last_hidden_state[mask] for m in (ours, theirs))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_a_folder_is_an_encoder_by_its_name_alone(place, names):
    model = sentence_transformers.SentenceTransformer(str(place / "hf" / "pretrained"))
    np.testing.assert_allclose(model.encode(names["texts"]), names["before"], atol=1e-6)
