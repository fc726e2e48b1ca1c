# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: dashboards
short_description: The token usage dashboards for what shows dashboards in a cluster
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Renders the dashboards for each provider that was found, and compares them with those that are there.
  - The queries use the names under which the token metric is stored. The department has a panel and a variable only
    where its label carries data, or where only traffic is missing for it to.
options:
  _input:
    description: The result of M(aigateway.metering.gateway_info) with the option
      O(aigateway.metering.gateway_info#module:dashboards).
    type: dict
    required: true
  name:
    description: What the names of the dashboards are made of.
    type: str
    required: true
  folder:
    description: The folder in which they are shown.
    type: str
    required: true
  files:
    description: Whether files are returned in place of the plan.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Render the dashboards
  ansible.builtin.debug:
    msg: "{{ gateway | aigateway.metering.dashboards(name='token-usage', folder='AML') }}"
"""

RETURN = r"""
_value:
  description:
    - A dictionary with C(manifests), all that is to be there, C(differing), those that are missing or
      differ, C(foreign), those whose names are taken, and C(where), where they are.
    - With O(files) a list of files, each with its name and text.
  type: raw
"""

from typing import Any

from ansible_collections.aigateway.metering.plugins.plugin_utils._render import dashboard_plan


def _dashboards(gateway: dict[str, Any], *, name: str, folder: str, files: bool = False) -> Any:
    return (dashboard_plan.dashboard_files if files else dashboard_plan.plan_dashboards)(
        gateway, name=name, folder=folder
    )


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"dashboards": _dashboards}
