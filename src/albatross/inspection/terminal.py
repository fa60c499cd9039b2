"""An inspection as text: in colours on a terminal, with marks where it goes into a file."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from io import StringIO

from rich.console import Console
from rich.text import Text

from albatross.inspection.findings import Inspection
from albatross.inspection.shown import ShownSample, Span

_STYLES = {"masked": "bold red", "random": "bold magenta", "kept": "bold green"}
_LEGEND = (
    ("masked", "{was there|[MASK]}"),
    ("random", "{was there|stands now}"),
    ("kept", "{was there|kept}"),
)
_BAR = 40


@dataclass(frozen=True)
class PrintedInspection(Inspection):
    """An inspection that prints itself, in colours where standard output is a terminal."""

    def __str__(self) -> str:
        """Return its lines."""
        return render(self, in_colour=sys.stdout.isatty())


def render(found: Inspection, *, in_colour: bool) -> str:
    """Return the whole inspection as lines of a terminal's width."""
    width = shutil.get_terminal_size((100, 24)).columns
    written = StringIO()
    console = Console(
        file=written,
        force_terminal=in_colour,
        no_color=not in_colour,
        color_system="standard" if in_colour else None,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for line in _figures(found):
        console.print(line, soft_wrap=not in_colour)
    if found.samples:
        legend = Text("\nPredicted words: ")
        for kind, sign in _LEGEND:
            legend.append(sign, style=_STYLES[kind]).append("  ")
        console.print(legend)
    for sample in found.samples:
        console.print(sample_text(sample))
    for line in _probe_lines(found):
        console.print(line, soft_wrap=not in_colour)
    return written.getvalue().rstrip("\n")


def sample_text(sample: ShownSample) -> Text:
    """Return a sample with its masked words marked."""
    head = f"\nSample {sample.index}: {sample.length} tokens, {sample.predicted} predicted, "
    text = Text().append(head, style="bold").append(sample.label, style="bold cyan")
    for name, segment in zip("AB", sample.segments, strict=False):
        text.append(f"\n  {name}  ", style="bold")
        for span in segment:
            text.append(" " if span.space else "").append_text(_marked(span))
    return text


def _marked(span: Span) -> Text:
    """Return a span, marked where it is predicted."""
    if span.kind == "plain":
        return Text(span.text, style="")
    now = "kept" if span.kind == "kept" else span.now
    return Text(f"{{{span.text}|{now}}}", style=_STYLES[span.kind])


def _figures(found: Inspection) -> list[Text]:
    """Return the figures of the folder and its samples."""
    lines = [Text(found.folder, style="bold")]
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in found.labels.items())
    rows = {
        **found.facts,
        f"labels ({found.objective})": shares,
        "masking": str(found.masking),
        "lengths": f"{found.lengths.mean:.1f} tokens on average,"
        f" {100 * found.lengths.full:.1f} % nearly full",
    }
    lines += [Text(f"  {name:<14} ").append(value) for name, value in rows.items()]
    greatest = max(found.lengths.bars.values())
    for bound, share in found.lengths.bars.items():
        bar = "█" * round(_BAR * share / greatest)
        lines.append(Text(f"  {f'to {bound}':>14} {100 * share:5.1f} % ").append(bar, style="blue"))
    return lines


def _probe_lines(found: Inspection) -> list[Text]:
    """Return what the probes found, and the verdict."""
    lines = [Text("\nTopic-shortcut probe: labels told from topic alone; chance is 50 %")]
    for name, result in found.probes.items():
        words = "too few pairs" if result is None else str(result)
        lines.append(Text(f"  {name:<40} ").append(words))
        if result is not None:
            by_side = f"  {'  (words by side, not topic)':<40} {100 * result.by_side:.1f} %"
            lines.append(Text(by_side, style="dim"))
    bad = found.verdict.startswith("TOPIC")
    lines.append(Text("Verdict: ").append(found.verdict, style="bold red" if bad else "bold green"))
    return lines
