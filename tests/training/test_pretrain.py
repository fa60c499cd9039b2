import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AlbertForPreTraining as TransformersAlbert

from albatross.checkpoints.model_folder import read_weights
from albatross.config import variant
from albatross.conversion.convert import convert
from albatross.corpus import build_shards
from albatross.data.masking import PieceTable
from albatross.data.packing import IGNORED_LABEL
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import ShardFolder
from albatross.errors import ConfigError, FolderError, TrainingError
from albatross.modeling.embeddings import sinusoidal_positions
from albatross.modeling.model import AlbertForPreTraining
from albatross.rehearsal.grammar import compose_documents
from albatross.report import file_digest
from albatross.settings.conversion import ConvertSettings
from albatross.settings.corpus import BuildShardsSettings
from albatross.tokenizer.folder import open_tokenizer
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training import pretrain as module
from albatross.training.pretrain import (
    PretrainingBatches,
    evaluate_pretraining,
    pretrain,
    pretraining_losses,
)
from albatross.training.workspace import Workspace

WORDPIECES = Path(__file__).parents[1] / "tokenizer" / "tiny_vocab.txt"


@pytest.fixture
def short(pretrain_settings, tmp_path):
    """A run of six steps."""
    return replace(pretrain_settings, out=tmp_path / "out", steps=6, batch_tokens=128)


@pytest.fixture
def source(shards):
    """Samples as `pretrain` makes them."""
    tokenizer = UnigramTokenizer.from_folder(shards)
    specials = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id)
    table = PieceTable.from_pieces(
        tokenizer.pieces, tokenizer.starts_word, specials, tokenizer.mask_id
    )
    rule = SampleRule(max_length=64)
    return SampleSource(ShardFolder(shards).train, table, rule, tokenizer.cls_id, tokenizer.sep_id)


@pytest.fixture
def interrupt(monkeypatch):
    """Lets a run be interrupted at one of its steps; later runs are not."""

    def at(step, number=signal.SIGTERM):
        calls = []

        def losses(model, batch):
            calls.append(1)
            if len(calls) == step:
                signal.raise_signal(number)
            return pretraining_losses(model, batch)

        monkeypatch.setattr(module, "pretraining_losses", losses)

    return at


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# === Batches ===


def test_batches_keep_to_their_budget_and_hold_every_sample_once(source):
    batches, position, count = PretrainingBatches(source, 256), (0, 0), 0
    while position[0] == 0:
        batch, position = batches.batch(position)
        count += batch.num_sequences
        assert len(batch.input_ids) <= 256
    assert count == len(source.plan(0)) + position[1]


def test_a_sample_above_the_budget_is_a_batch_of_its_own(source):
    batch, position = PretrainingBatches(source, 1).batch((0, 0))
    assert (batch.num_sequences, position) == (1, (0, 1))


def test_a_batch_depends_on_its_position_alone(source):
    first = PretrainingBatches(source, 256)
    _, position = first.batch((0, 0))
    expected, _ = first.batch(position)
    found, _ = PretrainingBatches(source, 256).batch(position)
    np.testing.assert_array_equal(found.input_ids, expected.input_ids)
    np.testing.assert_array_equal(found.labels["labels"], expected.labels["labels"])


def test_a_batch_may_begin_in_one_epoch_and_end_in_the_next(source):
    last = len(source.plan(0)) - 1
    batch, position = PretrainingBatches(source, 256).batch((0, last))
    samples = [source.sample(0, last), *(source.sample(1, i) for i in range(position[1]))]
    assert position[0] == 1
    np.testing.assert_array_equal(
        batch.input_ids, np.concatenate([sample.input_ids for sample in samples])
    )


# === Losses ===


def test_only_masked_positions_pass_the_vocabulary_wide_head(source):
    batch, _ = PretrainingBatches(source, 256).batch((0, 0))
    model = AlbertForPreTraining(variant("albatross-tiny", vocab_size=280))
    rows = []
    model.predictions.register_forward_hook(lambda m, inputs, output: rows.append(len(output)))
    pretraining_losses(model, batch)
    masked = int((batch.labels["labels"] != IGNORED_LABEL).sum())
    assert rows == [masked]
    assert masked < len(batch.input_ids) / 4


def test_the_loss_is_the_sum_of_both(source):
    batch, _ = PretrainingBatches(source, 256).batch((0, 0))
    model = AlbertForPreTraining(variant("albatross-tiny", vocab_size=280)).eval()
    with torch.no_grad():
        found = pretraining_losses(model, batch)
    assert found["loss"] == found["masked_lm_loss"] + found["sentence_order_loss"]
    assert abs(float(found["masked_lm_loss"]) - np.log(280)) < 0.3
    assert abs(float(found["sentence_order_loss"]) - np.log(2)) < 0.1


def test_checkpointed_activations_give_the_same_gradients(source):
    batch, _ = PretrainingBatches(source, 256).batch((0, 0))
    gradients = []
    for enabled in (False, True):
        model = AlbertForPreTraining(variant("albatross-tiny", vocab_size=280)).train()
        model.activation_checkpointing(enabled)
        pretraining_losses(model, batch)["loss"].backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    torch.testing.assert_close(*gradients)


