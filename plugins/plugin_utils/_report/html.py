# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""A report as one HTML page that needs nothing else: no network, no script.

Whatever came from outside is escaped, and isolated so that a name in a script that runs from right to left turns
nothing around. The same input makes the same bytes. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from ...module_utils._gateway import exposition
from ...module_utils._prometheus.overlap import TYPES
from .report import Report, Row, notes

# The page may load nothing, whatever a name should have smuggled in.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #8886; --bar: #2f6fd0; --soft: #8881; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0 1.5rem; list-style: none; padding: 0; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1.5rem 0; }
dl div { display: flex; flex-direction: column-reverse; }
dd { font-size: 1.5rem; font-variant-numeric: tabular-nums; margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: 100%; }
caption { text-align: start; padding-bottom: .5rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .75rem; text-align: end; vertical-align: top; }
th.name, td.name { overflow-wrap: anywhere; text-align: start; min-width: 8rem; }
th { font-weight: 600; }
tbody th { font-weight: 400; }
tfoot th, tfoot td { border-top: 2px solid var(--line); font-weight: 600; }
td { font-variant-numeric: tabular-nums; }
td.share { min-width: 10rem; }
.bar { background: var(--soft); block-size: .6rem; border-radius: .3rem; margin-top: .2rem; overflow: hidden; }
.bar i { background: var(--bar); block-size: 100%; border-radius: .3rem; display: block; }
a:focus-visible, .scroll:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px; }
.trend { align-items: end; block-size: 8rem; display: flex; gap: 2px; margin: 1rem 0 .2rem; }
.ends { display: flex; font-size: .85rem; justify-content: space-between; margin: 0 0 1rem; }
.trend i { background: var(--bar); border-radius: .2rem .2rem 0 0; flex: 1; max-inline-size: 3rem; }
@media (prefers-color-scheme: dark) { :root { --bar: #7fb0ff; } }
@media print {
  body { margin: 0; max-width: none; }
  nav { display: none; }
  .scroll { overflow: visible; }
  tr { break-inside: avoid; }
  .bar i, .trend i { print-color-adjust: exact; }
}
"""


def _name(text: str) -> str:
    """A name from outside; control characters are shown as what they are not, an encoded array as what it has in it."""
    plain = exposition.shown_value(text)
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in plain)
    return f"<bdi>{escape(shown)}</bdi>" if text else "<i>none</i>"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _share(part: int, whole: int) -> str:
    """Per cent with one digit, in whole numbers: no float decides a rounding."""
    mille = (part * 2000 + whole) // (2 * whole) if whole else 0
    return f"{mille // 10}.{mille % 10}"


def _bar(part: int, whole: int) -> str:
    share = _share(part, whole)
    return f'<td class="share">{share} %<div class="bar" aria-hidden="true"><i style="width: {share}%"></i></div></td>'


def _amount(report: Report, amounts: Iterable[Decimal | None]) -> list[str]:
    """The cell of an amount, where there are prices; what has no price is in no sum, and never shown as 0."""
    if report.prices is None:
        return []
    every = list(amounts)
    known = [amount for amount in every if amount is not None]
    parts = [str(sum(known, Decimal(0)))] if known or not every else []
    return [f"<td>{' + '.join(parts + ['unpriced'] * (len(known) < len(every)))}</td>"]


def _table(caption: str, head: Sequence[str], names: int, body: Iterable[str], foot: str, label: str) -> list[str]:
    """A table that can be scrolled sideways, by keyboard as well."""
    cells = [
        f'<th scope="col"{" class=" + chr(34) + "name" + chr(34) if index < names else ""}>{text}</th>'
        for index, text in enumerate(head)
    ]
    return [
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0">',
        f"<table><caption>{caption}</caption>",
        f"<thead><tr>{''.join(cells)}</tr></thead>",
        "<tbody>",
        *body,
        "</tbody>",
        f"<tfoot><tr>{foot}</tr></tfoot>",
        "</table></div>",
    ]


def _grouped(report: Report, index: int) -> list[tuple[str, list[Row]]]:
    """The rows by what one of the dimensions says, the most used first."""
    found: dict[str, list[Row]] = {}
    for row in report.rows:
        found.setdefault(row.key[index], []).append(row)
    return sorted(found.items(), key=lambda item: (-sum(row.total for row in item[1]), item[0]))


def _section(report: Report, index: int) -> list[str]:
    """How much each value of a dimension has of the whole."""
    title = report.by[index].replace("_", " ")
    whole = sum(row.total for row in report.rows)
    money = [escape(report.prices.currency)] if report.prices else []
    body = []
    for name, rows in _grouped(report, index):
        total = sum(row.total for row in rows)
        cells = [f"<td>{_number(sum(row.requests for row in rows))}</td>", f"<td>{_number(total)}</td>"]
        cells += [_bar(total, whole), *_amount(report, (row.amount for row in rows))]
        body.append(f'<tr><th scope="row" class="name">{_name(name)}</th>{"".join(cells)}</tr>')
    foot = [
        '<th scope="row" class="name">all</th>',
        f"<td>{_number(sum(row.requests for row in report.rows))}</td>",
        f"<td>{_number(whole)}</td>",
        "<td></td>",
        *_amount(report, (row.amount for row in report.rows)),
    ]
    head = [title, "requests", "tokens", "share", *money]
    caption = f"Tokens, input and output, by {title}; the most used first"
    return [
        f'<section><h2 id="by-{index}">By {title}</h2>',
        *_table(caption, head, 1, body, "".join(foot), f"By {title}"),
        "</section>",
    ]


def _trend(report: Report) -> list[str]:
    """The tokens of each day: a picture of them, and the same as a table."""
    days = report.usage["days"]
    most = max(day["total"] for day in days)
    columns = "".join(f'<i style="height: {_share(day["total"], most)}%"></i>' for day in days)
    body = [
        f'<tr><th scope="row" class="name"><time>{escape(day["date"])}</time></th><td>{_number(day["requests"])}</td>'
        f"<td>{_number(day['total'])}</td><td>{_share(day['total'], report.usage['total'])} %</td></tr>"
        for day in days
    ]
    foot = (
        f'<th scope="row" class="name">all</th><td>{_number(report.usage["requests"])}</td>'
        f"<td>{_number(report.usage['total'])}</td><td></td>"
    )
    caption = "Tokens, input and output, of each day"
    return [
        '<section><h2 id="by-day">By day</h2>',
        f'<div class="trend" aria-hidden="true">{columns}</div>',
        f'<p class="ends" aria-hidden="true"><span>{escape(days[0]["date"])}</span>'
        f"<span>{escape(days[-1]['date'])}</span></p>",
        *_table(caption, ["day", "requests", "tokens", "share"], 1, body, foot, "By day"),
        "</section>",
    ]


def _every_row(report: Report) -> list[str]:
    names = len(report.by)
    money = [escape(report.prices.currency)] if report.prices else []
    types = [kind.replace("_", " ") for kind in TYPES]
    body = []
    for row in report.rows:
        first, *others = map(_name, row.key)
        cells = [f'<th scope="row" class="name">{first}</th>', *(f'<td class="name">{text}</td>' for text in others)]
        cells += [
            f"<td>{_number(value)}</td>" for value in (row.requests, *(row.tokens.get(kind, 0) for kind in TYPES))
        ]
        cells += [f"<td>{_number(row.total)}</td>", *_amount(report, [row.amount])]
        body.append(f"<tr>{''.join(cells)}</tr>")
    tokens = [report.usage["tokens"].get(kind, 0) for kind in TYPES]
    foot = [
        f'<th scope="row" class="name" colspan="{names}">all</th>',
        *(f"<td>{_number(value)}</td>" for value in (report.usage["requests"], *tokens, report.usage["total"])),
        *_amount(report, (row.amount for row in report.rows)),
    ]
    head = [*(item.replace("_", " ") for item in report.by), "requests", *types, "total", *money]
    caption = "Cached and cache-creation input are parts of input, reasoning is a part of output"
    return [
        '<section><h2 id="rows">Every row</h2>',
        *_table(caption, head, names, body, "".join(foot), "Every row"),
        "</section>",
    ]


def to_html(report: Report) -> str:
    """The page."""
    whole = [("tokens", _number(report.usage["total"])), ("requests", _number(report.usage["requests"]))]
    if report.prices:
        whole.append((report.prices.currency, f"{report.amount}{' + unpriced' if report.unpriced else ''}"))
    sections = [(f"by-{index}", f"By {item.replace('_', ' ')}") for index, item in enumerate(report.by)]
    # One day is no trend.
    trend = [("by-day", "By day")] * (len(report.usage["days"]) > 1)
    links = [*sections, *trend, ("rows", "Every row"), ("notes", "What to know")]
    start, end = escape(report.usage["start"]), escape(report.usage["end"])
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Token usage, {start} to {end}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<header><h1>Token usage</h1>",
        f'<p>from <time datetime="{start}">{start}</time> to <time datetime="{end}">{end}</time></p></header>',
        '<nav aria-label="Contents"><ul>',
        *(f'<li><a href="#{anchor}">{escape(text)}</a></li>' for anchor, text in links),
        "</ul></nav>",
        "<main>",
        "<dl>" + "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in whole) + "</dl>",
    ]
    if not report.rows:
        lines.append("<p>Nothing was used in this period.</p>")
    else:
        for index in range(len(report.by)):
            lines += _section(report, index)
        lines += _trend(report) if trend else []
        lines += _every_row(report)
    lines += ['<section><h2 id="notes">What to know</h2>', "<ul>"]
    lines += [f"<li><bdi>{escape(note)}</bdi></li>" for note in notes(report)]
    lines += ["</ul></section>", "</main>", "</body>", "</html>"]
    return "\n".join(lines) + "\n"
