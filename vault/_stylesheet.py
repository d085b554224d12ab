"""The one stylesheet of the pages: black on white, for screen and paper. No code.

States are told by words and shapes, never by colour alone. Nothing is fetched: fonts are whatever
the reader has. Paper size is the printer's choice, so that A4 and Letter both come out whole.
"""

from __future__ import annotations

STYLESHEET = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 66rem; padding: 2.5rem 2rem 4rem;
  background: #fff; color: #111;
  font: 1rem/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1, h2, h3 { line-height: 1.25; break-after: avoid; }
h1 { margin: 0 0 1.25rem; font-size: 1.75rem; }
h1 small { display: block; margin-bottom: .35rem; font-size: .95rem; font-weight: 400; }
h1 .title { display: block; font-size: 1.25rem; font-weight: 400; }
h2 { margin: 2.75rem 0 .75rem; padding-top: .6rem; border-top: 2px solid #111; font-size: 1.2rem; }
h3 { margin: 0; font-size: 1.05rem; }
p { margin: 0 0 .75rem; max-width: 44rem; }
code, .hash { font: .85em/1.45 Menlo, Consolas, "Liberation Mono", monospace; }
.sub { color: #444; font-size: .875rem; }
.once { white-space: nowrap; }
.name > div { white-space: break-spaces; word-break: break-all; overflow: hidden; }

dl { display: grid; grid-template-columns: 9.5rem 1fr; gap: .2rem 1rem; margin: 0 0 1rem; }
dt { color: #444; }
dd { margin: 0; }

.verdict { margin: 1.75rem 0 0; padding: 1rem 1.25rem; border: 2px solid #111; }
.verdict h2 { margin: 0 0 .35rem; padding: 0; border: 0; font-size: 1.35rem; }
.verdict p { margin: 0 0 .25rem; max-width: none; }

table { width: 100%; margin: 0 0 1rem; border-collapse: collapse; font-size: .9rem; }
caption { padding: 0 0 .5rem; color: #444; text-align: left; font-size: .875rem; }
th, td { padding: .4rem .8rem .4rem 0; text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead th {
  border-bottom: 1px solid #111; font-size: .8rem; line-height: 1.3; vertical-align: bottom;
}
th { overflow-wrap: break-word; }
tbody th { font-weight: 600; }
.rows tbody tr > *, .pairs tbody tr:first-child > * { border-top: 1px solid #bbb; }
.pairs tbody tr:first-child > * { padding-bottom: .1rem; }
.pairs tbody tr + tr > * { padding-top: 0; padding-bottom: .45rem; }
thead + tbody tr:first-child > * { border-top: 0; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.coverage { table-layout: fixed; }
.coverage .cited { width: 7.5rem; }
.coverage th { overflow-wrap: anywhere; }
.over { width: 15rem; }
.bar {
  display: block; width: 100%; height: .9rem; margin: .25rem 0;
  border: 1px solid #111; background: #fff;
}
.bar .covered { fill: #111; }
.bar .gap { fill: #fff; }
.ends { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 .75rem; }
.asked { width: min(24rem, 36vw); }
.item-title { width: 11.5rem; }
tbody .asked { font-weight: 400; }
.id { width: 4.6rem; white-space: nowrap; }
.link { width: 3rem; }
.when { width: 6.4rem; }
.clock { width: 9.5rem; }
.size { width: 5.6rem; }
.stamp { width: 11.6rem; }
.by { width: min(19rem, 30vw); }
.state { width: 9.5rem; }
.met { width: 6rem; white-space: nowrap; }
.span { width: 5.5rem; }

.mark { font-weight: 700; white-space: nowrap; }
.mark i { display: inline-block; width: 1.35em; font-style: normal; font-weight: 400; }
.told { margin-top: .15rem; padding-left: .6rem; border-left: 3px solid #111; }

.item { margin: 0 0 2rem; }
.item header {
  display: flex; flex-wrap: wrap; justify-content: space-between; gap: .25rem 1.5rem;
  padding: .55rem 0; border-top: 1px solid #111; break-after: avoid;
}
.item:first-of-type header { border-top: 0; }
.item dl { font-size: .9rem; margin-bottom: .6rem; }
.item .answer { width: 7.25rem; }
.item .cited { width: 8.5rem; }

.notes dt { color: #111; font-weight: 600; }
.notes dl { gap: .7rem 1.25rem; grid-template-columns: 11rem minmax(0, 46rem); }

@media screen and (max-width: 46rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.45rem; }
  dl, .notes dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, caption, tbody, tr, th, td { display: block; }
  .rows tbody tr, .pairs tbody { padding: .6rem 0; border-top: 1px solid #bbb; }
  .rows tbody tr > *, .pairs tbody tr:first-child > * { border-top: 0; }
  table th, table td { width: auto !important; padding: .1rem 0; text-align: left !important; }
  td[data-label] { display: grid; grid-template-columns: 8rem minmax(0, 1fr); gap: .75rem; }
  td[data-label]::before { content: attr(data-label); color: #444; }
  td:empty, td:has(> :empty:only-child) { display: none; }
  .hash { display: inline-block; max-width: 32.5ch; }
}

@media print {
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; line-height: 1.4; }
  h1 { margin-bottom: 1rem; }
  h2 { margin-top: 2.1rem; }
  p { orphans: 3; widows: 3; }
  .verdict { margin-top: 1.25rem; }
  thead { display: table-header-group; }
  .new-page { break-before: page; }
  .new-page h2 { margin-top: 0; }
  tr, .pairs tbody, .whole, .item, .verdict, .notes dt, .notes dd { break-inside: avoid; }
}
"""

PAPER = """
@page {
  margin: 17mm 15mm 19mm;
  @bottom-left { content: "%s"; font: 8pt Helvetica, Arial, "Liberation Sans", sans-serif; }
  @bottom-right {
    content: "Page " counter(page) " of " counter(pages);
    font: 8pt Helvetica, Arial, "Liberation Sans", sans-serif;
  }
}
"""
"""What stands at the foot of a printed page; takes a text without quotes or backslashes."""
