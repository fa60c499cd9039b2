import json
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AlbertForSequenceClassification as TransformersAlbert

from albatross.checkpoints.model_folder import read_weights
from albatross.data.packing import Example
from albatross.errors import (
    AlbatrossWarning,
    ConfigError,
    DataError,
    FolderError,
    LabelError,
    TrainingError,
)
from albatross.evaluation.evaluate import evaluate
from albatross.export.folder import export
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import load
from albatross.report import file_digest
from albatross.settings.answering import EvaluateSettings, ExportSettings
from albatross.training.example_batches import ExampleBatches
from albatross.training.finetune import finetune
from albatross.training.head_losses import HeadLosses
from albatross.training.run_log import read_log


@pytest.fixture
def short(finetune_settings, tmp_path):
    """A run of six steps with dropout."""
    changes = {"epochs": 3, "batch_size": 16, "dev": None, "dropout": 0.2}
    return replace(finetune_settings, out=tmp_path / "out", **changes)


@pytest.fixture
def interrupted(short, monkeypatch):
    """A run that was stopped at its fourth step."""
    calls, forward = [], HeadLosses.forward

    def interrupting(objective, batch, draw):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGTERM)
        return forward(objective, batch, draw)

    monkeypatch.setattr(HeadLosses, "forward", interrupting)
    with pytest.raises(TrainingError, match="SIGTERM at step 4"):
        finetune(short)
    return short


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def lines_of(folder):
    """The log without what the clock says."""
    lines = read_log(folder / "log.jsonl")
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def examples(count):
    return [Example(np.array([i]), np.array([0]), {"classifier": 0}) for i in range(count)]


def ids_of_epoch(batches, epoch):
    position, ids = (epoch, 0), []
    while position[0] == epoch:
        step = batches.step(position, 0.0)
        position = step.position
        ids += step.batches[0].input_ids.tolist()
    return ids


# === Batches ===


def test_every_epoch_holds_each_example_once_in_an_order_of_its_own():
    batches = ExampleBatches([[e] for e in examples(10)], 4, seed=0)
    first, second = ids_of_epoch(batches, 0), ids_of_epoch(batches, 1)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert batches.steps_per_epoch == 3
    assert ids_of_epoch(ExampleBatches([[e] for e in examples(10)], 4, seed=0), 1) == second


# === The verb ===


def test_a_tiny_model_learns_its_records_by_heart(finetuned, reviews):
    assert read(finetuned / "run.json")["metrics"]["accuracy"] == 1.0
    answers = load(finetuned)([text for text, _ in reviews])
    assert [answer.label for answer in answers] == [label for _, label in reviews]


def test_transformers_opens_the_folder_and_answers_alike(finetuned, reviews):
    model = TransformersAlbert.from_pretrained(finetuned).eval()
    ours = load(finetuned)
    for text, _ in reviews[:4]:
        (example,) = ours.task.features(ours.task.record(text))
        with torch.no_grad():
            logits = model(torch.tensor(example.input_ids)[None]).logits[0]
        shares = dict(zip(model.config.id2label.values(), logits.softmax(0).tolist(), strict=True))
        assert ours(text).probabilities == pytest.approx(shares, abs=1e-5)


def test_run_json_names_data_and_settings(finetuned, train_file, pretrained):
    run = read(finetuned / "run.json")
    assert (run["verb"], run["settings"]["epochs"], run["progress"]["step"]) == ("finetune", 60, 60)
    assert run["data"]["train"] == file_digest(train_file)
    assert run["data"]["model"] == file_digest(pretrained / "model.safetensors")
    assert run["data"]["train_records"] == run["metrics"]["records"] == 32


def test_a_stopped_run_goes_on_to_the_same_bits(interrupted, tmp_path):
    with pytest.warns(AlbatrossWarning, match="whose run was interrupted"):
        assert load(interrupted.out)("whole").label in ("negative", "positive")
    finetune(interrupted)
    whole = finetune(replace(interrupted, out=tmp_path / "whole"))
    assert not (interrupted.out / "training_state").exists()
    found, expected = ((f / "model.safetensors").read_bytes() for f in (interrupted.out, whole))
    assert found == expected
    assert lines_of(interrupted.out) == lines_of(whole)


def test_dropout_is_what_the_settings_say(short, pretrained):
    finetune(replace(short, epochs=0.1))
    assert read(pretrained / "config.json")["hidden_dropout_prob"] == 0.0
    assert read(short.out / "config.json")["hidden_dropout_prob"] == 0.2
    assert read(short.out / "config.json")["attention_probs_dropout_prob"] == 0.2


def test_labels_get_the_names_of_the_settings(short):
    finetune(replace(short, epochs=0.1, labels=("bad", "good")))
    task: Any = load(short.out).task
    assert (task.labels, task.values) == (("bad", "good"), ("negative", "positive"))
    assert read(short.out / "config.json")["id2label"] == {"0": "bad", "1": "good"}


