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
from albatross.corpus.build_shards import build_shards
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.shards import ShardFolder
from albatross.errors import ConfigError, FolderError, TrainingError
from albatross.modeling.embeddings import sinusoidal_positions
from albatross.modeling.model import AlbertForPreTraining
from albatross.pipelines.pipeline import load
from albatross.rehearsal.grammar import compose_documents
from albatross.report import file_digest
from albatross.settings.corpus import BuildShardsSettings
from albatross.tokenizer.folder import open_tokenizer
from albatross.training import pretrain as module
from albatross.training.distributed import World
from albatross.training.pretrain import pretrain
from albatross.training.run_log import read_log

WORDPIECES = Path(__file__).parents[1] / "tokenizer" / "tiny_vocab.txt"


@pytest.fixture(scope="module")
def wordpiece_shards(tmp_path_factory):
    """The stories cut by another kind of vocabulary."""
    place = tmp_path_factory.mktemp("wordpiece")
    vocabulary, corpus = place / "vocabulary", place / "corpus.txt"
    vocabulary.mkdir()
    shutil.copy(WORDPIECES, vocabulary / "vocab.txt")
    stories = ["\n".join(story) for story in compose_documents(40, seed=0)]
    corpus.write_text("\n\n".join(stories), encoding="utf-8")
    paths = (corpus, place / "shards")
    return build_shards(BuildShardsSettings(paths, vocabulary, held_out=0.1, workers=1))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def lines_of(folder):
    """The training lines of a log, without what the clock says."""
    lines = read_log(folder / "log.jsonl")
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines if "loss" in line]


# === The model ===


def test_sinusoidal_positions_start_as_strong_as_random_ones(short):
    run = module._Run(short, World())
    model = run.objective().model
    table = dict(model.named_parameters())["albert.embeddings.position_embeddings.weight"].detach()
    deviation = model.config.initializer_range
    assert float(table.pow(2).mean().sqrt()) == pytest.approx(deviation, rel=0.05)
    waves = sinusoidal_positions(512, 128)
    torch.testing.assert_close(table / table[0, 1], waves / waves[0, 1])


# === The verb ===


def test_a_run_learns(pretrained):
    log = lines_of(pretrained)
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
    assert {
        *("masked_lm_loss", "masked_lm_accuracy", "masked_lm_accuracy_rare"),
        *("sentence_order_accuracy", "tokens_per_second", "flops_utilisation", "energy_wh"),
    } <= run["metrics"].keys()
    assert 0 < run["metrics"]["flops_utilisation"] < 1
    assert 0 < run["progress"]["watt_hours"] < 1
    assert run["data"]["train"]["documents"] + run["data"]["held_out"]["documents"] == 120
    assert run["data"]["shards"] == file_digest(pretrain_settings.shards / "shards.json")
    assert {"python", "torch", "numpy"} <= run["versions"].keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_bits(short, tmp_path, interrupt, number):
    whole = pretrain(replace(short, out=tmp_path / "whole"))
    interrupt(3, number)
    with pytest.raises(TrainingError, match=f"{number.name} at step 3"):
        pretrain(short)
    assert (short.out / "training_state").is_dir()
    assert AlbertForPreTraining.from_pretrained(short.out).config.vocab_size == 280
    pretrain(short)
    assert not (short.out / "training_state").exists()
    assert (short.out / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
    assert lines_of(short.out) == lines_of(whole)


def test_a_run_that_is_stopped_at_its_last_step_tells_of_it_once(short, interrupt):
    settings = replace(short, evaluations=short.steps)
    interrupt(short.steps)
    with pytest.raises(TrainingError, match=f"at step {short.steps}"):
        pretrain(settings)
    stopped = read_log(short.out / "log.jsonl")
    assert (stopped[-1]["step"], "evaluation" in stopped[-1]) == (short.steps, True)
    pretrain(settings)
    assert read_log(short.out / "log.jsonl") == stopped


# === Refusals ===


def test_a_stopped_run_goes_on_with_its_own_settings_alone(short, interrupt):
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(short)
    with pytest.raises(ConfigError, match="steps=6 before and 7 now"):
        pretrain(replace(short, steps=7))
    pretrain(replace(short, save_minutes=1.0))


def test_a_run_that_was_stopped_before_a_setting_came_goes_on(short, interrupt):
    interrupt(2)
    with pytest.raises(TrainingError):
        pretrain(short)
    run = read(short.out / "run.json")
    del run["settings"]["text_share"]
    (short.out / "run.json").write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"text_share=1.0 before and 0.5 now"):
        pretrain(replace(short, text_share=0.5))
    pretrain(short)
    assert not (short.out / "training_state").exists()


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
    with pytest.raises(FolderError, match="what a command has finished"):
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


