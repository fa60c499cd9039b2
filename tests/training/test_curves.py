import json
import math
import sys
from html.parser import HTMLParser

import pytest

from albatross.errors import FolderError, MissingDependencyError
from albatross.training.charts import MOST_LINES
from albatross.training.curves import write_curves, write_plan

pytest.importorskip("matplotlib")


class Page(HTMLParser):
    """What a browser would show: figures, titles of charts, values behind them, what is loaded."""

    def __init__(self, path):
        super().__init__()
        self.figures, self.titles, self.notes, self.addresses = {}, [], [], []
        self.values, self._open, self._name = [], "", ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self._open = tag
        for name, value in attrs:
            if name == "data-values":
                self.values.append(json.loads(value))
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value)

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "th":
            self._name = data
        elif self._open == "td":
            self.figures[self._name] = data
        elif self._open == "h2":
            self.titles.append(data)
        elif self._open == "p":
            self.notes.append(data)

    def lines(self, title):
        """The drawn points of a chart by the name of the line."""
        chart = self.values[self.titles.index(title)]
        return {name: list(zip(xs, ys, strict=True)) for name, xs, ys in chart["lines"]}


def step(number, **more):
    loss = 10 / number
    entry = {"step": number, "tokens": 500 * number, "batch_tokens": 500, "seconds": 0.5 * number}
    return entry | {"loss": loss, "masked_lm_loss": loss, "norm": 1 + loss} | more


def evaluation(number, **more):
    figures = {"masked_lm_loss": 3.25, "masked_lm_accuracy": 0.25, "energy_wh": 1500.0}
    return {"step": number, "evaluation": figures | more}


@pytest.fixture
def page_of(tmp_path):
    """Writes a log and returns the page of it."""

    def write(lines, title="a run"):
        log, out = tmp_path / "log.jsonl", tmp_path / "curves.html"
        log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        write_curves(log, out, title)
        return Page(out)

    return write


def test_the_summary_tells_what_a_run_was(page_of):
    page = page_of([*map(step, range(1, 7201)), evaluation(7200, flops_utilisation=0.412)])
    assert page.figures == {
        "steps": "7,200",
        "tokens": "3.6 M",
        "time": "1 h 0 min",
        "tokens a second": "1,000",
        "masked words: loss, held-out text": "3.250",
        "accuracy: masked words": "25.0%",
        "of the machine's peak used": "41.2%",
        "energy": "1.50 kWh",
    }


def test_losses_of_steps_and_of_held_out_text_share_a_chart(page_of):
    page = page_of([step(1), step(2), evaluation(2), step(3), evaluation(3)])
    lines = page.lines("Masked words: loss")
    assert lines["training"] == [(1, 10), (2, 5), (3, 3.333)]
    assert lines["held-out text"] == [(2, 3.25), (3, 3.25)]


def test_words_are_shown_by_how_frequent_they_are(page_of):
    bands = {f"masked_lm_accuracy_{band}": at / 10 for at, band in enumerate(("rare", "common"))}
    page = page_of([step(1), evaluation(1), evaluation(2, **bands), evaluation(3, **bands)])
    title = "Masked words found, by how frequent they are"
    assert page.lines(title) == {"common": [(2, 0.1), (3, 0.1)], "rare": [(2, 0), (3, 0)]}
    assert list(page.lines("Accuracy, held out")) == ["masked words"]
    assert page.figures["accuracy: common masked words"] == "10.0%"


def test_what_was_measured_once_is_a_figure_and_no_chart(page_of):
    page = page_of([step(1), step(2), evaluation(2, accuracy=0.5)])
    assert not {"accuracy on the dev part", "Accuracy, held out"} & {*page.titles}
    assert page.figures["accuracy on the dev part"] == "0.5000"
    assert page.figures["accuracy: masked words"] == "25.0%"
    assert page.lines("Masked words: loss")["held-out text"] == [(2, 3.25)]


def test_skipped_steps_are_marked_and_counted(page_of):
    skips = [step(3, skipped="spike"), step(4, loss=None, norm=None, skipped="not a number")]
    plain, marked = page_of([step(1)]), page_of([step(1), step(2), *skips])
    assert "2 steps were skipped, marked by a cross." in marked.notes
    assert marked.figures["steps skipped"] == "2"
    assert marked.text.count("var(--alarm)") > plain.text.count("var(--alarm)")


def test_tokens_a_second_are_those_between_the_points(page_of):
    page = page_of([step(1), step(2), step(3, seconds=11.0)])
    assert page.lines("Tokens a second") == {"": [(2, 1000), (3, 50)]}


@pytest.mark.parametrize("name", ["learning_rate", "length", "depth"])
def test_what_a_log_does_not_tell_is_not_shown(page_of, name):
    titles = [set(page_of([step(1, **more), step(2, **more)]).titles) for more in ({}, {name: 8})]
    assert len(titles[1] - titles[0]) == 1
    assert titles[0] < titles[1]


