from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albatross.cli import VERBS, settings_of
from albatross.errors import ConfigError
from albatross.rules import LIMITS
from albatross.settings.answering import ExportSettings, InfoSettings, PredictSettings
from albatross.settings.corpus import TrainTokenizerSettings
from albatross.settings.settings import read_recipe
from albatross.settings.training import FinetuneSettings, PretrainSettings


def every_settings():
    return [settings_of(verb) for verb in VERBS]


def make(kind: Any, *values: Any, **options: Any) -> Any:
    """Settings from what Python's callers and recipes give, of whatever type."""
    return kind(*values, **options)


# === Values ===


def test_text_stands_for_paths_and_lists_for_tuples():
    made = make(FinetuneSettings, "m", "o", train="t.tsv", labels=["no", "yes"])
    assert (made.model, made.out, made.train) == (Path("m"), Path("o"), Path("t.tsv"))
    assert made.labels == ("no", "yes")
    assert make(PredictSettings, "m", "one text").texts == ("one text",)
    assert InfoSettings("albert-base-v2").model == "albert-base-v2"


def test_numbers_of_numpy_become_those_of_python():
    made = make(
        PretrainSettings, "s", "o", steps=np.int64(5), learning_rate=np.float32(0.5), warmup=1
    )
    assert (type(made.steps), type(made.learning_rate), type(made.warmup)) == (int, float, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": "many"}, r"`--steps` must be a whole number or none\. Received: 'many'"),
        ({"steps": 2.5}, "`--steps` must be a whole number"),
        ({"steps": True}, "`--steps` must be a whole number"),
        ({"warmup": "1"}, "`--warmup` must be a number"),
        ({"threads": 1.0}, "`--threads` must be a whole number or none"),
        ({"out": 3}, "`--out` must be a path"),
        ({"objective": "both"}, "`--objective` must be one of sop, nsp, none"),
        ({"activation_checkpointing": 1}, "`--activation-checkpointing` must be true or false"),
        ({"variant": "albert-small"}, r"must be one of albert-base-v1.*Received: 'albert-small'"),
    ],
)
def test_values_of_another_type_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        make(PretrainSettings, **{"shards": "s", "out": "o", **values})


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("warmup", 1.5), ("learning_rate", float("nan")), ("batch_tokens", -1)],
)
def test_numbers_outside_their_limits_are_refused(name, value):
    option = name.replace("_", "-")
    with pytest.raises(ConfigError, match=rf"`--{option}` must lie between .* Received: {value}"):
        make(PretrainSettings, "s", "o", **{name: value})


def test_all_broken_rules_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        make(FinetuneSettings, "m", "o", train="t", epochs=0, batch_size=0, seed="x")
    assert all(name in str(caught.value) for name in ("--epochs", "--batch-size", "--seed"))


def test_every_limit_belongs_to_a_setting_and_every_default_keeps_to_it():
    names = {f.name for kind in every_settings() for f in fields(kind)}
    assert set(LIMITS) <= names
    for kind in every_settings():
        kind(**{f.name: f.default for f in fields(kind) if f.name in LIMITS} | needed(kind))


def needed(kind):
    given = {"shards": "s", "model": "m", "out": "o", "train": "t", "records": "r"}
    given |= {"tokenizer": "t"}
    given |= {"paths": ["c", "o"], "source": "x", "words": "w"}  # type: ignore[dict-item]
    return {f.name: given[f.name] for f in fields(kind) if f.name in given}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 64}, "`--rank` goes with --adapt lora or adapter. Received: 64 without"),
        ({"per_depth": True}, "`--per-depth` goes with --adapt"),
        ({"keep_pooler": True}, "`--keep-pooler` goes with an --adapt other than full"),
        ({"temperature": 1.0}, "`--temperature` goes with --tasks"),
        ({"schedule": "cosine", "decay": 0.1}, "`--decay` goes with --schedule wsd"),
    ],
    ids=str,
)
def test_what_nothing_would_look_at_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        FinetuneSettings(Path("model"), Path("out"), train=Path("a.tsv"), **values)


@pytest.mark.parametrize("values", [{"batch_start": 0.5}, {"replay_share": 0.5}], ids=str)
def test_what_nothing_in_a_pre_training_would_look_at_is_refused(values):
    with pytest.raises(ConfigError, match="goes with --"):
        PretrainSettings(Path("shards"), Path("out"), **values)


def test_a_loss_that_nothing_is_measured_for_is_refused():
    with pytest.raises(ConfigError, match="`--max-loss` goes with --dev"):
        ExportSettings(Path("model"), Path("out"), max_loss=1.0)


@pytest.mark.parametrize("paths", [(), ("one",), "one"])
def test_a_corpus_needs_a_place_to_write(paths):
    with pytest.raises(ConfigError, match=r"must be given: CORPUS\.\.\. OUT\."):
        make(TrainTokenizerSettings, paths)
    assert make(TrainTokenizerSettings, ("a", Path("b"), "c")).corpus == ("a", "b")


def test_an_address_keeps_both_its_slashes_and_is_no_place_to_write():
    made = make(TrainTokenizerSettings, ("s3://bucket//a.txt", "out"))
    assert (made.corpus, made.out) == (("s3://bucket//a.txt",), Path("out"))
    with pytest.raises(ConfigError, match=r"must be on this machine\. Received: 's3://out'"):
        make(TrainTokenizerSettings, ("a.txt", "s3://out"))


@pytest.mark.parametrize("symbol", ["", "two words", " edge", "[MASK]"])
def test_symbols_that_could_not_be_found_or_must_not_be_are_refused(symbol):
    with pytest.raises(ConfigError, match="`--symbols` must be words without space"):
        make(TrainTokenizerSettings, ("a", "o"), symbols=["§", symbol])


# === Recipes ===


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_gives_values_of_their_types(tmp_path):
    recipe = write(tmp_path / "r.toml", 'train = "t.tsv"\nepochs = 2\nlabels = ["no", "yes"]\n')
    values = read_recipe(recipe, FinetuneSettings)
    assert values == {"train": Path("t.tsv"), "epochs": 2.0, "labels": ("no", "yes")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 5", r"holds settings of its verb\. Received in .*: steps\."),
        ('recipe = "other.toml"', r"holds settings of its verb\. Received in .*: recipe\."),
        ('epochs = "two"', r"`epochs` must be a number or none\. Received in .*: 'two'"),
        ("epochs = ", "must be a TOML file"),
        ("[table]\nepochs = 1", "holds settings of its verb"),
    ],
)
def test_recipes_that_do_not_fit_are_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(write(tmp_path / "r.toml", text), FinetuneSettings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_recipe_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="`--recipe` must be a TOML file"):
        read_recipe(path, PretrainSettings)
