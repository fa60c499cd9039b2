import pytest
from tests.data.corpora import corpus

from albatross.data.masking import MaskingRule
from albatross.data.masking_rate import MaskingFigures, effective_masking


def figures(max_length=512, samples=50, **rule) -> MaskingFigures:
    made = corpus([[20] * 3_000])
    masking = MaskingRule(**rule)
    source = made.source(max_length=max_length, short_fraction=0.0, masking=masking)
    return effective_masking(source, samples)


def test_googles_cap_of_20_leaves_4_percent_at_512_tokens():
    found = figures(max_predictions=20)
    assert (found.asked, found.most_in_a_sample) == (0.15, 20)
    assert found.effective == pytest.approx(20 / 500, abs=1e-9)
    assert found.with_specials == pytest.approx(20 / 503, abs=1e-9)


def test_without_a_cap_what_was_asked_is_what_is_masked():
    assert figures().effective == pytest.approx(0.15, abs=1e-9)
    assert figures(rate=0.3, max_length=103).effective == pytest.approx(0.3, abs=1e-9)


def test_the_figures_are_one_line_for_the_start_of_a_run():
    line = str(figures(max_predictions=20))
    assert line == (
        "15.0 % asked, 4.0 % effective (4.0 % with [CLS] and [SEP]), at most 20 in a sample"
    )


def test_a_corpus_of_fewer_samples_is_measured_whole():
    assert figures(samples=10**6) == figures(samples=120)
