import json
import signal
from dataclasses import replace

import pytest

from albatross.checkpoints.safetensors_file import read_header
from albatross.errors import ConfigError, DataError, LabelError, TrainingError
from albatross.pipelines.pipeline import load
from albatross.report import file_digest
from albatross.settings.few_shot import FewShotSettings
from albatross.tasks.cloze import PATTERNS
from albatross.training.contrastive import HEAD
from albatross.training.few_shot import few_shot
from albatross.training.head_losses import HeadLosses

WORDS = ("negative=bad", "positive=good")


@pytest.fixture
def unlabeled(tmp_path, reviews):
    """The texts of the reviews with an end of their own."""
    path = tmp_path / "texts.jsonl"
    rows = [json.dumps({"text": f"{text} it was"}) for text, _ in reviews]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def plain(pretrained, train_file, tmp_path):
    """Enough to know the reviews by heart."""
    return FewShotSettings(
        pretrained,
        tmp_path / "out",
        train=train_file,
        dev=train_file,
        method="plain",
        steps=60,
        max_length=48,
        learning_rate=1e-3,
        beta2=0.98,
        dropout=0.0,
    )


@pytest.fixture
def short(plain):
    """A few steps, for what does not depend on what is learned."""
    return replace(plain, steps=3, dev=None)


def run_of(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


# === Ways ===


@pytest.mark.parametrize("values", [{"method": "plain"}, {"method": "contrastive", "pairs": 2}])
def test_few_texts_are_known_by_heart_and_the_folder_answers(plain, reviews, values, capsys):
    out = few_shot(replace(plain, **values))
    assert run_of(out)["metrics"]["accuracy"] == 1.0
    assert "accuracy 1.0000" in capsys.readouterr().err.splitlines()
    answers = load(out)([text for text, _ in reviews])
    assert [answer.label for answer in answers] == [label for _, label in reviews]


def test_patterns_label_texts_for_the_last_classifier(short, unlabeled, reviews):
    options = {"method": "cloze", "unlabeled": unlabeled, "verbalizer": WORDS}
    out = few_shot(replace(short, **options, pattern=("[MASK]: {text}",), weighting="equal"))
    notes = run_of(out)["few_shot"]
    assert notes["learned_from"] == 64
    words = {"negative": ["bad"], "positive": ["good"]}
    assert notes["clozes"] == [{"pattern": "[MASK]: {text}", "words": words}]
    assert load(out)(reviews[0][0]).probabilities.keys() == {"negative", "positive"}


def test_own_answers_are_learned_from(plain, unlabeled):
    out = few_shot(replace(plain, unlabeled=unlabeled, rounds=2, steps=60))
    notes = run_of(out)["few_shot"]
    assert 0 < notes["labelled_itself"] <= 32
    assert notes["learned_from"] == 32 + notes["labelled_itself"]


def test_copies_that_keep_their_class_are_learned_from(plain):
    notes = run_of(few_shot(replace(plain, augment=1, steps=30)))["few_shot"]
    assert 32 < notes["learned_from"] <= 64


def test_copies_may_be_what_patterns_label(short):
    options = {"method": "cloze", "augment": 1, "verbalizer": WORDS, "pattern": ("sentiment",)}
    notes = run_of(few_shot(replace(short, **options)))["few_shot"]
    assert len(notes["clozes"]) == 3
    assert 32 < notes["learned_from"] <= 64


def test_pairs_of_texts_and_labels_that_are_words_need_no_options(short, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"text": f"gull {i}", "text_pair": f"sheep {i}", "label": ("the", "it")[i % 2]}
        for i in range(6)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    out = few_shot(replace(short, method="cloze", train=path, augment=1))
    clozes = run_of(out)["few_shot"]["clozes"]
    assert [cloze["pattern"] for cloze in clozes] == list(PATTERNS["pair"])
    assert clozes[0]["words"] == {"it": ["it"], "the": ["the"]}
    assert load(out)(("gull 1", "sheep 1")).label in ("the", "it")


def test_pairs_leave_how_alike_texts_were_and_no_tensors(short):
    out = few_shot(replace(short, method="contrastive", steps=30))
    assert run_of(out)["few_shot"].keys() >= {"cosines_before", "cosines_after"}
    names = read_header(out / "model.safetensors")
    assert {"classifier.weight", "albert.pooler.weight"} <= names.keys()
    assert not [name for name in names if name.startswith((HEAD, "predictions."))]


def test_run_json_names_data_and_settings(short, unlabeled, train_file):
    run = run_of(few_shot(replace(short, unlabeled=unlabeled)))
    assert (run["verb"], run["settings"]["method"]) == ("few-shot", "plain")
    assert run["data"]["train"] == file_digest(train_file)
    assert run["data"]["unlabeled"] == file_digest(unlabeled)
    assert run["data"]["train_records"] == 32


def test_a_stopped_run_goes_on_to_the_same_bits(short, tmp_path, monkeypatch):
    settings = replace(short, method="contrastive", pairs=1, dropout=0.1, steps=5)
    whole = few_shot(replace(settings, out=tmp_path / "whole"))
    calls, forward = [], HeadLosses.forward

    def interrupting(objective, batch, draw):
        calls.append(1)
        if len(calls) == 8:  # after five steps of pairs
            signal.raise_signal(signal.SIGTERM)
        return forward(objective, batch, draw)

    with monkeypatch.context() as patch:
        patch.setattr(HeadLosses, "forward", interrupting)
        with pytest.raises(TrainingError, match="SIGTERM at step 3"):
            few_shot(settings)
    few_shot(settings)
    found, expected = ((f / "model.safetensors").read_bytes() for f in (settings.out, whole))
    assert found == expected


# === Refusals ===


def test_a_label_with_one_example_is_refused(short, tmp_path):
    path = tmp_path / "few.tsv"
    path.write_text("text\tlabel\na\tx\nb\tx\nc\ty\n", encoding="utf-8")
    with pytest.raises(LabelError, match=r"at least 2 examples\. Received: 1 of 'y'"):
        few_shot(replace(short, train=path))


def test_an_empty_file_of_texts_is_refused(short, tmp_path):
    path = tmp_path / "empty.tsv"
    path.write_text("text\n", encoding="utf-8")
    with pytest.raises(DataError, match="must hold at least one record"):
        few_shot(replace(short, unlabeled=path))


def test_labels_that_are_no_words_are_refused_before_anything_is_learned(short, unlabeled):
    with pytest.raises(ConfigError, match="Received: 'negative', 'positive'"):
        few_shot(replace(short, method="cloze", unlabeled=unlabeled))
    assert not short.out.exists()


def test_a_pattern_without_a_gap_is_refused(short, unlabeled):
    settings = replace(short, method="cloze", unlabeled=unlabeled, pattern=("{text} is good.",))
    with pytest.raises(ConfigError, match="must hold"):
        few_shot(settings)
