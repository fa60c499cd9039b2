import hashlib

import numpy as np
import pytest

from albatross.corpus.chunks import Chunk
from albatross.corpus.cleaning import CleaningRule
from albatross.corpus.parts import PartJob, PartMaker, part_path, read_part
from albatross.data.shards import PARTS
from albatross.errors import FolderError
from albatross.rng import hashed_fraction
from albatross.tokenizer.unigram import UnigramTokenizer


@pytest.fixture
def maker(tokenizer):
    """Makes parts beside the tokenizer, by a rule."""

    def make(rule=CleaningRule(), **options) -> PartMaker:  # noqa: B008 (it is frozen)
        return PartMaker(PartJob(tokenizer.parent, rule, **options))

    return make


def test_a_part_holds_the_ids_of_every_sentence(maker, documents, tokenizer):
    part = maker().part_of(documents)
    encode = UnigramTokenizer.from_folder(tokenizer).encode
    wanted = [number for document in documents for s in document for number in encode(s)]
    assert part.documents.tokens.tolist() == wanted
    assert part.documents.documents.tolist() == [len(document) for document in documents]
    assert part.documents.tokens.dtype == np.uint16


def test_a_document_is_known_by_its_text(maker, documents):
    part = maker().part_of(documents)
    texts = ["\n".join(document).encode() for document in documents]
    digests = [hashlib.blake2b(text, digest_size=16).digest() for text in texts]
    assert part.digests.tobytes() == b"".join(digests)
    assert part.fractions.tolist() == list(map(hashed_fraction, texts))


def test_sentences_and_documents_without_a_token_are_left_out(maker):
    part = maker().part_of([["", "one", " "], ["\u200b"], ["two", "\u200b", "three"]])
    assert part.documents.documents.tolist() == [1, 2]
    assert len(part.documents.sentences) == 3
    assert part.counts["without_tokens"] == 1
    assert len(part.fractions) == len(part.characters) == len(part.digests) == 2


def test_what_the_rule_drops_is_counted(maker):
    make = maker(CleaningRule(min_characters=10))
    for _ in range(2):  # counts are of one part, not of all that a worker made
        part = make.part_of([["short"], ["long enough to stay"], ["no"]])
        assert part.counts["too_short"] == 2
        assert part.counts["documents"] == 3
        assert part.counts["characters"] == 26
        assert part.characters.tolist() == [19]


def test_a_chunk_that_leaves_nothing_is_a_part_all_the_same(maker, tmp_path):
    make = maker(CleaningRule(min_characters=100), signed=True)
    make.make(Chunk("key", 3, [["short"]]))
    part = read_part(part_path(tmp_path, "key", 3))
    assert len(part.documents.documents) == len(part.signatures) == 0


@pytest.mark.parametrize("calls", [1, 7, 2_048])
def test_how_text_is_batched_for_the_tokenizer_changes_nothing(
    maker, documents, monkeypatch, calls
):
    whole = maker().part_of(documents).documents
    monkeypatch.setattr("albatross.corpus.parts._SENTENCES_PER_CALL", calls)
    found = maker().part_of(documents).documents
    for name in PARTS:
        assert getattr(found, name).tolist() == getattr(whole, name).tolist()


def test_a_saved_part_comes_back(maker, documents, tmp_path):
    part = maker(signed=True).part_of(documents)
    part.save(tmp_path / "part.npz")
    found = read_part(tmp_path / "part.npz")
    for name in ("digests", "fractions", "characters", "signatures"):
        assert (getattr(found, name) == getattr(part, name)).all()
    assert found.counts == part.counts
    assert found.signatures.shape == (len(documents), 128)


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_part_is_one_clear_error(maker, documents, tmp_path, damage):
    path = tmp_path / "part.npz"
    maker().part_of(documents).save(path)
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:500])
    if damage == "missing":
        path.unlink()
    with pytest.raises(FolderError, match=r"part\.npz.*Remove that file") as caught:
        read_part(path)
    assert "\n" not in str(caught.value)
