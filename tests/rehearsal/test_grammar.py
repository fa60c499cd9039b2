"""The rehearsal's texts: the same every time, balanced, and never in two folds."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from albatross.rehearsal import grammar, reviews
from albatross.rehearsal.grammar import compose_documents, compose_reviews


@pytest.fixture(scope="module")
def many_reviews() -> list[tuple[str, str]]:
    return compose_reviews(13_000, seed=1)


@pytest.fixture(scope="module")
def corpus() -> list[list[str]]:
    text = Path(grammar.__file__).with_name("corpus.txt").read_text(encoding="utf-8")
    return [document.splitlines() for document in text.split("\n\n")]


# === Reviews ===


def test_the_same_seed_writes_the_same_reviews():
    assert compose_reviews(50, seed=7) == compose_reviews(50, seed=7)


def test_reviews_do_not_change_between_machines_and_versions():
    text = "\n".join(review for review, _ in compose_reviews(200, seed=0))
    assert hashlib.sha256(text.encode()).hexdigest().startswith("1369701bc65ddfda")


def test_a_longer_list_begins_with_the_shorter_one():
    assert compose_reviews(60, seed=2)[:30] == compose_reviews(30, seed=2)


@pytest.mark.parametrize("count", [0, 1, 400])
def test_labels_are_balanced(count):
    labels = Counter(label for _, label in compose_reviews(count, seed=3))
    assert labels["positive"] - labels["negative"] == count % 2


def test_reviews_of_different_seeds_are_disjoint():
    written = [{text for text, _ in compose_reviews(400, seed)} for seed in range(grammar.FOLDS)]
    assert len(set.union(*written)) == 400 * grammar.FOLDS


def test_the_grammar_has_over_a_hundred_thousand_reviews(many_reviews):
    # One fold of eight holds 13,000 different ones, and the hash fills the folds alike.
    assert len({text for text, _ in many_reviews}) * grammar.FOLDS > 100_000


def test_no_word_both_praises_and_blames():
    praise = {word for topic in reviews.TOPICS.values() for word in topic["good"]}
    assert not praise & {word for topic in reviews.TOPICS.values() for word in topic["bad"]}


def test_counting_words_does_not_tell_the_labels_apart(many_reviews):
    topics = reviews.TOPICS.values()
    weight = {word: 1 for topic in topics for word in topic["good"]}
    weight |= {word: -1 for topic in topics for word in topic["bad"]}
    guesses = Counter(
        (sum(weight.get(word.strip(".,;"), 0) for word in text.split()) >= 0, label)
        for text, label in many_reviews
    )
    right = guesses[True, "positive"] + guesses[False, "negative"]
    assert 0.5 < right / len(many_reviews) < 0.75


def test_no_symbol_is_left_in_a_review(many_reviews):
    assert not [text for text, _ in many_reviews if "{" in text or "  " in text]


def test_articles_fit_the_next_word(many_reviews):
    assert not [text for text, _ in many_reviews if " a e" in text or " an d" in text]


# === Documents ===


def test_the_same_seed_tells_the_same_stories():
    assert list(compose_documents(20, seed=7)) == list(compose_documents(20, seed=7))


def test_another_seed_tells_other_stories():
    assert list(compose_documents(5, seed=1)) != list(compose_documents(5, seed=2))


def test_stories_seldom_repeat():
    stories = {" ".join(document) for document in compose_documents(1000, seed=0)}
    assert len(stories) > 990


def test_a_story_begins_first_and_ends_at_last():
    for document in compose_documents(200, seed=5):
        assert document[1].startswith(("First", "To begin with"))
        assert document[-2].startswith(("Finally", "At last", "In the end"))


def test_every_sentence_of_a_story_is_whole():
    sentences = [line for document in compose_documents(300, seed=6) for line in document]
    assert not [line for line in sentences if not line[0].isupper() or line[-1] != "."]
    assert not [line for line in sentences if "{" in line or "?" in line or "\n" in line]


# === Corpus ===


def test_corpus_has_enough_documents_and_sentences(corpus):
    assert len(corpus) >= 25
    assert sum(len(document) for document in corpus) >= 250


def test_no_sentence_of_the_corpus_comes_twice(corpus):
    times = Counter(sentence for document in corpus for sentence in document)
    assert [sentence for sentence, count in times.items() if count > 1] == []


def test_each_line_of_the_corpus_is_one_sentence(corpus):
    lines = [line for document in corpus for line in document]
    assert not [line for line in lines if not line[0].isupper() or line[-1] not in ".?!"]
    assert not [line for line in lines if ". " in line]
