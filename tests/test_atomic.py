import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from albatross.atomic import check_free, made_by_one, read_json, write_json, writing
from albatross.errors import FolderError

LONG_AGO = (0.0, time.time() - 3_600)


def own_folder(path: Path, text: str = "old") -> Path:
    """A folder as a run leaves it."""
    path.mkdir(parents=True)
    write_json(path / "run.json", {"verb": "pretrain", "note": text})
    return path


def note(path: Path) -> str:
    return str(read_json(path / "run.json")["note"])


def hidden(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name.startswith("."))


def kill_while_writing(out: Path) -> None:
    """Let another process die, without a last word, while it builds `out`."""
    code = (
        "import sys, time, os; from pathlib import Path; from albatross.atomic import writing\n"
        f"with writing(Path({str(out)!r})) as folder:\n"
        "    (folder / 'run.json').write_text('half')\n"
        "    print('here', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGKILL)


# === Folders ===


def test_a_folder_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with writing(out) as folder:
        write_json(folder / "run.json", {"verb": "pretrain"})
        assert not out.exists()
    assert os.listdir(out) == ["run.json"]
    assert os.listdir(out.parent) == ["out"]


def test_an_older_folder_of_ours_is_replaced_as_a_whole(tmp_path):
    out = own_folder(tmp_path / "out")
    (out / "training_state").mkdir()
    with writing(out) as folder:
        write_json(folder / "run.json", {"verb": "pretrain", "note": "new"})
        assert note(out) == "old"
    assert note(out) == "new"
    assert os.listdir(out) == ["run.json"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_an_error_leaves_the_old_folder_and_no_draft(tmp_path, error):
    out = own_folder(tmp_path / "out")

    def fail():
        with writing(out) as folder:
            (folder / "run.json").write_text("half")
            raise error("the block's own")

    with pytest.raises(error):
        fail()
    assert note(out) == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_kill_leaves_the_old_folder_whole(tmp_path):
    out = own_folder(tmp_path / "out")
    kill_while_writing(out)
    assert note(out) == "old"
    check_free(out)


def test_the_next_run_clears_away_what_a_killed_one_left(tmp_path):
    out = tmp_path / "out"
    kill_while_writing(out)
    (draft,) = tmp_path.iterdir()
    os.utime(draft, LONG_AGO)
    with writing(out) as folder:
        write_json(folder / "run.json", {"verb": "pretrain"})
    assert os.listdir(tmp_path) == ["out"]


def test_a_draft_that_a_living_run_holds_is_left_alone(tmp_path):
    out = tmp_path / "out"
    with writing(out) as first:
        os.utime(first, LONG_AGO)
        with writing(out) as second:
            assert first.is_dir()
            assert second != first
        write_json(first / "run.json", {"verb": "pretrain"})
    assert (out / "run.json").is_file()


def test_drafts_of_other_places_and_young_ones_are_left_alone(tmp_path):
    kept = [".out.more.0123abcd.writing", ".other.0123abcd.writing", ".out.writing"]
    for name in [*kept, ".out.00000000.writing"]:
        (tmp_path / name).mkdir()
    for name in kept:
        os.utime(tmp_path / name, LONG_AGO)
    with writing(tmp_path / "out"):
        pass
    assert hidden(tmp_path) == sorted([*kept, ".out.00000000.writing"])


def test_a_folder_that_a_killed_run_had_set_aside_is_put_back(tmp_path):
    out = own_folder(tmp_path / "out")
    os.rename(out, tmp_path / ".out.0123abcd.replaced")
    check_free(out)
    assert note(out) == "old"
    assert os.listdir(tmp_path) == ["out"]


# === The user's own ===


@pytest.mark.parametrize(
    "name",
    ["notes.md", "thesis.docx", "data.npy", "config.yaml", "answers.jsonl", "photos/gull.jpg"],
)
def test_a_folder_with_a_file_of_the_users_is_never_replaced(tmp_path, name):
    out = own_folder(tmp_path / "out")
    mine = out / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with (
        pytest.raises(FolderError, match=f"holds '{mine.relative_to(out).parts[0]}'"),
        writing(out),
    ):
        pass
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("content", ["{}", '{"runs": 3}', "[1]", "no JSON"])
def test_files_of_our_names_alone_do_not_make_a_folder_ours(tmp_path, content):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(FolderError, match="one that albatross wrote before"):
        check_free(tmp_path)


def test_what_comes_in_while_the_new_folder_is_built_is_not_lost(tmp_path):
    out = own_folder(tmp_path / "out")
    with pytest.raises(FolderError, match=r"holds 'mine\.txt'"), writing(out):
        (out / "mine.txt").write_text("mine")
    assert (out / "mine.txt").read_text() == "mine"


def test_a_file_in_the_place_is_named_and_kept(tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(FolderError, match=r"must be a folder\. Received: .*out', which is a file"):
        check_free(out)
    assert out.read_text() == "mine"


def test_the_folder_one_stands_in_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match="must not be the one this runs in"), writing(Path()):
        pass


def test_a_link_stays_a_link_to_the_new_folder(tmp_path):
    target = own_folder(tmp_path / "disk" / "target")
    link = tmp_path / "out"
    link.symlink_to(target)
    with writing(link) as folder:
        write_json(folder / "run.json", {"verb": "pretrain", "note": "new"})
    assert link.is_symlink()
    assert note(target) == "new"


@pytest.mark.parametrize("files", [["spiece.model", "tokenizer_config.json"], []])
def test_a_tokenizer_folder_and_an_empty_one_may_be_replaced(tmp_path, files):
    out = tmp_path / "out"
    out.mkdir()
    for name in files:
        (out / name).write_text("x")
    with writing(out) as folder:
        write_json(folder / "run.json", {"verb": "pretrain"})
    assert os.listdir(out) == ["run.json"]


# === Places that cannot be written ===


def test_a_place_below_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FolderError, match=r"must be writable\. Received: .*/file/out'"),
        writing(tmp_path / "file" / "out"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(FolderError, match="Permission denied"), writing(tmp_path / "out"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_clear_error(tmp_path):
    def fill():
        with open("/dev/full", "w") as full:
            full.write("x" * 100_000)

    with pytest.raises(FolderError, match="No space left"), writing(tmp_path / "out"):
        fill()
    assert os.listdir(tmp_path) == []


def test_an_error_about_the_draft_is_the_folders(tmp_path):
    with pytest.raises(FolderError, match="must be writable"), writing(tmp_path / "out") as folder:
        (folder / "missing" / "file").write_text("x")


def test_an_error_of_reading_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path / "out"):
        (tmp_path / "corpus.txt").read_text()


# === One process at a time ===


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks")
def test_a_place_is_held_until_its_process_ends_however_that_may_be(tmp_path):
    out = tmp_path / "deep" / "out"
    code = (
        "import time; from pathlib import Path; from albatross.atomic import made_by_one\n"
        f"with made_by_one(Path({str(out)!r})):\n"
        "    print('here', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with (
            pytest.raises(FolderError, match=r"one process at a time.* another is at work"),
            made_by_one(out),
        ):
            pass
        with made_by_one(tmp_path / "deep" / "other"):
            pass
        process.kill()
    with made_by_one(out):
        assert os.listdir(out.parent) == [".out.lock"]
    assert os.listdir(out.parent) == []


def test_a_place_that_cannot_be_held_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FolderError, match=r"must be writable\. Received: .*/file/out'"),
        made_by_one(tmp_path / "file" / "out"),
    ):
        pass


# === JSON ===


def test_json_comes_back_as_it_was_written(tmp_path):
    values = {"name": "Übersee", "half a pair": "\udc80", "list": [1, 2.5, None, True]}
    write_json(tmp_path / "run.json", values)
    assert read_json(tmp_path / "run.json") == values
    assert os.listdir(tmp_path) == ["run.json"]


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "run.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "run.json", {"a": object()})
    assert read_json(tmp_path / "run.json") == {"a": 1}


def test_json_that_has_no_place_leaves_no_draft(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_json(tmp_path / "run.json", {"a": 1})
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'"a"', b"\xff", b"1" * 5_000, b"[" * 200_000]
)
def test_json_that_is_no_object_is_one_clear_error(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(
        FolderError, match=r"`run\.json` must be a JSON object\. Received"
    ) as caught:
        read_json(tmp_path / "run.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_folder_without_its_json_is_named(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=rf"must hold `shards\.json`\. Received: '.*{folder}'"):
        read_json(tmp_path / folder / "shards.json")


def test_a_folder_in_the_place_of_json_is_one_clear_error(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(FolderError, match="must be readable"):
        read_json(tmp_path / "run.json")
