# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Rules that know a month of the calendar, and alerts before a budget is spent.

A range of PromQL follows no calendar. So what each hour has added is recorded with the month (UTC) of its middle, and
the hours of the present month are summed up:

    hour ends at      30 Nov 23:20   1 Dec 00:20   1 Dec 01:20
    its middle        30 Nov 22:50   30 Nov 23:50  1 Dec 00:50
    month             202611         202611        202612

It is an estimate beside the report: an hour that reaches over the end of a month belongs to one of both, months are
those of UTC, the present hour comes when it is over, and an hour in which the rules were not evaluated is missing.
Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ...module_utils import _names
from ...module_utils._errors import told
from ...module_utils._prometheus.promql import quoted, with_label
from ...module_utils._prometheus.token_metric import Form
from .price_rules import MIDDLE, RatedPrices, cost_of, unpriced_tokens
from .usage_queries import UsageQueries

# The label of each dimension, and how its records are called.
LABELS = {"namespace": _names.REQUIRED_PAIR[1], "department": _names.DEPARTMENT_LABEL}
BY = ", ".join(LABELS.values())
REPORT = f"{_names.REPORT} -e report_period=this_month -e report_budgets=FILE"
# So much of a month has to be over before its end is guessed.
GUESSED_FROM_DAY = 5
# What there is a budget of, and how its records are called.
TOKENS, COST = "tokens", "cost"


class MonthBudget(NamedTuple):
    """What a namespace or a department may use in a month; with a pattern, each that it matches."""

    dimension: str
    pattern: str
    limit: Decimal
    unit: str = TOKENS
    """TOKENS or COST."""

    @property
    def matcher(self) -> str:
        """What its names match, as a regular expression; RE2 matches whole values."""
        parts = {"*": ".*", "?": "."}
        return "".join(parts.get(letter, re.escape(letter)) for letter in self.pattern)

    @property
    def is_pattern(self) -> bool:
        return bool(set("*?") & set(self.pattern))


def budget_groups(
    stored: Sequence[Form],
    ports: Collection[int],
    budgets: Sequence[MonthBudget],
    shares: Sequence[Decimal],
    hold: str,
    prices: RatedPrices | None = None,
) -> list[dict[str, Any]]:
    """The groups of rules; nothing where there are neither budgets nor prices.

    Args:
        stored: the forms in which the metric is stored.
        ports: those at which sidecars serve their metrics.
        budgets: of several that match a name, the first of its unit counts.
        shares: an alert fires at each of these shares of a budget.
        hold: how long that must last before it fires.
        prices: the rates; without them nothing is known of cost.
    """
    if not budgets and prices is None:
        return []
    rules: list[dict[str, Any]] = []
    for unit in (TOKENS, COST) if prices else (TOKENS,):
        money = {"labels": _money(prices)} if prices and unit == COST else {}
        for dimension in LABELS:
            own = [budget for budget in budgets if (budget.dimension, budget.unit) == (dimension, unit)]
            # Of each namespace it is shown, whether it has a budget or not.
            if own or dimension == "namespace":
                rules.append(
                    {"record": used_of(dimension, unit), "expr": _used(LABELS[dimension], unit, money), **money}
                )
            if own:
                rules.append({"record": budget_of(dimension, unit), "expr": _limits(dimension, own), **money})
                rules += [_spent(Told(dimension, unit, money), share, hold) for share in shares]
                rules.append(_may_not_last(Told(dimension, unit, money), hold))
    rules.append(_info(budgets, prices))
    # What is taken for new counts with all that it has: here it would stay in the month.
    usage = UsageQueries(stored, ports, look_back="1d", names_provider=bool(prices and prices.by_provider))
    growth: list[dict[str, Any]] = [
        {"record": growth_of(TOKENS), "expr": _of_the_hour(f"sum by ({BY}) ({usage.tokens('1h')})")}
    ]
    if prices:
        rules.append(_without_price(usage, prices, hold))
    if prices and prices.rates:
        cost = cost_of(usage, prices, "1h", list(LABELS.values()))
        growth.append({"record": growth_of(COST), "expr": _of_the_hour(cost), "labels": _money(prices)})
    # Once an hour: the windows lie one beside the other.
    return [
        {"name": "aigateway-metering.hours", "interval": "1h", "rules": growth},
        # More often than Prometheus looks back, or dashboards would not always see them.
        {"name": "aigateway-metering.budgets", "interval": "2m", "rules": rules},
    ]


def _info(budgets: Sequence[MonthBudget], prices: RatedPrices | None) -> dict[str, Any]:
    """What tells dashboards what is recorded."""
    units = sorted({budget.unit for budget in budgets if budget.dimension == "namespace"})
    labels = {**({"currency": prices.currency} if prices else {}), **({"budgets": ",".join(units)} if units else {})}
    return {"record": _names.MONTHS_RECORD, "expr": "vector(1)", **({"labels": labels} if labels else {})}


def growth_of(unit: str) -> str:
    """The record of what each hour has added."""
    return f"aigateway_metering:{unit}:growth1h"


def used_of(dimension: str, unit: str = TOKENS) -> str:
    """The record of what was used in the present month."""
    return f"aigateway_metering:{dimension}_{unit}:month"


