import json
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.corpora import Corpus, corpus, varied

from albatross.data.packing import IGNORED_LABEL
from albatross.data.sampling import PretrainingBatches, Stage, one_pass, parse_stages, stage_value
from albatross.errors import ConfigError

NEW, OLD = varied(60), corpus([[5, 6, 7] * 9 for _ in range(13)])


def batches(*corpora: Corpus, **options) -> PretrainingBatches:
    """Steps over corpora, of 300 tokens unless said otherwise."""
    options = {"batch_tokens": 300, "max_length": 48} | options
    made = corpora or (NEW,)
    return PretrainingBatches(
        lambda length: [part.source(max_length=length) for part in made], **options
    )


def steps(made: PretrainingBatches, count: int, *, fractions=None):
    """So many steps from the start."""
    position = made.start
    for n in range(count):
        step = made.step(position, n / count if fractions is None else fractions[n])
        position = step.position
        yield step


def texts(step) -> list[list[int]]:
    """The samples of a step as they were before masking."""
    found = []
    for batch in step.batches:
        labels = batch.labels["labels"]
        ids = np.where(labels == IGNORED_LABEL, batch.input_ids, labels)
        found += [part.tolist() for part in np.split(ids, batch.cu_seqlens[1:-1])]
    return found


def same(one, other) -> bool:
    """Whether two steps are equal to the last token."""
    pairs = zip(one.batches, other.batches, strict=True)
    facts = [(s.position, s.tokens, s.sequences) for s in (one, other)]
    return facts[0] == facts[1] and all(
        np.array_equal(a.input_ids, b.input_ids)
        and np.array_equal(a.cu_seqlens, b.cu_seqlens)
        and all(np.array_equal(a.labels[name], b.labels[name]) for name in a.labels)
        for a, b in pairs
    )


# === What a step consists of ===


def test_steps_keep_to_their_budget_and_hold_every_sample_of_an_epoch_once():
    source, made, found = NEW.source(max_length=48), batches(), []
    expected = sorted(source.plan(0).lengths.tolist())
    for step in steps(made, 1_000):
        assert step.tokens == sum(map(len, texts(step))) <= 300
        found += texts(step)
        if len(found) >= len(expected):
            break
    first_epoch = found[: len(expected)]
    assert sorted(map(len, first_epoch)) == expected
    assert len({tuple(sorted(text)) for text in first_epoch}) == len(expected)


def test_no_sample_more_would_fit_into_a_step():
    source, index = NEW.source(max_length=48), 0
    for step in steps(batches(), 10):
        index += step.sequences
        assert step.tokens + source.plan(0).lengths[index] > 300


def test_a_step_depends_on_its_position_and_fraction_alone():
    made = batches(length_stages=[Stage(24, 0.5)], batch_start=0.2, batch_warmup=0.7)
    plain, position = [], made.start
    for n in range(12):
        plain.append((position, n / 12, made.step(position, n / 12)))
        position = plain[-1][2].position
    again = batches(length_stages=[Stage(24, 0.5)], batch_start=0.2, batch_warmup=0.7)
    for position, fraction, step in reversed(plain):
        stored = tuple(json.loads(json.dumps(position)))
        assert same(again.step(stored, fraction), step)


def test_a_step_may_begin_in_one_epoch_and_end_in_the_next():
    source = NEW.source(max_length=48)
    last = len(source.plan(0)) - 1
    step = batches().step((48, last, 0, last), 0.5)
    length, slot, epoch, index = step.position
    assert (length, slot, epoch) == (48, last + step.sequences, 1)
    samples = [source.sample(0, last), *(source.sample(1, i) for i in range(index))]
    np.testing.assert_array_equal(
        step.batches[0].input_ids, np.concatenate([sample.input_ids for sample in samples])
    )


def test_a_step_goes_from_part_to_part_of_a_large_corpus():
    source = varied(60, num_shards=7).source(max_length=48, part_tokens=3_000)
    made = PretrainingBatches(lambda length: [source], batch_tokens=2_000, max_length=48)
    found, sizes = list(steps(made, 10)), [len(source.plan(part)) for part in range(12)]
    passed = np.cumsum([step.sequences for step in found]).tolist()
    assert [sum(sizes[: step.position[2]]) + step.position[3] for step in found] == passed
    assert found[-1].position[2] > 2


def test_each_plan_is_made_once_however_many_steps_read_it(monkeypatch):
    source, asked = NEW.source(max_length=48), []
    usual = source._planned

    def planned(part):
        asked.append(part)
        return usual(part)

    monkeypatch.setattr(source, "_planned", planned)
    made = PretrainingBatches(lambda length: [source], batch_tokens=900, max_length=48)
    position = made.start
    while position[2] < 3:
        position = made.step(position, 0.5).position
    assert asked == [0, 1, 2, 3]


def test_a_sample_above_the_budget_is_a_step_of_its_own():
    made, expected = batches(batch_tokens=1), NEW.source(max_length=48).plan(0).lengths
    found = list(steps(made, 5))
    assert [step.sequences for step in found] == [1] * 5
    assert [step.tokens for step in found] == expected[:5].tolist()


# === Several processes, micro-batches ===


