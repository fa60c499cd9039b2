import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.data.shards import PARTS, Shard, ShardFolder, ShardWriter, write_shards
from albatross.errors import DataError, FolderError

DOCUMENTS = [[f"{n} {m}" for m in range(n % 5 + 1)] for n in range(200)]


def encode(sentences):
    """Each character of a sentence is an id."""
    return [[ord(character) for character in sentence] for sentence in sentences]


def build(folder: Path, documents=DOCUMENTS, **options) -> ShardFolder:
    folder.mkdir()
    chosen = {"tokens_per_shard": 10**6, "held_out_fraction": 0.1, **options}
    write_shards(folder, iter(documents), encode, 1_000, **chosen)
    return ShardFolder(folder)


def texts(shards: list[Shard]) -> list[list[str]]:
    """The documents that shards hold."""
    found = []
    for shard in shards:
        pieces = np.split(shard.tokens, shard.sentences[1:-1])
        sentences = ["".join(map(chr, piece)) for piece in pieces]
        for begin, end in zip(shard.documents, shard.documents[1:], strict=False):
            found.append(sentences[begin:end])
    return found


# === What is written comes back ===


def test_shards_hold_every_sentence_of_every_document_in_order(tmp_path):
    folder = build(tmp_path / "a", held_out_fraction=0.0)
    assert texts(folder.train) == DOCUMENTS
    assert folder.num_tokens == sum(len(s) for document in DOCUMENTS for s in document)
    assert folder.held_out == []


@pytest.mark.parametrize("tokens_per_shard", [1, 50, 333, 10**6])
def test_many_shards_hold_what_one_holds(tmp_path, tokens_per_shard):
    folder = build(tmp_path / "a", tokens_per_shard=tokens_per_shard)
    whole = build(tmp_path / "b")
    assert texts(folder.train) == texts(whole.train)
    assert texts(folder.held_out) == texts(whole.held_out)
    assert (len(folder.train) > 1) == (tokens_per_shard < 10**6)


def test_a_document_longer_than_a_shard_is_not_torn(tmp_path):
    long = ["x" * 40] * 10
    folder = build(tmp_path / "a", [["a"], long, ["b"]], tokens_per_shard=30, held_out_fraction=0.0)
    assert texts(folder.train[:1]) == [["a"], long]
    assert texts(folder.train[1:]) == [["b"]]


def test_the_index_says_what_each_shard_holds(tmp_path):
    folder = build(tmp_path / "a", tokens_per_shard=300)
    for entry, shard in zip(folder.index["train"], folder.train, strict=True):
        assert entry["tokens"] == len(shard.tokens)
        assert entry["sentences"] == len(shard.sentences) - 1
        assert entry["documents"] == len(shard.documents) - 1
    assert set(folder.index) == {"vocab_size", "train", "held_out"}


def test_sentences_without_a_token_are_left_out(tmp_path):
    folder = build(tmp_path / "a", [["", "one", ""], [""], ["two"]], held_out_fraction=0.0)
    assert texts(folder.train) == [["one"], ["two"]]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_ids_take_the_fewest_bytes_that_hold_them(tmp_path, vocab_size, dtype):
    writer = ShardWriter(tmp_path, "train", vocab_size, 100)
    writer.add([[0, vocab_size - 1]])
    writer.flush()
    tokens = np.load(tmp_path / "train-00000.tokens.npy")
    assert tokens.dtype == dtype
    assert tokens.tolist() == [0, vocab_size - 1]


def test_the_same_documents_give_the_same_bytes(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_how_text_is_batched_for_the_tokenizer_changes_nothing(tmp_path, monkeypatch):
    whole = texts(build(tmp_path / "a").train)
    monkeypatch.setattr("albatross.data.shards._SENTENCES_PER_CALL", 3)
    assert texts(build(tmp_path / "b").train) == whole
    monkeypatch.setattr("albatross.data.shards._CHARACTERS_PER_CALL", 5)
    assert texts(build(tmp_path / "c").train) == whole


def test_documents_are_taken_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr("albatross.data.shards._CHARACTERS_PER_CALL", 100)
    waiting, most = 0, 0

    def documents():
        nonlocal waiting, most
        for _ in range(300):
            waiting += 1
            most = max(most, waiting)
            yield ["x" * 20]

    def encode_all(sentences):
        nonlocal waiting
        waiting -= len(sentences)
        return encode(sentences)

    write_shards(
        tmp_path, documents(), encode_all, 1_000, tokens_per_shard=10**6, held_out_fraction=0.0
    )
    assert most == 5


# === The held-out part ===


def test_a_document_is_held_out_for_its_text_wherever_it_stands(tmp_path):
    shuffled = random.Random(1).sample(DOCUMENTS, len(DOCUMENTS))
    one, other = build(tmp_path / "a"), build(tmp_path / "b", shuffled)
    assert sorted(texts(one.held_out)) == sorted(texts(other.held_out))
    assert 5 < len(texts(one.held_out)) < 40


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_documents_and_more(tmp_path_factory, one, other):
    folders = [
        build(tmp_path_factory.mktemp("s") / "a", DOCUMENTS[:40], held_out_fraction=share / 2)
        for share in sorted((one, other))
    ]
    small, large = ({tuple(d) for d in texts(folder.held_out)} for folder in folders)
    assert small <= large


@pytest.mark.parametrize(
    ("documents", "share", "count"), [([], 0.0, 0), ([[""]], 0.0, 0), ([["one"]], 1.0, 1)]
)
def test_a_corpus_without_a_document_to_train_on_is_refused(tmp_path, documents, share, count):
    with pytest.raises(DataError, match=f"Received: none, and {count} that fell to the held-out"):
        build(tmp_path / "a", documents, held_out_fraction=share)


# === Damage ===


def damaged(folder: Path, damage: str, part: str) -> None:
    path = folder / f"train-00000.{part}.npy"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: -len(content) if damage == "emptied" else -3])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["flipped", "cut short", "emptied", "missing"])
def test_a_damaged_part_is_one_clear_error(tmp_path, damage, part):
    build(tmp_path / "a")
    damaged(tmp_path / "a", damage, part)
    with pytest.raises(
        FolderError, match=rf"Received: .*train-00000\.{part}\.npy'.*again"
    ) as caught:
        ShardFolder(tmp_path / "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut short", "emptied", "missing"])
def test_a_part_cut_short_is_found_without_checksums_too(tmp_path, damage):
    build(tmp_path / "a")
    damaged(tmp_path / "a", damage, "tokens")
    with pytest.raises(FolderError, match="must be as"):
        ShardFolder(tmp_path / "a", verify=False)


@pytest.mark.parametrize("place", ["nowhere", "file", "empty"])
def test_what_is_no_shard_folder_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match=rf"must hold `shards\.json`\. Received: .*{place}'"):
        ShardFolder(tmp_path / place)


@pytest.mark.parametrize(
    "index", [{}, {"train": []}, {"train": [{}], "held_out": []}, {"train": 3, "held_out": []}]
)
def test_an_index_without_its_entries_is_one_clear_error(tmp_path, index):
    (tmp_path / "shards.json").write_text(json.dumps(index))
    with pytest.raises(FolderError, match=r"must list the shards"):
        ShardFolder(tmp_path)


def test_a_shard_folder_shows_its_size(tmp_path):
    folder = build(tmp_path / "a", [["one"], ["two"]], held_out_fraction=0.0)
    assert repr(folder) == f"ShardFolder({str(tmp_path / 'a')!r}, shards=1, tokens=6)"
