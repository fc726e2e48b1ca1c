# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: usage_rules
short_description: Recording rules and alerts of the metering, as a PrometheusRule
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Renders a C(PrometheusRule) whose queries use the names under which the metric is stored. What it records has names
    that every Prometheus takes.
  - There are alerts for a metric that is gone, a sidecar that is down or scraped twice, tokens without a namespace, too
    many series, and a label that has vanished from the sidecars.
options:
  _input:
    description: The result of M(aigateway.metering.gateway_info).
    type: dict
    required: true
  name:
    description: The name of the object.
    type: str
    required: true
  interval:
    description: How often the rules are evaluated, as a duration of Prometheus.
    type: str
    default: 1m
  hold:
    description: How long a condition must last before an alert fires.
    type: str
    default: 15m
  window:
    description: The time range of rates.
    type: str
    default: 15m
  series:
    description: Alert above this many series of the metric.
    type: int
    default: 10000
  nobody:
    description: Alert above this share of tokens without a namespace.
    type: float
    default: 0.05
  budgets:
    description:
      - Budgets as the text of a YAML file; see docs/howto/prices-and-budgets.md. Those in money need O(prices).
    type: str
  prices:
    description:
      - A price list as the text of its file, or V(genai-prices); see docs/howto/prices-and-budgets.md. It is applied
        to the models that are stored, which M(aigateway.metering.gateway_info) returns with its option C(models).
    type: str
  today:
    description: The day (as 2026-11-26) whose prices are taken of a list that has no days. It is needed for O(prices).
    type: str
  shares:
    description: The shares of a budget at which an alert fires.
    type: list
    elements: float
    default: [0.8, 1.0]
  runbook:
    description:
      - The address of the page that says what to do about each alert, for its annotation C(runbook_url). The alert's
        name in lower case is the anchor.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Render the rules
  ansible.builtin.debug:
    msg: "{{ gateway | aigateway.metering.usage_rules(name='ai-gateway-token-usage') }}"
"""

RETURN = r"""
_value:
  description: The PrometheusRule.
  type: dict
"""

import datetime
import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.module_utils import _durations
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import (
    budget_rules,
    price_rules,
    prometheus_rule,
)
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.budgets import Budget
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_budgets, load_prices
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.prices import PriceList


def usage_rules(
    gateway: Mapping[str, Any],
    name: str,
    interval: str = "1m",
    hold: str = "15m",
    window: str = "15m",
    series: int = 10_000,
    nobody: float = 0.05,
    budgets: str | None = None,
    shares: Sequence[Any] = ("0.8", "1"),
    prices: str | None = None,
    today: str = "",
    runbook: str = "",
) -> dict[str, Any]:
    for option, text in (("interval", interval), ("for", hold), ("window", window)):
        if not _durations.is_prometheus(text, may_be_none=option == "for"):
            raise AnsibleFilterError(
                f"chargeback_rules_{option} is {text!r}. It is not a valid Prometheus duration, so the rules "
                "would be refused. Write it like 30s, 5m or 1h30m."
            )
    for option, number, fits in (
        ("series", series, int(series) >= 1),
        ("nobody", nobody, 0 <= float(nobody) <= 1),
    ):
        if not fits:
            raise AnsibleFilterError(
                f"chargeback_rules_{option} is {number!r}. The alert would be of no use. Set a number of series "
                "above 0, and a share of nobody's tokens between 0 and 1."
            )
    try:
        wanted = () if budgets is None else load_budgets(budgets)
        rated = None if prices is None else rated_prices(load_prices(prices), gateway["models"], today)
    except MeteringError as error:
        raise AnsibleFilterError(str(error)) from None
    identity = [
        label for label, state in sorted(gateway["labels"].items()) if state["carries_data"] or state["expected"]
    ]
    return prometheus_rule.prometheus_rule(
        gateway["names"],
        name=name,
        place=gateway["rules"],
        ports=gateway["ports"],
        identity=identity,
        interval=interval,
        bounds=prometheus_rule.Bounds(hold, window, int(series), float(nobody)),
        workloads=gateway.get("workloads", ()),
        budgets=[_month_budget(it, has_prices=rated is not None) for it in wanted],
        shares=list(map(_share, shares)),
        prices=rated,
        runbook=runbook,
    )


def rated_prices(prices: PriceList, models: Sequence[Mapping[str, str]], today: str) -> price_rules.RatedPrices:
    """The rates of the models that a store knows. One without a price, or with an ambiguous one, has none.

    Args:
        prices: the list.
        models: each with its `model` and its `provider`.
        today: the day of which a list tells that has no days.
    """
    # A catalogue has the same model by several providers.
    by_provider = prices.needs_provider or not prices.prices
    day = datetime.date.fromisoformat(today)
    rates: dict[price_rules.Rate, None] = {}
    # What a list of one's own names is known before it is used.
    named = [{"model": it.model, "provider": it.provider} for it in prices.prices if not set("*?") & set(it.model)]
    for item in [*models, *(it for it in named if it["provider"] or not by_provider)]:
        provider = item["provider"] if by_provider else ""
        try:
            course = prices.course(item["model"], day, provider)
        except MeteringError:
            continue
        ends = [_midnight(begins) for begins, dummy in course[1:]]
        for (begins, price), end in itertools.zip_longest(course, ends):
            for kind, rate in (price.rates_apart if price else {}).items():
                rates[price_rules.Rate(item["model"], provider, kind, rate, _midnight(begins), end)] = None
    return price_rules.RatedPrices(prices.currency, tuple(rates), by_provider)


def _midnight(day: datetime.date) -> int | None:
    """When a day begins in UTC (Unix seconds); None for one from which on a price has always held."""
    if day.year <= 1970:
        return None
    return int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp())


def _month_budget(budget: Budget, *, has_prices: bool) -> budget_rules.MonthBudget:
    if budget.amount is None:
        return budget_rules.MonthBudget(budget.dimension, budget.pattern, Decimal(budget.tokens or 0))
    if not has_prices:
        raise AnsibleFilterError(
            f"The budget for {budget.dimension} {budget.pattern} is an amount, and chargeback_prices is not set. What "
            "was used of it is not known, and nobody would be warned. Set chargeback_prices to the price list, "
            "or give that budget in tokens."
        )
    return budget_rules.MonthBudget(budget.dimension, budget.pattern, budget.amount, budget_rules.COST)


def _share(given: Any) -> Decimal:
    try:
        found = Decimal(str(given).strip())
    except InvalidOperation:
        found = Decimal(0)
    if not (found.is_finite() and Decimal(0) < found <= Decimal(10)):
        raise AnsibleFilterError(
            f"chargeback_budget_shares has {given!r}, which is not a share of a budget. The alert would be of no "
            "use. Write it like 0.8 for 80 %."
        )
    return found


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"usage_rules": usage_rules}
