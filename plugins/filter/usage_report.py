# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: usage_report
short_description: What was used in a period, as a table, as CSV, as JSON and as a page
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Puts the result of M(aigateway.metering.token_usage_info) into forms for people and for programs, with amounts where
    there are prices. The same input makes the same bytes.
options:
  _input:
    description: The result of M(aigateway.metering.token_usage_info).
    type: dict
    required: true
  prices:
    description:
      - A price list as the text of a YAML file; see docs/howto/prices-and-budgets.md. Nothing is priced without one.
    type: str
  zone:
    description: The time zone in which a day begins, and with it a price.
    type: str
    default: UTC
  account:
    description: What the billing account is called in the FOCUS data, such as the name of the cluster.
    type: str
    default: ai-gateway
  cluster:
    description: The cluster, as the page is to call it.
    type: str
    default: ""
  price_list:
    description: Where the prices come from, as the page is to call it.
    type: str
    default: ""
  before:
    description: The result of M(aigateway.metering.token_usage_info) for the period before, for the page.
    type: dict
  budgets:
    description: Budgets as the text of a YAML file; see docs/howto/prices-and-budgets.md.
    type: str
  department_from:
    description:
      - The departments of callers whose claim is an array of groups, by patterns of groups. The first pattern that
        matches some group counts; V(*) in a department stands for what the V(*) at the end of its pattern has matched.
    type: dict
  per_namespace:
    description: Whether there is a page and a CSV file for each namespace, with its own rows alone.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what was used
  ansible.builtin.debug:
    msg: "{{ (november | aigateway.metering.usage_report).table }}"
"""

RETURN = r"""
_value:
  description:
    - C(table) is a list of lines; C(csv), C(json), C(html) and C(focus) are texts.
    - C(focus) has the charges in the columns of the FinOps Open Cost and Usage Specification; it is empty without
      prices.
    - C(artifact) has the sums, and the rows with the most tokens, for what keeps a job's results.
    - C(by_namespace) has the files for each namespace, each with its C(name) and C(text), if they were asked for.
  type: dict
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import budgets as _budgets
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import departments, focus
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import html as _html
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import report as _report
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_budgets, load_prices


def usage_report(
    usage: Mapping[str, Any],
    prices: str | None = None,
    zone: str = "UTC",
    account: str = "ai-gateway",
    *,
    cluster: str = "",
    price_list: str = "",
    before: Mapping[str, Any] | None = None,
    per_namespace: bool = False,
    budgets: str | None = None,
    department_from: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    head = _html.PageHead(cluster, account, price_list)
    try:
        usage = departments.map_departments(usage, department_from or {})
        before = None if before is None else departments.map_departments(before, department_from or {})
        report = _report.build_report(usage, None if prices is None else load_prices(prices), zone)
        parts = _report.by_namespace(report) if per_namespace else {}
        wanted = () if budgets is None else load_budgets(budgets)
        _budgets.check_budgets(wanted, report.by, has_prices=report.prices is not None)
    except MeteringError as error:
        raise AnsibleFilterError(str(error)) from None
    statuses = _budgets.budget_statuses(report, wanted)
    unsaid = [_budgets.NO_MONTH] if wanted and _budgets.elapsed_share(report) is None else []
    return {
        "table": [
            *([f"cluster: {account} ({cluster})"] if cluster else []),
            *_report.report_table(report),
            *_budgets.budget_lines(statuses),
            *unsaid,
        ],
        "csv": _report.to_csv(report),
        "json": _report.to_json(report, _budgets.budgets_as_json(statuses), account),
        "html": _html.to_html(report, head, before, statuses),
        "focus": focus.to_focus_csv(report, account) if report.prices else "",
        "artifact": _report.to_artifact(report),
        "by_namespace": [
            {"name": f"{_report.file_name(name)}.{kind}", "text": text}
            for name, part in parts.items()
            for kind, text in (
                ("html", _html.to_html(part, replace(head, about=name), None, _budgets.of_namespace(statuses, name))),
                ("csv", _report.to_csv(part)),
            )
        ],
    }


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"usage_report": usage_report}
