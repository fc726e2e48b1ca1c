# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: run_cautions
short_description: Every warning of a run, each once
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Takes the results of the modules of a run, and returns their cautions and warnings, for the artifacts of a job.
options:
  _input:
    description: The results, those with the gravest warnings first.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show every warning
  ansible.builtin.debug:
    msg: "{{ [scrape_checked, preflight_gateway, labels_merged] | aigateway.metering.run_cautions }}"
"""

RETURN = r"""
_value:
  description: The warnings.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.aigateway.metering.plugins.plugin_utils import _run_summary


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"run_cautions": _run_summary.warnings_of}
