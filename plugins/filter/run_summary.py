# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: run_summary
short_description: What a run changed and found, in at most 20 lines
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Puts the results of the modules together for whoever started the run.
options:
  _input:
    description: The result of M(aigateway.metering.gateway_info), read after the last change of the run.
    type: dict
    required: true
  labels:
    description: The result of M(aigateway.metering.merge_metrics_attributes).
    type: dict
    required: true
  rollout:
    description: The result of M(aigateway.metering.proxy_rollout).
    type: dict
    required: true
  monitor:
    description: The result of M(aigateway.metering.podmonitor_dedupe).
    type: dict
    required: true
  check:
    description: The result of M(aigateway.metering.prom_scrape_check), or an empty dict where it did not run.
    type: dict
    required: true
  dashboard:
    description: Where the dashboard is, or why there is none.
    type: str
    required: true
  entrance:
    description: The result of M(aigateway.metering.query_entrance), or an empty dict where it did not run.
    type: dict
    required: true
  check_mode:
    description: Whether nothing was really changed.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Show what was done
  ansible.builtin.debug:
    msg: >-
      {{ gateway | aigateway.metering.run_summary(labels=labels_merged, rollout=labels_rolled_out,
         monitor=scrape_monitor, check=scrape_checked, dashboard=dashboard_where, entrance={},
         check_mode=ansible_check_mode) }}
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.aigateway.metering.plugins.plugin_utils import _run_summary


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"run_summary": _run_summary.summary_lines}
