import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from albatross.corpus import chunks, workers
from albatross.corpus.build_shards import build_shards
from albatross.corpus.chunks import Group, reading_groups
from albatross.corpus.cleaning import CleaningRule
from albatross.corpus.parts import PartJob
from albatross.corpus.work_folder import WorkFolder
from albatross.corpus.workers import Workers, make_parts
from albatross.data.documents import CorpusFile, corpus_files
from albatross.errors import AlbatrossWarning, DataError
from albatross.settings.corpus import BuildShardsSettings

# A program without `if __name__ == "__main__"`, as people write them.
PROGRAM = """
import sys, time
from pathlib import Path
from albatross.corpus import build_shards as home, chunks
chunks.CHUNK_CHARACTERS = 400
from albatross.corpus.build_shards import build_shards
from albatross.settings.corpus import BuildShardsSettings
corpus, tokenizer, out = sys.argv[1:]
assemble = home.assemble
def when_told(*given):  # that a signal comes before the end, however busy the machine
    while not Path(out).with_name("go").exists():
        time.sleep(0.01)
    return assemble(*given)
home.assemble = when_told
build_shards(BuildShardsSettings((corpus, out), tokenizer=tokenizer, held_out=0.2, workers=2))
"""


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 400)


@pytest.fixture
def program(tmp_path, corpus, tokenizer):
    """Starts a build of small chunks in a process of its own."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def start(out: Path) -> subprocess.Popen:
        command = [sys.executable, str(path), str(corpus), str(tokenizer), str(out)]
        # Whoever starts the tests in the background of a shell has them ignore SIGINT.
        return subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def built(corpus, tokenizer, out: Path, **options) -> dict[str, bytes]:
    chosen = {"held_out": 0.2, "workers": 1, **options}
    return contents(build_shards(BuildShardsSettings((corpus, out), tokenizer=tokenizer, **chosen)))


def test_shards_are_the_same_bytes_however_many_workers(
    corpus, tokenizer, tmp_path, small_chunks, monkeypatch
):
    one = built(corpus, tokenizer, tmp_path / "one", duplicates="near")
    two = built(corpus, tokenizer, tmp_path / "two", duplicates="near", workers=2)
    monkeypatch.setattr(chunks, "GROUP_BYTES", 1)  # a group for each file: everyone reads
    monkeypatch.setattr(workers, "_GROUPS_EACH", 1)
    own = built(corpus, tokenizer, tmp_path / "own", duplicates="near", workers=2)
    assert one == two == own


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_was_stopped_goes_on_to_the_same_bytes(
    program, corpus, tokenizer, tmp_path, small_chunks, stop
):
    out = tmp_path / "out"
    running = program(out)
    parts = tmp_path / ".out.parts"
    while running.poll() is None and len(list(parts.glob("*.npz"))) < 2:
        time.sleep(0.005)
    running.send_signal(stop)
    running.communicate(timeout=30)
    assert not out.exists()
    assert len(list(parts.glob("*.npz"))) >= 2
    assert built(corpus, tokenizer, out) == built(corpus, tokenizer, tmp_path / "whole")
    assert not parts.exists()


def test_parts_that_are_there_are_not_made_again(corpus, tokenizer, small_chunks, tmp_path):
    job, groups = PartJob(tmp_path, CleaningRule()), reading_groups(corpus_files([corpus]))
    work = WorkFolder(tmp_path)
    make_parts(job, work, groups, 1, lambda count: None)
    made = {path: path.stat().st_mtime_ns for path in work.parts(groups)}
    lost = work.parts(groups)[3]
    lost.unlink()
    make_parts(job, work, groups, 1, lambda count: None)
    again = {path: path.stat().st_mtime_ns for path in work.parts(groups)}
    assert {path for path in made if again[path] != made[path]} == {lost}


def test_a_file_that_changed_in_between_is_read_again(
    corpus, tokenizer, tmp_path, small_chunks, monkeypatch
):
    monkeypatch.setattr("albatross.corpus.build_shards.assemble", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        built(corpus, tokenizer, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 400)
    text = (corpus / "a.txt").read_text()
    (corpus / "a.txt").write_text(text.replace("gull", "rook"))
    with pytest.warns(AlbatrossWarning, match="with other files"):
        found = built(corpus, tokenizer, tmp_path / "out")
    assert found == built(corpus, tokenizer, tmp_path / "anew")


def test_a_worker_that_dies_is_one_clear_error(corpus, tokenizer, tmp_path, small_chunks):
    groups = reading_groups(corpus_files([corpus]))
    with Workers(PartJob(tmp_path, CleaningRule()), 2) as pool:
        numbers = pool.run(chunks.read_chunks(groups[0]))
        next(numbers)
        os.kill(pool._processes[0].pid or 0, signal.SIGKILL)
        with pytest.raises(DataError, match=r"2, of which one died.*fewer --workers"):
            list(numbers)


def test_an_error_in_a_worker_is_the_builds_error(tmp_path, tokenizer):
    lost = Group(0, "key", (CorpusFile(str(tmp_path / "lost.txt"), 1),))
    with Workers(PartJob(tmp_path, CleaningRule()), 1) as pool:
        numbers = pool.run([lost])
        with pytest.raises(DataError, match=r"lost\.txt"):
            list(numbers)


def test_no_worker_outlives_a_killed_build(program, tmp_path):
    running = program(tmp_path / "out")
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list the children of a process")
    while running.poll() is None and not list((tmp_path / ".out.parts").glob("*.npz")):
        time.sleep(0.005)
    processes = children.read_text().split()
    running.kill()
    running.communicate(timeout=30)
    assert len(processes) >= 2
    until = time.monotonic() + 20
    while any(Path(f"/proc/{number}").exists() for number in processes):
        assert time.monotonic() < until
        time.sleep(0.05)
