"""The frame of a report's page and its style, light and dark, wide and narrow."""

from __future__ import annotations

PAGE = """<!doctype html>
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
<p class=about>{about}</p>
<ul>
{figures}
</ul>
<main>
{cards}
</main>
{wide}
</body>
</html>
"""
# The colours are those of the page of training curves (Okabe and Ito, 2008).
STYLE = """
:root {
  --paper: #ffffff; --card: #f7f7f5; --ink: #3a3a38; --strong: #111110; --grid: #d9d9d4;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161615; --card: #1f1f1d; --ink: #b8b8b2; --strong: #f3f3ef; --grid: #3b3b38;
    --series-1: #56b4e9; --series-2: #f0954a; --series-3: #3cc79b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
h1 { margin: 0; font-size: 1.5rem; color: var(--strong); overflow-wrap: anywhere; }
h2 { margin: 0 0 .5rem; font-size: 1rem; font-weight: 600; color: var(--strong); }
p { margin: .75rem 0 0; font-size: .85rem; }
.about { margin: .25rem 0 1rem; font-size: 1rem; }
ul {
  display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr));
  margin: 0; padding: 0; list-style: none;
}
li { padding: .6rem .8rem; border-radius: .5rem; background: var(--card); }
li.main { box-shadow: inset .2rem 0 var(--series-1); }
li span, li small { display: block; font-size: .8rem; line-height: 1.3; }
li b { font-size: 1.35rem; font-weight: 600; color: var(--strong); }
main { columns: 30rem 2; column-gap: 1.25rem; margin: 1.25rem 0; }
section {
  break-inside: avoid; margin-bottom: 1.25rem; padding: 1rem; border-radius: .5rem;
  background: var(--card);
}
main > section:last-child { margin-bottom: 0; }
.scroll { overflow-x: auto; }
main table:not(.confusion) tbody th { min-width: 7rem; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: .85rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--grid); vertical-align: top; }
th:first-child { padding-left: 0; }
tbody tr:last-child > * { border-bottom: 0; }
th { font-weight: 600; text-align: left; color: var(--strong); }
thead th { font-weight: 400; color: var(--ink); }
td { font-variant-numeric: tabular-nums; }
.number { text-align: right; }
.number, .whole { white-space: nowrap; }
td:has(.bar) { width: 22%; min-width: 4rem; vertical-align: middle; }
.bar { display: block; width: 100%; height: 1rem; }
.bar .back { fill: var(--grid); opacity: .5; }
.bar .score { fill: var(--series-1); opacity: .75; }
.bar .interval { fill: var(--strong); }
.curve { display: block; width: 100%; max-width: 26rem; height: auto; margin: 0 auto; }
.curve line { stroke: var(--grid); }
.curve .even { stroke: var(--ink); stroke-dasharray: 4 4; }
.curve polyline { fill: none; stroke: var(--series-1); stroke-width: 1.5; opacity: .6; }
.curve circle { fill: var(--series-1); fill-opacity: .8; }
.curve text { fill: var(--ink); font-size: 12px; }
.confusion { width: auto; }
.confusion td { min-width: 2.6rem; text-align: right; border: 2px solid var(--card); }
.confusion thead th { vertical-align: bottom; text-align: right; }
.confusion thead th:first-child { text-align: left; }
.many thead th:not(:first-child) { writing-mode: vertical-rl; text-align: right; }
.confusion th { border: 0; white-space: nowrap; }
.confusion .right {
  color: var(--strong);
  background: color-mix(in srgb, var(--series-3) var(--share), transparent);
}
.confusion .wrong {
  color: var(--strong);
  background: color-mix(in srgb, var(--series-2) var(--share), transparent);
}
.confusion .none { opacity: .45; }
.mistakes th { max-width: 9rem; font-weight: 400; overflow-wrap: anywhere; color: var(--ink); }
.mistakes tbody th { min-width: 7rem; }
.mistakes td { min-width: 8rem; overflow-wrap: anywhere; }
.mistakes .number { min-width: 0; }
.mistakes td:first-of-type { width: 50%; color: var(--strong); }
.run th { width: 1%; font-weight: 400; white-space: nowrap; color: var(--ink); }
.run td { overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .mistakes :is(tr, th, td) { display: block; padding: 0; border: 0; text-align: left; }
  .mistakes tbody th { min-width: 0; max-width: none; }
  .mistakes td:first-of-type { width: auto; }
  .mistakes thead { display: none; }
  .mistakes tr { padding: .5rem 0; border-bottom: 1px solid var(--grid); }
  .mistakes td:nth-of-type(2)::before { content: "expected: "; }
  .mistakes td:nth-of-type(3)::before { content: "answered: "; }
  .mistakes td:nth-of-type(4) { display: none; }
}
"""
