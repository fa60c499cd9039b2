"""Delta folders: what they hold, what they are read over, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from albatross.checkpoints.base_file import BASE, find_base, is_delta
from albatross.checkpoints.delta import changed_arrays, root_of, vocabulary_folder
from albatross.checkpoints.huggingface import Arrays
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_own_weights, read_weights
from albatross.errors import FolderError
from albatross.pipelines.pipeline import load
from albatross.training.transfer import Adaptation

FROZEN, LORA = Adaptation("frozen"), Adaptation("lora", 4)
TEXTS = ["A lovely film.", "Not a single line of it works."]


def answers(folder, **options):
    return [answer.probabilities for answer in load(folder, **options)(TEXTS)]


# === What a delta folder holds ===


def test_a_frozen_encoder_leaves_its_head_and_pooler_alone_in_the_folder(delta_of, pretrained):
    held = read_own_weights(delta_of(pretrained, "a", FROZEN))
    parts = ("albert.pooler", "classifier")
    assert sorted(held) == [f"{part}.{kind}" for part in parts for kind in ("bias", "weight")]


def test_an_adapter_stands_in_the_folder_beside_them(delta_of, pretrained):
    held = read_own_weights(delta_of(pretrained, "a", LORA))
    assert {name.split(".")[2] for name in held if "adapters" in name} == {"adapters"}
    assert len(held) == 4 + 2 * 6


def test_a_delta_folder_is_small_and_repeats_no_vocabulary(delta_of, pretrained):
    folder = delta_of(pretrained, "a", FROZEN)
    assert not (folder / "spiece.model").exists()
    sizes = [
        sum(f.stat().st_size for f in one.iterdir() if f.is_file()) for one in (folder, pretrained)
    ]
    assert sizes[0] < sizes[1] / 20


def test_both_together_are_the_whole_model(delta_of, pretrained):
    folder = delta_of(pretrained, "a", LORA)
    whole, below, own = read_weights(folder), read_weights(pretrained), read_own_weights(folder)
    encoder = {name for name in below if name.startswith("albert.")}
    assert set(whole) == encoder | set(own)
    for name, array in whole.items():
        assert np.array_equal(array, own[name] if name in own else below[name])


def test_only_changed_tensors_of_the_encoder_and_all_others_are_kept():
    names = ("albert.a", "albert.b", "classifier.weight")
    below: Arrays = {name: np.zeros(2) for name in names}
    changed = below | {"albert.b": np.ones(2), "albert.c": np.zeros(2)}
    assert set(changed_arrays(changed, below)) == {"albert.b", "albert.c", "classifier.weight"}


def test_heads_of_the_base_do_not_come_along(delta_of, finetuned):
    folder = delta_of(finetuned, "a", FROZEN, labels=("a", "b", "c"))
    assert read_weights(folder)["classifier.weight"].shape[0] == 3


# === Over which base ===


def test_a_delta_folder_answers_where_both_were_moved_together(delta_of, pretrained, tmp_path):
    base = shutil.copytree(pretrained, tmp_path / "here" / "base")
    folder = delta_of(base, "a", LORA, place=tmp_path / "here")
    expected = answers(folder)
    (tmp_path / "here").rename(tmp_path / "there")
    assert answers(tmp_path / "there" / "a") == expected


def test_a_base_that_moved_is_named(delta_of, pretrained, tmp_path):
    base = shutil.copytree(pretrained, tmp_path / "base")
    folder = delta_of(base, "a", LORA)
    expected = answers(folder)
    base.rename(tmp_path / "moved")
    with pytest.raises(FolderError, match=r"over '\.\./base', which is not there.* as `base=`"):
        load(folder)
    assert answers(folder, base=tmp_path / "moved") == expected


@pytest.mark.parametrize("file", ["model.safetensors", "spiece.model"])
def test_another_base_is_refused(delta_of, pretrained, finetuned, tmp_path, file):
    folder = delta_of(pretrained, "a", LORA)
    other = shutil.copytree(pretrained, tmp_path / "other")
    if file == "model.safetensors":
        shutil.copyfile(finetuned / file, other / file)
        (other / "run.json").unlink()
    else:
        (other / file).write_bytes((other / file).read_bytes() + b"\0")
    with pytest.raises(FolderError, match=f"by `{file}`'s checksum in `base.json`"):
        load(folder, base=other)


def test_a_base_that_is_no_whole_model_is_refused(delta_of, pretrained):
    first, second = (delta_of(pretrained, name, FROZEN) for name in "ab")
    with pytest.raises(FolderError, match="must have itself what is left there"):
        load(first, base=second)


def test_a_whole_folder_has_no_base(finetuned, pretrained):
    assert not is_delta(finetuned)
    assert root_of(finetuned) == vocabulary_folder(finetuned) == finetuned
    with pytest.raises(FolderError, match="A base is what a folder leaves"):
        read_weights(finetuned, pretrained)


def test_a_built_in_base_is_found_by_its_name(delta_of, pretrained):
    folder = delta_of(pretrained, "a", FROZEN)
    values = json.loads((folder / BASE).read_text())
    (folder / BASE).write_text(json.dumps(values | {"path": "../gone", "name": "pretrained"}))
    assert find_base(folder) == find_model("pretrained") != pretrained


@pytest.mark.parametrize(
    "values",
    [{"path": 3}, {"name": None}, {"sha256": []}, {"sha256": {"../x": "0"}}, {"sha256": {"x": 0}}],
)
def test_a_damaged_base_file_is_refused(delta_of, pretrained, values):
    folder = delta_of(pretrained, "a", FROZEN)
    content = json.loads((folder / BASE).read_text()) | values
    (folder / BASE).write_text(json.dumps(content))
    with pytest.raises(FolderError, match=r"must hold a path, a name and checksums"):
        read_weights(folder)


def test_damaged_weights_of_the_delta_itself_are_refused(delta_of, pretrained):
    folder = delta_of(pretrained, "a", FROZEN)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(FolderError, match=r"must have the checksum that `run.json` names"):
        read_weights(folder)