def test_sinusoidal_positions_start_as_strong_as_random_ones(short):
    model = module._model(replace(short, position_start="sinusoidal"), 280)
    table = model.albert.embeddings.position_embeddings.weight.detach()
    deviation = model.config.initializer_range
    assert float(table.pow(2).mean().sqrt()) == pytest.approx(deviation, rel=0.05)
    waves = sinusoidal_positions(512, 128)
    torch.testing.assert_close(table / table[0, 1], waves / waves[0, 1])


# === The verb ===


def test_a_run_learns(pretrained):
    log = read(pretrained / "log.json")["steps"]
    first, last = (
        np.mean([e["masked_lm_loss"] for e in log[s]]) for s in (slice(5), slice(-5, None))
    )
    assert last < first - 0.5


def test_a_finished_folder_opens_in_transformers_and_holds_no_state(pretrained):
    assert not (pretrained / "training_state").exists()
    model, report = TransformersAlbert.from_pretrained(pretrained, output_loading_info=True)
    assert not report["missing_keys"]
    ours = AlbertForPreTraining.from_pretrained(pretrained)
    ids = torch.arange(5, 17)[None]
    with torch.no_grad():
        expected, found = model.eval()(ids), ours(ids)
    torch.testing.assert_close(found.prediction_logits, expected.prediction_logits)


def test_run_json_says_how_the_folder_was_made(pretrained, pretrain_settings):
    run = read(pretrained / "run.json")
    assert (run["verb"], run["settings"]["steps"], run["settings"]["seed"]) == ("pretrain", 25, 0)
    assert run["progress"]["step"] == 25
    assert set(run["metrics"]) == {
        "masked_lm_loss",
        "masked_lm_accuracy",
        "sentence_order_accuracy",
    }
    assert run["data"]["train"]["documents"] + run["data"]["held_out"]["documents"] == 120
    assert run["data"]["shards"] == file_digest(pretrain_settings.shards / "shards.json")
    assert {"python", "torch", "numpy"} <= run["versions"].keys()


