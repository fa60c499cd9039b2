"""What is measured and shown; no claim about how fast anything is."""

import json
from dataclasses import replace
from functools import partial

import pytest

from albatross.bench import bench as module
from albatross.bench.bench import LENGTHS, TEXTS, bench
from albatross.bench.result import Bench, Timing
from albatross.cli import main
from albatross.costs import model_cost
from albatross.engine.onnx_engine import OnnxEngine
from albatross.errors import ConfigError, DataError, FolderError
from albatross.pipelines.pipeline import load
from albatross.progress import Progress
from albatross.settings.answering import BenchSettings
from albatross.training.transfer import Adaptation


@pytest.fixture(scope="module")
def found(exported) -> Bench:
    return bench(BenchSettings(exported, repeats=1, threads=1))


@pytest.fixture
def one_start(monkeypatch):
    """Start one fresh process in place of three."""
    monkeypatch.setattr(module, "_STARTS", 1)


def test_every_length_and_the_mixed_texts_are_timed_beside_a_floor(found):
    assert tuple(found.lengths) == LENGTHS
    for length, timing in found.lengths.items():
        assert (timing.texts, timing.tokens) == (1, length)
    assert found.mixed.texts == TEXTS
    assert found.mixed.tokens > 10 * TEXTS
    assert all(t.seconds > 0 and t.floor > 0 for t in (*found.lengths.values(), found.mixed))


def test_a_fresh_process_tells_its_start_and_its_memory(found):
    assert found.start > found.bare_start > 0
    assert found.memory is None or 20e6 < found.memory < 2e9


def test_the_folder_is_weighed_with_all_its_files(found, exported):
    names = {path.name for path in exported.iterdir()}
    assert found.file_bytes == sum((exported / name).stat().st_size for name in names)


def test_a_folder_over_a_base_is_weighed_with_it(delta_of, pretrained):
    folder = delta_of(pretrained, "delta", Adaptation("frozen"))
    files = [file for each in (folder, pretrained) for file in each.iterdir() if file.is_file()]
    assert module._file_bytes(folder) == sum(file.stat().st_size for file in files)


def test_texts_longer_than_the_model_has_positions_for_are_left_out(found, exported):
    config = load(exported).engine.config
    assert module._lengths(replace(config, max_position_embeddings=130)) == [8, 32, 128]


def test_what_is_answered_alone_has_exactly_the_length_that_is_named(exported, monkeypatch):
    seen: list[int] = []
    layer = OnnxEngine.layer

    def watched(self, rows, cu_seqlens, depth):
        seen.append(len(rows))
        return layer(self, rows, cu_seqlens, depth)

    monkeypatch.setattr(OnnxEngine, "layer", watched)
    pipeline = load(exported, threads=1)
    works = module._works(pipeline, 4_096, list)
    for length in LENGTHS:
        works[str(length)]()
    assert seen == [n for n in LENGTHS for _ in range(pipeline.engine.config.depth)]


def test_arithmetic_is_counted_text_by_text(exported):
    config = load(exported).engine.config
    one, other = (model_cost(config, sequence_length=n).flops_per_token * n for n in (16, 40))
    assert module._flops(config, [16, 40, 16]) == 2 * one + other


def test_rounds_are_interleaved_after_one_that_is_not_counted(monkeypatch):
    monkeypatch.setattr(module, "_MOST_REPEATS", 2)
    done: list[str] = []
    works = {name: partial(done.append, name) for name in "ab"}
    with Progress("measuring", 2) as progress:
        medians = module._timed(works, 2, progress)
    assert "".join(done) == "ab" + 2 * "aabb"
    assert set(medians) == {"a", "b"}


# === A user's own texts ===


def test_the_records_of_a_file_are_answered(exported, train_file, one_start):
    found = bench(BenchSettings(exported, file=train_file, repeats=1, threads=1))
    assert found.mixed.texts == 32


def test_a_file_without_records_is_refused(exported, tmp_path):
    (tmp_path / "none.txt").write_text("")
    with pytest.raises(DataError, match="at least one record"):
        bench(BenchSettings(exported, file=tmp_path / "none.txt"))


def test_a_model_of_torch_is_measured_too(finetuned, train_file, one_start):
    found = bench(BenchSettings(finetuned, file=train_file, repeats=1, threads=1))
    assert "TorchEngine" in found.about


def test_a_task_that_writes_is_refused(exported, monkeypatch):
    monkeypatch.setattr(module, "GenerationTask", type(load(exported).task))
    with pytest.raises(ConfigError, match="which writes"):
        bench(BenchSettings(exported, repeats=1))


def test_a_process_that_fails_is_told_by_its_last_words():
    with pytest.raises(FolderError, match="no such wing"):
        module._start(["-c", "raise SystemExit('no such wing')"])


def test_what_a_process_says_after_its_first_line_is_told_though_it_comes_at_once():
    seconds, rest = module._start(["-c", "print('answered\\n77')"])
    assert seconds > 0
    assert rest == "77\n"


# === What is shown ===


def test_the_table_has_a_row_for_everything():
    timing = Timing(1, 8, 0.004, 0.001)
    found = Bench(
        "gull", "small", 2, {8: timing}, Timing(3, 60, 0.5, 0.1), 0.5, 0.2, None, 3_000_000
    )
    lines = str(found).splitlines()
    assert lines[0] == "gull: small, threads 2"
    assert lines[2].split() == ["1", "text,", "8", "tokens", "4.0", "ms", "1.0", "ms", "25", "%"]
    assert lines[3].split() == ["3", "texts,", "60", "tokens", "120", "/s", "600", "/s", "20", "%"]
    assert [line.split()[-2:] for line in lines[4:8]] == [
        ["0.50", "s"],
        ["0.20", "s"],
        ["not", "told"],
        ["3.0", "MB"],
    ]


def test_json_holds_every_figure(exported, train_file, capsys, one_start):
    words = ["bench", str(exported), "--file", str(train_file), "--repeats", "1", "--threads", "1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == set(Bench.__dataclass_fields__)
    assert found["lengths"]["8"]["tokens"] == 8
