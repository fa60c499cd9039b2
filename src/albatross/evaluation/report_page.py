"""One page of a report that needs nothing but a browser: no network, no script, no library."""

from __future__ import annotations

import html
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from albatross.evaluation.charts import (
    MOST_LABELS_DRAWN,
    calibration_curve,
    confusion_table,
    parts_table,
)
from albatross.evaluation.page_frame import PAGE, STYLE
from albatross.evaluation.report import Calibration, NoAnswer, Report, is_tuned, shown

_CONFUSIONS_SHOWN = 25
_LABELS_SHOWN = 200
# The table of so many labels fits beside another card.
_LABELS_OF_CARD = 6
# What the score of a mistake is, where it has a better name.
_WRONGNESS = {
    **dict.fromkeys(("classification", "ordinal", "choice", "multi-label"), "probability"),
    **dict.fromkeys(("regression", "similarity"), "distance"),
    "tagging": "wrong tags",
}


def report_page(report: Report) -> str:
    """Return the page as HTML."""
    cards = [
        _section("Calibration", _calibration(report.calibration), _calibration_note(report)),
        _section("By depth", _parts(report.depths, "depth", report), _DEPTH_NOTE),
        _section("By length of the text", _parts(report.lengths, "characters", report)),
        _section("By subset", _parts(report.subsets, "subset", report)),
        _section("No answer", _no_answer(report.no_answer), _NO_ANSWER_NOTE),
        _section("Labels", _labels(report)),
    ]
    confusions = _section("Expected and answered", _confusions(report), _confusion_note(report))
    is_narrow = len(report.labels) <= _LABELS_OF_CARD
    wide = [
        "" if is_narrow else confusions,
        _section("Worst mistakes", _mistakes(report), _MISTAKE_NOTE),
        _section("What was run", _run(report)),
    ]
    cards.append(confusions if is_narrow else "")
    return PAGE.format(
        title=html.escape(f"{report.model} on {_file_name(report)}"),
        about=html.escape(f"{_task(report)}, {report.records:,} records"),
        figures=_figures(report),
        cards="\n".join(filter(None, cards)),
        wide="\n".join(filter(None, wide)),
        style=STYLE,
    )


def _section(title: str, content: str, note: str = "") -> str:
    """Return a card of the page; nothing without content."""
    if not content:
        return ""
    below = f"<p>{html.escape(note)}</p>" if note else ""
    return f"<section><h2>{title}</h2><div class=scroll>{content}</div>{below}</section>"


def _task(report: Report) -> str:
    """Return the task and its kind, once where they are called alike."""
    is_called_so = report.task == report.kind.replace("-", "_")
    return report.kind if is_called_so else f"{report.task}, {report.kind}"


def _figures(report: Report) -> str:
    """Return the figures with their intervals, the main one first, without those of labels."""
    cards, in_table = [], {f"f1_{row.label}" for row in report.labels}
    for name, value in report.figures.items():
        if name in in_table:
            continue
        interval = report.intervals.get(name)
        within = f"{shown(interval.low)} to {shown(interval.high)}" if interval else "&nbsp;"
        kind = " class=main" if name == report.main_metric else ""
        title = name.replace("_", " ") + (" (tuned on this file)" if is_tuned(name) else "")
        cards.append(
            f"<li{kind}><span>{html.escape(title)}</span>"
            f"<b>{shown(value)}</b><small>{within}</small></li>"
        )
    return "\n".join(cards)


def _parts(parts: Sequence[Any], heading: str, report: Report) -> str:
    """Return the table of some parts, if there are any."""
    figure = report.main_metric.replace("_", " ")
    return parts_table(parts, heading, figure) if parts else ""


def _calibration(calibration: Calibration | None) -> str:
    """Return the curve."""
    return calibration_curve(calibration) if calibration is not None else ""


def _calibration_note(report: Report) -> str:
    """Say what the curve shows in numbers."""
    found = report.calibration
    if found is None:
        return ""
    return (
        f"Expected calibration error {found.error:.4f}, Brier score {found.brier:.4f}."
        f" A temperature of {found.temperature:.2f}, fitted on half of the records, changes the"
        f" error on the other half from {found.half_error:.4f} to {found.half_error_tempered:.4f}."
        " Below the dashed line the model is surer than it should be."
    )


