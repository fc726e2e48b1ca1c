#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: merge_metrics_attributes
short_description: Merge header-to-label pairs into the AI gateway controller's one metrics flag
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Sets the flag that maps headers to labels of metrics (C(--metricsRequestHeaderAttributes) from v0.4 on) of the AI
    gateway's controller to the union of what it has, what the running sidecars emit, and the wanted pairs. No pair is
    ever lost; existing pairs keep their order.
  - Then waits until the controller has rolled out and its old pods are gone, because a proxy that is created while an
    old one still serves the webhook gets the old mapping.
  - What was added and removed is recorded in annotations of the controller's Deployment, so that it can be taken back,
    and so that a sidecar that still emits a removed pair does not bring it back.
  - Running proxies keep their mapping until they are restarted; see M(aigateway.metering.proxy_rollout).
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.controller
  - aigateway.metering.common.gateways
  - aigateway.metering.common.requirements
options:
  state:
    description:
      - V(present) puts the pairs into the flag, V(absent) removes them.
      - Pairs that the base flag provides cannot be taken out, and V(x-user-namespace:user_namespace) not while
        chargeback is configured.
    type: str
    choices: [present, absent]
    default: present
  pairs:
    description:
      - The pairs, as V(header:label,header:label).
      - With O(state=present), V(x-user-namespace:user_namespace) is always part of the result. The default is
        V(x-user-namespace:user_namespace,x-user-group:department).
      - With O(state=absent), the default is the recorded list of pairs that this collection has added.
      - A list of these, or a map of header to label, is taken as well.
    type: raw
  allow_per_user:
    description:
      - Whether a pair that makes one series for each user may be added.
      - A pair that is already there is kept, whatever the value.
    type: bool
    default: false
  chargeback_goes:
    description:
      - Whether Cost Management's configuration is removed by the same play, as far as it is ours.
      - Otherwise the pair by which it bills cannot be removed while the configuration is there.
    type: bool
    default: false
  method:
    description:
      - V(patch) writes the flag into the Deployment.
      - V(verify) leaves that to something else, such as a Helm upgrade before this task, and fails where the flag does
        not have the mapping. In check mode it says what would have to change.
    type: str
    choices: [patch, verify]
    default: patch
  restart:
    description:
      - Whether proxies may restart. With V(false), the module does not change the flag, and fails, if the gateway
        would then roll its proxies by itself.
    type: bool
    default: true
  on_failure:
    description: What to do with the flag if the controller does not roll out with it.
    type: str
    choices: [rollback, keep]
    default: rollback
  wait_timeout:
    description: How many seconds the controller may take to roll out.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Label token metrics with the billed namespace and the caller's department
  aigateway.metering.merge_metrics_attributes:
    pairs: x-user-namespace:user_namespace,x-user-group:department

- name: Take back what was added
  aigateway.metering.merge_metrics_attributes:
    state: absent
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
controller:
  description: The controller's Deployment, as namespace/name.
  returned: success
  type: str
  sample: envoy-ai-gateway-system/ai-gateway-controller
before:
  description: The flag's value as it was.
  returned: success
  type: str
  sample: x-user-namespace:user_namespace
after:
  description: The flag's value as it is now, or in check mode as it would be.
  returned: success
  type: str
  sample: x-user-namespace:user_namespace,x-user-group:department
added:
  description: The pairs that this run added because they were wanted.
  returned: success
  type: list
  elements: str
  sample: [x-user-group:department]
recovered:
  description: The pairs that sidecars still emitted although the flag had lost them.
  returned: success
  type: list
  elements: str
  sample: [x-team:team]
removed:
  description: The pairs that this run took out.
  returned: success
  type: list
  elements: str
  sample: []
sources:
  description: For each pair, where it was found.
  returned: success
  type: dict
  sample: {"x-user-group:department": ["this run"]}
current:
  description:
    - The proxy workloads, as namespace/name, if nothing was to be changed, every pod of theirs has the mapping, none is
      being rolled out, and O(gateways) names none; else none.
    - Where there are some, there is nothing for M(aigateway.metering.proxy_rollout) to do.
  returned: success
  type: list
  elements: str
  sample: [envoy-gateway-system/envoy-team-a-chat]
helm:
  description: The Helm release that the controller belongs to, and the values that render this mapping; empty where
    it belongs to none.
  returned: success
  type: dict
  sample:
    release: aieg
    namespace: envoy-ai-gateway-system
    values:
      controller:
        metricsRequestHeaderAttributes: x-user-namespace:user_namespace,x-user-group:department
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import merge_metrics_attributes
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(merge_metrics_attributes)


if __name__ == "__main__":
    main()
