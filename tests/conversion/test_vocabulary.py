"""The verb extend-vocabulary: new words, old answers."""

import json

import numpy as np
import pytest
import torch

from albatross.checkpoints.huggingface import WORD_EMBEDDINGS
from albatross.checkpoints.model_folder import read_config, read_weights
from albatross.conversion.vocabulary import (
    extend_vocabulary,
    grown_embeddings,
    swap_vocabulary,
)
from albatross.errors import DataError, FolderError
from albatross.modeling.model import AlbertForMaskedLM
from albatross.pipelines.pipeline import load
from albatross.settings.conversion import ExtendVocabularySettings, SwapVocabularySettings
from albatross.tokenizer.folder import open_tokenizer

WORDS = ["albatrosses", "Fjordland"]


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS) + "\n\n", encoding="utf-8")
    return path


@pytest.fixture
def extended(pretrained, words, tmp_path):
    return extend_vocabulary(ExtendVocabularySettings(pretrained, tmp_path / "out", words=words))


def test_each_word_is_one_new_piece(pretrained, extended):
    old, new = open_tokenizer(pretrained), open_tokenizer(extended)
    size = old.vocab_size
    assert [new.encode(word) for word in WORDS] == [[size], [size + 1]]
    assert all(len(old.encode(word)) > 1 for word in WORDS)


def test_a_new_word_starts_as_the_mean_of_its_pieces(pretrained, extended):
    pieces = open_tokenizer(pretrained).encode(WORDS[0])
    number = open_tokenizer(extended).encode(WORDS[0])[0]
    for name in (WORD_EMBEDDINGS, "predictions.bias"):
        old, new = read_weights(pretrained)[name], read_weights(extended)[name]
        np.testing.assert_allclose(new[number], old[pieces].mean(0), atol=1e-6)


def test_texts_without_the_words_give_the_same_rows(pretrained, extended):
    ids = torch.tensor([open_tokenizer(extended).encode("The sea was calm that day.")])
    assert ids.tolist() == [open_tokenizer(pretrained).encode("The sea was calm that day.")]
    old, new = (AlbertForMaskedLM.from_pretrained(folder) for folder in (pretrained, extended))
    with torch.inference_mode():
        before, after = old(ids).logits, new(ids).logits
    torch.testing.assert_close(after[..., : before.shape[-1]], before)


def test_a_classifier_still_answers(finetuned, words, tmp_path):
    settings = ExtendVocabularySettings(finetuned, tmp_path / "out", words=words)
    texts = ["A lovely film.", "Two dull hours."]
    before = load(finetuned)(texts)
    after = load(extend_vocabulary(settings))(texts)
    assert [answer.label for answer in after] == [answer.label for answer in before]


def test_the_record_says_what_was_done(extended):
    run = json.loads((extended / "run.json").read_text())
    assert (run["verb"], run["metrics"]["new_pieces"]) == ("extend-vocabulary", len(WORDS))


def test_rows_that_wait_for_pieces_are_used_first():
    arrays = {WORD_EMBEDDINGS: np.arange(12.0, dtype=np.float32).reshape(6, 2)}
    grown = grown_embeddings(arrays, 4, [[0, 1]])[WORD_EMBEDDINGS]
    np.testing.assert_array_equal(grown[:4], arrays[WORD_EMBEDDINGS][:4])
    np.testing.assert_array_equal(grown[4:], [[1, 2], [10, 11]])


def test_an_empty_list_is_refused(pretrained, tmp_path):
    (tmp_path / "none.txt").write_text("\n")
    settings = ExtendVocabularySettings(pretrained, tmp_path / "o", words=tmp_path / "none.txt")
    with pytest.raises(DataError, match="a word a line"):
        extend_vocabulary(settings)
    assert not (tmp_path / "o").exists()


def test_a_vocabulary_larger_than_the_model_is_refused(
    pretrained, copy_of, change_json, words, tmp_path
):
    spoilt = copy_of(pretrained)
    change_json(spoilt / "config.json", vocab_size=read_config(pretrained).vocab_size - 1)
    with pytest.raises(FolderError, match="must not have more pieces than its model"):
        extend_vocabulary(ExtendVocabularySettings(spoilt, tmp_path / "o", words=words))


def test_words_that_are_pieces_already_change_nothing(pretrained, tmp_path):
    known = [piece[1:] for piece in open_tokenizer(pretrained).pieces if piece[:1] == "▁"]
    (tmp_path / "known.txt").write_text("\n".join([word for word in known if word.isalpha()][:2]))
    settings = ExtendVocabularySettings(pretrained, tmp_path / "o", words=tmp_path / "known.txt")
    before, after = read_weights(pretrained), read_weights(extend_vocabulary(settings))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_model_is_not_replaced_by_what_is_made_of_it(pretrained, extended, words, copy_of):
    model = copy_of(pretrained)
    extending = ExtendVocabularySettings(model, model, words=words)
    swapping = SwapVocabularySettings(extended, model, tokenizer=model)
    with pytest.raises(FolderError, match="must not write over what it reads"):
        extend_vocabulary(extending)
    with pytest.raises(FolderError, match="must not write over what it reads"):
        swap_vocabulary(swapping)
    assert read_weights(model).keys() == read_weights(pretrained).keys()


def test_only_a_folder_of_the_same_verb_is_replaced(pretrained, extended, words, copy_of):
    other = copy_of(pretrained)
    with pytest.raises(FolderError, match="must not overwrite what another command wrote"):
        extend_vocabulary(ExtendVocabularySettings(pretrained, other, words=words))
    again = ExtendVocabularySettings(pretrained, extended, words=words)
    assert extend_vocabulary(again) == extended


# === Another vocabulary ===


@pytest.fixture
def swapped(extended, pretrained, tmp_path):
    """The extended model with the vocabulary that it had before."""
    settings = SwapVocabularySettings(extended, tmp_path / "swapped", tokenizer=pretrained)
    return swap_vocabulary(settings)


def test_pieces_that_both_know_keep_their_rows(pretrained, swapped):
    for name in (WORD_EMBEDDINGS, "predictions.bias"):
        old, new = read_weights(pretrained)[name], read_weights(swapped)[name]
        assert old.shape == new.shape
        same = np.all(np.isclose(old, new, atol=1e-6).reshape(len(old), -1), axis=1)
        assert same.mean() > 0.9  # others stand for bytes or marks, which no text of theirs gives
        assert same[:5].all()


def test_an_unknown_piece_starts_as_the_mean_of_the_old_ones(pretrained, extended, tmp_path):
    out = swap_vocabulary(SwapVocabularySettings(pretrained, tmp_path / "new", tokenizer=extended))
    old, tokenizer = open_tokenizer(pretrained), open_tokenizer(out)
    (number,) = tokenizer.encode(WORDS[0])
    expected = read_weights(pretrained)[WORD_EMBEDDINGS][old.encode(WORDS[0])].mean(0)
    np.testing.assert_allclose(read_weights(out)[WORD_EMBEDDINGS][number], expected, atol=1e-6)
    assert read_config(out).vocab_size == tokenizer.vocab_size


def test_the_layers_stay_as_they_were(pretrained, swapped):
    before, after = read_weights(pretrained), read_weights(swapped)
    layers = [name for name in before if "albert_layer_groups" in name]
    assert layers
    assert all(np.array_equal(before[name], after[name]) for name in layers)
