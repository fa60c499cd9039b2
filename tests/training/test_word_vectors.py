"""Embeddings that start from word vectors: what each piece takes, and what is refused."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch

from albatross.data.shards import ShardFolder
from albatross.errors import ConfigError, DataError, TrainingError
from albatross.modeling.model import AlbertForPreTraining
from albatross.rng import stream
from albatross.tokenizer.folder import open_tokenizer
from albatross.training.pretrain import pretrain
from albatross.training.word_vectors import PieceVectors, read_piece_vectors, start_embeddings


@pytest.fixture
def tokenizer(tmp_path):
    """Two words, a beginning and an end, after the specials."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "bun", "##ny"]
    write(tmp_path / "vocab.txt", pieces)
    return open_tokenizer(tmp_path)


def write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_word_takes_its_vector_and_a_part_the_mean_of_its_words(tmp_path, tokenizer):
    lines = ["cat 1 2", "Cat 9 9", "bunny 5 0", "dog 0 4", "dogny 7 2", "bird 3 3"]
    found = read_piece_vectors(write(tmp_path / "v.txt", lines), tokenizer)
    assert np.flatnonzero(found.is_whole).tolist() == [5, 6]
    assert np.flatnonzero(found.is_found).tolist() == [5, 6, 7, 8]
    early, late = 1 / 12, 1 / 14  # ranks 2 and 4
    ending = (early * np.array([5, 0]) + late * np.array([7, 2])) / (early + late)
    expected = np.array([[1, 2], [0, 4], [5, 0], ending])
    np.testing.assert_allclose(found.vectors[5:], expected - expected.mean(0))
    assert not found.vectors[:5].any()


@pytest.mark.parametrize("heading", [[], ["3 2"]])
def test_files_may_have_a_heading_be_packed_and_have_words_with_blanks(
    tmp_path, tokenizer, heading
):
    path = tmp_path / "v.vec.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join([*heading, "cat 1 2", "a cat 3 4", "dog 5 6", ""]))
    found = read_piece_vectors(path, tokenizer)
    np.testing.assert_allclose(found.vectors[[5, 6]], [[-2, -2], [2, 2]])


@pytest.mark.parametrize(
    ("lines", "received"),
    [
        (["cat 1 2", "dog 3"], "line 2 of .* with 1 numbers"),
        (["cat 1 2", "dog 3 x"], "line 2 of .* with 'x'"),
        (["cat 1 nan"], "line 1 of .* with 'nan'"),
        (["cat"], "line 1 of .* with 0 numbers"),
        (["bird 1 2"], "1 words, none a piece"),
    ],
)
def test_other_files_are_refused_by_line(tmp_path, tokenizer, lines, received):
    with pytest.raises(DataError, match=received):
        read_piece_vectors(write(tmp_path / "v.txt", lines), tokenizer)


@pytest.mark.parametrize("numbers", [6, 16, 40])
def test_what_vectors_say_of_likeness_stays_in_the_table(numbers):
    vectors = stream(0).normal(size=(50, numbers)) @ np.diag(np.linspace(2, 0.01, numbers))
    vectors -= vectors.mean(0)
    pieces = PieceVectors(vectors, np.ones(50, bool), np.arange(50) > 4)
    table = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * 0.02
    before = table.clone()
    start_embeddings(table, pieces, spread=0.02, seed=1)
    assert torch.equal(table[:5], before[:5])  # no vector, no change
    assert table[5:].std().item() == pytest.approx(0.02, rel=0.35)
    wanted, got = (np.corrcoef(each[5:])[np.triu_indices(45, 1)] for each in (vectors, table))
    # Random numbers fill what is left of the space; the last of 40 components are left out.
    assert np.corrcoef(wanted, got)[0, 1] > (0.6 if numbers < 16 else 0.95)


def test_a_run_starts_from_vectors_and_goes_on_as_it_was(short, tmp_path, interrupt, capsys):
    tokenizer = ShardFolder(short.shards).tokenizer()
    words = sorted({piece[1:] for piece in tokenizer.pieces if piece[1:].isalpha()})
    rows = stream(0).normal(size=(len(words), 8)).round(4)
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(words, rows, strict=True)]
    settings = replace(short, word_vectors=write(tmp_path / "v.txt", lines), steps=4)
    whole = pretrain(replace(settings, out=tmp_path / "whole"))
    assert "pieces are words of v.txt" in capsys.readouterr().err
    plain = pretrain(replace(settings, out=tmp_path / "plain", word_vectors=None))
    started, random = (
        AlbertForPreTraining.from_pretrained(out).albert.embeddings.word_embeddings.weight
        for out in (whole, plain)
    )
    assert not torch.allclose(started, random, atol=0.01)
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(replace(settings, out=tmp_path / "parts"))
    parts = pretrain(replace(settings, out=tmp_path / "parts"))
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_vectors_are_for_new_models_and_must_be_there(short, pretrained, tmp_path):
    with pytest.raises(ConfigError, match="`--word-vectors` is for new models"):
        replace(short, shape=(), from_model=pretrained, word_vectors=tmp_path / "v.txt")
    with pytest.raises(DataError, match="which is not there"):
        pretrain(replace(short, word_vectors=tmp_path / "v.txt"))
