import json
import math

from albatross.evaluation.report import NoAnswer, Report
from albatross.metrics.intervals import Interval


def report_of(**values):
    common = {"model": "runs/m", "records_file": "dev.json", "task": "squad", "kind": "spans"}
    figures = {"main_metric": "f1", "metrics": {"f1": 0.5}, "intervals": {"f1": Interval(0.4, 0.6)}}
    return Report(**(common | figures | {"records": 1_200} | values))


def test_a_report_is_json_and_what_is_not_finite_is_null():
    found = report_of(no_answer=NoAnswer(-math.inf, 0.5, 0.1, math.nan, 0.2)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["no_answer"]["threshold"], found["no_answer"]["best_f1"]) == (None, None)
    assert found["intervals"]["f1"] == {"low": 0.4, "high": 0.6}


def test_a_report_reads_as_a_table():
    lines = str(report_of(metrics={"f1": 0.5, "bleu": 27.25})).splitlines()
    assert lines[0] == "runs/m on dev.json: 1,200 records"
    assert lines[2].split() == ["f1", "0.5000", "0.4000", "to", "0.6000"]
    assert lines[3].split() == ["bleu", "27.25"]


def test_tuned_figures_are_named_as_such():
    assert "tuned" not in str(report_of())
    assert "tuned on this very file" in str(report_of(metrics={"f1": 0.5, "best_f1": 0.6}))


def test_the_next_command_is_the_page_or_how_to_have_one():
    asked = report_of(run={"settings": {"report": "runs/a b"}})
    assert asked.following == "open 'runs/a b'/report.html in a browser"
    assert report_of().following == "albatross evaluate runs/m dev.json --report runs/report"
