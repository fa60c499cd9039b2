import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from albatross.metrics.rouge import ROUGES, rouge_scores, rouge_words

SPELLINGS = "the cat cats running ran sat 3.5 don't Überraschung ... 日本 İstanbul - happily a é"
WORDS = st.sampled_from([*SPELLINGS.split(), "\n", "\t", "  "])
TEXTS = st.lists(WORDS, max_size=25).map(" ".join) | st.text(max_size=40)
ORACLES = {stemming: RougeScorer(list(ROUGES), use_stemmer=stemming) for stemming in (False, True)}


@settings(max_examples=300)
@given(TEXTS, TEXTS)
@pytest.mark.parametrize("stemming", [False, True])
def test_figures_are_rouge_scores(stemming, predicted, reference):
    found = rouge_scores(predicted, reference, stemming=stemming)
    wanted = ORACLES[stemming].score(reference, predicted)
    for name in ROUGES:
        assert found[name] == pytest.approx(wanted[name].fmeasure, abs=1e-9), name


@pytest.mark.parametrize(
    "pair", [("", ""), ("a word", ""), ("", "a word"), ("...", "!?"), ("日", "日")]
)
def test_texts_without_words_score_zero(pair):
    assert rouge_scores(*pair) == dict.fromkeys(ROUGES, 0.0)


def test_lines_are_compared_one_by_one():
    found = rouge_scores("dogs bark\ncats sleep", "cats sleep\ndogs bark")
    assert (found["rougeL"], found["rougeLsum"]) == (0.5, 1.0)


def test_stems_of_short_words_stay():
    assert rouge_words("He runs his cats", stemming=True) == ["he", "run", "his", "cat"]
