# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What was used in a period, as a table, as CSV and as JSON; the same input makes the same bytes.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import io
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...module_utils import _calendar
from ...module_utils._errors import MeteringError
from ...module_utils._gateway import exposition
from ...module_utils._lists import words_of
from ...module_utils._prometheus.token_types import PARTS, TYPES
from ...module_utils._tables import in_columns, shortened, visible
from .prices import Charge, Price, PriceList

# AWX keeps the artifacts of a job in its database, and hands them to the next.
ARTIFACT_ROWS = 50
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """What was used by one of those that are summed by."""

    key: tuple[str, ...]
    tokens: Mapping[str, int]
    total: int
    requests: int
    amount: Decimal | None
    """What it costs, rounded; None where its model has no price, or nothing has."""
    charges: tuple[Charge, ...] = ()
    """What that is made of."""
    beside: Mapping[str, int] = field(default_factory=dict)
    """Of the tokens, by type, those of parts that the type which commonly contains them does not contain."""
    priced_as: str = ""
    """The name that its model has in a public list of prices; empty for a list of one's own."""


@dataclass(frozen=True)
class Report:
    """A period with its rows, in the order of their keys."""

    usage: Mapping[str, Any]
    by: tuple[str, ...]
    rows: tuple[Row, ...]
    prices: PriceList | None
    zone: str = "UTC"
    """The time zone in which its days begin."""
    range: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    """What all of it costs at the lowest and the highest rates that may have held."""
    ambiguous: tuple[str, ...] = ()
    """Why some models have no price although there are several."""

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The models of which something has no price, each with its provider where that is known."""
        if self.prices is None:
            return ()
        return tuple(sorted({self._model_of(row) for row in self.rows if row.amount is None}))

    @property
    def priced_as(self) -> dict[str, str]:
        """By model, the name that it has in a public list of prices."""
        return {self._model_of(row): row.priced_as for row in self.rows if row.priced_as}

    def _model_of(self, row: Row) -> str:
        names = dict(zip(self.by, row.key, strict=True))
        return f"{names['model']} ({names['provider']})" if names.get("provider") else names["model"]

    @property
    def amount(self) -> Decimal | None:
        """The sum of the rounded amounts, so that what is shown adds up."""
        priced = [row.amount for row in self.rows if row.amount is not None]
        return sum(priced, Decimal(0)) if self.prices else None


def build_report(usage: Mapping[str, Any], prices: PriceList | None = None, zone: str = "UTC") -> Report:
    """A report out of the result of token_usage_info.

    Args:
        usage: that result.
        prices: None where nothing is to be priced.
        zone: the time zone in which a day begins, and with it a price.

    Raises:
        MeteringError: the price list changes within the period, or the model is not summed by.
    """
    # As a survey gives it, it may be a text.
    by = tuple(words_of(usage["by"]))
    place = _calendar.zone_of(zone)
    start, end = (_calendar.parse_time(usage[name], name).astimezone(place) for name in ("start", "end"))
    if prices is not None:
        if "model" not in by:
            raise MeteringError(
                f"The report has prices, but is grouped by {', '.join(by)}.",
                "Each price belongs to a model.",
                "Add model to report_by, or leave report_prices out.",
            )
        if prices.needs_provider and "provider" not in by:
            raise MeteringError(
                f"The price list has prices of some providers, but the report is grouped by {', '.join(by)}.",
                "Without the provider it is not known which price holds.",
                "Add provider to report_by, or leave the providers out of the price list.",
            )
        _refuse_changes(prices, start, end)
    pricing = _Pricing(prices, _calendar.day_of(start.timestamp(), place))
    rows = tuple(pricing.row(item, by) for item in sorted(usage["rows"], key=lambda item: [item[name] for name in by]))
    return Report(
        usage,
        by,
        rows,
        prices,
        zone,
        (pricing.low, pricing.high),
        tuple(sorted(pricing.ambiguous)),
    )


@dataclass
class _Pricing:
    """Prices rows one after another, and notes what is to be said of the prices."""

    prices: PriceList | None
    day: datetime.date
    ambiguous: set[str] = field(default_factory=set)
    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)

    def row(self, item: Mapping[str, Any], by: tuple[str, ...]) -> Row:
        """A row of the report."""
        key, beside = tuple(item[name] for name in by), item.get("beside") or {}
        price = self._price_of(item)
        if self.prices is None or price is None:
            return Row(key, item["tokens"], item["total"], item["requests"], None, (), beside)
        self.low += price.range[0].cost(item["tokens"], beside)
        self.high += price.range[1].cost(item["tokens"], beside)
        charges = tuple(price.charges(item["tokens"], beside))
        amount = self.prices.rounded(sum((charge.cost for charge in charges), Decimal(0)))
        name = price.model if price.is_literal else ""
        return Row(key, item["tokens"], item["total"], item["requests"], amount, charges, beside, name)

    def _price_of(self, item: Mapping[str, Any]) -> Price | None:
        if self.prices is None:
            return None
        try:
            return self.prices.of(item["model"], self.day, item.get("provider", ""))
        except MeteringError as error:
            # A period that took long to read is not thrown away for one model.
            self.ambiguous.add(str(error))
            return None


def by_namespace(report: Report) -> dict[str, Report]:
    """The report in parts: for each namespace what it has used, and nothing of any other.

    The doubts name others' pods and callers: a part says how many there are, and no more.

    Raises:
        MeteringError: the report is not grouped by namespace.
    """
    if "namespace" not in report.by:
        raise MeteringError(
            f"The report is grouped by {', '.join(report.by)}, and a part for each namespace is wanted.",
            "Without the namespace nobody's part is known.",
            "Add namespace to report_by, or leave report_per_namespace out.",
        )
    index = report.by.index("namespace")
    parts: dict[str, list[Row]] = {}
    for row in report.rows:
        if row.key[index]:
            parts.setdefault(row.key[index], []).append(row)
    return {name: _part(report, rows) for name, rows in sorted(parts.items())}


def _part(report: Report, rows: list[Row]) -> Report:
    tokens: dict[str, int] = {}
    beside: dict[str, int] = {}
    for row in rows:
        for found, own in ((tokens, row.tokens), (beside, row.beside)):
            for kind, count in own.items():
                found[kind] = found.get(kind, 0) + count
    number = len(report.usage.get("doubts") or ())
    doubts = [f"the report of the whole has {number} doubts: ask who runs the platform"] if number else []
    usage = {
        **{name: report.usage[name] for name in ("start", "end", "by")},
        "days": [],
        "tokens": tokens,
        "beside": beside,
        "total": sum(row.total for row in rows),
        "requests": sum(row.requests for row in rows),
        "doubts": doubts,
        "doubtful_tokens": 0,
    }
    return dataclasses.replace(
        report,
        usage=usage,
        rows=tuple(rows),
        # Others' models are not named, and the range is that of the whole.
        range=(Decimal(0), Decimal(0)),
        ambiguous=(),
    )


def file_name(namespace: str) -> str:
    """A name for a file, whatever a namespace is called: no path, and another for another namespace."""
    quoted = urllib.parse.quote(namespace, safe="")
    # Some file systems take 255 characters.
    return f"namespace-{quoted if len(quoted) <= 200 else hashlib.sha256(namespace.encode()).hexdigest()}"


def _refuse_changes(prices: PriceList, start: datetime.datetime, end: datetime.datetime) -> None:
    for price in prices.changes(start, end):
        raise MeteringError(
            f"The price of {price.model} changes on {price.valid_from}, within the period from {start.isoformat()} to "
            f"{end.isoformat()}.",
            "Tokens before and after that day have different prices.",
            f"Make two reports: report_to={price.valid_from} and report_from={price.valid_from}.",
        )


def _exceeded(report: Report) -> list[str]:
    """The rows whose parts are more than their whole, as with providers that count the cached input apart."""
    return [
        f"{' '.join(filter(None, map(visible_name, row.key)))} has more tokens in the parts of {whole} than "
        f"{whole} tokens: its provider may count them apart"
        for row in report.rows
        for whole, parts in PARTS.items()
        if sum(row.tokens.get(part, 0) - row.beside.get(part, 0) for part in parts) > row.tokens.get(whole, 0)
    ]


def money_text(amount: Decimal | None) -> str:
    """An amount with all its digits, and no exponent; empty for none."""
    return "" if amount is None else f"{amount:f}"


def visible_name(text: str) -> str:
    """A name for a terminal: an encoded array as what it has in it."""
    return shortened(exposition.shown_value(text))


def report_table(report: Report) -> list[str]:
    """The lines for a terminal."""
    money = [report.prices.currency] if report.prices else []
    lines: list[tuple[str, ...]] = [(*report.by, "requests", *TYPES, "total", *money)]
    for row in report.rows:
        amount = [] if report.prices is None else ["unpriced" if row.amount is None else money_text(row.amount)]
        tokens = [str(row.tokens.get(kind, 0)) for kind in TYPES]
        lines.append(
            (*(visible_name(text) or "-" for text in row.key), str(row.requests), *tokens, str(row.total), *amount)
        )
    whole = [str(report.usage["tokens"].get(kind, 0)) for kind in TYPES]
    lines.append(
        (
            "all",
            *[""] * (len(report.by) - 1),
            str(report.usage["requests"]),
            *whole,
            str(report.usage["total"]),
            *([money_text(report.amount)] if report.prices else []),
        )
    )
    return [
        f"from {report.usage['start']} to {report.usage['end']}",
        *in_columns(lines, len(report.by)),
        *notes(report),
    ]


# Of a doubt in a line: a sentence or two, and a name.
MOST_OF_A_DOUBT = 600


def notes(report: Report) -> list[str]:
    """What has to be known to read the numbers."""
    found = ["total is input and output; the other types are parts of these"]
    apart = {kind: sum(row.beside.get(kind, 0) for row in report.rows) for kind in TYPES}
    found += [
        f"but {count} {kind} tokens are counted apart, as v0.4 does for some upstreams, and are in the total as well"
        for kind, count in apart.items()
        if count
    ]
    if report.prices:
        found.append(f"amounts are rounded to {report.prices.digits} digits, half to even, and then added up")
    found += [
        f"{visible_name(model)} is priced as {shortened(name)}"
        for model, name in sorted(report.priced_as.items())
        if model != name
    ]
    if report.prices and report.range[0] != report.range[1]:
        low, high = map(report.prices.rounded, report.range)
        found.append(
            "prices are taken at their base; with long contexts, batches or priority, of which nothing is stored, the "
            f"amounts may be from {low} to {high} {report.prices.currency}"
        )
    if report.unpriced:
        found.append(f"without a price, and not part of any amount: {', '.join(map(shortened, report.unpriced))}")
    found += map(visible, report.ambiguous)
    found += map(visible, _exceeded(report))
    return found + [f"doubt: {shortened(doubt, MOST_OF_A_DOUBT)}" for doubt in report.usage["doubts"]]


def to_artifact(report: Report) -> dict[str, Any]:
    """What a job keeps of a report: its sums, and the rows with the most tokens. The files have all of it."""
    most = sorted(report.rows, key=lambda row: (-row.total, row.key))
    return {
        **{name: report.usage[name] for name in ("start", "end", "requests", "tokens", "total")},
        **({"amount": money_text(report.amount), "currency": report.prices.currency} if report.prices else {}),
        "rows": [dict(zip(report.by, row.key, strict=True)) | {"total": row.total} for row in most[:ARTIFACT_ROWS]],
        "rows_left_out": len(most[ARTIFACT_ROWS:]),
        "doubts": len(report.usage["doubts"]),
        "doubtful_tokens": report.usage.get("doubtful_tokens") or 0,
        "missing": sorted(report.usage.get("missing") or ()),
    }


def cell(text: str) -> str:
    """A text as a cell that no spreadsheet runs."""
    return f"'{text}" if text.lstrip(" \n").startswith(_FORMULA) else text


def to_csv(report: Report) -> str:
    """The rows as CSV (RFC 4180), with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    money = ["amount", "currency"] if report.prices else []
    writer.writerow(["start", "end", *report.by, "requests", *TYPES, "total", *money])
    for row in report.rows:
        amount = [] if report.prices is None else [money_text(row.amount), report.prices.currency]
        tokens = [row.tokens.get(kind, 0) for kind in TYPES]
        cells = [*(cell(exposition.shown_value(text)) for text in row.key), row.requests, *tokens, row.total, *amount]
        writer.writerow([report.usage["start"], report.usage["end"], *cells])
    return text.getvalue()


