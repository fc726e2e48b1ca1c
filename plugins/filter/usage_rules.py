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
    description: Budgets as the text of a YAML file; see docs/accounting.md. Those in money have no alert.
    type: str
  shares:
    description: The shares of a budget at which an alert fires.
    type: list
    elements: float
    default: [0.8, 1.0]
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

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.module_utils import _durations
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import budget_rules, prometheus_rule
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_budgets


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
) -> dict[str, Any]:
    for option, text in (("interval", interval), ("for", hold), ("window", window)):
        if not _durations.is_prometheus(text, may_be_none=option == "for"):
            raise AnsibleFilterError(
                f"chargeback_rules_{option} is {text!r}. It is not a valid Prometheus duration, so the rules "
                "would be refused. Next: write it like 30s, 5m or 1h30m."
            )
    for option, number, fits in (
        ("series", series, int(series) >= 1),
        ("nobody", nobody, 0 <= float(nobody) <= 1),
    ):
        if not fits:
            raise AnsibleFilterError(
                f"chargeback_rules_{option} is {number!r}. The alert would be of no use. Next: set a number of series "
                "above 0, and a share of nobody's tokens between 0 and 1."
            )
    try:
        wanted = () if budgets is None else load_budgets(budgets)
    except MeteringError as error:
        raise AnsibleFilterError(str(error)) from None
    of_tokens = [
        budget_rules.TokenBudget(it.dimension, it.pattern, it.tokens) for it in wanted if it.tokens is not None
    ]
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
        budgets=of_tokens,
        shares=list(map(_share, shares)),
    )


def _share(given: Any) -> Decimal:
    try:
        found = Decimal(str(given).strip())
    except InvalidOperation:
        found = Decimal(0)
    if not (found.is_finite() and Decimal(0) < found <= Decimal(10)):
        raise AnsibleFilterError(
            f"chargeback_budget_shares has {given!r}, which is not a share of a budget. The alert would be of no "
            "use. Next: write it like 0.8 for 80 %."
        )
    return found


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"usage_rules": usage_rules}
