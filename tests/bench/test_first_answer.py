import json

import pytest

from albatross.bench import first_answer as module
from albatross.bench.first_answer import answer, main, peak_memory
from albatross.engine.onnx_engine import OnnxEngine
from albatross.pipelines.pipeline import load


def test_it_answers_and_then_tells_its_memory(exported, capsys):
    main([json.dumps({"model": str(exported), "threads": 1})])
    first, memory = capsys.readouterr().out.splitlines()
    assert first == "answered"
    assert json.loads(memory) == pytest.approx(peak_memory(), rel=0.1)


@pytest.mark.parametrize(("tokens", "expected"), [(8, 8), (128, 128), (100_000, 512)])
def test_a_text_is_as_long_as_asked_and_as_the_model_allows(
    exported, monkeypatch, tokens, expected
):
    seen: list[int] = []
    embed = OnnxEngine.embed

    def watched(self, batch):
        seen.append(len(batch.input_ids))
        return embed(self, batch)

    monkeypatch.setattr(OnnxEngine, "embed", watched)
    answer(load(exported, threads=1), tokens)
    assert seen == [expected]


def test_memory_is_the_highest_that_the_system_saw(tmp_path):
    (tmp_path / "status").write_text("Name:\tgull\nVmHWM:\t  77 kB\nVmRSS:\t  12 kB\n")
    assert module.peak_memory(tmp_path / "status") == 77 * 1024
    assert module.peak_memory(tmp_path / "none") is None
