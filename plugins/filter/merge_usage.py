# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: merge_usage
short_description: One usage out of those of several clusters
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Sums up the usage of several clusters, with the cluster as the first field of each row, and the doubts of each.
  - Fails where a cluster is missing or is there twice, and where periods, fields or price lists differ.
options:
  _input:
    description:
      - For each cluster the result of M(aigateway.metering.token_usage_info) with C(account), the cluster's name.
        Or the text of a report that C(report.yml) has written as JSON.
    type: list
    elements: raw
    required: true
  files:
    description: Where texts are from, for an error.
    type: list
    elements: str
  missing:
    description: The names of clusters that could not be read, each with the reason.
    type: dict
  clusters:
    description: The names of clusters that have to be among them.
    type: list
    elements: str
  has_prices:
    description: Whether the result will be priced. Without prices, reports with amounts are refused.
    type: bool
    default: true
  incomplete:
    description: Whether the usage is merged although some are missing. They are then its first doubts.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Merge the reports of two clusters
  ansible.builtin.set_fact:
    whole: "{{ [lookup('file', 'east.json'), lookup('file', 'west.json')] | aigateway.metering.merge_usage }}"
"""

RETURN = r"""
_value:
  description:
    - As the result of M(aigateway.metering.token_usage_info), for the filter P(aigateway.metering.usage_report#filter).
  type: dict
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import merged


def merge_usage(
    documents: Sequence[Any],
    files: Sequence[str] = (),
    missing: Mapping[str, str] | None = None,
    clusters: Sequence[str] = (),
    *,
    incomplete: bool = False,
    has_prices: bool = True,
) -> dict[str, Any]:
    names = [*files, *(f"text {number}" for number in range(len(files) + 1, len(documents) + 1))]
    try:
        found = [
            merged.parse_report(document, name) if isinstance(document, str) else document
            for document, name in zip(documents, names, strict=True)
        ]
        if not has_prices:
            merged.refuse_amounts(found)
        expected = dict.fromkeys(clusters, "No file has a report of it.")
        return merged.merge_usages(found, {**expected, **(missing or {})}, incomplete=incomplete)
    except MeteringError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"merge_usage": merge_usage}
