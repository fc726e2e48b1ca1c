# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: at_path
short_description: What stands at a dotted path of some values
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Looks into nested values, such as those of a Helm release, at the same dotted path that
    P(aigateway.metering.under_path#filter) takes.
requirements:
  - jmespath >= 1.0.0
options:
  _input:
    description: The values.
    type: dict
    required: true
  path:
    description: The dotted path. A dot that is part of a key is written as C(\\.), as Helm's C(--set) does.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the mapping that a Helm release has
  ansible.builtin.debug:
    msg: "{{ {'controller': {'mapping': 'x-a:a'}} | aigateway.metering.at_path('controller.mapping') }}"
"""

RETURN = r"""
_value:
  description: What was found; an empty string where nothing is there.
  type: raw
"""

import json
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.plugin_utils._paths import split_path

try:
    import jmespath
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True


def at_path(values: dict[str, Any], path: str) -> Any:
    if not HAS_JMESPATH:
        raise AnsibleFilterError("The Python package jmespath is missing on the controller. Next: pip install jmespath")
    # Quoted, because a key may be anything: my-key is a subtraction to JMESPath.
    expression = ".".join(json.dumps(key) for key in split_path(path))
    try:
        found = jmespath.search(expression, values)
    except jmespath.exceptions.JMESPathError as error:
        raise AnsibleFilterError(f"{path!r} is no dotted path: {error}. Write one such as controller.key.") from error
    return "" if found is None else found


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"at_path": at_path}
