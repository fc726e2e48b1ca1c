# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: monitor_dashboard
short_description: The token usage dashboard as a MonitorDashboard
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Renders the panels and variables for the names under which the token metric is stored.
options:
  _input:
    description: The names under which token sums are stored, as RV(aigateway.metering.prom_scrape_check#module:names)
      has them. May be empty.
    type: list
    elements: str
    required: true
  department:
    description: Whether the department label carries data, or is about to.
    type: bool
    required: true
  namespace:
    description: The namespace of the object.
    type: str
    required: true
  name:
    description: Its name.
    type: str
    required: true
  folder:
    description: The folder in which the platform shows it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Render the dashboard
  ansible.builtin.debug:
    msg: >-
      {{ ['gen_ai_client_token_usage_sum'] | aigateway.metering.monitor_dashboard(
         department=true, namespace='cpaas-system', name='token-usage', folder='AML') }}
"""

RETURN = r"""
_value:
  description: The MonitorDashboard.
  type: dict
"""

from typing import Any

from ansible_collections.aigateway.metering.plugins.plugin_utils._render import dashboard


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"monitor_dashboard": dashboard.monitor_dashboard}
