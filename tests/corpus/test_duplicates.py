import random
from collections import Counter

import numpy as np
import pytest

from albatross.corpus import duplicates
from albatross.corpus.duplicates import ALIKE, EQUAL, KEPT, find_duplicates
from albatross.corpus.parts import Part
from albatross.corpus.signatures import Signer
from albatross.data.shards import EncodedDocuments

WORDS = 5_000
SIGNER = Signer(np.ones(WORDS, dtype=np.bool_))


def resemblance(one: list[int], other: list[int]) -> float:
    """Jaccard's, of runs of five words."""
    sets = [{tuple(ids[at : at + 5]) for at in range(len(ids) - 4)} for ids in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def flags_of(folder, documents, how="near", threshold=0.8, each=97) -> np.ndarray:
    """What becomes of documents of word numbers that lie in parts of `each`."""
    folder.mkdir()
    paths = []
    for at in range(0, len(documents), each):
        some = documents[at : at + each]
        encoded = EncodedDocuments.from_lists([[ids] for ids in some], WORDS)
        digests = np.array([[hash(tuple(ids)) % 2**63, len(ids)] for ids in some], dtype=np.uint64)
        none = np.zeros(len(some))
        signatures = SIGNER.sign(encoded)
        part = Part(encoded, digests, none, none.astype(np.int64), signatures, Counter())
        paths.append(folder / f"{at}.npz")
        part.save(paths[-1])
    return np.array(find_duplicates(paths, how, threshold, folder))


def text(rng: random.Random, length: int = 300) -> list[int]:
    return [rng.randrange(WORDS) for _ in range(length)]


def planted(share: float, count: int, seed: int) -> list[tuple[list[int], list[int], float]]:
    """Texts, the same with that share of words changed, and how much they resemble each other."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        one = text(rng, rng.randrange(100, 800))
        other = [rng.randrange(WORDS) if rng.random() < share else word for word in one]
        found.append((one, other, resemblance(one, other)))
    return found


def test_equal_documents_go_but_the_first(tmp_path):
    rng = random.Random(0)
    one, other = text(rng), text(rng)
    found = flags_of(tmp_path / "a", [one, other, one, other, one], "exact", each=2)
    assert found.tolist() == [KEPT, KEPT, EQUAL, EQUAL, EQUAL]
    kept = flags_of(tmp_path / "b", [one, other, one], "keep")
    assert kept.tolist() == [KEPT] * 3


def test_nearly_all_that_resemble_by_nine_tenths_go_and_none_by_half(tmp_path):
    near, far = planted(0.01, 500, seed=1), planted(0.07, 500, seed=2)
    near = [pair for pair in near if pair[2] >= 0.9]
    far = [pair for pair in far if pair[2] <= 0.55]
    assert min(len(near), len(far)) > 200
    documents = [ids for one, other, _ in near + far for ids in (one, other)]
    late = flags_of(tmp_path / "a", documents)[1::2]
    assert (late[: len(near)] != KEPT).mean() > 0.99
    assert (late[len(near) :] == KEPT).all()


def test_unrelated_documents_stay(tmp_path):
    rng = random.Random(5)
    documents = [text(rng, rng.randrange(1, 200)) for _ in range(2_000)]
    distinct = [list(ids) for ids in dict.fromkeys(map(tuple, documents)) if len(ids) > 4]
    assert (flags_of(tmp_path / "a", distinct) == KEPT).all()


def test_no_two_that_are_kept_resemble_each_other(tmp_path):
    rng = random.Random(7)
    documents = [text(rng)]
    for _ in range(60):  # each resembles the one before; the last is far from the first
        change = rng.randrange(300)
        documents.append([*documents[-1][:change], rng.randrange(WORDS), *documents[-1][change:]])
    found = flags_of(tmp_path / "a", documents, threshold=0.9)
    kept = [ids for ids, flag in zip(documents, found, strict=True) if flag == KEPT]
    assert all(resemblance(a, b) < 0.95 for a in kept for b in kept if a is not b)
    assert found[0] == KEPT


@pytest.mark.parametrize("threshold", [0.6, 0.95])
def test_the_threshold_decides(tmp_path, threshold):
    pairs = [pair for pair in planted(0.03, 300, seed=9) if 0.7 < pair[2] < 0.85]
    documents = [ids for one, other, _ in pairs for ids in (one, other)]
    late = flags_of(tmp_path / "a", documents, threshold=threshold)[1::2]
    assert len(pairs) > 100
    assert (late == ALIKE).mean() == (1.0 if threshold == 0.6 else 0.0)


@pytest.mark.parametrize(("bucket", "pairs", "each"), [(7, 5, 3), (100, 1_000, 1_000)])
def test_how_memory_is_bounded_changes_nothing(tmp_path, monkeypatch, bucket, pairs, each):
    documents = [ids for one, other, _ in planted(0.01, 60, 11) for ids in (one, other, one)]
    whole = flags_of(tmp_path / "a", documents)
    monkeypatch.setattr(duplicates, "_BUCKET", bucket)
    monkeypatch.setattr(duplicates, "_PAIRS", pairs)
    assert flags_of(tmp_path / "b", documents, each=each).tolist() == whole.tolist()
    assert Counter(whole.tolist()).keys() == {KEPT, EQUAL, ALIKE}


def test_a_page_that_stands_there_many_times_does_not_take_quadratic_time(tmp_path):
    page = list(range(300))
    documents = [[*page[:at], 4_999 - at, *page[at:]] for at in range(300)] * 10
    rng = random.Random(1)
    rng.shuffle(documents)
    found = flags_of(tmp_path / "a", documents)
    assert (found == KEPT).sum() == 1


def test_a_corpus_without_a_document_has_no_flags(tmp_path):
    assert len(flags_of(tmp_path / "a", [])) == 0
