# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Budgets for a month of the calendar: what was used of each, what is left, and what the month may come to.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...module_utils import _calendar
from ...module_utils._errors import MeteringError
from ...module_utils._tables import in_columns
from .prices import matches_pattern
from .report import Report, Row, visible_name

# What a budget can be of.
DIMENSIONS = ("namespace", "department")
TOKENS = "tokens"
NO_MONTH = (
    "budgets are for a month of the calendar from its beginning, which this period is not: nothing is said of them"
)
_COUNT = re.compile(r"(?=.{1,25}\Z)[1-9][0-9]*(_[0-9]+)*\Z")
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z")


@dataclass(frozen=True)
class Budget:
    """What one namespace or department may use in a month; with a pattern, each that it matches."""

    dimension: str
    """One of DIMENSIONS."""
    pattern: str
    """* stands for any characters, ? for one."""
    tokens: int | None = None
    amount: Decimal | None = None
    """In the currency of the price list. A budget is of tokens or of money."""

    @property
    def is_pattern(self) -> bool:
        return bool(set("*?") & set(self.pattern))


@dataclass(frozen=True)
class BudgetStatus:
    """What became of a budget."""

    dimension: str
    name: str
    unit: str
    """`tokens`, or a currency."""
    budget: Decimal
    used: Decimal
    forecast: Decimal
    """What the month comes to, if it goes on as it did."""

    @property
    def left(self) -> Decimal:
        """Below 0 where more was used."""
        return self.budget - self.used


def budget_error(found: str) -> MeteringError:
    return MeteringError(
        f"The list of budgets is not valid: {found}.",
        "Nobody would be warned, or everybody.",
        "Correct it; docs/howto/prices-and-budgets.md has an example.",
    )


def parse_budgets(document: Any) -> tuple[Budget, ...]:
    """Budgets out of what their file says, every scalar as the text that was written.

    Raises:
        MeteringError: it is none, or has two budgets for the same.
    """
    if not isinstance(document, Mapping) or set(document) != {"budgets"} or not isinstance(document["budgets"], list):
        raise budget_error("it needs a list budgets, and nothing else")
    found = [_budget(entry, number) for number, entry in enumerate(document["budgets"], start=1)]
    seen: dict[tuple[str, str, bool], int] = {}
    for number, budget in enumerate(found, start=1):
        key = budget.dimension, budget.pattern, budget.tokens is None
        if seen.setdefault(key, number) != number:
            raise budget_error(f"entries {seen[key]} and {number} are both for {budget.dimension} {budget.pattern}")
        for earlier_number, earlier in enumerate(found[: number - 1], start=1):
            same = (earlier.dimension, earlier.tokens is None) == (budget.dimension, budget.tokens is None)
            if (
                same
                and earlier.is_pattern
                and not budget.is_pattern
                and matches_pattern(earlier.pattern, budget.pattern)
            ):
                raise budget_error(
                    f"entry {number} ({budget.pattern}) is never used: entry {earlier_number} ({earlier.pattern}) "
                    "matches it, and the first match counts. Put the narrower one first"
                )
    return tuple(found)


def _budget(entry: Any, number: int) -> Budget:
    where = f"entry {number}"
    if not isinstance(entry, Mapping):
        raise budget_error(f"{where} is no mapping")
    unknown = sorted(map(str, set(entry) - {*DIMENSIONS, "tokens", "amount"}))
    if unknown:
        raise budget_error(f"{where} has the unknown key {', '.join(unknown)}")
    whose = [name for name in DIMENSIONS if name in entry]
    of = [name for name in ("tokens", "amount") if name in entry]
    if len(whose) != 1 or len(of) != 1:
        raise budget_error(f"{where} needs one of {', '.join(DIMENSIONS)}, and one of tokens, amount")
    pattern, text = entry[whose[0]], entry[of[0]]
    if not isinstance(pattern, str) or not pattern or pattern != pattern.strip():
        raise budget_error(f"{where} has the {whose[0]} {pattern!r}, which is not a name")
    if of[0] == "tokens":
        if not isinstance(text, str) or not _COUNT.match(text):
            raise budget_error(f"{where} ({pattern}) has tokens {text!r}, which is not a whole number above 0")
        return Budget(whose[0], pattern, tokens=int(text))
    if not isinstance(text, str) or not _AMOUNT.match(text) or not Decimal(text):
        raise budget_error(f"{where} ({pattern}) has the amount {text!r}, which is not a number such as 250.00")
    return Budget(whose[0], pattern, amount=Decimal(text))


