# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: cost_management
short_description: What Alauda Cost Management collects and shows of token usage
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Renders the ConfigMaps with the collection and with the display configuration. Input and output tokens are items of
    their own, so that each has its own price, and no token is in both.
options:
  _input:
    description: The result of M(aigateway.metering.gateway_info).
    type: dict
    required: true
  divisor:
    description: How many tokens a price is for. The platform's prices have two decimals at most.
    type: int
    default: 1000000
"""

EXAMPLES = r"""
- name: Render both
  ansible.builtin.debug:
    msg: "{{ gateway | aigateway.metering.cost_management }}"
"""

RETURN = r"""
_value:
  description: The ConfigMaps, by the name of the program that reads each (C(slark-agent), C(slark-server)).
  type: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.plugin_utils._render import cost_management as _cost_management


def cost_management(gateway: Mapping[str, Any], divisor: int = 1_000_000) -> dict[str, Any]:
    if int(divisor) < 1:
        raise AnsibleFilterError(
            f"chargeback_divisor is {divisor}. A price is for so many tokens. Set it to 1000000, or to another "
            "whole number above 0."
        )
    return _cost_management.configurations(gateway["names"], gateway["ports"], int(divisor))


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"cost_management": cost_management}
