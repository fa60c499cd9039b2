import json

import pytest

from albatross.bench.products import main, product_speed


def test_a_speed_is_told_for_each_number_of_rows(capsys):
    main(["16", "32", "1", "4"])
    speeds = json.loads(capsys.readouterr().out)
    assert len(speeds) == 2
    assert all(speed > 0 for speed in speeds)


def test_a_speed_is_the_arithmetic_over_the_best_time(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 3.5, 3.5, 4.0, 9.0]).__next__
    monkeypatch.setattr("time.perf_counter", clock)
    # Two tries, of 2 s and of half a second; then the time is over.
    assert product_speed(2, 3, rows=5, seconds=8) == pytest.approx(2 * 5 * (16 + 12) / 0.5)
