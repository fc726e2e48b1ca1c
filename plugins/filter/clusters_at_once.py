# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: clusters_at_once
short_description: How many clusters a playbook works on before the next ones
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Reads O(_input) for the keyword C(serial) of a play. Ansible itself calls a wrong value there a bug of its own.
options:
  _input:
    description: A number of clusters (V(1)), a percentage (V(20%)), or a list of these. All at once where it is empty.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Meter the clusters one after another
  hosts: clusters
  serial: "{{ metering_serial | default('') | aigateway.metering.clusters_at_once }}"
  tasks: []
"""

RETURN = r"""
_value:
  description: What C(serial) takes.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.plugin_utils import _options


def clusters_at_once(given: Any) -> list[str]:
    try:
        return _options.read_serial(given)
    except _options.OptionsError as error:
        raise AnsibleFilterError(f"{error}. Nothing was changed. Set it to 1 or 20%, or leave it out.") from None


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"clusters_at_once": clusters_at_once}
