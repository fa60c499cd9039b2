import json
import shutil
import statistics
from dataclasses import replace

import pytest

from albatross.errors import ConfigError, FolderError, TrainingError
from albatross.pipelines.pipeline import load
from albatross.report import file_digest
from albatross.training.finetune import finetune
from albatross.training.seeds import train_seeds

FIGURES = {3: 0.5, 4: 0.9, 5: 0.6, 6: 0.8, 7: 0.7}


@pytest.fixture
def several(finetune_settings, tmp_path):
    return replace(finetune_settings, name="", out=tmp_path / "out", seed=3, seeds=5)


@pytest.fixture
def train(finetuned, tmp_path):
    """Stands for training: a finished folder whose accuracy goes with the seed."""

    class Training:
        def __init__(self):
            self.seeds, self.fails = [], None

        def __call__(self, settings):
            if settings.seed == self.fails:
                raise TrainingError("interrupted")
            self.seeds.append(settings.seed)
            shutil.copytree(finetuned, settings.out)
            run = json.loads((finetuned / "run.json").read_text(encoding="utf-8"))
            run["settings"] = replace(settings, name="filled in", dropout=0.1).to_dict()
            run["metrics"]["accuracy"] = FIGURES[settings.seed]
            (settings.out / "run.json").write_text(json.dumps(run), encoding="utf-8")
            return settings.out

    return Training()


def seeds_of(settings, train, data=None):
    return train_seeds(settings, train, data or {})


def read(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_the_median_run_becomes_the_output(several, train, capsys):
    assert seeds_of(several, train) == several.out
    told = read(several.out)["seeds"]
    assert (told["chosen"], told["min"], told["max"]) == (7, 0.5, 0.9)
    assert told["mean"] == pytest.approx(0.7)
    assert told["deviation"] == pytest.approx(statistics.stdev(FIGURES.values()))
    assert told["by_seed"] == {str(seed): figure for seed, figure in FIGURES.items()}
    assert "accuracy 0.7000 +- 0.1581 (5 seeds)" in capsys.readouterr().err


def test_every_seed_has_a_folder_that_stays(several, train):
    out = seeds_of(several, train)
    folders = sorted((out.with_name("out.seeds")).iterdir())
    assert [folder.name for folder in folders] == ["3", "4", "5", "6", "7"]
    weights = file_digest(out / "model.safetensors")
    assert read(out)["sha256"] == {weights["file"]: weights["sha256"]}
    assert load(out)("good").label in ("negative", "positive")


def test_the_card_says_how_the_seeds_differ(several, train):
    card = (seeds_of(several, train) / "README.md").read_text(encoding="utf-8")
    assert "0.7000 +- 0.1581 over 5 seeds" in card


def test_a_killed_command_trains_only_what_is_left(several, train):
    train.fails = 5
    with pytest.raises(TrainingError):
        seeds_of(several, train)
    train.fails = None
    seeds_of(several, train)
    assert train.seeds == [3, 4, 5, 6, 7]


def test_finished_runs_of_other_settings_are_refused(several, train):
    seeds_of(replace(several, seeds=2), train)
    other = replace(several, out=several.out, epochs=1.0)
    with pytest.raises(FolderError, match="must not overwrite"):
        seeds_of(other, train)
    shutil.rmtree(several.out)
    with pytest.raises(ConfigError, match=r"others in epochs\. Remove"):
        seeds_of(other, train)


def test_finished_runs_of_other_data_are_refused(several, train, finetuned):
    learned = read(finetuned)["data"]
    train.fails = 5
    with pytest.raises(TrainingError):
        seeds_of(several, train, learned)
    other = {**learned["train"], "sha256": "another"}
    with pytest.raises(ConfigError, match=r"others in the data's train\. Remove"):
        seeds_of(several, train, {**learned, "train": other})


def test_the_verb_refuses_finished_runs_of_a_changed_file(finetune_settings, train_file, tmp_path):
    path = tmp_path / "train.tsv"
    rows = train_file.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(rows), encoding="utf-8")
    settings = replace(finetune_settings, train=path, dev=None, out=tmp_path / "out", seeds=2)
    settings = replace(settings, hold_out=0.2, epochs=0.5)
    shutil.rmtree(finetune(settings))
    path.write_text("\n".join(rows[:-1]), encoding="utf-8")
    with pytest.raises(ConfigError, match="others in the data's train"):
        finetune(settings)
    path.write_text("\n".join(rows), encoding="utf-8")
    assert finetune(settings) == settings.out


def test_seeds_of_writing_are_compared_by_bleu(finetune_settings, tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    pairs = [{"source": f"the {word}", "target": word} for word in ("film", "story", "cast")]
    path.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    files = {"train": path, "dev": path, "out": tmp_path / "out"}
    length = {"epochs": 1, "batch_size": 3, "max_length": 32}
    finetune(replace(finetune_settings, task="generation", seeds=2, **files, **length))
    assert read(tmp_path / "out")["seeds"]["metric"] == "bleu"
    assert "bleu 0.0000 +- 0.0000 (2 seeds)" in capsys.readouterr().err


def test_seeds_without_a_figure_cannot_be_compared_and_the_first_one_tells(
    several, train, monkeypatch
):
    monkeypatch.setitem(FIGURES, 4, float("nan"))
    with pytest.raises(ConfigError, match="Received: a run without `accuracy`"):
        seeds_of(several, train)
    assert train.seeds == [3, 4]


def test_seeds_without_a_dev_part_are_refused_before_the_first_learns(several, capsys):
    with pytest.raises(ConfigError, match="`--seeds` choose by a dev part"):
        finetune(replace(several, dev=None, hold_out=0.0))
    assert not several.out.with_name("out.seeds").exists()


def test_every_seed_has_a_folder_of_its_own_for_tensorboard(several, train, tmp_path):
    seen = []

    def training(settings):
        seen.append(settings.tensorboard)
        return train(settings)

    seeds_of(replace(several, tensorboard=tmp_path / "board"), training)
    assert seen == [tmp_path / "board" / str(seed) for seed in range(3, 8)]