def test_a_model_learns_as_it_will_compute_in_8_bits(finetune_settings, tmp_path):
    settings = replace(finetune_settings, epochs=30, quantization_aware=True)
    learned = finetune(replace(settings, out=tmp_path / "learned"))
    assert read(learned / "run.json")["metrics"]["accuracy"] == 1
    assert all(array.dtype == np.float32 for array in read_weights(learned).values())
    small = export(ExportSettings(learned, tmp_path / "small", "int8"))
    assert evaluate(EvaluateSettings(small, settings.dev)).metrics["accuracy"] == 1


def test_from_scratch_takes_no_weights(short, pretrained, tmp_path):
    firsts = []
    for from_scratch in (False, True):
        out = tmp_path / str(from_scratch)
        finetune(replace(short, out=out, epochs=0.1, learning_rate=1e-9, from_scratch=from_scratch))
        model = AlbertWithHeads.from_pretrained(out, heads={"classifier": HeadSpec("sequence", 2)})
        firsts.append(model.albert.embeddings.word_embeddings.weight.detach())
    source = AlbertWithHeads.from_pretrained(pretrained, heads={}).albert
    expected = source.embeddings.word_embeddings.weight.detach()
    torch.testing.assert_close(firsts[0], expected)
    assert float((firsts[1] - expected).abs().max()) > 0.01


def test_a_finetuned_model_may_learn_other_labels(finetuned, short, tmp_path, copy_of, change_json):
    source = copy_of(finetuned)
    change_json(source / "config.json", num_labels=2)
    topics = tmp_path / "topics.jsonl"
    rows = [{"text": f"about {n}", "label": n} for n in ("films", "meals", "hotels")]
    topics.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    finetune(replace(short, model=source, train=topics, epochs=0.1))
    assert TransformersAlbert.from_pretrained(short.out).config.num_labels == 3
    assert load(short.out)("about films").probabilities.keys() == {"films", "hotels", "meals"}


# === Ways to learn ===


def test_early_exits_are_kept_and_measured_by_depth(short, train_file):
    finetune(replace(short, dev=train_file, early_exit=True, epochs=1))
    metrics = read(short.out / "run.json")["metrics"]
    by_depth = [metrics[f"accuracy_depth_{depth}"] for depth in (1, 2, 3, 4)]
    assert by_depth[-1] == metrics["accuracy"]
    assert {f"exits.classifier.{depth}.weight" for depth in range(3)} <= set(
        read_weights(short.out)
    )
    assert load(short.out)("good").label in ("negative", "positive")


def test_settings_left_open_come_from_the_task_and_are_kept(short, capsys):
    finetune(replace(short, learning_rate=None, warmup=None, dropout=None, epochs=0.1))
    kept = read(short.out / "run.json")["settings"]
    assert (kept["learning_rate"], kept["warmup"], kept["dropout"]) == (5e-4, 0.1, 0.0)
    told = capsys.readouterr().err
    assert "rate 0.0005, 0.1 epochs (1 step) of 16" in told
    assert "from 29 records, measured on 3 of held_out" in told


def test_passes_left_open_come_from_the_number_of_records(short):
    run = read(finetune(replace(short, epochs=None, batch_size=29)) / "run.json")
    assert (run["settings"]["epochs"], run["progress"]["step"]) == (15, 15)


def test_class_weights_are_for_classes(short, tmp_path):
    path = tmp_path / "scores.tsv"
    rows = "".join(f"text {n}\tother\t{n / 7}\n" for n in range(30))
    path.write_text(f"text\ttext_pair\tlabel\n{rows}", encoding="utf-8")
    with pytest.raises(ConfigError, match="Received: a task of the kind regression"):
        finetune(replace(short, task="regression", train=path, class_weights="balanced"))


def test_shares_of_labels_are_learned_as_shares(short, tmp_path):
    path, shares = tmp_path / "votes.jsonl", {"good": {"a": 7, "b": 3}, "bad": {"a": 1, "b": 4}}
    rows = [json.dumps({"text": text, "label": votes}) for text, votes in shares.items()] * 40
    path.write_text("\n".join(rows), encoding="utf-8")
    finetune(replace(short, train=path, epochs=12, dropout=0.0, hold_out=0.0))
    answers = load(short.out)(["good", "bad"])
    assert [answer.probabilities["a"] for answer in answers] == pytest.approx([0.7, 0.2], abs=0.08)


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_whole_share_is_learned_as_its_label(short, tmp_path, class_weights):
    weights = []
    for name in ("labels", "shares"):
        path = tmp_path / f"{name}.jsonl"
        labels: list[Any] = ["ab"[n % 3 == 0] for n in range(30)]
        if name == "shares":
            labels = [{label: 1.0} for label in labels]
        rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        run = replace(short, train=path, out=tmp_path / name, class_weights=class_weights)
        finetune(replace(run, epochs=1, hold_out=0.0))
        weights.append(read_weights(tmp_path / name))
    assert weights[0].keys() == weights[1].keys()
    for first, second in zip(*(each.values() for each in weights), strict=True):
        torch.testing.assert_close(*map(torch.from_numpy, (first, second)), atol=2e-5, rtol=0)


def test_shares_are_for_classes(short, tmp_path):
    path = tmp_path / "votes.jsonl"
    path.write_text('{"text": "a", "label": {"1": 2, "2": 1}}\n' * 4, encoding="utf-8")
    with pytest.raises(DataError, match="Shares of labels are for the kind classification"):
        finetune(replace(short, task="ordinal", train=path))


