from pathlib import Path

import pytest
from tests.test_progress import shown

from albatross.corpus.train_tokenizer import train_tokenizer
from albatross.data.text_files import read_lines
from albatross.errors import TokenizerError
from albatross.rehearsal.grammar import compose_documents
from albatross.settings.corpus import TrainTokenizerSettings
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.presets import PRESETS
from albatross.tokenizer.training import train_unigram
from albatross.tokenizer.unigram import UnigramTokenizer


def test_a_vocabulary_is_trained_from_all_files(corpus, tmp_path):
    out = train_tokenizer(TrainTokenizerSettings((corpus, tmp_path / "out"), vocab_size=50))
    trained = UnigramTokenizer.from_folder(out)
    assert trained.vocab_size == 50
    assert trained.unk_id not in trained.encode("the puffin number 59 flew over 3 ships.")


@pytest.mark.parametrize("cased", [False, True])
def test_capitals_are_kept_when_asked_for(corpus, tmp_path, cased):
    settings = TrainTokenizerSettings((corpus, tmp_path / "out"), vocab_size=50, cased=cased)
    pieces = UnigramTokenizer.from_folder(train_tokenizer(settings)).pieces[5:]
    assert any(piece != piece.lower() for piece in pieces) == cased


def test_the_same_corpus_gives_the_same_vocabulary(corpus, tmp_path):
    folders = [
        train_tokenizer(TrainTokenizerSettings((corpus, tmp_path / name), vocab_size=50))
        for name in ("one", "two")
    ]
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]


def test_a_person_sees_the_reading_and_then_the_training(corpus, tmp_path, monkeypatch):
    settings = TrainTokenizerSettings((corpus, tmp_path / "out"), vocab_size=50)
    found = shown(monkeypatch, lambda: train_tokenizer(settings))
    assert found.index("100%") < found.index("training vocabulary")
    assert "reading text" in found[: found.index("training vocabulary")]


def test_a_vocabulary_larger_than_its_text_leaves_nothing(corpus, tmp_path):
    settings = TrainTokenizerSettings((corpus, tmp_path / "out"), vocab_size=30_000)
    with pytest.raises(TokenizerError, match="Ask for"):
        train_tokenizer(settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


@pytest.fixture
def stories(tmp_path) -> Path:
    """Enough text for every preset's marks."""
    path: Path = tmp_path / "stories.txt"
    documents = compose_documents(60, seed=0)
    path.write_text("\n\n".join("\n".join(story) for story in documents), encoding="utf-8")
    return path


def test_the_published_recipe_is_the_default(stories, tmp_path):
    settings = TrainTokenizerSettings((stories, tmp_path / "out"), vocab_size=200)
    trained = UnigramTokenizer.from_folder(train_tokenizer(settings))
    sentences = [text for text in read_lines(stories) if text]
    assert trained.model == train_unigram(sentences, 200).model
    assert trained.normalizer == Normalizer()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_case_and_marks(stories, tmp_path, preset):
    settings = TrainTokenizerSettings((stories, tmp_path / "out"), preset, vocab_size=200)
    trained = UnigramTokenizer.from_folder(train_tokenizer(settings))
    marks = PRESETS[preset].user_defined_symbols
    assert trained.normalizer == PRESETS[preset].normalizer
    assert trained.pieces[5 : 5 + len(marks)] == list(marks)


def test_options_win_over_the_preset(stories, tmp_path):
    settings = TrainTokenizerSettings(
        (stories, tmp_path / "out"), "chinese", vocab_size=200, cased=True, symbols=("The",)
    )
    trained = UnigramTokenizer.from_folder(train_tokenizer(settings))
    assert (trained.vocab_size, trained.normalizer.do_lower_case) == (200, False)
    assert trained.pieces[trained.encode("The")[-1]] == "The"


def test_symbols_are_what_they_are_after_the_clean_up(stories, tmp_path):
    settings = TrainTokenizerSettings(
        (stories, tmp_path / "out"), vocab_size=200, symbols=("Ull", "(", "ULL")
    )
    trained = UnigramTokenizer.from_folder(train_tokenizer(settings))
    assert trained.pieces.count("ull") == 1
    assert "ull" in [trained.pieces[number] for number in trained.encode("GULLS")]


def test_another_column_is_read_when_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "xyz", "body": "The gull flew over."}\n' * 9)
    settings = TrainTokenizerSettings(
        (tmp_path / "a.jsonl", tmp_path / "out"), vocab_size=25, text_column="body"
    )
    trained = UnigramTokenizer.from_folder(train_tokenizer(settings))
    assert not any("x" in piece for piece in trained.pieces[5:])


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_corpus_without_text_is_one_clear_error(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(TokenizerError, match="needs text"):
        train_tokenizer(TrainTokenizerSettings((tmp_path / "a.txt", tmp_path / "out")))
    assert not (tmp_path / "out").exists()