def test_a_wordpiece_vocabulary_goes_from_shards_to_a_model(short, wordpiece_shards):
    out = pretrain(replace(short, shards=wordpiece_shards))
    assert open_tokenizer(out).pieces == open_tokenizer(wordpiece_shards).pieces
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


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [("stable-adamw", 2e-3), ("lamb", 1e-2), ("lamb-google", 1e-2), ("muon", 2e-3)],
)
def test_a_model_learns_with_every_optimizer(short, optimizer, rate):
    settings = replace(
        short, optimizer=optimizer, schedule="wsd", steps=40, batch_tokens=512, learning_rate=rate
    )
    log = lines_of(pretrain(settings))
    losses = [entry["masked_lm_loss"] for entry in log]
    assert np.mean(losses[-5:]) < losses[0] - 1
    assert log[20]["learning_rate"] == rate


@pytest.mark.parametrize("objective", ["nsp", "none", "rtd"])
def test_a_model_learns_by_every_objective(short, objective):
    settings = replace(
        short, objective=objective, steps=40, batch_tokens=512, learning_rate=2e-3, evaluations=0
    )
    out = pretrain(settings)
    losses = [entry["masked_lm_loss"] for entry in lines_of(out)]
    assert np.mean(losses[-5:]) < losses[0] - (0.5 if objective == "rtd" else 1)
    metrics = read(out / "run.json")["metrics"]
    assert ("replaced_token_accuracy" in metrics) == (objective == "rtd")
    assert ("sentence_order_accuracy" in metrics) == (objective != "none")


def test_a_detector_keeps_no_head_that_nothing_trained(short, tmp_path, capsys):
    out = pretrain(replace(short, objective="rtd"))
    assert not [name for name in read_weights(out) if name.startswith("predictions.")]
    pretrain(replace(short, from_model=out, shape=(), out=tmp_path / "on"))
    assert "Starting anew: predictions, which the model lacks" in capsys.readouterr().err


def test_the_averages_are_what_is_kept(short, tmp_path):
    plain = pretrain(replace(short, out=tmp_path / "plain"))
    averaged = pretrain(replace(short, ema=0.9))
    assert lines_of(plain) == lines_of(averaged)
    name = "albert.embeddings.word_embeddings.weight"
    assert not np.array_equal(read_weights(plain)[name], read_weights(averaged)[name])


def test_held_out_text_is_masked_by_the_papers_rule_whatever_the_run_masks(short):
    run = module._Run(replace(short, masking_rate=0.4, max_ngram=1), World())
    shards = run.shards.held_out
    assert run.source(shards, 64).rule.masking == MaskingRule()
    assert run.source(shards, 64, held_out=False).rule.masking.rate == 0.4


# === Stages, replay, and the plan ===


def test_lengths_depths_and_batches_follow_their_stages(short):
    settings = replace(
        short,
        steps=10,
        batch_tokens=512,
        length_stages=("32:0.5",),
        depth_stages=("2:0.3",),
        batch_start=0.25,
        batch_warmup=0.8,
        short_fraction=0.0,
        evaluations=0,
    )
    log = lines_of(pretrain(settings))
    assert max(line["length"] for line in log[:5]) <= 32 < min(line["length"] for line in log[5:])
    assert [line["depth"] for line in log] == [2] * 3 + [4] * 7
    assert log[0]["batch_tokens"] <= 128 < 400 < log[-1]["batch_tokens"] <= 512


def test_a_share_of_the_text_is_the_same_for_every_seed_and_leaves_held_out_text_alone(short):
    whole, *parts = (
        module._Run(replace(short, text_share=share, seed=seed), World())
        for share, seed in ((1.0, 0), (0.3, 0), (0.3, 1))
    )
    tokens = [run.shards.num_tokens for run in parts]
    assert tokens[0] == tokens[1]
    assert 0.1 < tokens[0] / whole.shards.num_tokens < 0.6
    held_out = [sum(len(s.tokens) for s in run.shards.held_out) for run in (whole, *parts)]
    assert len(set(held_out)) == 1


