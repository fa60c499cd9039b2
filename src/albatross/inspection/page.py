"""An inspection as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape

from albatross.inspection.findings import Inspection
from albatross.inspection.shown import ShownSample, Span

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fdfdfb; --soft: #6b6b6b;
  --line: #ddd; --masked: #c62828; --random: #8e24aa; --kept: #2e7d32; --bar: #4a7fb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181c; --soft: #9a9a9a;
  --line: #3a3d42; --masked: #ff8a80; --random: #e0a0f0; --kept: #8fd694; --bar: #6fa3d8; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 58rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top;
  padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); font-weight: normal; }
th { color: var(--soft); white-space: nowrap; } td.bar { width: 60%; }
.bar i { display: block; height: .8rem; background: var(--bar); border-radius: 2px; }
article { border: 1px solid var(--line); border-radius: 6px; padding: .6rem 1rem; margin: 1rem 0; }
article p { margin: .4rem 0; overflow-wrap: anywhere; } .facts, .soft { color: var(--soft); }
b.side { color: var(--soft); margin-right: .5rem; }
.masked, .random, .kept { border-bottom: 2px solid; border-radius: 2px; }
.masked { color: var(--masked); } .random { color: var(--random); } .kept { color: var(--kept); }
small { font-size: .75em; opacity: .85; } .verdict { font-weight: 600; }
.bad { color: var(--masked); } .good { color: var(--kept); }
"""


def page(found: Inspection) -> str:
    """Return the page."""
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in found.labels.items())
    facts = {**found.facts, f"labels ({found.objective})": shares, "masking": str(found.masking)}
    bad = "bad" if found.verdict.startswith("TOPIC") else "good"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Samples of'
        f' {escape(found.folder)}</title><meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Samples of {escape(found.folder)}</h1>",
        f'<p class="verdict {bad}">{escape(found.verdict)}</p>',
        _table(facts),
        _lengths(found),
        _probes(found),
        "<h2>Samples</h2>",
        f"<p>{_legend()}</p>",
        *(_sample(sample) for sample in found.samples),
        "</body></html>",
    ]
    return "\n".join(parts)


def _table(rows: dict[str, str]) -> str:
    """Return rows of names and values."""
    lines = [f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items()]
    return f"<table>{''.join(lines)}</table>"


def _lengths(found: Inspection) -> str:
    """Return how long samples are."""
    greatest = max(found.lengths.bars.values())
    rows = [
        f'<tr><th>to {bound}</th><td>{100 * share:.1f} %</td><td class="bar">'
        f'<i style="width:{100 * share / greatest:.1f}%"></i></td></tr>'
        for bound, share in found.lengths.bars.items()
    ]
    head = f"Lengths: {found.lengths.mean:.1f} tokens on average"
    return f"<h2>{head}</h2><table>{''.join(rows)}</table>"


def _probes(found: Inspection) -> str:
    """Return how far labels can be told without reading."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(result or 'too few pairs'))}</td>"
        f"<td>{f'{100 * result.by_side:.1f} %' if result else ''}</td></tr>"
        for name, result in found.probes.items()
    )
    return (
        "<h2>Topic-shortcut probe</h2><table><tr><th>how samples are made</th>"
        "<th>labels told from topic alone (chance: 50 %)</th>"
        f"<th>from words by side (not topic)</th></tr>{rows}</table>"
    )


def _legend() -> str:
    """Say what the colours mean."""
    spans = (
        Span("was there", "masked", "[MASK]", False),
        Span("was there", "random", "stands now", False),
        Span("was there", "kept", "was there", False),
    )
    return f'<span class="soft">Predicted words:</span> {" &nbsp; ".join(map(_span, spans))}'


def _sample(sample: ShownSample) -> str:
    """Return one sample."""
    facts = f"Sample {sample.index}: {sample.length} tokens, {sample.predicted} predicted"
    texts = [
        f'<p><b class="side">{name}</b>'
        + "".join((" " if span.space else "") + _span(span) for span in segment)
        + "</p>"
        for name, segment in zip("AB", sample.segments, strict=False)
    ]
    head = f'<p class="facts">{facts}, <b>{escape(sample.label)}</b></p>'
    return f"<article>{head}{''.join(texts)}</article>"


def _span(span: Span) -> str:
    """Return a stretch of text, in colour where it is predicted."""
    text = escape(span.text)
    if span.kind == "plain":
        return text
    now = "kept" if span.kind == "kept" else f"→ {escape(span.now)}"
    return f'<span class="{span.kind}">{text} <small>{now}</small></span>'