def check_budgets(budgets: Iterable[Budget], by: Sequence[str], *, has_prices: bool) -> None:
    """Refuse budgets of which a report could not say anything.

    Raises:
        MeteringError: the report is not grouped by what they are of, or has no prices.
    """
    for budget in budgets:
        if budget.dimension not in by:
            raise MeteringError(
                f"There is a budget for {budget.dimension} {budget.pattern}, but the report is grouped by "
                f"{', '.join(by)}.",
                "What was used of it is not known.",
                f"Add {budget.dimension} to report_by, or leave report_budgets out.",
            )
        if budget.amount is not None and not has_prices:
            raise MeteringError(
                f"The budget for {budget.dimension} {budget.pattern} is an amount, but the report has no prices.",
                "What was used of it is not known.",
                "Set report_prices, or give that budget in tokens.",
            )


def budget_statuses(report: Report, budgets: Sequence[Budget]) -> list[BudgetStatus]:
    """What became of each budget; nothing where the period is not within one month, from its beginning.

    Of several budgets that match a name, the first in the list counts, of tokens and of money each.
    """
    share = elapsed_share(report)
    if share is None:
        return []
    found = []
    for dimension in DIMENSIONS:
        own = [budget for budget in budgets if budget.dimension == dimension]
        if not own:
            continue
        index = report.by.index(dimension)
        rows: dict[str, list[Row]] = {budget.pattern: [] for budget in own if not budget.is_pattern}
        for row in report.rows:
            rows.setdefault(row.key[index], []).append(row)
        for name, used in sorted(rows.items()):
            found += _statuses(report, dimension, name, used, own, share) if name else []
    return sorted(found, key=lambda status: (-status.used / status.budget, status.dimension, status.name, status.unit))


def of_namespace(statuses: Sequence[BudgetStatus], name: str) -> list[BudgetStatus]:
    """The budgets of one namespace."""
    return [status for status in statuses if (status.dimension, status.name) == ("namespace", name)]


def budget_lines(statuses: Sequence[BudgetStatus]) -> list[str]:
    """The budgets for a terminal."""
    if not statuses:
        return []
    lines: list[tuple[str, ...]] = [("budget of", "unit", "budget", "used", "left", "month may come to")]
    lines += [
        (visible_name(it.name), it.unit, *(f"{number:f}" for number in (it.budget, it.used, it.left, it.forecast)))
        for it in statuses
    ]
    return in_columns(lines, 2)


def budgets_as_json(statuses: Sequence[BudgetStatus]) -> list[dict[str, str]]:
    """The budgets for JSON, numbers as texts."""
    return [
        {
            "dimension": it.dimension,
            "name": it.name,
            "unit": it.unit,
            **{key: f"{getattr(it, key):f}" for key in ("budget", "used", "left", "forecast")},
        }
        for it in statuses
    ]


def _statuses(
    report: Report, dimension: str, name: str, rows: Sequence[Row], budgets: Sequence[Budget], share: Decimal
) -> list[BudgetStatus]:
    fitting = [budget for budget in budgets if matches_pattern(budget.pattern, name)]
    found = []
    tokens = next((budget.tokens for budget in fitting if budget.tokens is not None), None)
    if tokens is not None:
        used = Decimal(sum(row.total for row in rows))
        forecast = (used / share).to_integral_value()
        found.append(BudgetStatus(dimension, name, TOKENS, Decimal(tokens), used, forecast))
    amount = next((budget.amount for budget in fitting if budget.amount is not None), None)
    if amount is not None and report.prices is not None:
        used = sum((row.amount for row in rows if row.amount is not None), Decimal(0))
        forecast = report.prices.rounded(used / share)
        found.append(BudgetStatus(dimension, name, report.prices.currency, amount, used, forecast))
    return found


def elapsed_share(report: Report) -> Decimal | None:
    """How much of its month a report covers, from the month's beginning; None where it is not of one month."""
    place = _calendar.zone_of(report.zone)
    start, end = (_calendar.parse_time(report.usage[name], name).astimezone(place) for name in ("start", "end"))
    first = start.date().replace(day=1)
    following = (first + datetime.timedelta(days=32)).replace(day=1)
    begin, until = _calendar.day_start(first, place), _calendar.day_start(following, place)
    if start != begin or not start < end <= until:
        return None
    elapsed = Decimal(str(end.timestamp())) - Decimal(str(begin.timestamp()))
    return elapsed / (Decimal(str(until.timestamp())) - Decimal(str(begin.timestamp())))
