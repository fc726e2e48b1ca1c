#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: removal_info
short_description: See what a removal would take away, and whether the account may
version_added: 0.2.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Lists what is ours in the cluster. Ours is what carries the label
    C(app.kubernetes.io/managed-by=aigateway.metering), and nothing else.
  - Fails where the account lacks permissions to remove it, to take our pairs out of the controller's flag, or to
    restart proxies for that. All of these are named at once, before anything is removed.
  - Nothing is changed.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.reading
  - aigateway.metering.common.controller
  - aigateway.metering.common.gateways
  - aigateway.metering.common.requirements
options:
  monitor_name:
    description: The name of the PodMonitor of ours that is meant. By default all are, or those of O(gateways).
    type: str
    default: ""
  restart:
    description: Whether proxies that still have the pairs are to be restarted.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: See what a removal would take away
  aigateway.metering.removal_info:
  register: found

- name: See whether the account may take back what was made for one Gateway
  aigateway.metering.removal_info:
    gateways: [team-a/chat]
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
ours:
  description: What is ours, each with its kind, namespace and name.
  returned: success
  type: list
  elements: str
  sample: [PodMonitor envoy-gateway-system/ai-gateway-metrics]
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import removal_info
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(removal_info)


if __name__ == "__main__":
    main()
