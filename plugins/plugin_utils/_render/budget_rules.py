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
from ...module_utils._prometheus.promql import quoted, with_label
from ...module_utils._prometheus.token_metric import Form
from .usage_queries import UsageQueries

GROWTH = "aigateway_metering:tokens:growth1h"
HALF_HOUR = 1800
# The label of each dimension, and how its records are called.
LABELS = {"namespace": _names.REQUIRED_PAIR[1], "department": _names.DEPARTMENT_LABEL}
REPORT = "ansible-playbook aigateway.metering.report -e report_period=this_month -e report_budgets=FILE"
# So much of a month has to be over before its end is guessed.
GUESSED_FROM_DAY = 5


class TokenBudget(NamedTuple):
    """The tokens that a namespace or a department may use in a month; with a pattern, each that it matches."""

    dimension: str
    pattern: str
    tokens: int

    @property
    def matcher(self) -> str:
        """What its names match, as a regular expression; RE2 matches whole values."""
        parts = {"*": ".*", "?": "."}
        return "".join(parts.get(letter, re.escape(letter)) for letter in self.pattern)

    @property
    def is_pattern(self) -> bool:
        return bool(set("*?") & set(self.pattern))


def budget_groups(
    stored: Sequence[Form], ports: Collection[int], budgets: Sequence[TokenBudget], shares: Sequence[Decimal], hold: str
) -> list[dict[str, Any]]:
    """The groups of rules; nothing where there are no budgets.

    Args:
        stored: the forms in which the metric is stored.
        ports: those at which sidecars serve their metrics.
        budgets: of several that match a name, the first counts.
        shares: an alert fires at each of these shares of a budget.
        hold: how long that must last before it fires.
    """
    if not budgets:
        return []
    dimensions = [dimension for dimension in LABELS if any(it.dimension == dimension for it in budgets)]
    rules: list[dict[str, Any]] = []
    for dimension in dimensions:
        own = [budget for budget in budgets if budget.dimension == dimension]
        rules += [
            {"record": used_of(dimension), "expr": _used(LABELS[dimension])},
            {"record": budget_of(dimension), "expr": _limits(dimension, own)},
            *(_spent(dimension, share, hold) for share in shares),
            _may_not_last(dimension, hold),
        ]
    # Once an hour: the windows lie one beside the other.
    growth = {"record": GROWTH, "expr": _growth(stored, ports)}
    return [
        {"name": "aigateway-metering.hours", "interval": "1h", "rules": [growth]},
        {"name": "aigateway-metering.budgets", "interval": "5m", "rules": rules},
    ]


def used_of(dimension: str) -> str:
    """The record of what was used in the present month."""
    return f"aigateway_metering:{dimension}_tokens:month"


def budget_of(dimension: str) -> str:
    """The record of the budgets."""
    return f"aigateway_metering:{dimension}_tokens:budget"


def _month_of(moment: str) -> str:
    """A vector whose one sample has the month of a moment (Unix seconds) as its label."""
    return f'count_values("month", year(vector({moment})) * 100 + month(vector({moment})))'


def _growth(stored: Sequence[Form], ports: Collection[int]) -> str:
    # What is taken for new counts with all that it has: here it would stay in the month.
    tokens = UsageQueries(stored, ports, look_back="1d").tokens("1h")
    by = ", ".join(LABELS.values())
    return f"sum by ({by}) ({tokens}) * on () group_left (month) {_month_of(f'time() - {HALF_HOUR}')}"


def _used(label: str) -> str:
    hours = f'sum_over_time({GROWTH}{{{label}!=""}}[31d])'
    return f"sum by ({label}) ({hours} * on (month) group_left () {_month_of('time()')})"


def _limits(dimension: str, budgets: Sequence[TokenBudget]) -> str:
    """The budget of each name: of those with a pattern, for each that has used something this month."""
    label = LABELS[dimension]
    parts = []
    for number, budget in enumerate(budgets):
        earlier = "|".join(it.matcher for it in budgets[:number])
        if budget.is_pattern:
            others = [f"{label}!~{quoted(earlier)}"] if earlier else []
            matchers = ",".join([f"{label}=~{quoted(budget.matcher)}", *others])
            parts.append(f"({used_of(dimension)}{{{matchers}}} * 0 + {budget.tokens})")
        elif not any(re.fullmatch(it.matcher, budget.pattern) for it in budgets[:number]):
            parts.append(with_label(f"vector({budget.tokens})", label, budget.pattern.replace("$", "$$")))
    return " or ".join(parts)


def _alert(dimension: str, name: str, expression: str, hold: str, severity: str, summary: str) -> dict[str, Any]:
    # Alertmanager commonly routes by this label.
    routed = {"namespace": f"{{{{ $labels.{LABELS[dimension]} }}}}"} if dimension == "namespace" else {}
    return {
        "alert": name,
        "expr": expression,
        "for": hold,
        "labels": {"severity": severity, **routed},
        "annotations": {
            "summary": summary,
            "description": f"An estimate by hours, in months of UTC. Next: {REPORT} has the exact numbers.",
        },
    }


def _spent(dimension: str, share: Decimal, hold: str) -> dict[str, Any]:
    label = LABELS[dimension]
    percent = f"{(share * 100).normalize():f} %"
    found = _alert(
        dimension,
        "AIGatewayBudgetUsed",
        f"{used_of(dimension)} / on ({label}) {budget_of(dimension)} >= {share:f}",
        hold,
        "critical" if share >= 1 else "warning",
        f"{{{{ $labels.{label} }}}} has used {{{{ $value | humanizePercentage }}}} of its tokens of this month.",
    )
    found["labels"]["share"] = percent
    return found


def _may_not_last(dimension: str, hold: str) -> dict[str, Any]:
    label = LABELS[dimension]
    passed = "((day_of_month() - 1 + hour() / 24) / days_in_month())"
    forecast = f"{used_of(dimension)} / on () group_left () {passed}"
    return _alert(
        dimension,
        "AIGatewayBudgetMayNotLast",
        f"(({forecast}) / on ({label}) {budget_of(dimension)} > 1) and on () (day_of_month() > {GUESSED_FROM_DAY})",
        hold,
        "warning",
        f"{{{{ $labels.{label} }}}} comes to {{{{ $value | humanizePercentage }}}} of its tokens of this month, if it "
        "goes on as it did.",
    )
