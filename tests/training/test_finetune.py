import json
import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AlbertForSequenceClassification as TransformersAlbert

from albatross.config import HeadSpec
from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError, FolderError, LabelError, TrainingError
from albatross.modeling.model import AlbertWithHeads
from albatross.pipelines.pipeline import load
from albatross.report import file_digest
from albatross.training.finetune import ExampleBatches, finetune, limit_records
from albatross.training.objectives import HeadLosses
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


# === Batches and records ===


def test_every_epoch_holds_each_example_once_in_an_order_of_its_own():
    batches = ExampleBatches(examples(10), 4, seed=0)
    first, second = ids_of_epoch(batches, 0), ids_of_epoch(batches, 1)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert batches.steps_per_epoch == 3
    assert ids_of_epoch(ExampleBatches(examples(10), 4, seed=0), 1) == second


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
    assert load(short.out).task.labels == ("bad", "good")
    assert load(short.out).task.values == ("negative", "positive")
    assert read(short.out / "config.json")["id2label"] == {"0": "bad", "1": "good"}


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


# === Refusals ===


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