def test_a_loss_of_any_objective_is_shown(page_of):
    page = page_of([step(1, detector_loss=0.5), step(2, detector_loss=0.25)])
    assert page.lines("detector loss") == {"training": [(1, 0.5), (2, 0.25)]}
    assert page.figures["detector loss in the last steps"] == "0.250"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [step(1)],
        [evaluation(0)],
        [{"step": 1, "loss": 1.0}],
        [step(number, loss=math.nan, masked_lm_loss=math.nan, norm=math.nan) for number in (1, 2)],
        [step(number, norm=0.0, seconds=0.0) for number in (1, 2)],
    ],
    ids=["nothing", "one step", "an evaluation", "only a loss", "no numbers", "no gradients"],
)
def test_a_log_with_little_in_it_has_a_page(page_of, lines):
    page = page_of(lines)
    assert page.text.endswith("</html>\n")
    assert "nan" not in "".join(page.figures.values())


def test_a_page_needs_no_network_and_is_for_light_and_dark(page_of):
    page = page_of([step(1), evaluation(1), step(2)])
    assert page.addresses  # marks are named within the page
    assert all(address.startswith("#") for address in page.addresses)
    assert "prefers-color-scheme: dark" in page.text
    assert "stroke: var(--series-1)" in page.text
    assert not any(f"#0{digit}0" in page.text for digit in range(1, 8))


def test_a_title_cannot_break_the_page(page_of):
    page = page_of([step(1)], title="<script>a & b")
    assert "<h1>&lt;script&gt;a &amp; b</h1>" in page.text


def test_one_log_is_one_page_byte_for_byte(page_of):
    lines = [*map(step, range(1, 20)), evaluation(19)]
    assert page_of(lines).text == page_of(lines).text


def test_a_long_run_has_a_small_page_and_keeps_its_last_step(page_of):
    page = page_of(map(step, range(1, 50_001)))
    assert len(page.text) < 500_000
    assert page.lines("Masked words: loss")["training"][-1][0] == 50_000


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(FolderError, match=r"must hold `log\.jsonl`"):
        write_curves(tmp_path / "log.jsonl", tmp_path / "curves.html", "a run")


def test_without_matplotlib_the_remedy_is_named(page_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[train\]"):
        page_of([step(1), step(2)])


# === Of a run that has not begun ===


def test_a_plan_is_shown_over_the_run(tmp_path):
    points = [{"fraction": at / 4, "learning_rate": 1e-3 * at, "length": 64} for at in range(5)]
    write_plan(points, tmp_path / "plan.html", "a plan")
    page = Page(tmp_path / "plan.html")
    assert page.figures == {"learning rate": "0 to 0.004", "longest sequence of a step": "64"}
    assert page.lines("Learning rate")[""][2] == (50, 0.002)
    assert page.values[0]["across"] == "percent of the run"


def test_a_plan_of_many_points_keeps_its_ends(tmp_path):
    points = [{"fraction": at / 99_999, "depth": at} for at in range(100_000)]
    write_plan(points, tmp_path / "plan.html", "a plan")
    drawn = Page(tmp_path / "plan.html").lines("Layers applied")[""]
    assert (drawn[0], drawn[-1]) == ((0, 0), (100, 100_000))
    assert len(drawn) == 1000


def test_the_figures_of_a_task_are_shown_where_they_were_measured(page_of):
    points = [
        {"accuracy": 0.5, "macro_f1": 0.4, "records": 40},
        {"accuracy": 0.75, "macro_f1": 0.7},
    ]
    lines = [{"step": number, "evaluation": figures} for number, figures in enumerate(points, 1)]
    page = page_of([step(1), lines[0], step(2), lines[1]])
    assert page.lines("accuracy on the dev part") == {"accuracy": [(1, 0.5), (2, 0.75)]}
    assert page.lines("f1 on the dev part") == {"macro f1": [(1, 0.4), (2, 0.7)]}
    assert page.figures["accuracy on the dev part"] == "0.7500"


def test_a_chart_holds_no_more_lines_than_there_are_colours(page_of):
    figures = {f"part_{number}_f1": 0.1 * number for number in range(1, 8)} | {"f1": 0.5}
    page = page_of([{"step": number, "evaluation": figures} for number in (1, 2)])
    drawn = page.lines("f1 on the dev part")
    assert len(drawn) == MOST_LINES
    assert "f1" in drawn


def test_many_tasks_have_all_their_accuracies_in_several_charts(page_of):
    figures = {f"task_{number}_accuracy": 0.1 * number for number in range(6)}
    page = page_of([{"step": number, "evaluation": figures} for number in (1, 2)])
    assert len(figures) > MOST_LINES
    names = [name for each in page.values for name, *_ in each["lines"]]
    assert {f"task {number} accuracy" for number in range(6)} <= {*names}
