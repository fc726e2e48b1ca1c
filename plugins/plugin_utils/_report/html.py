# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""A report as one HTML page. The same input makes the same bytes.

The page is made by an autoescaping Jinja template; what is here decides what stands on it.
No Ansible, no clock; the template is read once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2

from ...module_utils import _calendar
from ...module_utils._gateway import exposition
from ...module_utils._prometheus.token_types import TYPES, WHOLE_OF
from ...module_utils._tables import visible
from .budgets import TOKENS, BudgetStatus
from .report import Report, Row, money_text, notes

# So many rows of a section are shown at once, and the others on demand.
FIRST = 10
# The chart of days, in the units of its drawing.
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 200, 56, 18, 20


@dataclass(frozen=True)
class PageHead:
    """What a page says of itself, beside the numbers."""

    cluster: str = ""
    account: str = ""
    price_list: str = ""
    """Where the prices come from."""
    about: str = ""
    """The namespace of which alone the page is."""


@dataclass(frozen=True)
class UsageGroup:
    """What some rows come to."""

    name: str
    requests: int
    total: int
    parts: tuple[tuple[str, int], ...]
    """Tokens by what the bar shows: input that is not cached, cached input, output."""
    amount: Decimal | None
    unpriced: int
    """Tokens without a price."""
    before: int = 0
    """The tokens of the period before."""


