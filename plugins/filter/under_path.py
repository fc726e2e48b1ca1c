# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: under_path
short_description: A value put at a dotted path
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Makes the nested values, such as those of a Helm release, in which a value stands at a dotted path.
options:
  _input:
    description: The value.
    type: raw
    required: true
  path:
    description: The dotted path. A dot that is part of a key is written as C(\\.), as Helm's C(--set) does.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the values that give a Helm release its mapping
  ansible.builtin.debug:
    msg: "{{ 'x-a:a' | aigateway.metering.under_path('controller.mapping') }}"
"""

RETURN = r"""
_value:
  description: The nested values.
  type: dict
"""

from functools import reduce
from typing import Any

from ansible_collections.aigateway.metering.plugins.plugin_utils._paths import split_path


def under_path(value: Any, path: str) -> Any:
    return reduce(lambda inner, key: {key: inner}, reversed(split_path(path)), value)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"under_path": under_path}
