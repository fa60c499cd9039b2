from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from albatross.data.records import ChoiceRecord, TextRecord
from albatross.errors import AlbatrossWarning, ConfigError, DataError, LabelError
from albatross.settings.training import FinetuneSettings
from albatross.tasks.classification import ClassificationTask
from albatross.training.task_data import hold_out, limit_records, read_task_data

PLACES = Path("model"), Path("out")


class Letters:
    """A tokenizer that no test here asks for more than its numbers."""

    cls_id, sep_id, mask_id = 2, 3, 4

    def encode(self, text):
        return [ord(letter) for letter in text]


@pytest.fixture
def table(tmp_path):
    """Writes a table of texts and labels."""

    def write(name, rows, header="text\tlabel"):
        path = tmp_path / name
        lines = [header, *("\t".join(row) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def settings(table):
    rows = [(f"text {n}", "ab"[n % 4 == 0]) for n in range(40)]
    return FinetuneSettings(*PLACES, train=table("train.tsv", rows), name="letters")


@pytest.fixture
def mnli(tmp_path):
    """The folder of a benchmark with two dev parts, of rows made up here."""
    folder = tmp_path / "glue" / "MNLI"
    folder.mkdir(parents=True)
    names = [
        "index",
        *(f"x{n}" for n in range(7)),
        "sentence1",
        "sentence2",
        "label1",
        "gold_label",
    ]
    labels = ("entailment", "neutral", "contradiction")
    for file in ("train", "dev_matched", "dev_mismatched"):
        rows = [
            [str(n), *["n/a"] * 7, f"{file} {n}", "so it is", labels[n % 3], labels[n % 3]]
            for n in range(6)
        ]
        lines = ["\t".join(row) for row in (names, *rows)]
        (folder / f"{file}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def read(settings) -> Any:
    tokenizer: Any = Letters()
    return read_task_data(settings, tokenizer)


def test_records_without_text_are_told_of(settings, table):
    rows = [(f"text {n}", "ab"[n % 4 == 0]) for n in range(40)]
    rows[3], rows[7] = (" ", "a"), ("", "b")
    told = r"Received: 2 of 40 with none.*the first at line 5 of '.*gaps\.tsv'"
    with pytest.warns(AlbatrossWarning, match=told):
        data = read(replace(settings, train=table("gaps.tsv", rows)))
    assert len(data.train) + sum(map(len, data.dev.values())) == 40


def test_half_a_pair_is_told_of(settings, table):
    rows = [(f"text {n}", f"other {n}" if n else "", "ab"[n % 4 == 0]) for n in range(40)]
    pairs = table("pairs.tsv", rows, "text\ttext_pair\tlabel")
    with pytest.warns(AlbatrossWarning, match=r"Received: 1 of 40 .*line 2 of '.*pairs\.tsv'"):
        read(replace(settings, train=pairs))


def test_the_share_of_words_is_that_of_the_settings(settings, table):
    rows = [(f"text {n}", f"other {n}", str(n % 5)) for n in range(40)]
    pairs = table("pairs.tsv", rows, "text\ttext_pair\tlabel")
    asked = replace(settings, task="similarity", train=pairs, word_share=0.25)
    assert read(asked).task.word_share == 0.25


def test_the_share_of_words_is_for_similarities(settings):
    with pytest.raises(ConfigError, match="no use for `word_share`"):
        read(replace(settings, word_share=0.25))


# === Benchmarks ===


@pytest.mark.parametrize("place", ["", ".."])
def test_a_benchmark_brings_its_files_labels_and_all_dev_parts(mnli, place):
    data = read(FinetuneSettings(*PLACES, task="mnli", data=mnli / place, name="mnli"))
    assert (data.task.kind, len(data.task.labels)) == ("classification", 3)
    assert {name: len(part) for name, part in data.dev.items()} == {
        "dev_matched": 6,
        "dev_mismatched": 6,
    }
    assert data.digests.keys() == {"train", "train_records", "dev_matched", "dev_mismatched"}


def test_files_that_are_given_take_the_place_of_found_ones(mnli):
    given = {"train": mnli / "dev_matched.tsv", "dev": mnli / "dev_mismatched.tsv"}
    data = read(FinetuneSettings(*PLACES, task="mnli", name="mnli", data=mnli, **given))
    assert data.train[0].text == "dev_matched 0"
    assert list(data.dev) == ["dev"]


def test_a_benchmark_without_its_files_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"train\.tsv"):
        read(FinetuneSettings(*PLACES, task="rte", data=tmp_path, name="rte"))


def test_a_benchmark_without_its_training_file_says_so(mnli):
    (mnli / "train.tsv").unlink()
    with pytest.raises(DataError, match=r"training file must be in the folder.*: train\.tsv\."):
        read(FinetuneSettings(*PLACES, task="mnli", data=mnli, name="mnli"))


def test_a_folder_is_for_benchmarks(settings, tmp_path):
    with pytest.raises(ConfigError, match="Received: --task classification"):
        read(replace(settings, data=tmp_path))


def test_a_task_that_is_neither_kind_nor_benchmark_is_refused(settings):
    with pytest.raises(ConfigError, match=r"one of classification.*mnli.*Received: 'sst-2'"):
        read(replace(settings, task="sst-2"))


# === Columns and labels ===


def test_columns_get_the_names_that_are_given(table):
    path = table("reviews.tsv", [("fine", "5"), ("poor", "1")], header="what\tstars")
    columns = ("text=what", "label=stars")
    data = read(FinetuneSettings(*PLACES, train=path, columns=columns, name="stars"))
    assert [(r.text, r.label) for r in data.train] == [("fine", "5"), ("poor", "1")]


def test_columns_that_are_no_pairs_are_refused(settings):
    with pytest.raises(ConfigError, match=r"part=column\. Received: 'review'"):
        read(replace(settings, columns=("review",)))


def test_a_label_that_only_dev_has_is_named_with_its_place(settings, table):
    dev = table("dev.tsv", [("so so", "a"), ("well", "c")])
    with pytest.raises(LabelError, match=r"Received: 'c' in line 3 of '.*dev\.tsv'"):
        read(replace(settings, dev=dev))


def test_an_empty_dev_file_is_refused(settings, table):
    with pytest.raises(DataError, match=r"dev\.tsv"):
        read(replace(settings, dev=table("dev.tsv", [])))


def test_one_class_is_refused(settings, table):
    train = table("one.tsv", [("x", "a"), ("y", "a"), ("z", "a")])
    with pytest.raises(LabelError, match="at least two"):
        read(replace(settings, train=train))


# === Held out ===


def test_without_dev_a_tenth_is_held_out_and_never_learned(settings):
    data = read(settings)
    (part,) = data.dev.values()
    assert (list(data.dev), len(part), len(data.train)) == (["held_out"], 4, 36)
    assert not {record.text for record in part} & {record.text for record in data.train}


def test_nothing_is_held_out_when_that_is_asked_for(settings):
    data = read(replace(settings, hold_out=0.0))
    assert (data.dev, len(data.train)) == ({}, 40)


def test_every_label_is_held_out_in_proportion_and_single_ones_are_learned():
    records = [TextRecord(str(n), label="ab"[n % 5 == 0]) for n in range(100)]
    once = [TextRecord(f"once {n}", label=f"c{n}") for n in range(10)]
    train, held = hold_out([*records, *once], 0.5, by_label=True)
    assert Counter(record.label for record in held) == {"a": 40, "b": 10}
    assert train[-10:] == once
    assert {record.text for record in train + held} == {r.text for r in [*records, *once]}


def test_questions_about_one_text_stay_together():
    records = [ChoiceRecord(f"text {n // 5}", str(n), ("x", "y")) for n in range(100)]
    train, held = hold_out(records, 0.2, by_label=False)
    assert len(held) == 20
    assert not {record.context for record in held} & {record.context for record in train}


def test_questions_without_a_text_do_not_stay_together():
    of_text = [ChoiceRecord(f"text {n}", str(n), ("x", "y")) for n in range(10)]
    alone = [ChoiceRecord("", str(n), ("x", "y")) for n in range(100)]
    for place in range(len(of_text)):
        records = [*of_text[:place], *alone, *of_text[place:]]
        assert len(hold_out(records, 0.1, by_label=False)[1]) == 11


def test_the_seed_does_not_change_what_is_held_out(settings):
    one, other = read(settings), read(replace(settings, seed=1))
    assert one.dev == other.dev


# === Limits and digests ===


def test_a_limit_keeps_the_classes_in_proportion_and_the_order():
    records = [TextRecord(str(i), label="ab"[i % 4 == 0]) for i in range(100)]
    drawn = limit_records(records, 41, seed=0)
    assert Counter(record.label for record in drawn) == {"a": 31, "b": 10}
    numbers = [int(record.text) for record in drawn]
    assert numbers == sorted(numbers)
    assert limit_records(records, 41, seed=0) == drawn != limit_records(records, 41, seed=1)


@pytest.mark.parametrize("limit", [None, 5, 6])
def test_a_limit_above_the_file_changes_nothing(limit):
    records = [TextRecord(str(i), label="a") for i in range(5)]
    assert limit_records(records, limit, seed=0) == records


def test_labels_of_glue_that_are_numbers_get_names(tmp_path):
    rows = ["sentence\tlabel", *(f"word {n}\t{n % 2}" for n in range(8))]
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    (tmp_path / "dev.tsv").write_text("\n".join(rows[:5]))
    settings = FinetuneSettings(*PLACES, task="sst2", data=tmp_path, name="sst2")
    letters: Any = Letters()
    data = read_task_data(settings, letters)
    assert isinstance(data.task, ClassificationTask)
    assert data.task.labels == ("negative", "positive")
    assert data.task.class_of("1") == data.task.class_of("positive") == 1


def test_equal_texts_are_never_on_both_sides():
    texts = [f"text {n % 30}{' ' * (n % 2)}" for n in range(60)]
    records = [TextRecord(text, label="ab"[n % 3 == 0]) for n, text in enumerate(texts)]
    train, held = hold_out(records, 0.2, by_label=True)
    parts = [{one.text.strip() for one in part} for part in (train, held)]
    assert not parts[0] & parts[1]
    assert (len(train), len(held)) == (48, 12)


def test_a_column_of_labels_that_the_dev_part_lacks_is_found_by_its_usual_names(settings, table):
    train = table("shares.tsv", [(f"gull {n}", "ab"[n % 2]) for n in range(20)], "text\tanswer")
    dev = table("dev.tsv", [("a gull", "a"), ("two gulls", "b")])
    data = read(replace(settings, train=train, dev=dev, columns=("label=answer",)))
    assert [record.label for record in data.dev["dev"]] == ["a", "b"]


def test_a_column_of_labels_that_the_training_file_lacks_is_refused_by_its_name(settings):
    with pytest.raises(DataError, match=r"a column lable. Received: .*train.tsv"):
        read(replace(settings, columns=("label=lable",)))
