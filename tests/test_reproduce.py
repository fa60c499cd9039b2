"""The script that remakes docs/results.md: what it makes anew, what it keeps, and what it says."""

import gzip
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albatross.data.records import TextRecord
from albatross.engine.open import open_model
from albatross.tasks.answers import Answer
from albatross.tasks.task import score

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import reproduce  # noqa: E402 (a script beside its rooms, no package)
from tables import builtins, files, little_text, tasks  # noqa: E402
from tables.table import Place, Table, definition  # noqa: E402


@dataclass(frozen=True)
class Counted:
    """A row that a test measures."""

    name: str
    options: str = ""
    note: str = ""

    def measure(self, place):
        place.work.mkdir(parents=True, exist_ok=True)
        with (place.work / "measured").open("a") as file:
            file.write(f"{self.name}\n")
        if self.options == "fail":
            raise SystemExit("This command failed")
        return {"value": len(self.options)}

    def cells(self, found):
        return [self.name, str(found["value"])]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "data", tmp_path / "work", tmp_path / "rows")


def table_of(*rows, **options):
    return Table("counted", "Counted", "Text.", ("row", "value"), rows, **options)


def measured(place):
    return (place.work / "measured").read_text().split()


def measure(monkeypatch, place, *tables, streams=1):
    monkeypatch.setattr(reproduce, "TABLES", tables)
    reproduce.measure(place, [], streams, 1e9)


# === Rows ===


def test_a_finished_row_is_kept_and_one_of_other_options_measured_again(monkeypatch, place):
    first = table_of(Counted("a"), Counted("b"))
    for _ in range(2):
        measure(monkeypatch, place, first)
    assert measured(place) == ["a", "b"]
    measure(monkeypatch, place, table_of(Counted("a"), Counted("b", "longer", "a note")))
    assert measured(place) == ["a", "b", "b"]


def test_what_other_commands_measured_is_marked_until_then(monkeypatch, place):
    measure(monkeypatch, place, table_of(Counted("a"), Counted("b")))
    changed = table_of(Counted("a", note="shown"), Counted("b", "longer"), Counted("c"))
    told = "\n".join(changed.section(place.rows, place.work))
    assert "| a | 0 | 1 |" in told
    assert "| b | 0 | 2 |" in told
    assert told.count("an earlier command") == 1
    assert "Not measured: 1 of 3 rows." in told


def test_what_another_encoder_measured_is_measured_again(monkeypatch, place):
    table = table_of(Counted("a"), of_encoder=True)
    measure(monkeypatch, place, table)
    path = table.kept(table.rows[0], place.rows)
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "encoder": "another"}))
    assert "an earlier encoder" in "\n".join(table.section(place.rows, place.work))
    for _ in range(2):
        measure(monkeypatch, place, table)
    assert measured(place) == ["a", "a"]
    assert json.loads(path.read_text()) == kept


def test_after_a_row_that_fails_no_other_is_begun(monkeypatch, place):
    rows = [Counted("a"), Counted("bad", "fail"), *(Counted(f"c{i}") for i in range(20))]
    with pytest.raises(SystemExit):
        measure(monkeypatch, place, table_of(*rows))
    assert len(measured(place)) < 22
    assert not (place.rows / "counted" / "bad.json").exists()


