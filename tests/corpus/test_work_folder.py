import subprocess
import sys

import pytest

from albatross.corpus.chunks import Group
from albatross.corpus.work_folder import WorkFolder
from albatross.errors import AlbatrossWarning, FolderError

KEYS = ["a" * 16, "b" * 16]
GROUPS = [Group(number, key, ()) for number, key in enumerate(KEYS)]


def fill(work: WorkFolder, counts: list[int]) -> None:
    """Put small archives where parts are expected, and note them."""
    for key, count in zip(KEYS, counts, strict=False):
        for number in range(count):
            empty = b"PK\x05\x06" + bytes(18)
            (work.path / f"{key}-{number:05d}.npz").write_bytes(empty)
        work.finish(key, count)


def test_parts_stay_for_the_same_build(tmp_path):
    for _ in range(2):
        with WorkFolder.opened(tmp_path / "out", {"cut": (1, 2)}, GROUPS) as work:
            found = [path.name for path in work.parts(GROUPS)]
            fill(work, [2, 1])
    names = [f"{KEYS[0]}-00000.npz", f"{KEYS[0]}-00001.npz", f"{KEYS[1]}-00000.npz"]
    assert found == names


def test_parts_of_another_build_are_removed_and_named(tmp_path):
    with WorkFolder.opened(tmp_path / "out", {"cut": 1, "tokenizer": "a"}, GROUPS) as work:
        fill(work, [3])
    other = WorkFolder.opened(tmp_path / "out", {"cut": 1, "tokenizer": "b"}, GROUPS)
    with pytest.warns(AlbatrossWarning, match=r"3 parts in .*with other tokenizer\. They are"):
        work = other.__enter__()
    assert work.parts(GROUPS) == []
    assert not work.has(KEYS[0], 0)
    other.__exit__(None, None, None)


def test_parts_of_files_that_changed_are_removed_and_the_others_kept(tmp_path):
    with WorkFolder.opened(tmp_path / "out", {}, GROUPS) as work:
        fill(work, [2, 1])
    other = WorkFolder.opened(tmp_path / "out", {}, GROUPS[1:])
    with pytest.warns(AlbatrossWarning, match=r"2 parts in .*with other files\. They are"):
        work = other.__enter__()
    assert work.is_complete(GROUPS[1])
    assert not work.is_complete(GROUPS[0])
    other.__exit__(None, None, None)


def test_a_group_is_complete_when_it_was_read_and_all_parts_are_whole(tmp_path):
    with WorkFolder.opened(tmp_path / "out", {}, GROUPS) as work:
        assert not work.is_complete(GROUPS[0])
        fill(work, [2])
        assert work.is_complete(GROUPS[0])
        (work.path / f"{KEYS[0]}-00001.npz").write_bytes(b"PK torn")
        assert not work.is_complete(GROUPS[0])


def test_a_build_without_any_part_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="x"), WorkFolder.opened(tmp_path / "out", {}, GROUPS):
        raise ValueError("x")
    assert list(tmp_path.iterdir()) == []


def test_two_builds_of_one_folder_do_not_meet(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from albatross.corpus.work_folder import WorkFolder\n"
        f"with WorkFolder.opened(Path({str(tmp_path / 'out')!r}), {{}}, []):\n"
        "    print('in', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"in\n"
        with (
            pytest.raises(FolderError, match="another is at work"),
            WorkFolder.opened(tmp_path / "out", {}, GROUPS),
        ):
            pass


def test_an_interrupted_build_says_what_is_kept(tmp_path, capsys):
    opened = WorkFolder.opened(tmp_path / "out", {}, GROUPS)
    fill(opened.__enter__(), [2])
    assert not opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert "2 parts are kept: the same command goes on with them." in capsys.readouterr().err
