import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from tests.test_progress import shown

from albatross.corpus import build_shards, train_tokenizer
from albatross.data.segments import SamplePlan, SampleRule
from albatross.data.shards import Shard, ShardFolder
from albatross.errors import DataError, FolderError, TokenizerError
from albatross.settings.corpus import BuildShardsSettings, TrainTokenizerSettings
from albatross.tokenizer.unigram import UnigramTokenizer

TINY = Path(__file__).parent / "tokenizer" / "tiny.model"
BIRDS = ["gull", "tern", "skua", "petrel", "fulmar", "gannet", "puffin"]
DOCUMENTS = [
    [f"The {BIRDS[n % 7]} number {n} flew over {m} ships." for m in range(n % 4 + 1)]
    for n in range(60)
]


@pytest.fixture
def corpus(tmp_path) -> Path:
    """One folder with a txt file and a packed jsonl file."""
    folder: Path = tmp_path / "corpus"
    folder.mkdir()
    half = len(DOCUMENTS) // 2
    (folder / "a.txt").write_text("\n\n".join("\n".join(d) for d in DOCUMENTS[:half]))
    records = "".join(json.dumps({"text": "\n".join(d)}) + "\n" for d in DOCUMENTS[half:])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(records.encode()))
    return folder


@pytest.fixture
def tokenizer(tmp_path) -> Path:
    """A tokenizer folder."""
    folder: Path = tmp_path / "tokenizer"
    UnigramTokenizer.from_file(TINY).save(folder)
    return folder


def texts(shards: list[Shard], folder: Path) -> list[list[str]]:
    """The documents that shards hold, normalised."""
    decode = UnigramTokenizer.from_folder(folder).decode
    found = []
    for shard in shards:
        sentences = [decode(ids) for ids in np.split(shard.tokens, shard.sentences[1:-1])]
        for begin, end in zip(shard.documents, shard.documents[1:], strict=False):
            found.append(sentences[begin:end])
    return found


# === Vocabularies ===


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


# === Shards ===


def test_shards_hold_the_corpus_and_its_tokenizer(corpus, tokenizer, tmp_path):
    out = tmp_path / "out"
    assert (
        build_shards(BuildShardsSettings((corpus, out), tokenizer=tokenizer, held_out=0.2)) == out
    )
    folder = ShardFolder(out)
    found = texts(folder.train, out) + texts(folder.held_out, out)
    assert sorted(found) == sorted([[s.lower() for s in d] for d in DOCUMENTS])
    assert 3 < len(texts(folder.held_out, out)) < 30


def test_running_text_can_be_split_by_rules(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("The gull flew. The tern did not.\n")
    out = build_shards(
        BuildShardsSettings(
            (tmp_path / "a.txt", tmp_path / "out"),
            tokenizer=tokenizer,
            sentence_breaks="rules",
            held_out=0,
        )
    )
    assert texts(ShardFolder(out).train, out) == [["the gull flew.", "the tern did not."]]


@pytest.mark.parametrize("text", ["The gull flew over.\n", "gull " * 200_000 + "\n"])
def test_one_sentence_is_a_corpus(tokenizer, tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    paths = (tmp_path / "a.txt", tmp_path / "out")
    out = build_shards(BuildShardsSettings(paths, tokenizer=tokenizer, held_out=0))
    (shard,) = ShardFolder(out).train
    assert shard.sentences.tolist() == [0, len(shard.tokens)]
    plan = SamplePlan([shard], SampleRule(max_length=128), 0)
    assert (plan.end - plan.begin).sum() > len(shard.tokens) - 4


def test_progress_reaches_the_end_of_the_corpus(corpus, tokenizer, tmp_path, monkeypatch):
    settings = BuildShardsSettings((corpus, tmp_path / "out"), tokenizer=tokenizer)
    assert "100%" in shown(monkeypatch, lambda: build_shards(settings))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\n\xff\n", "byte 0xff in line 2"),
        ("a.txt.xz", b"\xfd7zXZ\x00\x00", "breaks after line 0"),
        ("a.jsonl", b'{"txt": "One."}\n', "line 1"),
        ("a.txt", b"\n \n", "at least one document"),
    ],
)
def test_a_corpus_that_cannot_be_read_leaves_nothing(tokenizer, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    settings = BuildShardsSettings((tmp_path / name, tmp_path / "out"), tokenizer=tokenizer)
    with pytest.raises(DataError, match=message):
        build_shards(settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "tokenizer"])


def test_a_folder_of_the_users_is_refused_and_kept(corpus, tokenizer):
    before = sorted(corpus.iterdir())
    with pytest.raises(FolderError, match=r"holds 'a\.txt'"):
        build_shards(BuildShardsSettings((corpus, corpus), tokenizer=tokenizer))
    assert sorted(corpus.iterdir()) == before


def test_a_missing_tokenizer_is_named(corpus, tmp_path):
    settings = BuildShardsSettings((corpus, tmp_path / "out"), tokenizer=tmp_path / "nowhere")
    with pytest.raises(FolderError, match="nowhere"):
        build_shards(settings)


@pytest.mark.parametrize("foreign", ["run.json", "notes.txt"])
def test_no_verb_writes_over_a_folder_of_another_kind(tmp_path: Path, foreign: str) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "out"
    corpus.write_text("One sentence.\n", encoding="utf-8")
    out.mkdir()
    (out / foreign).write_text("{}", encoding="utf-8")
    (out / "spiece.model").write_text("kept", encoding="utf-8")
    with pytest.raises(FolderError, match="another"):
        train_tokenizer(TrainTokenizerSettings(paths=(corpus, out), vocab_size=20))
    with pytest.raises(FolderError, match="another"):
        build_shards(BuildShardsSettings(paths=(corpus, out), tokenizer=out))
    assert (out / "spiece.model").read_text(encoding="utf-8") == "kept"
