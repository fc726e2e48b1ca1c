# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: contained_in
short_description: Whether all that is wanted of an object is there
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Compares a manifest with the object in the cluster, which may have further keys but no other values. Lists have to
    be of one length.
options:
  _input:
    description: The manifest.
    type: raw
    required: true
  found:
    description: The object.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show whether a manifest is in force
  ansible.builtin.debug:
    msg: "{{ {'spec': {'a': 1}} is aigateway.metering.contained_in({'spec': {'a': 1, 'b': 2}}) }}"
"""

RETURN = r"""
_value:
  description: Whether it is.
  type: bool
"""

from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import objects


class TestModule:
    def tests(self) -> dict[str, Any]:
        return {"contained_in": objects.is_contained}
