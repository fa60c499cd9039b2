"""Pictures of a report, drawn as SVG by hand: a page needs no library, no network, no script.

Colours are the page's variables, so that pictures follow its light and its dark form.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from albatross.evaluation.report import Calibration, Confusion, PartScore, shown

# Larger tables of confusions are not read; their most frequent entries are.
MOST_LABELS_DRAWN = 30
# The names of more columns than this stand upright, so that the table is no wider than a page.
_LABELS_ACROSS = 8
_SIDE, _LEFT, _TOP, _RIGHT, _BOTTOM = 300.0, 48.0, 14.0, 24.0, 36.0
_LARGEST_DOT = 11.0


def calibration_curve(calibration: Calibration) -> str:
    """Draw how often answers are right by how sure they are; dots as large as the bin is full."""
    filled = [
        (confidence, accuracy, count)
        for confidence, accuracy, count in zip(
            calibration.confidence, calibration.accuracy, calibration.counts, strict=True
        )
        if count
    ]
    most = max(count for _, _, count in filled)
    lines = "".join(_grid_line(share / 4) for share in range(5))
    path = " ".join(
        f"{_x(confidence):.1f},{_y(accuracy):.1f}" for confidence, accuracy, _ in filled
    )
    dots = "".join(
        f'<circle cx="{_x(confidence):.1f}" cy="{_y(accuracy):.1f}"'
        f' r="{max(2.5, _LARGEST_DOT * (count / most) ** 0.5):.1f}"><title>{count:,} answers:'
        f" {100 * accuracy:.1f} % right at a mean probability of {100 * confidence:.1f} %"
        "</title></circle>"
        for confidence, accuracy, count in filled
    )
    width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
    return (
        f'<svg class="curve" viewBox="0 0 {width:g} {height:g}" role="img"'
        f' aria-label="Share of right answers by their probability">{lines}'
        f'<line class="even" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
        f'<polyline points="{path}"/>{dots}'
        f'<text x="{_x(0.5)}" y="{height - 4:g}" text-anchor="middle">probability of the answer'
        "</text></svg>"
    )


def score_bar(part: PartScore, low: float, high: float) -> str:
    """Draw a figure as a bar from zero, with its interval, on a scale from `low` to `high`."""

    def across(value: float) -> float:
        return 100 * (min(max(value, low), high) - low) / (high - low)

    start, end = sorted((across(0), across(part.score)))
    left, right = across(part.low), across(part.high)
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="back" x="0" y="2" width="100" height="6"/>'
        f'<rect class="score" x="{start:.2f}" y="2" width="{end - start:.2f}" height="6"/>'
        f'<rect class="interval" x="{left:.2f}" y="4" width="{max(right - left, 0.4):.2f}"'
        ' height="2"/></svg>'
    )


def parts_table(parts: Sequence[PartScore], heading: str, figure: str) -> str:
    """Return a table of a figure of several parts, each with a bar."""
    low = min(0.0, *(part.low for part in parts))
    high = max(part.high for part in parts)
    high = 1.0 if high <= 1 else 100.0 if high <= 100 else high
    rows = "".join(
        f"<tr><th scope=row>{html.escape(part.name)}</th><td>{part.records:,}</td>"
        f"<td>{shown(part.score)}</td><td class=whole>{shown(part.low)} to {shown(part.high)}</td>"
        f"<td>{score_bar(part, low, high)}</td></tr>\n"
        for part in parts
    )
    return (
        f"<table><thead><tr><th scope=col>{html.escape(heading)}</th><th scope=col>records</th>"
        f"<th scope=col>{html.escape(figure)}</th><th scope=col class=whole>95 % interval</th>"
        f"<td></td></tr></thead><tbody>\n{rows}</tbody></table>"
    )


def confusion_table(labels: Sequence[str], confusions: Sequence[Confusion]) -> str:
    """Return the whole table of few labels: a row for each expected one, coloured by its share."""
    counts = {(each.expected, each.answered): each.count for each in confusions}
    head = "".join(f"<th scope=col>{html.escape(label)}</th>" for label in labels)
    rows = []
    for expected in labels:
        total = sum(counts.get((expected, answered), 0) for answered in labels)
        cells = "".join(
            _cell(counts.get((expected, answered), 0), total, expected == answered)
            for answered in labels
        )
        rows.append(f"<tr><th scope=row>{html.escape(expected)}</th>{cells}</tr>\n")
    kind = "confusion many" if len(labels) > _LABELS_ACROSS else "confusion"
    return (
        f'<table class="{kind}"><thead><tr><th>expected \\ answered</th>'
        f"{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>"
    )


def _cell(count: int, total: int, is_right: bool) -> str:
    """Return one count, the stronger coloured the greater its share of the row."""
    if not count:
        return "<td class=none>0</td>"
    share = 100 * count / total
    return (
        f'<td class="{"right" if is_right else "wrong"}" style="--share: {8 + 0.62 * share:.0f}%"'
        f' title="{share:.1f} %">{count:,}</td>'
    )


def _grid_line(share: float) -> str:
    """Draw the lines and the numbers of a share on both axes."""
    x, y = _x(share), _y(share)
    number = f"{100 * share:.0f} %"
    return (
        f'<line x1="{_x(0)}" y1="{y}" x2="{_x(1)}" y2="{y}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{number}</text>'
        f'<text x="{x}" y="{_y(0) + 16}" text-anchor="middle">{number}</text>'
    )


def _x(share: float) -> float:
    """Return where a share stands across."""
    return _LEFT + share * _SIDE


def _y(share: float) -> float:
    """Return where a share stands from the top."""
    return _TOP + (1 - share) * _SIDE