def _no_answer(found: NoAnswer | None) -> str:
    """Return the thresholds."""
    if found is None:
        return ""
    rows = [
        ["the model's own", shown(found.threshold), "the figures above"],
        ["best exact match", shown(found.best_exact_threshold), shown(found.best_exact)],
        ["best F1", shown(found.best_f1_threshold), shown(found.best_f1)],
    ]
    return _table(["", "threshold", "figure"], rows)


def _labels(report: Report) -> str:
    """Return the scores of each label, those expected most often first."""
    if not report.labels:
        return ""
    rows = sorted(report.labels, key=lambda row: -row.support)[:_LABELS_SHOWN]
    return _table(
        ["label", "expected", "precision", "recall", "F1"],
        [[r.label, f"{r.support:,}", *map(shown, (r.precision, r.recall, r.f1))] for r in rows],
    )


def _confusions(report: Report) -> str:
    """Return all pairs of few labels, or the most frequent wrong ones of many."""
    if not report.confusions:
        return ""
    labels = [row.label for row in report.labels]
    if len(labels) <= MOST_LABELS_DRAWN:
        return confusion_table(labels, report.confusions)
    wrong = [each for each in report.confusions if each.expected != each.answered]
    return _table(
        ["expected", "answered", "records"],
        [[each.expected, each.answered, f"{each.count:,}"] for each in wrong[:_CONFUSIONS_SHOWN]],
        numbers_from=2,
    )


def _confusion_note(report: Report) -> str:
    """Say that of many labels only some pairs are shown."""
    many = len(report.labels) > MOST_LABELS_DRAWN
    return f"The most frequent confusions of {len(report.labels):,} labels." if many else ""


def _mistakes(report: Report) -> str:
    """Return the worst answers."""
    file = f" of {report.records_file!r}"
    head = ["where", "text", "expected", "answered", _WRONGNESS.get(report.kind, "wrongness")]
    rows = [
        [
            each.place.removesuffix(file),
            each.text,
            each.expected,
            each.answered,
            f"{each.score:.3f}",
        ]
        for each in report.mistakes
    ]
    return _table(head, rows, numbers_from=4, kind="mistakes") if rows else ""


def _run(report: Report) -> str:
    """Return what was run, on what and with which versions."""
    run = report.run
    data, versions = run.get("data", {}), run.get("versions", {})
    command = ["albatross", "evaluate", report.model, report.records_file]
    rows = [
        ["command", shlex.join(command)],
        ["records", f"{report.records:,} of {data.get('file', _file_name(report))}"],
        ["SHA-256 of the file", data.get("sha256", "")],
        ["seconds", str(run.get("progress", {}).get("seconds", ""))],
        ["machine", " ".join(map(str, run.get("machine", {}).values()))],
        ["versions", ", ".join(f"{name} {one}" for name, one in versions.items() if one)],
        ["settings", _settings(run.get("settings", {}))],
    ]
    return _table([], [row for row in rows if row[1]], numbers_from=2, kind="run")


def _file_name(report: Report) -> str:
    """Return the name of the records' file without its folders."""
    return PurePath(report.records_file).name


def _settings(settings: Mapping[str, Any]) -> str:
    """Return settings in one line, without those that say nothing."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1, kind: str = ""
) -> str:
    """Return a table whose cells are plain text; columns of numbers stand at the right."""
    titles = "".join(
        f"<th scope=col{' class=number' if at >= numbers_from else ''}>{html.escape(title)}</th>"
        for at, title in enumerate(head)
    )
    lines = []
    for row in rows:
        cells = "".join(
            f"<td{' class=number' if at >= numbers_from else ''}>{html.escape(cell)}</td>"
            for at, cell in enumerate(row[1:], start=1)
        )
        lines.append(f"<tr><th scope=row>{html.escape(row[0])}</th>{cells}</tr>\n")
    above = f"<thead><tr>{titles}</tr></thead>" if head else ""
    return f'<table class="{kind}">{above}<tbody>\n{"".join(lines)}</tbody></table>'


_DEPTH_NOTE = "What the exit after each depth answers, over all records."
_NO_ANSWER_NOTE = (
    "The best thresholds are tuned on the very questions that they are measured on, which flatters"
    " their figures: compare models at a threshold that was tuned on other questions."
)
_MISTAKE_NOTE = "Wrong answers, the surest or most distant first; texts are cut."
