import random

import numpy as np
import pytest

from albatross.corpus.signatures import Signer
from albatross.data.shards import EncodedDocuments

WORDS = 5_000
# Every third piece goes on with a word, so that words have one to a few pieces.
STARTS_WORD = np.arange(WORDS) % 3 != 2
SIGNER = Signer(STARTS_WORD)


def runs(ids: list[int]) -> set[tuple]:
    """Every run of five words of a document, in the plainest words."""
    words: list[tuple] = []
    for at, number in enumerate(ids):
        if STARTS_WORD[number] or at == 0:
            words.append((number,))
        else:
            words[-1] += (number,)
    return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def resemblance(one: list[int], other: list[int]) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


def signed(documents: list[list[int]]) -> np.ndarray:
    return SIGNER.sign(EncodedDocuments.from_lists([[d] for d in documents], WORDS))


def changed(ids: list[int], share: float, rng: random.Random) -> list[int]:
    return [rng.randrange(WORDS) if rng.random() < share else number for number in ids]


@pytest.mark.parametrize("length", [40, 150, 600, 4_000])
@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
def test_signatures_agree_as_often_as_the_runs_of_words_do(length, share):
    rng = random.Random(length)
    count = 200 if length < 4_000 else 50
    one = [[rng.randrange(WORDS) for _ in range(length)] for _ in range(count)]
    other = [changed(ids, share, rng) for ids in one]
    exact = np.array([resemblance(*pair) for pair in zip(one, other, strict=True)])
    estimated = (signed(one) == signed(other)).mean(axis=1)
    assert abs((estimated - exact).mean()) < 0.015
    assert np.abs(estimated - exact).max() < 0.3


def test_documents_that_share_nothing_agree_by_chance_alone():
    one = signed([[number] * 30 for number in range(0, 3_000, 3)])
    assert (one[:500] == one[500:]).mean() < 0.01


def test_a_signature_does_not_depend_on_its_neighbours():
    rng = random.Random(0)
    documents = [[rng.randrange(WORDS) for _ in range(rng.randrange(1, 90))] for _ in range(50)]
    together = signed(documents)
    for number, ids in enumerate(documents):
        assert (signed([ids])[0] == together[number]).all()


def test_where_sentences_break_changes_nothing_when_words_begin_there():
    ids = [number for number in range(0, 600, 3)]
    whole = EncodedDocuments.from_lists([[ids]], WORDS)
    broken = EncodedDocuments.from_lists([[ids[:70], ids[70:71], ids[71:]]], WORDS)
    assert (SIGNER.sign(whole) == SIGNER.sign(broken)).all()


def test_pieces_are_the_words_of_a_script_without_spaces():
    rng = random.Random(3)
    inside = [number for number in range(WORDS) if not STARTS_WORD[number]]
    one = [rng.choice(inside) for _ in range(500)]
    other = [*one[:250], rng.choice(inside), *one[250:]]
    found = signed([one, other])
    assert (found[0] == found[1]).mean() > 0.9


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_document_of_fewer_words_than_a_run_is_known_by_all_of_them(length):
    one = signed([list(range(0, 3 * length, 3)), [*range(0, 3 * length - 3, 3), 999]])
    assert (one[0] == one[1]).mean() < 0.1
    assert (signed([list(range(0, 3 * length, 3))])[0] == one[0]).all()


def test_signatures_are_the_same_on_every_machine():
    found = signed([list(range(100)), [7]])
    assert found[0, :8].tolist() == [11, 208, 142, 120, 250, 148, 170, 57]
    assert len(set(found[1].tolist())) == 1