def test_every_row_of_the_page_can_be_told_from_others():
    for table in reproduce.TABLES:
        assert len({table.kept(row) for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert json.loads(json.dumps(definition(row))) == definition(row)
            assert definition(row) != definition(replace(row, **{changed_field(row): "other"}))


def changed_field(row):
    return next(name for name in ("options", "test", "objective") if hasattr(row, name))


def test_rows_that_start_from_others_say_which():
    from_mnli = [row for row in tasks.ROWS if row.start is not None]
    assert [row.start.name for row in from_mnli] == ["MNLI"] * 4
    cells = from_mnli[0].cells(
        {
            "seeds": {"mean": 0.5, "deviation": 0, "by_seed": {"0": 0.5}, "metric": "accuracy"},
            "baseline": 0.5,
        }
    )
    assert "WORK/models/mnli OUT --task rte" in cells[-1]
    assert little_text.ROWS[3].options.startswith("--from {work}/pretraining/text-100-0 ")


# === Folders ===


@pytest.fixture
def commands(monkeypatch):
    """What was run, in place of running it: each makes its folder."""
    ran = []

    def run(self, verb, source, out, *words):
        ran.append((verb, *map(str, words)))
        out.mkdir(exist_ok=True)
        (out / "run.json").write_text("{}")
        (out / "model.safetensors").write_bytes(b"weights")
        return 0

    monkeypatch.setattr(Place, "albatross", run)
    return ran


def test_a_folder_is_made_once_by_a_command_and_again_by_another(commands, place):
    out = place.work / "models" / "a"
    for words in (("--epochs", 1), ("--epochs", 1), ("--epochs", 2)):
        assert place.make("finetune", "pretrained", out, *words) == out
    assert [words[-1] for words in commands] == ["1", "2"]


def test_a_folder_that_was_not_finished_goes_on(commands, place):
    out = place.work / "a"
    place.make("finetune", "pretrained", out)
    (out / "training_state").mkdir()
    (out / "kept").touch()
    place.make("finetune", "pretrained", out)
    assert len(commands) == 2
    assert (out / "kept").exists()


def test_a_folder_is_made_again_where_its_model_is_another(commands, place):
    start, out = place.work / "start", place.work / "out"
    start.mkdir(parents=True)
    for content in (b"one", b"one", b"two"):
        (start / "model.safetensors").write_bytes(content)
        place.make("finetune", start, out)
    assert len(commands) == 2


def test_commands_of_another_place_are_the_same(commands, tmp_path):
    for name in ("here", "there"):
        place = Place(tmp_path / name / "data", tmp_path / name / "work")
        place.make("finetune", "pretrained", place.work / "a", "--train", place.data / "a.tsv")
    told = [(tmp_path / name / "work" / "a.command").read_text() for name in ("here", "there")]
    assert told[0] == told[1]
    assert str(tmp_path) not in told[0]


def test_a_task_that_is_called_as_a_built_in_model_is_none(commands, tmp_path):
    place = Place(tmp_path / "data", tmp_path / "work")
    place.make("finetune", "sentiment", place.work / "a", "--name", "sentiment", "--over", "spam")
    told = (place.work / "a.command").read_text().split()
    assert [word.split("@")[0] for word in told if "@" in word] == ["sentiment", "spam"]
    assert told[2:4] == ["--name", "sentiment"]


# === The built-ins ===


@pytest.mark.parametrize(
    ("layers", "whole", "way"),
    [
        ([0.9], [0.905], "layers"),
        ([0.9], [0.95], "whole"),
        ([0.9], [0.7], "layers"),
        ([0.7], [0.9], "whole"),
        ([0.7], [0.7], None),
        ([0.9, 0.7], [0.9, 0.9], "whole"),
        ([0.9, 0.9], [0.915, 0.9], "layers"),
    ],
)
def test_layers_ship_unless_they_lose_more_than_a_point(layers, whole, way):
    values = {"layers": layers, "whole": whole}
    found = {key: [{"metrics": {"f1": one}} for one in parts] for key, parts in values.items()}
    assert builtins.shipped({**found, "baselines": [0.8] * len(layers)}, "f1") == way


def test_a_way_that_was_not_tried_does_not_ship():
    found = {"whole": [{"metrics": {"f1": 0.9}}], "baselines": [0.8]}
    assert builtins.shipped(found, "f1") == "whole"
    assert builtins.shipped({**found, "baselines": [0.9]}, "f1") is None


# === Folds ===


@pytest.fixture
def messages(place):
    """Messages of which each stands there twice, but for its number and capitals."""
    words = ("gull", "storm", "harbour", "sheep", "letter", "rain", "tern", "boat", "sea", "film")
    texts = [f"{a} meets the {b}" for a in words for b in words]
    spam = [f"WIN the {a} and a {b} at 0{i}800" for i, a in enumerate(words) for b in words]
    rows = [f"ham\t{each}" for text in texts for each in (text, text.upper())]
    rows += [f"spam\t{each}" for text in spam for each in (text, text.lower().replace("0", "7"))]
    folder = place.data / "sms-spam"
    folder.mkdir(parents=True)
    with gzip.open(folder / "SMSSpamCollection.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(rows) + "\n")
    return [tuple(row.split("\t")[::-1]) for row in rows]


def rows_of(place, part, end):
    lines = (place.work / "records" / f"spam-{part}-{end}.tsv").read_text().splitlines()
    return [tuple(line.split("\t")) for line in lines[1:]]


def test_each_message_is_left_out_once_with_those_alike(place, messages):
    files.write_spam(place)
    parts = [str(fold) for fold in range(files.FOLDS)]
    left_out = {part: rows_of(place, part, "test") for part in parts}
    assert sorted(row for rows in left_out.values() for row in rows) == sorted(messages)
    for part, rows in left_out.items():
        assert len(rows) == len(messages) / files.FOLDS
        learned = {text.lower() for text, _ in rows_of(place, part, "labelled")}
        assert not learned & {text.lower() for text, _ in [*rows, *rows_of(place, part, "bare")]}


def test_a_tenth_of_what_is_learned_tunes_and_nothing_is_lost(place, messages):
    files.write_spam(place)
    train, tune, plain, both = (
        rows_of(place, "all", end) for end in ("train", "tune", "plain", "labelled")
    )
    assert sorted([*train, *tune]) == sorted(both)
    assert sorted(plain) == sorted(messages)
    assert len(tune) == len(both) / 10
    assert not any("0" in text or "7" in text for text, _ in set(both) - set(plain))


def test_answers_of_several_models_are_scored_as_those_of_one(finetuned):
    task: Any = open_model(finetuned).task
    draw = np.random.default_rng(0)
    labels = [task.labels[at] for at in draw.integers(2, size=60)]
    answers = [
        Answer(label, share, {label: share, other: 1 - share})
        for label, share in zip(labels, draw.uniform(0.5, 1, 60), strict=True)
        for other in set(task.labels) - {label}
    ]
    records = [TextRecord("", label=task.labels[at]) for at in draw.integers(2, size=60)]
    whole = builtins._pooled([(task, answers, records)])
    parts = [(task, answers[a:b], records[a:b]) for a, b in ((0, 10), (10, 45), (45, 60))]
    assert builtins._pooled(parts) == whole
    assert whole["metrics"] == score(task, answers, records)
    assert whole["intervals"]["macro_f1"]["low"] < whole["metrics"]["macro_f1"]


def test_nothing_is_installed_from_a_folder_that_is_not_there(tmp_path):
    package = BENCHMARKS.parent / "src" / "albatross" / "builtin"
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*")}
    script = BENCHMARKS.parent / "scripts" / "install_builtins.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*")} == before
