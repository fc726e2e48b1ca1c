# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: usage_period
short_description: When a period of the calendar begins and ends
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Takes the present moment in ISO 8601, and returns C(start) and C(end) of a period for
    M(aigateway.metering.token_usage_info).
options:
  _input:
    description: The present moment in ISO 8601, in UTC where it says no zone.
    type: str
    required: true
  zone:
    description: The time zone in which days begin.
    type: str
    required: true
  name:
    description: The period. By default V(last_month), unless two times are given.
    type: str
    choices: [this_month, last_month, yesterday]
  begin:
    description: When it begins, in ISO 8601, in O(zone) where it says none.
    type: str
  end:
    description: When it ends.
    type: str
"""

EXAMPLES = r"""
- name: Work out the period
  ansible.builtin.set_fact:
    span: "{{ now(utc=true).isoformat() | aigateway.metering.usage_period('Europe/Berlin', name='last_month') }}"
"""

RETURN = r"""
_value:
  description: C(start) and C(end) in ISO 8601 with their zone, and the same of the period C(before).
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.module_utils import _calendar
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError


def usage_period(now: str, zone: str, name: str = "", begin: str = "", end: str = "") -> dict[str, Any]:
    try:
        found = _calendar.parse_period(zone, now, name=name, begin=begin, end=end)
        return {**found, "before": _calendar.span_before(zone, **found)}
    except MeteringError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"usage_period": usage_period}