def to_json(report: Report, budgets: Sequence[Mapping[str, str]] = (), account: str = "") -> str:
    """The whole report as JSON; amounts are texts, because a number of JSON may become a binary float.

    Args:
        report: the report.
        budgets: what became of budgets.
        account: what the billing account is called; reports of several clusters are merged under these names.
    """
    document = {
        "account": account,
        "start": report.usage["start"],
        "end": report.usage["end"],
        "by": list(report.by),
        "rows": [
            {
                **dict(zip(report.by, row.key, strict=True)),
                "requests": row.requests,
                "tokens": dict(row.tokens),
                "beside": dict(row.beside),
                "total": row.total,
                **({"amount": None if row.amount is None else money_text(row.amount)} if report.prices else {}),
            }
            for row in report.rows
        ],
        "days": [dict(day) for day in report.usage["days"]],
        "requests": report.usage["requests"],
        "tokens": report.usage["tokens"],
        "beside": report.usage.get("beside") or {},
        "total": report.usage["total"],
        **({"amount": money_text(report.amount), "currency": report.prices.currency} if report.prices else {}),
        "unpriced": list(report.unpriced),
        "doubts": list(report.usage["doubts"]),
        "doubtful_tokens": report.usage.get("doubtful_tokens") or 0,
        "missing": dict(report.usage.get("missing") or {}),
        **{name: report.usage[name] for name in ("source", "clusters", "sources") if name in report.usage},
        **({"budgets": list(budgets)} if budgets else {}),
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
