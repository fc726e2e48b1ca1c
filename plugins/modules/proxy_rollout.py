#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: proxy_rollout
short_description: Restart the proxies whose sidecar has another mapping than the controller
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - The mapping of headers to labels is written into a proxy pod's sidecar when the pod is created. This compares
    every running sidecar with the controller's flag, pod by pod, and restarts only the workloads with a stale one,
    one after another.
  - On generations of the gateway that roll their proxies themselves it waits for that first.
  - A workload that is rolling already is waited for, not restarted again, so an interrupted run is finished by the
    next one, and two runs at once restart a workload once.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.controller
  - aigateway.metering.common.gateways
  - aigateway.metering.common.requirements
options:
  mapping:
    description:
      - In check mode, the mapping that the controller would have, as V(header:label,header:label).
      - Ignored otherwise; the controller's own flag counts.
    type: str
  first:
    description:
      - The Gateway to begin with, as V(namespace/name). Its proxies are settled and answer before any other restarts.
      - By default the order is that of the workloads' names.
    type: str
    default: ""
  restart:
    description: Whether proxies may be restarted. With V(false) those that are stale are listed in RV(stale), for a
      maintenance window.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds one workload may take to become settled. One that takes longer fails the task, and
      those after it are left alone.
    type: int
    default: 300
  self_roll_timeout:
    description:
      - How many seconds a gateway that rolls its proxies by itself may take to begin, before they are restarted here.
      - After its own rollout its controller may take some 15 seconds to be elected leader.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Restart the proxies that do not have the controller's mapping yet
  aigateway.metering.proxy_rollout:

- name: See which proxies would be restarted, of one Gateway
  aigateway.metering.proxy_rollout:
    gateways: [team-a/chat]
  check_mode: true
  register: rollout
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
restarted:
  description: The workloads that this run restarted, or in check mode would restart.
  returned: success
  type: list
  elements: str
  sample: [envoy-gateway-system/envoy-team-a-chat]
waited:
  description: The workloads that were rolling already or that the gateway rolls by itself; they were waited for.
  returned: success
  type: list
  elements: str
  sample: []
current:
  description: The workloads whose sidecars all had the mapping already.
  returned: success
  type: list
  elements: str
  sample: [envoy-gateway-system/envoy-team-b-chat]
stale:
  description: The workloads that were left with another mapping, because nothing may restart or they are out of scope.
  returned: success
  type: list
  elements: str
  sample: []
commands:
  description: The commands that restart those, and in check mode those that would be restarted.
  returned: success
  type: list
  elements: str
  sample: [kubectl -n envoy-gateway-system rollout restart deployment/envoy-team-a-chat]
pods:
  description: For each running proxy pod in scope, the mapping that its sidecar has.
  returned: success
  type: dict
  sample: {envoy-gateway-system/envoy-team-a-chat-5d4f-x2x4z: "x-user-namespace:user_namespace,x-user-group:department"}
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import proxy_rollout
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(proxy_rollout)


if __name__ == "__main__":
    main()
