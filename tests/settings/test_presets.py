import pytest

from albatross.config import AlbertConfig, variant
from albatross.settings.presets import PRESETS, USUAL, preset_of
from albatross.tasks.benchmarks import BENCHMARKS

# Of the paper, table 14: batch, steps, and the records of the whole training set.
PUBLISHED = {
    "cola": (16, 5_336, 8_551),
    "stsb": (16, 3_598, 5_749),
    "sst2": (32, 20_935, 67_349),
    "mnli": (128, 10_000, 392_702),
    "qnli": (32, 33_112, 104_743),
    "qqp": (128, 14_000, 363_846),
    "rte": (32, 800, 2_490),
    "mrpc": (32, 800, 3_668),
    "wnli": (16, 2_000, 635),
    "squad1": (48, 3_649, 87_599),
    "squad2": (48, 8_144, 130_319),
    "race": (32, 12_000, 87_866),
}


@pytest.mark.parametrize("task", PUBLISHED)
def test_passes_are_the_papers_steps(task):
    batch, steps, records = PUBLISHED[task]
    assert PRESETS[task].batch_size == batch
    assert PRESETS[task].epochs == pytest.approx(steps * batch / records, rel=0.04)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("albatross-tiny", {5e-4}),
        ("albatross-mini", {3e-4}),
        ("albert-base-v2", {1e-5, 2e-5, 3e-5, 5e-5}),
        ("albert-large-v2", {1e-5, 2e-5}),
        ("albert-xlarge-v2", {1e-5}),
        ("albert-xxlarge-v2", {1e-5}),
    ],
)
def test_rates_fall_with_the_size(name, rates):
    found = {preset_of(task, "classification", variant(name)).learning_rate for task in PRESETS}
    assert found == rates


def test_a_benchmark_without_a_preset_of_its_own_has_its_kinds():
    config = AlbertConfig()
    assert preset_of("dream", BENCHMARKS["dream"].kind, config) == PRESETS["choice"]
    assert preset_of("classification", "classification", config) == USUAL


def test_no_sequence_is_longer_than_the_model_has_positions_for():
    assert (
        preset_of("rte", "classification", AlbertConfig(max_position_embeddings=64)).max_length
        == 64
    )


@pytest.mark.parametrize(
    ("records", "epochs"),
    [(None, 5), (1, 15), (8_000, 15), (8_001, 14), (12_000, 10), (24_000, 5), (10**6, 5)],
)
@pytest.mark.parametrize(
    ("task", "kind"), [("multi-label", "multi_label"), ("tagging", "tagging"), ("conll", "tagging")]
)
def test_a_small_model_reads_few_records_of_your_own_more_often(task, kind, records, epochs):
    assert preset_of(task, kind, variant("albatross-mini"), records=records).epochs == epochs
    assert preset_of(task, kind, variant("albert-base-v2"), records=records).epochs == 5


def test_a_small_model_reads_few_questions_of_your_own_more_often():
    mini, base = variant("albatross-mini"), variant("albert-base-v2")
    found = [preset_of("spans", "spans", c, records=3_000).epochs for c in (mini, base)]
    assert found == [15, 3]
    assert preset_of("squad1", "spans", mini, records=3_000).epochs == 2


@pytest.mark.parametrize("task", PUBLISHED)
def test_what_the_paper_says_of_a_benchmark_holds_for_few_records_too(task):
    found = preset_of(task, "classification", variant("albatross-mini"), records=100)
    assert found.epochs == PRESETS[task].epochs


@pytest.mark.parametrize(("name", "share"), [("albatross-mini", 0.5), ("albert-base-v2", 0.0)])
def test_words_tell_small_models_how_alike_texts_are(name, share):
    assert preset_of("similarity", "similarity", variant(name)).word_share == share
    assert preset_of("stsb", "regression", variant(name)).word_share == 0
