"""A page of figures and charts that needs no network and no program but a browser."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from albatross.atomic import write_file
from albatross.training.charts import Chart, colour_of, draw


def write_page(out: Path, title: str, summary: Mapping[str, str], charts: Sequence[Chart]) -> None:
    """Write a page: its title, the figures by name, and the charts.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figures = "".join(
        f"<tr><th scope=row>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>\n"
        for name, text in summary.items()
    )
    parts = {
        "title": html.escape(title),
        "figures": figures,
        "charts": "\n".join(_figure(chart) for chart in charts),
    }
    page = _PAGE.format(**parts, style=_STYLE, script=_SCRIPT)
    write_file(out, page.encode("utf-8", "backslashreplace"))


def _figure(chart: Chart) -> str:
    """Return a chart with its title, which colour is which line, and its note."""
    keys = "".join(
        f'<span><i style="background: {colour_of(index)}"></i>{html.escape(line.name)}</span>'
        for index, line in enumerate(chart.lines)
        if line.name
    )
    words = f"<figcaption><h2>{html.escape(chart.title)}</h2>{keys}</figcaption>"
    picture, note = f"<div>{draw(chart)}<b></b></div>", f"<p>{html.escape(chart.note)}</p>"
    return f"<figure>{words}\n{picture}\n{note}</figure>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<table>
{figures}</table>
<main>
{charts}
</main>
<script>{script}</script>
</body>
</html>
"""
# The colours of lines are told apart by the colour-blind too (Okabe and Ito, 2008).
_STYLE = """
:root {
  --paper: #ffffff; --card: #f7f7f5; --ink: #3a3a38; --strong: #111110; --grid: #d9d9d4;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73; --series-4: #a8558a;
  --alarm: #c62828;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161615; --card: #1f1f1d; --ink: #b8b8b2; --strong: #f3f3ef; --grid: #3b3b38;
    --series-1: #56b4e9; --series-2: #f0954a; --series-3: #3cc79b; --series-4: #dd97c3;
    --alarm: #ff6b6b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
h1 { margin: 0 0 1rem; font-size: 1.5rem; color: var(--strong); overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--strong); }
table { display: block; }
tbody {
  display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr));
}
tr {
  display: flex; flex-direction: column-reverse; justify-content: flex-end;
  padding: .6rem .8rem; border-radius: .5rem; background: var(--card);
}
th { padding: 0; font-size: .8rem; font-weight: 400; text-align: left; line-height: 1.3; }
td { padding: 0; font-size: 1.25rem; font-weight: 600; color: var(--strong); }
main {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr));
  gap: 1.25rem; margin-top: 1.25rem;
}
figure {
  display: flex; flex-direction: column; justify-content: space-between;
  margin: 0; padding: 1rem; border-radius: .5rem; background: var(--card);
}
figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1rem; }
figcaption span { font-size: .85rem; white-space: nowrap; }
figcaption i {
  display: inline-block; width: .9rem; height: .2rem; margin-right: .4rem; border-radius: .1rem;
  vertical-align: middle;
}
figure div { position: relative; margin-top: .5rem; }
figure b {
  position: absolute; top: 0; bottom: 14%; width: 1px; background: var(--ink); opacity: .5;
  pointer-events: none; visibility: hidden;
}
figure p {
  min-height: 1.5em; margin: .25rem 0 0; font-size: .8rem; font-variant-numeric: tabular-nums;
}
svg { display: block; width: 100%; height: auto; touch-action: pan-y; }
svg text { font-family: inherit !important; }
"""
# Tells the values under the pointer in place of a chart's note.
_SCRIPT = """
for (const svg of document.querySelectorAll("svg[data-values]")) {
  const values = JSON.parse(svg.dataset.values);
  const [left, right] = values.box, [first, last] = values.x;
  const rule = svg.nextElementSibling, told = svg.parentNode.nextElementSibling;
  const note = told.textContent;
  const word = (value) => values.scale === "percent"
    ? (100 * value).toFixed(1) + " %" : value.toLocaleString("en", {maximumSignificantDigits: 4});
  svg.addEventListener("pointermove", (event) => {
    const place = svg.getBoundingClientRect();
    const share = ((event.clientX - place.left) / place.width - left) / (right - left);
    const x = first + Math.min(1, Math.max(0, share)) * (last - first);
    const near = (xs) => xs.reduce((a, b, i) => Math.abs(b - x) < Math.abs(xs[a] - x) ? i : a, 0);
    const figures = values.lines.map(([name, xs, ys]) => `${name} ${word(ys[near(xs)])}`.trim());
    rule.style.left = 100 * (left + (x - first) / (last - first) * (right - left)) + "%";
    rule.style.visibility = "visible";
    told.textContent = `${values.across} ${Math.round(x).toLocaleString("en")}: `
      + figures.join(", ");
  });
  svg.addEventListener("pointerleave", () => {
    rule.style.visibility = "hidden";
    told.textContent = note;
  });
}
"""