def test_a_shape_replaces_values_of_the_variant(short):
    shape = ("hidden_size=64", "num_attention_heads=4", "intermediate_size=96")
    config = module._Run(replace(short, shape=shape), World()).config
    assert (config.hidden_size, config.num_attention_heads, config.depth) == (64, 4, 4)
    for wrong in ("hidden=64", "hidden_size", "vocab_size=9"):
        with pytest.raises(ConfigError, match="--shape"):
            replace(short, shape=(wrong,))
    with pytest.raises(ConfigError, match="divisible"):
        replace(short, shape=("hidden_size=65",))


def test_what_nothing_trained_is_not_offered(short, tmp_path):
    settings = replace(short, evaluations=0, steps=2)
    for objective, tasks in (("sop", ["fill-mask", "coherence"]), ("none", ["fill-mask"])):
        out = pretrain(replace(settings, objective=objective, out=tmp_path / objective))
        assert list(load(out).tasks) == tasks


def test_old_text_is_mixed_in_and_named_in_the_record(short, shards):
    out = pretrain(replace(short, replay=shards, replay_share=0.5, evaluations=0))
    run = read(out / "run.json")
    assert run["data"]["replay"] == file_digest(shards / "shards.json")
    _, slot, *cursors = run["progress"]["position"]
    assert abs(cursors[1] - cursors[3]) <= 1
    assert cursors[1] + cursors[3] == slot


def test_old_text_of_another_tokenizer_is_refused(short, wordpiece_shards):
    with pytest.raises(ConfigError, match="`--replay` needs shards cut by the same tokenizer"):
        pretrain(replace(short, replay=wordpiece_shards))


def test_shards_beside_another_vocabulary_than_their_own_are_refused(
    short, copy_of, wordpiece_shards
):
    other = copy_of(short.shards)
    for name in ("spiece.model", "tokenizer_config.json"):
        (other / name).unlink()
    shutil.copy(wordpiece_shards / "vocab.txt", other)
    with pytest.raises(FolderError, match="the vocabulary that cut them"):
        pretrain(replace(short, shards=other))


def test_a_dry_run_tells_and_plots_and_leaves_no_model(short, capsys):
    page = pretrain(replace(short, dry_run=True, steps=None, budget="1h"))
    assert page.name == "out.plan.html"
    assert "<svg" in page.read_text()
    assert not short.out.exists()
    table = capsys.readouterr().out
    for fact in ("parameters, 4 layers", "times the text", "% effective", "about 60.0 minutes"):
        assert fact in table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 100}, "one length"),
        ({"steps": None, "budget": "soon"}, "span of time"),
        ({"length_stages": ("64",)}, "VALUE:UNTIL"),
        ({"length_stages": ("128:0.5",)}, "at most `--max-length`"),
        ({"depth_stages": ("9:0.5",)}, "to 4, its layers"),
        ({"variant": "bert-base", "shape": (), "random_depth": 2}, "share weights"),
    ],
)
def test_settings_that_do_not_go_together_are_one_clear_error(short, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        pretrain(replace(short, **changes))
    assert "\n" not in str(caught.value)
    assert not short.out.exists()


def test_a_run_in_tokens_ends_where_they_are_used_up(short):
    out = pretrain(replace(short, steps=None, tokens=1_000, evaluations=0))
    assert 1_000 <= read(out / "run.json")["progress"]["tokens"] < 1_000 + 128


def test_tensorboard_gets_every_line(short, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pretrain(replace(short, tensorboard=tmp_path / "events"))
    events = accumulator.EventAccumulator(str(tmp_path / "events")).Reload()
    assert len(events.Scalars("training/loss")) == 6
    assert events.Scalars("held_out/masked_lm_loss")[-1].step == 6


def test_a_shard_with_a_flipped_byte_is_refused_before_training(short, copy_of):
    shards = copy_of(short.shards)
    part = next(shards.glob("train-*.tokens.npy"))
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    with pytest.raises(FolderError, match="the checksum differs"):
        pretrain(replace(short, shards=shards))
    assert not short.out.exists()


def test_an_optimizer_that_is_not_offered_is_refused(short):
    with pytest.raises(ConfigError, match="`--optimizer` must be one of adamw, stable-adamw, lamb"):
        replace(short, optimizer="sgd")
