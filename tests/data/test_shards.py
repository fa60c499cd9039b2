import errno
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from albatross.atomic import write_json
from albatross.data.shards import INDEX, PARTS, EncodedDocuments, Shard, ShardFolder, ShardWriter
from albatross.errors import FolderError

DOCUMENTS = [[f"{n} {m}" for m in range(n % 5 + 1)] for n in range(200)]


def encode(sentences):
    """Each character of a sentence is an id."""
    return [[ord(character) for character in sentence] for sentence in sentences]


def build(folder: Path, documents=DOCUMENTS, *, tokens_per_shard=10**6, at_once=7) -> ShardFolder:
    folder.mkdir()
    writer = ShardWriter(folder, "train", 1_000, tokens_per_shard)
    ids = [encode(document) for document in documents]
    for at in range(0, len(ids), at_once):
        writer.add(EncodedDocuments.from_lists(ids[at : at + at_once], 1_000))
    writer.flush()
    write_json(folder / INDEX, {"vocab_size": 1_000, "train": writer.entries, "held_out": []})
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
    folder = build(tmp_path / "a")
    assert texts(folder.train) == DOCUMENTS
    assert folder.num_tokens == sum(len(s) for document in DOCUMENTS for s in document)


@pytest.mark.parametrize("tokens_per_shard", [1, 50, 333, 10**6])
def test_many_shards_hold_what_one_holds(tmp_path, tokens_per_shard):
    folder = build(tmp_path / "a", tokens_per_shard=tokens_per_shard)
    whole = build(tmp_path / "b")
    assert texts(folder.train) == texts(whole.train)
    assert (len(folder.train) > 1) == (tokens_per_shard < 10**6)


def test_a_document_longer_than_a_shard_is_not_torn(tmp_path):
    long = ["x" * 40] * 10
    folder = build(tmp_path / "a", [["a"], long, ["b"]], tokens_per_shard=30)
    assert texts(folder.train[:1]) == [["a"], long]
    assert texts(folder.train[1:]) == [["b"]]


def test_the_index_says_what_each_shard_holds(tmp_path):
    folder = build(tmp_path / "a", tokens_per_shard=300)
    for entry, shard in zip(folder.index["train"], folder.train, strict=True):
        assert entry["tokens"] == len(shard.tokens)
        assert entry["sentences"] == len(shard.sentences) - 1
        assert entry["documents"] == len(shard.documents) - 1


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_ids_take_the_fewest_bytes_that_hold_them(tmp_path, vocab_size, dtype):
    writer = ShardWriter(tmp_path, "train", vocab_size, 100)
    writer.add(EncodedDocuments.from_lists([[[0, vocab_size - 1]]], vocab_size))
    writer.flush()
    tokens = np.load(tmp_path / "train-00000.tokens.npy")
    assert tokens.dtype == dtype
    assert tokens.tolist() == [0, vocab_size - 1]


def test_the_same_documents_give_the_same_bytes(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


# === The held-out part ===


@pytest.mark.parametrize("at_once", [1, 3, 200])
def test_how_many_documents_come_at_once_changes_no_shard(tmp_path, at_once):
    one = build(tmp_path / "a", tokens_per_shard=50, at_once=at_once)
    other = build(tmp_path / "b", tokens_per_shard=50)
    assert one.index == other.index


def test_documents_are_chosen_by_a_mask_with_all_their_sentences():
    ids = [encode(document) for document in DOCUMENTS]
    chosen = np.arange(len(ids)) % 3 == 1
    found = EncodedDocuments.from_lists(ids, 1_000).where(chosen)
    wanted = EncodedDocuments.from_lists(ids[1::3], 1_000)
    for part in PARTS:
        assert getattr(found, part).tolist() == getattr(wanted, part).tolist()


def test_arrays_are_the_bytes_that_numpy_writes(tmp_path):
    folder = build(tmp_path / "a")
    for part in PARTS:
        np.save(tmp_path / "one.npy", getattr(folder.train[0], part))
        content = (tmp_path / "a" / f"train-00000.{part}.npy").read_bytes()
        assert content == (tmp_path / "one.npy").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named_as_one(tmp_path):
    (tmp_path / "train-00000.tokens.npy").symlink_to("/dev/full")
    writer = ShardWriter(tmp_path, "train", 1_000, 10)
    with pytest.raises(OSError, match="No space left") as caught:
        writer.add(EncodedDocuments.from_lists([[[7] * 20_000]], 1_000))
    assert caught.value.errno == errno.ENOSPC


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


@pytest.mark.parametrize("key", PARTS)
@pytest.mark.parametrize("verify", [True, False])
def test_an_index_with_other_counts_is_one_clear_error(tmp_path, key, verify):
    index = build(tmp_path / "a").index
    index["train"][0][key] += 1
    write_json(tmp_path / "a" / INDEX, index)
    with pytest.raises(FolderError, match=rf"{key}, the index says \d+\. Run"):
        ShardFolder(tmp_path / "a", verify=verify)


def test_an_index_with_a_smaller_vocabulary_is_one_clear_error(tmp_path):
    index = build(tmp_path / "a", [["az"]]).index
    write_json(tmp_path / "a" / INDEX, index | {"vocab_size": ord("z")})
    with pytest.raises(FolderError, match="the id 122 of a vocabulary of 122"):
        ShardFolder(tmp_path / "a")


def test_an_index_that_leads_out_of_the_folder_is_refused(tmp_path):
    index = build(tmp_path / "a").index
    index["train"][0]["name"] = "../a/train-00000"
    write_json(tmp_path / "a" / INDEX, index)
    with pytest.raises(FolderError, match=r"the name '\.\./a/train-00000' is wrong"):
        ShardFolder(tmp_path / "a")


def test_a_shard_folder_shows_its_size(tmp_path):
    folder = build(tmp_path / "a", [["one"], ["two"]])
    assert repr(folder) == f"ShardFolder({str(tmp_path / 'a')!r}, shards=1, tokens=6)"


def test_a_shard_of_some_documents_holds_them_whole_and_in_their_order(tmp_path):
    draw = np.random.default_rng(0)
    lengths = [[list(range(n)) for n in draw.integers(1, 9, size)] for size in (3, 1, 4, 2)]
    flat = [sentence for document in lengths for sentence in document]
    shard = Shard(
        np.concatenate([np.array(each, dtype=np.uint16) for each in flat]),
        np.concatenate([[0], np.cumsum([len(each) for each in flat])]),
        np.concatenate([[0], np.cumsum([len(document) for document in lengths])]),
    )

    def documents(of):
        cut = [of.tokens[a:b].tolist() for a, b in pairwise(of.sentences.tolist())]
        return [cut[a:b] for a, b in pairwise(of.documents.tolist())]

    assert documents(shard) == lengths
    assert documents(shard.drawn(np.array([1, 0, 1, 0], dtype=bool))) == [lengths[0], lengths[2]]
    assert documents(shard.drawn(np.ones(4, dtype=bool))) == lengths