def to_html(
    report: Report,
    head: PageHead | None = None,
    before: Mapping[str, Any] | None = None,
    budgets: Sequence[BudgetStatus] = (),
) -> str:
    """The page.

    Args:
        report: the report.
        head: what the page says of itself.
        before: the result of token_usage_info for the period before, summed by the same.
        budgets: what became of budgets.
    """
    page = _page(report, head or PageHead(), before) | {"budgets": list(map(_budget, budgets))}
    if budgets:
        page["links"] = [("budgets", "Budgets"), *page["links"]]
    return _template().render(page=page) + "\n"


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(money=money_text, number=_number, share=_share, short=_short)
    text = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def _page(report: Report, head: PageHead, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """All that the template shows."""
    usage = report.usage
    place = _calendar.zone_of(report.zone)
    start, end = (_calendar.parse_time(usage[name], name).astimezone(place) for name in ("start", "end"))
    period = _calendar.name_of_span(start, end)
    sections = [_section(report, index, before) for index in range(len(report.by))] if report.rows else []
    chart = _chart(usage["days"]) if len(usage["days"]) > 1 and report.rows else None
    links = [(section["anchor"], f"By {section['title']}") for section in sections]
    links += [("by-day", "By day")] if chart else []
    links += [("rows", "Every row")] if report.rows else []
    doubts = list(usage.get("doubts") or ())
    whole = _group(report, "all", report.rows, _total_before(before))
    return {
        "period": period,
        "about": _shown(head.about),
        "facts": _facts(head, f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, {report.zone}"),
        "sure": _sure(doubts, usage.get("doubtful_tokens", 0), usage["total"], tuple(usage.get("missing") or ())),
        "doubts": doubts,
        "links": [*links, ("notes", "What to know")],
        "totals": _totals(report, whole, before),
        "sections": sections,
        "chart": chart,
        "by": [item.replace("_", " ") for item in report.by],
        "types": [kind.replace("_", " ") for kind in TYPES],
        "rows": [
            {
                "names": list(map(_shown, row.key)),
                "requests": row.requests,
                "tokens": [row.tokens.get(kind, 0) for kind in TYPES],
                "total": row.total,
                "amount": money_text(row.amount),
            }
            for row in report.rows
        ],
        "currency": report.prices.currency if report.prices else "",
        "has_unpriced": bool(whole.unpriced),
        "before_name": _name_before(before, report.zone),
        "notes": notes(report),
    }


def _budget(status: BudgetStatus) -> dict[str, Any]:
    """A budget as the page shows it."""

    def shown(number: Decimal) -> str:
        return _number(int(number)) if status.unit == TOKENS else f"{number:f}"

    used, budget = int(status.used * 10**9), int(status.budget * 10**9)
    state = "is spent" if status.left <= 0 else "may not last" if status.forecast > status.budget else ""
    return {
        "name": _shown(status.name),
        "unit": status.unit,
        "budget": shown(status.budget),
        "used": shown(status.used),
        "left": shown(status.left),
        "forecast": shown(status.forecast),
        "share": _share(used, budget),
        "width": _share(min(used, budget), budget),
        "state": state,
    }


def _facts(head: PageHead, period: str) -> list[tuple[str, str]]:
    """Who, what, when, and by which prices."""
    found = [
        ("Namespace", _shown(head.about)),
        ("Cluster", head.cluster),
        ("Account", head.account),
        ("Period", period),
        ("Prices", head.price_list),
    ]
    return [(label, text) for label, text in found if text]


def _sure(doubts: Sequence[str], tokens: int, total: int, missing: Sequence[str]) -> str:
    """How sure the numbers are, in a line."""
    if missing:
        return f"INCOMPLETE: what {', '.join(map(_shown, missing))} has used is in no sum of this page."
    if not doubts:
        return "Nothing is in doubt: these are all tokens of the period."
    number = f"{len(doubts)} {'doubt' if len(doubts) == 1 else 'doubts'}"
    if not tokens:
        return f"{number}, of which it is not known how many tokens they are."
    return f"{number}, which may be some {_number(tokens)} tokens ({_share(tokens, total)} % of the total)."


def _totals(report: Report, whole: UsageGroup, before: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The numbers of the whole, each with what it was before."""
    beside = ""
    if before is not None:
        beside = f"{_name_before(before, report.zone)}: {_number(before['total'])}"
    found = [("tokens", _number(report.usage["total"]), beside)]
    found += [("requests", _number(report.usage["requests"]), "")]
    found += [(label, _number(tokens), "") for label, tokens in zip(LABELS, dict(whole.parts).values(), strict=True)]
    if report.prices:
        found.append((report.prices.currency, money_text(report.amount), ""))
    if whole.unpriced:
        found.append(("tokens without a price", _number(whole.unpriced), ""))
    return found


LABELS = ("input, not cached", "cached input", "output")


def _section(report: Report, index: int, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """How much each value of a dimension has."""
    rows: dict[str, list[Row]] = {}
    for row in report.rows:
        rows.setdefault(row.key[index], []).append(row)
    earlier: dict[str, int] = {}
    for item in (before or {}).get("rows", ()):
        value = item[report.by[index]]
        earlier[value] = earlier.get(value, 0) + item["total"]
    # Who has used nothing any more is a part of what was used before.
    for value in earlier:
        rows.setdefault(value, [])
    order = sorted(rows, key=lambda value: (-sum(row.total for row in rows[value]), -earlier.get(value, 0), value))
    groups = [_group(report, _shown(value), rows[value], earlier.get(value, 0)) for value in order]
    # A single row behind a fold would be no less to read.
    first = groups if len(groups) <= FIRST + 1 else groups[:FIRST]
    others = groups[len(first) :]
    rest_rows = [row for value in order[len(first) :] for row in rows[value]]
    return {
        "anchor": f"by-{index}",
        "title": report.by[index].replace("_", " "),
        "first": first,
        "others": others,
        "rest": _group(report, "others", rest_rows, sum(group.before for group in others)),
        "whole": _group(report, "all", report.rows, _total_before(before)),
        "most": max(group.total for group in groups),
    }


def _group(report: Report, name: str, rows: Iterable[Row], before: int) -> UsageGroup:
    own = list(rows)
    total = sum(row.total for row in own)
    output = sum(row.tokens.get("output", 0) + _beside(row, "output") for row in own)
    cached = min(sum(row.tokens.get("cached_input", 0) for row in own), total - output)
    parts = (("input", total - output - cached), ("cached", cached), ("output", output))
    amounts = [row.amount for row in own if row.amount is not None]
    unpriced = sum(row.total for row in own if row.amount is None) if report.prices else 0
    amount = sum(amounts, Decimal(0)) if amounts else None
    return UsageGroup(name, sum(row.requests for row in own), total, parts, amount, unpriced, before)


def _beside(row: Row, whole: str) -> int:
    """The tokens of parts that a type does not contain, although it commonly does."""
    return sum(count for part, count in row.beside.items() if WHOLE_OF.get(part) == whole)


def _total_before(before: Mapping[str, Any] | None) -> int:
    return int(before["total"]) if before else 0


def _name_before(before: Mapping[str, Any] | None, zone: str) -> str:
    if before is None:
        return ""
    place = _calendar.zone_of(zone)
    start, end = (_calendar.parse_time(before[name], name).astimezone(place) for name in ("start", "end"))
    return _calendar.name_of_span(start, end)


def _chart(days: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A column for each day, in whole tenths of a unit, so that the same input makes the same bytes."""
    top = _nice(max(day["total"] for day in days))
    room, height = WIDTH - LEFT, HEIGHT - TOP - BOTTOM
    step = room / len(days)
    every = max(1, round(len(days) / 8))
    columns = []
    for number, day in enumerate(days):
        tall = day["total"] * height / top
        x = LEFT + number * step
        columns.append(
            {
                "date": day["date"],
                "total": day["total"],
                "requests": day["requests"],
                "x": round(x + step * 0.1, 1),
                "y": round(TOP + height - tall, 1),
                "width": round(step * 0.8, 1),
                "height": round(tall, 1),
                "middle": round(x + step / 2, 1),
                # The text of one at the edge stays within the drawing.
                "tip": round(min(max(x + step / 2, LEFT + 60), WIDTH - 70), 1),
                "label": day["date"][5:] if number % every == 0 else "",
            }
        )
    ticks = [{"value": top * part // 4, "y": round(TOP + height - height * part / 4, 1)} for part in range(5)]
    return {"width": WIDTH, "height": HEIGHT, "left": LEFT, "ticks": ticks, "days": columns}


def _nice(most: int) -> int:
    """A round number that is not below the largest, for an axis with quarters."""
    scale = 1
    while 40 * scale < most:
        scale *= 10
    return next(number * scale for number in (4, 8, 12, 20, 40) if number * scale >= most)


def _shown(text: str) -> str:
    """A name from outside; control characters are shown as what they are not, an encoded array as what it has in it."""
    return visible(exposition.shown_value(text))


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _short(value: int) -> str:
    """A round number for an axis."""
    for size, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return str(value)


def _share(part: int, whole: int) -> str:
    """Per cent with one digit, in whole numbers: no float decides a rounding."""
    mille = (part * 2000 + whole) // (2 * whole) if whole else 0
    return f"{mille // 10}.{mille % 10}"
