import re
from html.parser import HTMLParser
from typing import Any

import pytest

from albatross.evaluation.charts import calibration_curve, score_bar
from albatross.evaluation.report import (
    Calibration,
    Confusion,
    LabelRow,
    Mistake,
    NoAnswer,
    PartScore,
    Report,
)
from albatross.evaluation.report_page import report_page
from albatross.metrics.intervals import Interval

EVIL = "<script>alert('&')</script>"
VOID = {"meta", "line", "rect", "circle", "polyline"}


class Nesting(HTMLParser):
    """Checks that every element is closed where it should be, and collects text."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    parser = Nesting()
    parser.feed(page)
    assert parser.open == []
    return parser


def report_of(labels=2, **values):
    names = [f"label {number}" for number in range(labels)]
    given: dict[str, Any] = {
        "model": "runs/m",
        "records_file": "data/dev.tsv",
        "task": EVIL,
        "kind": "classification",
        "records": 7,
        "main_metric": "accuracy",
        "metrics": {"macro_f1": 0.25, "accuracy": 0.75},
        "intervals": {"accuracy": Interval(0.5, 0.875)},
        "labels": tuple(LabelRow(name, 0.5, 0.25, 1 / 3, 3) for name in names),
        "confusions": (Confusion(names[0], names[1], 4), Confusion(names[1], names[1], 3)),
        "mistakes": (Mistake("line 3 of 'data/dev.tsv'", EVIL, EVIL, EVIL, 0.99),),
        "lengths": (PartScore("1-20", 7, 0.75, 0.5, 0.875),),
    }
    return Report(**(given | values))


def test_a_page_is_well_formed_and_asks_for_nothing(report):
    page = report_page(report)
    tags = parsed(page).tags
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not re.search(r"https?://|url\(|@import", page)
    assert all(not {"src", "href"} & set(attributes) for _, attributes in tags)


def test_texts_of_files_cannot_become_code():
    page = parsed(report_page(report_of()))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(EVIL) == 3


def test_the_main_figure_comes_first_with_its_interval():
    page = parsed(report_page(report_of()))
    text = " ".join(page.text)
    assert text.index("0.7500") < text.index("0.2500")
    assert "0.5000 to 0.8750" in text


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ({"depths": (PartScore("1", 7, 0.5, 0.4, 0.6),)}, "By depth"),
        ({"subsets": (PartScore("high", 7, 0.5, 0.4, 0.6),)}, "By subset"),
        ({"no_answer": NoAnswer(0.0, 0.5, 1.5, 0.6, 2.5)}, "No answer"),
        (
            {"calibration": Calibration((4,), (0.8,), (0.5,), 0.3, 0.2, 1.5, 0.3, 0.1)},
            "Calibration",
        ),
    ],
)
def test_a_part_stands_on_the_page_where_there_is_one(part, title):
    assert f"<h2>{title}</h2>" not in report_page(report_of())
    page = report_page(report_of(**part))
    assert f"<h2>{title}</h2>" in page
    parsed(page)


def test_figures_of_tuned_thresholds_are_named_as_such():
    page = report_page(report_of(metrics={"accuracy": 0.5, "best_f1": 0.7}))
    assert "best f1 (tuned on this file)" in page


def test_of_few_labels_all_pairs_are_shown_and_of_many_the_frequent_confusions():
    few, many = (report_page(report_of(labels)) for labels in (30, 31))
    assert few.count("<td class=none>") == 30 * 30 - 2
    assert "<td class=none>" not in many
    assert "most frequent confusions of 31 labels" in many


def test_a_report_of_bare_figures_has_a_page():
    bare = report_of(labels=2, confusions=(), mistakes=(), lengths=())
    page = report_page(Report(**{**vars(bare), "labels": (), "intervals": {}}))
    assert parsed(page)
    assert "<h2>Labels</h2>" not in page


def test_a_mistake_names_its_line_and_not_its_file_again():
    page = report_page(report_of())
    assert "line 3<" in page
    assert "line 3 of" not in page


# === Pictures ===


def test_dots_stand_where_confidence_and_accuracy_meet():
    found = Calibration((0, 4), (0.0, 1.0), (0.0, 0.25), 0.5, 0.5, 1.0, 0.5, 0.5)
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', calibration_curve(found))
    assert dots == [("348.0", "239.0")]


@pytest.mark.parametrize(
    ("part", "low", "high", "bar"),
    [
        (PartScore("x", 1, 0.5, 0.4, 0.6), 0.0, 1.0, (0, 50)),
        (PartScore("x", 1, -0.5, -0.6, -0.4), -1.0, 1.0, (25, 25)),
        (PartScore("x", 1, 25.0, 20, 30), 0.0, 100.0, (0, 25)),
    ],
)
def test_a_bar_reaches_from_zero_to_its_figure(part, low, high, bar):
    found = re.search(
        r'class="score" x="([\d.]+)" y="2" width="([\d.]+)"', score_bar(part, low, high)
    )
    assert found
    assert tuple(map(float, found.groups())) == bar


# === What is said once ===


def test_figures_of_labels_stand_in_their_table_alone():
    metrics = {"accuracy": 0.75, "f1_label 0": 0.111, "f1_other": 0.222}
    text = parsed(report_page(report_of(metrics=metrics))).text
    assert "f1 other" in text
    assert "f1 label 0" not in text


@pytest.mark.parametrize(("task", "about"), [("multi_label", "multi-label"), ("a", "a, tagging")])
def test_a_task_that_is_called_by_its_kind_is_named_once(task, about):
    kind = about.split(", ")[-1]
    assert f"{about}, 7 records" in parsed(report_page(report_of(task=task, kind=kind))).text