def test_nothing_is_measured_without_held_out_shards(pretrained, pretrain_settings):
    model = AlbertForPreTraining.from_pretrained(pretrained)
    tokenizer = UnigramTokenizer.from_folder(pretrained)
    assert evaluate_pretraining(model, [], tokenizer, pretrain_settings) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_bits(short, tmp_path, interrupt, number):
    whole = pretrain(replace(short, out=tmp_path / "whole"))
    interrupt(3, number)
    with pytest.raises(TrainingError, match=f"{number.name} at step 3 of 6"):
        pretrain(short)
    assert (short.out / "training_state").is_dir()
    assert AlbertForPreTraining.from_pretrained(short.out).config.vocab_size == 280
    pretrain(short)
    assert not (short.out / "training_state").exists()
    assert (short.out / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
    assert read(short.out / "log.json") == read(whole / "log.json")


# === Refusals ===


def test_a_stopped_run_goes_on_with_its_own_settings_alone(short, interrupt):
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(short)
    with pytest.raises(ConfigError, match="steps=6 before and 7 now"):
        pretrain(replace(short, steps=7))
    pretrain(replace(short, save_minutes=1.0))


def test_a_stopped_run_goes_on_with_its_own_data_alone(short, interrupt, copy_of, change_json):
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(short)
    other = copy_of(short.shards)
    index = read(other / "shards.json")
    (other / "shards.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ConfigError, match="the data's shards="):
        pretrain(replace(short, shards=other))


def test_a_damaged_state_is_one_clear_error(short, interrupt):
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(short)
    (short.out / "training_state" / "optimizer.safetensors").unlink()
    with pytest.raises(FolderError, match=r"must hold the state of this run.*start anew"):
        pretrain(short)


def test_a_finished_model_is_not_overwritten(pretrained, pretrain_settings):
    before = (pretrained / "run.json").read_bytes()
    with pytest.raises(FolderError, match="what another command has finished"):
        pretrain(pretrain_settings)
    assert (pretrained / "run.json").read_bytes() == before


def test_a_run_does_not_write_over_its_shards(short, copy_of):
    shards = copy_of(short.shards)
    with pytest.raises(FolderError, match="must not write over what it reads"):
        pretrain(replace(short, shards=shards, out=shards))
    assert ShardFolder(shards).num_tokens > 0


def test_samples_longer_than_the_table_of_positions_are_refused(short):
    with pytest.raises(ConfigError, match=r"`--max-length` must be at most 512"):
        pretrain(replace(short, max_length=513))
    assert not short.out.exists()


# === A WordPiece vocabulary, as the Chinese models have ===


def test_a_wordpiece_vocabulary_goes_from_shards_to_a_model(short, tmp_path):
    vocabulary, corpus = tmp_path / "vocabulary", tmp_path / "corpus.txt"
    vocabulary.mkdir()
    shutil.copy(WORDPIECES, vocabulary / "vocab.txt")
    stories = ["\n".join(story) for story in compose_documents(40, seed=0)]
    corpus.write_text("\n\n".join(stories), encoding="utf-8")
    paths = (corpus, tmp_path / "shards")
    shards = build_shards(BuildShardsSettings(paths, vocabulary, held_out=0.1, threads=1))
    out = pretrain(replace(short, shards=shards))
    assert open_tokenizer(out).pieces == open_tokenizer(vocabulary).pieces
    assert AlbertForPreTraining.from_pretrained(out).config.vocab_size >= 5


def test_continued_words_are_masked_whole(tmp_path):
    shutil.copy(WORDPIECES, tmp_path / "vocab.txt")
    tokenizer = open_tokenizer(tmp_path)
    pieces = tokenizer.pieces
    table = PieceTable.from_pieces(pieces, tokenizer.starts_word, (), tokenizer.mask_id)
    continued = next(i for i, piece in enumerate(pieces) if piece.startswith("##a"))
    word = next(i for i, piece in enumerate(pieces) if piece.isascii() and piece.isalpha())
    assert table.word_starts(np.array([word, continued, word])).tolist() == [0, 2]


# === Optimizers and schedules ===


@pytest.mark.parametrize("optimizer", ["lamb", "lamb-google"])
def test_a_model_learns_with_lamb(short, optimizer):
    settings = replace(
        short, optimizer=optimizer, schedule="wsd", steps=40, batch_tokens=512, learning_rate=1e-2
    )
    log = json.loads((pretrain(settings) / "log.json").read_text())["steps"]
    losses = [entry["masked_lm_loss"] for entry in log]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1
    assert log[20]["learning_rate"] == 1e-2


def test_an_optimizer_that_is_not_offered_is_refused(short):
    with pytest.raises(ConfigError, match="`--optimizer` must be one of adamw, lamb, lamb-google"):
        replace(short, optimizer="sgd")


# === Going on from a model ===


def test_a_model_goes_on_where_it_stood(short, pretrained):
    before = json.loads((pretrained / "log.json").read_text())["steps"]
    out = pretrain(replace(short, from_model=pretrained, learning_rate=1e-5))
    after = json.loads((out / "log.json").read_text())["steps"]
    assert after[0]["masked_lm_loss"] < before[0]["masked_lm_loss"] - 0.5
    digest = json.loads((out / "run.json").read_text())["data"]["model"][0]
    assert digest == file_digest(pretrained / "model.safetensors")


def test_a_model_that_grew_goes_on_and_its_groups_part(short, pretrained, tmp_path):
    convert(ConvertSettings(pretrained, tmp_path / "grown", groups=2, layers=6))
    out = pretrain(replace(short, from_model=tmp_path / "grown"))
    weights = read_weights(out)
    name = "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn.weight"
    assert not np.array_equal(weights[name.format(0)], weights[name.format(1)])


def test_heads_that_a_classifier_lost_start_anew_and_are_named(short, finetuned, capsys):
    out = pretrain(replace(short, from_model=finetuned))
    assert "Starting anew: predictions, sop_classifier" in capsys.readouterr().err
    assert AlbertForPreTraining.from_pretrained(out).config.extra["architectures"] == [
        "AlbertForPreTraining"
    ]


def test_shards_of_another_tokenizer_are_refused(short, pretrained, copy_of):
    other = copy_of(pretrained)
    (other / "spiece.model").unlink()
    shutil.copy(WORDPIECES, other / "vocab.txt")
    (other / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match="cut by its own tokenizer"):
        pretrain(replace(short, from_model=other))


def test_a_model_is_not_written_over_the_one_it_goes_on_from(short, pretrained):
    with pytest.raises(FolderError, match="must not write over what it reads"):
        pretrain(replace(short, from_model=pretrained, out=pretrained))


def test_new_positions_and_an_old_model_do_not_go_together(short, pretrained):
    with pytest.raises(ConfigError, match="--position-start"):
        replace(short, from_model=pretrained, position_start="sinusoidal")


def test_a_run_from_a_model_that_was_interrupted_ends_with_the_same_bits(
    short, pretrained, tmp_path, monkeypatch
):
    whole = pretrain(replace(short, from_model=pretrained))
    second = replace(short, from_model=pretrained, out=tmp_path / "second")
    step = Workspace.train

    def interrupted(self, model, losses, source, total):
        def once(batch):
            if not stopped:
                stopped.append(1)
                signal.raise_signal(signal.SIGTERM)
            return losses(batch)

        return step(self, model, once, source, total)

    stopped: list[int] = []
    monkeypatch.setattr(Workspace, "train", interrupted)
    with pytest.raises(TrainingError, match="SIGTERM"):
        pretrain(second)
    pretrain(second)
    first, again = (read_weights(folder) for folder in (whole, second.out))
    assert all(np.array_equal(first[name], again[name]) for name in first)
