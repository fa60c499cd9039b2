import io
import re
import sys
import threading
import time
from collections.abc import Callable

import pytest

from albatross.progress import Progress


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self):
        return True


def shown(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> str:
    """What a terminal shows while `work` runs."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    work()
    return terminal.getvalue()


def wait_for_line(capsys: pytest.CaptureFixture[str], part: str) -> str:
    """The first line of the log that holds `part`."""
    for _ in range(2_000):
        for line in capsys.readouterr().err.splitlines():
            if part in line:
                return line
        time.sleep(0.005)
    return "no such line"


def test_short_work_leaves_a_log_alone(capsys):
    with Progress("counting", 3) as progress:
        progress.advance(3)
    assert capsys.readouterr().err == ""


def test_long_work_leaves_lines_in_a_log_with_its_share_and_note(capsys):
    with Progress("counting", 4, line_every=0.02) as progress:
        progress.advance(1, note="loss 2.5")
        line = wait_for_line(capsys, "25%")
    assert re.fullmatch(r"counting: 25% after \ds  loss 2\.5", line)


def test_work_of_unknown_size_shows_its_time_and_no_share(capsys):
    with Progress("training vocabulary", None, line_every=0.02):
        line = wait_for_line(capsys, "training")
    assert re.fullmatch(r"training vocabulary: after \ds", line)


def test_work_that_was_begun_before_goes_on_from_there(capsys):
    with Progress("pre-training", 10, done=5, line_every=0.02) as progress:
        progress.advance(1)
        assert wait_for_line(capsys, "60%").startswith("pre-training: 60% after")


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_nothing_is_printed_after_the_end(capsys, error):
    before = set(threading.enumerate())
    try:
        with Progress("counting", 4, line_every=0.01):
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    time.sleep(0.05)
    assert set(threading.enumerate()) <= before
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_share(monkeypatch):
    def work():
        with Progress("counting", 4) as progress:
            progress.advance(3, note="tern")

    found = shown(monkeypatch, work)
    assert "counting" in found
    assert " 75%" in found
    assert "tern" in found


def test_a_terminal_gets_no_share_of_an_unknown_size(monkeypatch):
    def work():
        with Progress("training vocabulary", None) as progress:
            progress.advance(3)

    found = shown(monkeypatch, work)
    assert "training vocabulary" in found
    assert "%" not in found
