import sys
import zlib
from pathlib import Path

import pytest
from huggingface_hub import constants

from albatross.checkpoints import locate
from albatross.checkpoints.locate import builtin_names, builtin_task, find_model
from albatross.errors import FolderError, MissingDependencyError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, and nothing but an empty cache in place of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the hub, which has everything."""
    names = []

    def download(*name_and_revision):
        names.append(name_and_revision)
        return Path("found")

    monkeypatch.setattr(locate, "download", download)
    return names


# === Here ===


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_itself(here, kind, asked):
    (here / "runs" / "a@b").mkdir(parents=True)
    for name in ("runs", "runs/a@b", str(here)):
        assert find_model(kind(name)) == Path(name)
    assert not asked


def test_a_folder_wins_over_a_built_in_name_and_over_the_hub(here, asked):
    for name in (*builtin_names(), "albert-base-v2", "albert/albert-base-v2"):
        before = find_model(name)
        (here / name).mkdir(parents=True)
        assert find_model(name) == Path(name) != before
    assert len(asked) == 2


@pytest.mark.parametrize("given", [None, 3, ["sentiment"]])
def test_what_is_no_name_at_all_is_refused(given):
    with pytest.raises(FolderError, match=r"must be a folder.*Give a path or a name\."):
        find_model(given)


def test_built_in_models_are_found_by_name():
    assert {"sentiment", "pretrained"} <= set(builtin_names())
    assert (find_model("sentiment") / "config.json").is_file()


def test_the_models_of_the_package_take_less_than_twelve_megabytes_in_a_wheel():
    folders = [find_model(name) for name in builtin_names()]
    files = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    assert 1e6 < sum(len(zlib.compress(file.read_bytes())) for file in files) < 12e6
    assert sum(file.stat().st_size for file in find_model("pretrained").iterdir()) < 8e6


def test_a_task_inside_a_built_in_model_is_a_name_of_its_own(here):
    assert find_model("fill-mask") == find_model("coherence") == find_model("pretrained")
    assert builtin_task("coherence") == "coherence"
    assert builtin_task("pretrained") is builtin_task("albert-base-v2") is None
    (here / "coherence").mkdir()
    assert builtin_task("coherence") is None


@pytest.mark.parametrize(
    "name", ["no such folder", "\0", "x" * 2_000, "./a/b", "../a", "/a/b", "a/b/c", "a\nb/c", "~/a"]
)
def test_what_can_only_be_a_wrong_path_never_reaches_the_hub(name, asked):
    with pytest.raises(FolderError, match=r"must be a folder, a built-in name \(.*is not there"):
        find_model(name)
    assert not asked


def test_a_wrong_path_below_a_folder_that_is_here_never_reaches_the_hub(here, asked):
    (here / "runs").mkdir()
    with pytest.raises(FolderError, match=r"Received: 'runs/sst2', which is not there. Check the"):
        find_model("runs/sst2")
    assert not asked


def test_a_revision_of_a_folder_is_refused(here):
    with pytest.raises(FolderError, match=r"revision='v1' for the folder .*Leave it out"):
        find_model(here, revision="v1")


# === The hub ===


@pytest.mark.parametrize(
    ("name", "revision", "expected"),
    [
        ("owner/name", None, ("owner/name", None)),
        (Path("owner/name"), None, ("owner/name", None)),
        ("owner/name@refs/pr/1", None, ("owner/name", "refs/pr/1")),
        ("owner/name", "v1", ("owner/name", "v1")),
        ("owner/name@v2", "v1", ("owner/name", "v1")),
        ("albert-xxlarge-v1", None, ("albert/albert-xxlarge-v1", None)),
        ("albert-base-v2@v1", None, ("albert/albert-base-v2", "v1")),
    ],
)
def test_names_on_the_hub_are_asked_for_with_their_revision(asked, name, revision, expected):
    assert find_model(name, revision) == Path("found")
    assert asked == [expected]


def test_a_name_that_is_nowhere_says_both_readings():
    message = r"Received: 'runs/sst2': there is no such folder here, and it is not .* in the hub's"
    with pytest.raises(FolderError, match=message):
        find_model("runs/sst2")


@pytest.mark.parametrize("name", ["owner/name@main", "albert-base-v2"])
def test_without_the_library_a_name_on_the_hub_says_how_to_install_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"`huggingface_hub`.*albatross\[hub\]"):
        find_model(name)


def test_without_the_library_what_may_be_a_path_says_both_readings(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FolderError, match=r"no such folder.*on the hub: .*albatross\[hub\]"):
        find_model("runs/sst2")
