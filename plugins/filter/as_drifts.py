# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: as_drifts
short_description: Drifts that a role has found, in the form of drift_info
version_added: 0.2.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Completes drifts by their C(text), which is all of it in one line.
options:
  _input:
    description:
      - The drifts, each with C(kind), C(where), C(found), C(why) and C(command), and C(advice) where the command does
        not say what to do.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what a role has found
  ansible.builtin.debug:
    msg: "{{ found | aigateway.metering.as_drifts | map(attribute='text') }}"
  vars:
    found:
      - kind: dashboard
        where: MonitorDashboard cpaas-system/ai-gateway-token-usage
        found: It was edited.
        why: It may show wrong data.
        command: ansible-playbook aigateway.metering.site --diff
"""

RETURN = r"""
_value:
  description: The drifts, each with its C(text).
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils._modules.drift_findings import Drift


def as_drifts(found: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Drifts in the form of drift_info."""
    return [Drift(**{name: str(text) for name, text in item.items()}).as_result() for item in found]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"as_drifts": as_drifts}
