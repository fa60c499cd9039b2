"""Every kind of task through export: the folder answers as the model does with torch."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.check_task import TOKENIZER

from albatross.adapter_spec import AdapterSpec
from albatross.checkpoints.model_folder import write_model
from albatross.cli import main
from albatross.config import MARKED_TYPES, AlbertConfig
from albatross.data.records import ChoiceRecord, SpanRecord, SpanText, TextRecord, WordsRecord
from albatross.engine.onnx_engine import OnnxEngine
from albatross.errors import FolderError
from albatross.evaluation.evaluate import answers_by_depth, score_records
from albatross.export.comparison import LARGEST_DIFFERENCE
from albatross.export.folder import export
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.inputs import Inputs
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task_file import write_tasks

INPUTS = Inputs(TOKENIZER, 32)
TEXT = "the gull and the tern flew over the harbour in a storm"
LONG = " ".join([TEXT] * 20)
TEXTS = [TextRecord(TEXT, label="a"), TextRecord("", label="b"), TextRecord(LONG, label="a")]
PAIRS = [TextRecord(TEXT, "a", label="1"), TextRecord(LONG, LONG, label="4")]
SPANS = [
    SpanRecord("Who flew?", text, (SpanText("tern", 17),), is_labelled=True)
    for text in (TEXT, LONG)
]
TASKS: dict[str, tuple[Any, list[Any]]] = {
    "classification": (ClassificationTask("t", ("a", "b"), ("a", "b"), INPUTS), TEXTS),
    "multi-label": (
        MultiLabelTask("t", ("a", "b"), (0.5, 0.5), INPUTS),
        [replace(record, labels=(str(record.label),), label=None) for record in TEXTS],
    ),
    "ordinal": (OrdinalTask("t", ("1", "2", "4"), INPUTS), PAIRS),
    "regression": (RegressionTask("t", 2.0, 1.5, INPUTS), PAIRS),
    "choice": (
        ChoiceTask("t", (), INPUTS),
        [ChoiceRecord(text, "Who _?", ("a gull", "", "a tern"), 2) for text in (TEXT, LONG, "")],
    ),
    "spans": (SpansTask("t", False, False, INPUTS), SPANS),
    "beams": (SpansTask("t", True, True, INPUTS, threshold=1e3, head="beam_qa"), SPANS),
    "tagging": (
        TaggingTask("t", ("O", "B-X", "I-X"), INPUTS),
        [WordsRecord(tuple(t.split()), ("O",) * len(t.split())) for t in (TEXT, LONG, "gull")],
    ),
    "similarity": (SimilarityTask("t", "cosine", 0.0, 5.0, INPUTS), PAIRS),
}
CONFIG = AlbertConfig(
    vocab_size=TOKENIZER.vocab_size,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=32,
    initializer_range=0.5,
)


@pytest.fixture
def folder_of(tmp_path):
    """Writes the folder of an untrained model with some tasks."""

    def write(*tasks, config=CONFIG, exits=False):
        folder = tmp_path / "model"
        heads = {name: spec for task in tasks for name, spec in task.heads.items()}
        heads = {n: replace(s, options={**s.options, "exits": exits}) for n, s in heads.items()}
        model = AlbertWithHeads(config, heads=heads)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
        write_model(folder, config, model.to_arrays(), {})
        TOKENIZER.save(folder)
        write_tasks(folder, tasks)
        return folder

    (tmp_path / "model").mkdir()
    return write


def numbers(value):
    """All numbers in an answer."""
    if isinstance(value, dict | list | tuple):
        inner = value.values() if isinstance(value, dict) else value
        return [number for part in inner for number in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def answers(pipeline, records):
    return [answer.to_dict() for _, answer in pipeline.stream_records(records)]


@pytest.mark.parametrize("kind", TASKS)
def test_an_exported_folder_of_each_kind_answers_as_torch(folder_of, tmp_path, kind):
    task, records = TASKS[kind]
    source = folder_of(task)
    exported = load(export(ExportSettings(source, tmp_path / "out")))
    assert isinstance(exported.engine, OnnxEngine)
    for record in (records, records[:1], records[-1:] * 3):
        expected, found = (answers(each, record) for each in (load(source), exported))
        assert numbers(found) == pytest.approx(numbers(expected), abs=1e-4)
        assert [one.keys() for one in found] == [one.keys() for one in expected]


@pytest.mark.parametrize("kind", ["ordinal", "regression", "choice", "spans", "beams"])
def test_what_both_texts_have_is_marked_alike_in_both_engines(folder_of, tmp_path, kind):
    task, records = TASKS[kind]
    marked = replace(task, inputs=replace(task.inputs, mark_shared=True))
    types = {int(t) for r in records for e in marked.features(r) for t in e.token_type_ids}
    assert types == {0, 1, 2, 3}
    source = folder_of(marked, config=replace(CONFIG, type_vocab_size=MARKED_TYPES))
    both = [load(source), load(export(ExportSettings(source, tmp_path / "out")))]
    expected, found = (numbers(answers(each, records)) for each in both)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", TASKS)
def test_an_exported_folder_of_each_kind_scores_as_torch(folder_of, tmp_path, kind):
    task, records = TASKS[kind]
    source = folder_of(task)
    out = export(ExportSettings(source, tmp_path / "out"))
    engines = (load(out, engine=engine).engine for engine in ("torch", "onnx"))
    expected, found = (score_records(engine, task, records, 64) for engine in engines)
    assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_tasks_of_several_kinds_share_a_folder(folder_of, tmp_path, capsys):
    kinds = ("classification", "tagging", "beams", "similarity")
    tasks = [
        replace(TASKS[kind][0], name=kind, head=f"heads.{kind}", inputs=INPUTS) for kind in kinds
    ]
    source = folder_of(*tasks)
    out = export(ExportSettings(source, tmp_path / "out"))
    for task in tasks:
        records = TASKS[task.name][1]
        expected, found = (answers(load(f, task=task.name), records) for f in (source, out))
        assert numbers(found) == pytest.approx(numbers(expected), abs=1e-4)
    assert main(["predict", str(out), TEXT, "--task", "tagging", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tags"]) == len(TEXT.split())


def test_a_pooler_that_nothing_reads_is_left_out(folder_of, tmp_path):
    names = replace(TASKS["tagging"][0], name="names", head="heads.names")
    source = folder_of(TASKS["classification"][0], names)
    whole = export(ExportSettings(source, tmp_path / "out"))
    write_tasks(source, [names])
    out = export(ExportSettings(source, tmp_path / "less"))
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole, out)]
    assert [b"albert.pooler.weight" in content for content in files] == [True, False]
    assert load(out)(TEXT).tags == load(source, engine="torch")(TEXT).tags


# === Depths ===


def test_exits_come_along_and_answer_at_every_depth(folder_of, tmp_path):
    task, records = TASKS["classification"]
    source = folder_of(task, exits=True)
    out = export(ExportSettings(source, tmp_path / "out"))
    assert load(out).engine.exit_names == ("classifier",)
    engines = load(source).engine, load(out).engine
    expected, found = (
        [[a.to_dict() for a in depth] for depth in answers_by_depth(engine, task, records, 64)]
        for engine in engines
    )
    assert len(found) == CONFIG.depth
    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-4)


def test_evaluate_reports_the_depths_of_an_exported_folder(folder_of, tmp_path, capsys):
    source = folder_of(TASKS["classification"][0], exits=True)
    out = export(ExportSettings(source, tmp_path / "out"))
    file = tmp_path / "dev.tsv"
    file.write_text(f"text\tlabel\n{TEXT}\ta\n{LONG}\tb\n", encoding="utf-8")
    reports = []
    for folder in (source, out):
        assert main(["evaluate", str(folder), str(file), "--bootstrap", "0", "--json"]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    expected, found = reports
    assert [depth["name"] for depth in found["depths"]] == ["1", "2", "3"]
    assert found["metrics"] == expected["metrics"]


@pytest.mark.parametrize(
    "changes",
    [
        {"depth_lora_rank": 2},
        {"adapter": AdapterSpec("lora", 2, True)},
        {"adapter": AdapterSpec("bottleneck", 2)},
        {"depth_lora_rank": 2, "adapter": AdapterSpec("bottleneck", 2, True)},
    ],
)
def test_what_cannot_be_merged_is_exported_as_it_is(folder_of, tmp_path, changes):
    task, records = TASKS["classification"]
    source = folder_of(task, config=replace(CONFIG, **changes))
    out = export(ExportSettings(source, tmp_path / "out"))
    assert sorted(path.name for path in out.glob("layer.*")) == ["layer.0.onnx"]
    expected, found = (answers(load(folder), records) for folder in (source, out))
    assert numbers(found) == pytest.approx(numbers(expected), abs=1e-4)


# === Refusals ===


@pytest.mark.parametrize("kind", TASKS)
def test_engines_that_differ_in_any_kind_leave_nothing(folder_of, tmp_path, monkeypatch, kind):
    source = folder_of(TASKS[kind][0])
    heads = OnnxEngine.heads

    def wrong(self, rows, batch, depth=None):
        found = heads(self, rows, batch, depth)
        return {name: output + np.float32(2e-4) for name, output in found.items()}

    monkeypatch.setattr(OnnxEngine, "heads", wrong)
    with pytest.raises(FolderError, match=r"Both engines must answer alike, within 0\.0001"):
        export(ExportSettings(source, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_bound_is_that_of_the_issue():
    assert LARGEST_DIFFERENCE == 1e-4
