import json
import math

import numpy as np
import pytest

from albatross.errors import FolderError
from albatross.training.run_log import RunLog, log_lines, read_log


def filled(path, steps, keep=200, **more):
    """A log of so many steps, with an evaluation after every fifth."""
    log = RunLog(path, keep)
    for step in range(1, steps + 1):
        log.append({"step": step, "loss": 10 / step, **more})
        if step % 5 == 0:
            log.append({"step": step, "evaluation": {"masked_lm_loss": 1 / 3}})
    return log


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def test_a_line_is_in_the_file_when_append_returns(path):
    log = RunLog(path)
    for step in (1, 2):
        log.append({"step": step, "loss": 2.0})
        assert read_log(path)[-1] == {"step": step, "loss": 2.0}


def test_floats_have_six_digits_in_the_file_and_in_memory(path):
    log = filled(path, 3, norm=np.float32(0.1), evaluation={"loss": 2 / 3})
    expected = {"step": 3, "loss": 3.33333, "norm": 0.1, "evaluation": {"loss": 0.666667}}
    assert log.recent[-1] == read_log(path)[-1] == expected


def test_what_is_no_number_is_null_for_others_and_nan_for_us(path):
    log = RunLog(path)
    log.append({"step": 1, "loss": math.nan, "norm": math.inf, "skipped": "not a number"})
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["loss"] is None
    for line in (log.recent[0], read_log(path)[0]):
        assert math.isnan(line["loss"])
        assert math.isnan(line["norm"])
        assert line["skipped"] == "not a number"


def test_the_last_training_lines_are_remembered(path):
    log = filled(path, 12, keep=4)
    assert [line["step"] for line in log.recent] == [9, 10, 11, 12]
    assert all("loss" in line for line in log.recent)


# === Going on ===


@pytest.mark.parametrize("step", [-1, 0, 1, 5, 7, 20, 99])
def test_rewinding_drops_and_returns_what_came_after(path, step):
    filled(path, 20)
    before = read_log(path)
    dropped = RunLog(path).rewind(step)
    assert dropped == [line for line in before if line["step"] > step]
    assert read_log(path) == [line for line in before if line["step"] <= step]


def test_an_evaluation_at_the_last_step_may_go_alone(path):
    filled(path, 20)
    dropped = RunLog(path).rewind(20, measured=False)
    assert [line["step"] for line in dropped] == [20]
    assert "evaluation" in dropped[0]
    assert "loss" in read_log(path)[-1]


@pytest.mark.parametrize("keep", [1, 3, 200])
def test_going_on_remembers_what_an_uninterrupted_run_would(path, tmp_path, keep):
    filled(path, 20)
    log = RunLog(path, keep)
    log.rewind(11)
    assert log.recent == filled(tmp_path / "whole.jsonl", 11, keep).recent


@pytest.mark.parametrize("torn", [b'{"step": 21, "lo', b"{", b'{"step": 21}', b"\xff\xfe"])
def test_a_torn_last_line_is_dropped_silently(path, torn):
    filled(path, 20)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert len(read_log(path)) == 24
    assert RunLog(path).rewind(20) == []
    assert path.read_bytes() == whole


def test_a_log_torn_at_any_byte_can_be_gone_on_with(path):
    filled(path, 6)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        log = RunLog(path)
        log.rewind(3)
        log.append({"step": 4, "loss": 1.0})
        steps = [line["step"] for line in read_log(path)]
        assert steps == [*range(1, min(3, whole[:size].count(b"\n")) + 1), 4]


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_lines_are_found_from_the_end_whatever_the_block(path, block, monkeypatch):
    monkeypatch.setattr("albatross.training.run_log._BLOCK", block)
    filled(path, 20)
    log = RunLog(path)
    assert [line["step"] for line in log.rewind(17)] == [18, 19, 20, 20]
    assert [line["step"] for line in log.recent] == list(range(1, 18))


def test_a_missing_log_is_rewound_to_nothing(path):
    assert RunLog(path).rewind(5) == []
    assert not path.exists()


def test_rewinding_a_long_log_reads_its_end_alone(path, monkeypatch):
    line = json.dumps({"step": 1, "loss": 2.5, "norm": 1.0}) + "\n"
    path.write_text(line * 100_000 + line.replace("1,", "9,", 1))
    parsed, loads = [], json.loads

    def counted(text):
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(json, "loads", counted)
    assert len(RunLog(path, 200).rewind(5)) == 1
    assert len(parsed) == 201


@pytest.mark.parametrize("damaged", ["no json", "[1]", '{"loss": 1}'])
def test_a_damaged_line_is_named(path, damaged):
    path.write_text(f'{{"step": 1}}\n{damaged}\n')
    for read in (read_log, lambda path: RunLog(path).rewind(0)):
        with pytest.raises(FolderError, match=r"remove that line"):
            read(path)


def test_a_missing_log_cannot_be_read(path):
    with pytest.raises(FolderError, match=r"must hold `log\.jsonl`"):
        next(log_lines(path))


def test_a_copy_is_the_log_so_far(path, tmp_path):
    RunLog(path).copy_to(tmp_path / "empty")
    filled(path, 4).copy_to(tmp_path / "copy")
    assert (tmp_path / "empty").read_bytes() == b""
    assert read_log(tmp_path / "copy") == read_log(path)
