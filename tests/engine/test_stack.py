"""Delta folders over one base: one encoder in memory, and none that do not belong together."""

import shutil

import pytest

from albatross.engine.stack import open_stack
from albatross.errors import ConfigError, FolderError
from albatross.training.transfer import Adaptation

FROZEN, LORA, DEPTHS = Adaptation("frozen"), Adaptation("lora", 4), Adaptation("adapter", 4, True)


@pytest.fixture
def folders(delta_of, pretrained):
    names = {"a": FROZEN, "bb": FROZEN, "ccc": LORA, "dddd": DEPTHS}
    return [delta_of(pretrained, name, adaptation) for name, adaptation in names.items()]


def places(opened):
    """Where each tensor of the base lies, by name."""
    state = opened.engine.model.named_parameters()
    return {n: p.data_ptr() for n, p in state if "albert.e" in n and "adapters" not in n}


def test_all_models_hold_the_same_encoder(folders):
    first, *others = map(places, open_stack(folders))
    assert len(first) == 23
    assert all(other == first for other in others)


def test_what_a_folder_added_is_its_own(folders):
    poolers = {o.engine.model.albert.pooler.weight.data_ptr() for o in open_stack(folders)}
    assert len(poolers) == len(folders)


def test_only_encoders_without_an_adapter_read_alike(folders):
    first, second, third, fourth = (one.engine for one in open_stack(folders))
    assert first.reads_as(second)
    assert not any(first.reads_as(other) for other in (third, fourth))
    assert third.reads_as(third)


def test_models_opened_alone_do_not_count_as_one(folders):
    first, second = (open_stack([folder])[0].engine for folder in folders[:2])
    assert not first.reads_as(second)


def test_a_base_that_answers_can_be_among_them(delta_of, finetuned):
    opened = open_stack([finetuned, delta_of(finetuned, "a", FROZEN)])
    assert [one.task.name for one in opened] == ["reviews", "a"]
    assert places(opened[0]) == places(opened[1])


def test_folders_of_two_bases_are_refused(delta_of, pretrained, tmp_path):
    other = shutil.copytree(pretrained, tmp_path / "other")
    with pytest.raises(FolderError, match=r"delta folders of one base\. Received: .*other'"):
        open_stack([delta_of(pretrained, "a", FROZEN), delta_of(other, "b", FROZEN)])


def test_tasks_of_one_name_are_refused(delta_of, pretrained, tmp_path):
    twice = [delta_of(pretrained, "a", FROZEN, place=tmp_path / part) for part in "xy"]
    with pytest.raises(ConfigError, match=r"names of their own\. Received: a, a"):
        open_stack(twice)


def test_an_empty_stack_is_refused():
    with pytest.raises(FolderError, match="Received: no folder"):
        open_stack([])


def test_a_base_elsewhere_is_taken_from_there(folders, pretrained, tmp_path):
    moved = shutil.copytree(pretrained, tmp_path / "moved")
    assert len(open_stack(folders, base=moved)) == 4


def test_exports_in_eight_bits_are_opened_alone():
    with pytest.raises(FolderError, match="Weights in 8 bits"):
        open_stack(["spam", "question-type"])