def test_a_task_that_writes_learns_and_is_measured(short, tmp_path):
    path = tmp_path / "pairs.tsv"
    rows = "".join(f"good {n}\tbad {n}\n" for n in range(20))
    path.write_text(f"source\ttarget\n{rows}", encoding="utf-8")
    finetune(replace(short, task="generation", name="", train=path, epochs=1))
    assert "bleu" in read(short.out / "run.json")["metrics"]
    assert read(short.out / "task.json")["generation"]["kind"] == "generation"


@pytest.mark.parametrize("kind", ["multi-label", "ordinal", "regression", "similarity"])
def test_other_kinds_learn_from_tables(short, tmp_path, kind):
    path = tmp_path / "records.jsonl"
    several = [["a"], ["b", "c"], ["a", "c"]]
    rows = [
        {"text": f"text {n}", "text_pair": "other"}
        | ({"labels": several[n % 3]} if kind == "multi-label" else {"label": n % 3})
        for n in range(30)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    finetune(replace(short, task=kind, name="", train=path, epochs=1))
    run, task = read(short.out / "run.json"), next(iter(read(short.out / "task.json").values()))
    assert task["kind"] == kind
    assert run["metrics"]


def test_pairs_without_numbers_teach_similarity_and_are_measured_on_pairs_with(short, tmp_path):
    words = ("gull", "tern", "storm", "sea")
    rows = [{"text": f"a {word}", "text_pair": f"the {word}"} for word in words]
    asked = [
        {"text": f"a {a}", "text_pair": f"the {b}", "label": 5 * (a == b)}
        for a in words
        for b in words
    ]
    train, dev = tmp_path / "pairs.jsonl", tmp_path / "dev.jsonl"
    train.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    dev.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    pairs = replace(short, task="similarity", name="", train=train, epochs=80)
    finetune(replace(pairs, dev=dev))
    assert read(short.out / "run.json")["metrics"]["spearman"] > 0.75  # all there is: 4 of 16
    finetune(replace(pairs, out=tmp_path / "unmeasured", epochs=1))
    assert not read(tmp_path / "unmeasured" / "run.json")["metrics"]
    with pytest.raises(LabelError, match="must carry a label"):
        finetune(replace(pairs, out=tmp_path / "refused", dev=train))


# === Refusals ===


def test_early_exits_are_for_whole_sequences(short, tmp_path):
    path = tmp_path / "words.jsonl"
    rows = [{"words": ["Ann", "left"], "tags": ["B-PER", "O"]}] * 20
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(ConfigError, match="Received: a head of the kind token"):
        finetune(replace(short, task="tagging", train=path, early_exit=True))


def test_the_model_itself_is_not_overwritten(short, copy_of, pretrained):
    model = copy_of(pretrained)
    with pytest.raises(FolderError, match="must not write over what it reads"):
        finetune(replace(short, model=model, out=model))


def test_unknown_labels_of_dev_are_found_before_the_training(short, tmp_path):
    dev = tmp_path / "dev.tsv"
    dev.write_text("text\tlabel\nso so\tneutral\n", encoding="utf-8")
    with pytest.raises(LabelError, match="Received: 'neutral'"):
        finetune(replace(short, dev=dev, save_minutes=0.0))
    assert not short.out.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\na\tx\nb\tx\n", "at least two labels"),
        ("text\nalone\n", "must carry a label"),
        ("text\tlabel\n", "at least one record"),
    ],
)
def test_records_that_teach_nothing_are_refused(short, tmp_path, content, message):
    (tmp_path / "train.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        finetune(replace(short, train=tmp_path / "train.tsv"))


def test_a_vocabulary_larger_than_the_model_is_refused(short, copy_of, pretrained, change_json):
    model = copy_of(pretrained)
    change_json(model / "config.json", vocab_size=200)
    with pytest.raises(FolderError, match="must not have more pieces than its model"):
        finetune(replace(short, model=model))


def test_sequences_longer_than_the_table_of_positions_are_refused(short):
    with pytest.raises(ConfigError, match=r"`--max-length` must be at most 512"):
        finetune(replace(short, max_length=1_000))


def test_a_stopped_run_goes_on_with_its_own_records_alone(interrupted, tmp_path):
    other = tmp_path / "train.tsv"
    text = interrupted.train.read_text(encoding="utf-8")
    other.write_text(text.replace("\tnegative", "\tpositive", 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="the data's train="):
        finetune(replace(interrupted, train=other))


def test_records_may_move_between_the_parts_of_a_run(interrupted, tmp_path):
    moved = tmp_path / "elsewhere" / interrupted.train.name
    moved.parent.mkdir()
    moved.write_bytes(interrupted.train.read_bytes())
    assert finetune(replace(interrupted, train=moved)) == interrupted.out


def test_a_vocabulary_in_tokenizer_json_goes_along(short, pretrained, with_tokenizer_json):
    model = with_tokenizer_json(pretrained)
    out = finetune(replace(short, model=model))
    assert (out / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