def budget_of(dimension: str, unit: str = TOKENS) -> str:
    """The record of the budgets."""
    return f"aigateway_metering:{dimension}_{unit}:budget"


def forecast_of(used: str) -> str:
    """What a month comes to, if it goes on as it did."""
    passed = "(day_of_month() - 1 + (hour() + minute() / 60) / 24) / days_in_month()"
    return f"{used} / on () group_left () ({passed} > 0)"


def _month_of(moment: str) -> str:
    """A vector whose one sample has the month of a moment (Unix seconds) as its label."""
    return f'count_values("month", year(vector({moment})) * 100 + month(vector({moment})))'


def _of_the_hour(growth: str) -> str:
    """What an hour has added, with its month."""
    return f"{growth} * on () group_left (month) {_month_of(MIDDLE)}"


def _money(prices: RatedPrices) -> dict[str, str]:
    """The labels of an amount."""
    return {"currency": prices.currency}


def _used(label: str, unit: str, money: dict[str, Any]) -> str:
    # Hours in another currency, from before a change, are not added.
    own = [f"{name}={quoted(value)}" for name, value in money.get("labels", {}).items()]
    matchers = ",".join([f'{label}!=""', *own])
    hours = f"sum_over_time({growth_of(unit)}{{{matchers}}}[31d])"
    return f"sum by ({label}) ({hours} * on (month) group_left () {_month_of('time()')})"


def _limits(dimension: str, budgets: Sequence[MonthBudget]) -> str:
    """The budget of each name: of those with a pattern, for each that has used something this month."""
    label = LABELS[dimension]
    used = used_of(dimension, budgets[0].unit)
    parts = []
    for number, budget in enumerate(budgets):
        earlier = "|".join(it.matcher for it in budgets[:number])
        if budget.is_pattern:
            others = [f"{label}!~{quoted(earlier)}"] if earlier else []
            matchers = ",".join([f"{label}=~{quoted(budget.matcher)}", *others])
            parts.append(f"({used}{{{matchers}}} * 0 + {budget.limit:f})")
        elif not any(re.fullmatch(it.matcher, budget.pattern) for it in budgets[:number]):
            parts.append(with_label(f"vector({budget.limit:f})", label, budget.pattern.replace("$", "$$")))
    return " or ".join(parts)


class Told(NamedTuple):
    """What an alert is about."""

    dimension: str
    unit: str
    money: dict[str, Any]
    """The labels of an amount."""

    @property
    def label(self) -> str:
        return LABELS[self.dimension]

    @property
    def what(self) -> str:
        """What there is a budget of."""
        return f"its budget in {self.money['labels']['currency']}" if self.money else "its tokens"

    @property
    def used(self) -> str:
        return used_of(self.dimension, self.unit)

    @property
    def budget(self) -> str:
        return budget_of(self.dimension, self.unit)

    def to_alert(self, name: str, expression: str, hold: str, severity: str, summary: str) -> dict[str, Any]:
        """An alert on a budget."""
        # Alertmanager commonly routes by this label.
        routed = {"namespace": f"{{{{ $labels.{self.label} }}}}"} if self.dimension == "namespace" else {}
        return {
            "alert": name,
            "expr": expression,
            "for": hold,
            "labels": {"severity": severity, "unit": self.unit, **routed},
            "annotations": {
                "summary": summary,
                "description": told(
                    "An estimate by hours, in months of UTC. The report has the exact numbers.", command=REPORT
                ),
            },
        }


def _spent(told: Told, share: Decimal, hold: str) -> dict[str, Any]:
    percent = f"{(share * 100).normalize():f} %"
    found = told.to_alert(
        "AIGatewayBudgetUsed",
        f"{told.used} / on ({told.label}) {told.budget} >= {share:f}",
        hold,
        "critical" if share >= 1 else "warning",
        f"{{{{ $labels.{told.label} }}}} has used {{{{ $value | humanizePercentage }}}} of {told.what} of this month.",
    )
    found["labels"]["share"] = percent
    return found


def _may_not_last(told: Told, hold: str) -> dict[str, Any]:
    forecast = forecast_of(told.used)
    return told.to_alert(
        "AIGatewayBudgetMayNotLast",
        f"(({forecast}) / on ({told.label}) {told.budget} > 1) and on () (day_of_month() > {GUESSED_FROM_DAY})",
        hold,
        "warning",
        f"{{{{ $labels.{told.label} }}}} comes to {{{{ $value | humanizePercentage }}}} of {told.what} of this month, "
        "if it goes on as it did.",
    )


def _without_price(usage: UsageQueries, prices: RatedPrices, hold: str) -> dict[str, Any]:
    which = " of ".join(f"{{{{ $labels.{name} }}}}" for name in prices.keys)
    return {
        "alert": "AIGatewayModelUnpriced",
        "expr": f"{unpriced_tokens(usage, prices, '1h')} > 0",
        "for": hold,
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": f"Tokens of the model {which} have no price.",
            "description": told(
                "They are in no amount, and no budget in money counts them. Add the model to the price list where it "
                "is missing, and run the chargeback again: it takes the prices of the models that are stored then.",
                command=_names.CHARGEBACK,
            ),
        },
    }