@settings(max_examples=20)
@given(st.integers(2, 5), st.integers(20, 400), st.integers(0, 3))
def test_processes_together_make_the_step_of_one(world, budget, skipped):
    whole = list(steps(batches(batch_tokens=budget), skipped + 1))[-1]
    shares = [
        list(steps(batches(batch_tokens=budget, rank=r, world=world), skipped + 1))[-1]
        for r in range(world)
    ]
    facts = {(s.position, s.tokens, s.sequences) for s in [whole, *shares]}
    assert len(facts) == 1
    parts = [texts(share) for share in shares]
    dealt = [parts[n % world][n // world] for n in range(whole.sequences)]
    assert dealt == texts(whole)
    assert sum(map(len, parts)) == whole.sequences


def test_a_process_without_samples_has_no_batches():
    step = batches(batch_tokens=1, rank=1, world=2).step((48, 0, 0, 0), 0.0)
    assert (step.batches, step.sequences) == ([], 1)


@pytest.mark.parametrize("micro_tokens", [1, 60, 150, 250])
def test_micro_batches_together_are_the_whole_step(micro_tokens):
    whole = next(steps(batches(), 1))
    parts = next(steps(batches(micro_tokens=micro_tokens), 1))
    assert len(parts.batches) > 1
    assert all(b.num_sequences == 1 or len(b.input_ids) <= micro_tokens for b in parts.batches)
    assert sorted(texts(parts)) == sorted(texts(whole))
    assert (parts.tokens, parts.position) == (whole.tokens, whole.position)


def test_one_pass_holds_every_sample_once():
    source = NEW.source(max_length=48)
    found = list(one_pass(source, 300))
    assert sum(batch.num_sequences for batch in found) == len(source.plan(0))
    assert max(len(batch.input_ids) for batch in found) <= 300
    assert sum(len(batch.input_ids) for batch in found) == source.plan(0).lengths.sum()


# === Stages of length ===


def test_the_next_epoch_begins_when_the_length_changes():
    made = batches(length_stages=[Stage(16, 0.2), Stage(24, 0.5)])
    found = list(steps(made, 10))
    assert [step.position[0] for step in found] == [16] * 2 + [24] * 3 + [48] * 5
    assert [step.position[2] for step in found] == [0] * 2 + [1] * 3 + [2] * 5
    assert found[2].position[3] == found[2].sequences
    longest = [max(batch.max_seqlen for batch in step.batches) for step in found]
    assert all(length <= step.position[0] for length, step in zip(longest, found, strict=True))
    assert longest[-1] > 24


def test_an_epoch_of_which_nothing_was_read_is_not_passed_over():
    step = batches().step((16, 0, 0, 0), 0.9)
    assert step.position[:3] == (48, step.sequences, 0)


def test_sources_are_asked_for_once_for_each_length():
    asked = []

    def source_of(length):
        asked.append(length)
        return [NEW.source(max_length=length)]

    made = PretrainingBatches(
        source_of, batch_tokens=100, max_length=48, length_stages=[Stage(16, 0.5)]
    )
    list(steps(made, 8))
    assert asked == [16, 48]


@pytest.mark.parametrize(
    ("fraction", "value"), [(0.0, 64), (0.49, 64), (0.5, 128), (0.9, 512), (1.0, 512)]
)
def test_a_stage_holds_until_its_fraction(fraction, value):
    assert stage_value(parse_stages(["64:0.5", "128:0.9"]), 512, fraction) == value


@pytest.mark.parametrize(
    "words",
    [
        ["64"],
        ["64:1"],
        ["64:0"],
        ["x:0.5"],
        ["64:0.5:1"],
        ["0:0.5"],
        ["8:nan"],
        ["8:0.6", "16:0.5"],
    ],
)
def test_stages_that_cannot_be_kept_are_refused(words):
    with pytest.raises(ConfigError, match=rf"VALUE:UNTIL.*Received: {words[0]}"):
        parse_stages(words)


def test_a_stage_longer_than_the_last_length_is_refused():
    with pytest.raises(ConfigError, match=r"at most `--max-length`.*Received: 64 and 48"):
        batches(length_stages=[Stage(64, 0.5)])


# === Warm-up of the batch ===


@pytest.mark.parametrize(
    ("fraction", "budget"), [(0.0, 2_000), (0.1, 4_000), (0.2, 6_000), (0.4, 10_000), (1, 10_000)]
)
def test_the_budget_grows_evenly_to_the_whole(fraction, budget):
    made = batches(batch_tokens=10_000, batch_start=0.2, batch_warmup=0.4)
    assert made.budget(fraction) == budget
    step = made.step(made.start, fraction)
    assert budget - 48 < step.tokens <= budget


# === Replay ===


@pytest.mark.parametrize("share", [0.05, 0.25, 1 / 3, 0.9])
def test_old_text_has_its_share_of_the_samples_and_stands_evenly(share):
    made = batches(NEW, OLD, replay_share=share, batch_tokens=1)
    for n, step in enumerate(steps(made, 40), start=1):
        num_old = floor(n * share)
        assert step.position == (48, n, 0, n - num_old, 0, num_old)
        if num_old > floor((n - 1) * share):
            expected = OLD.source(max_length=48).sample(0, num_old - 1)
            assert step.batches[0].input_ids.tolist() == expected.input_ids.tolist()


def test_each_text_goes_through_its_own_epochs():
    made = batches(NEW, OLD, replay_share=0.5, batch_tokens=2_000)
    *_, last = steps(made, 4)
    _, slot, new_epoch, new_index, old_epoch, old_index = last.position
    passed = sum(len(OLD.source(max_length=48).plan(epoch)) for epoch in range(old_epoch))
    assert (new_epoch, old_epoch > 0) == (0, True)
    assert new_index + passed + old_index == slot


def test_nothing_to_replay_is_refused():
    with pytest.raises(ConfigError, match=r"needs old text.*Received: 0.1"):
        _ = batches(NEW, replay_share=0.1).start
