import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from albatross.errors import DataError
from albatross.metrics.bleu import COUNTS, bleu_counts, bleu_of, words_13a

SPELLINGS = """the cat sat on a mat 3.5 1,000 don't e.g. well-known 5-4 ... € 日本 é,
&amp; &quot; &lt;x&gt; &amp;lt; <skipped>"""
PARTS = st.sampled_from([*SPELLINGS.split(), "-\n", "\n"])
TEXTS = st.lists(PARTS, max_size=12).map(" ".join) | st.lists(PARTS, max_size=6).map("".join)
LINES = TEXTS | st.text(max_size=20)
ORACLE = BLEU()


@settings(max_examples=400)
@given(LINES)
def test_words_are_sacrebleus(text):
    assert words_13a(text) == Tokenizer13a()(text.rstrip()).split()


def total(rows):
    return np.sum([bleu_counts(*row) for row in rows], axis=0)


@settings(max_examples=300)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=6))
@pytest.mark.parametrize("references", [1, 2])
def test_figures_are_sacrebleus(references, rows):
    counts = total([(row[0], row[1 : 1 + references]) for row in rows])
    streams = [[row[1 + at] for row in rows] for at in range(references)]
    wanted = ORACLE.corpus_score([row[0] for row in rows], streams).score
    assert bleu_of(counts) == pytest.approx(wanted, abs=1e-9)


def test_longer_texts_have_sacrebleus_figure_and_no_smoothing():
    pairs = [("the cat sat on the mat all day", "the cat sat on the mat every day")] * 3
    pairs += [("a dog barked at it", "a dog barked loudly at it")]
    counts = total([(given_, [wanted]) for given_, wanted in pairs])
    oracle = ORACLE.corpus_score([p for p, _ in pairs], [[r for _, r in pairs]]).score
    assert 50 < bleu_of(counts) < 90
    assert bleu_of(counts) == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize("text", ["", "...", "other words entirely"])
def test_a_text_without_a_match_scores_zero(text):
    assert bleu_of(bleu_counts(text, ["the cat sat on the mat"])) == 0


def test_no_record_scores_zero():
    assert bleu_of(np.zeros(COUNTS)) == 0


def test_a_text_without_a_reference_is_refused():
    with pytest.raises(DataError, match=r"needs a reference.*Received: none"):
        bleu_counts("a text", [])
