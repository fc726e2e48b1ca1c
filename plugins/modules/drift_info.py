#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: drift_info
short_description: List what has drifted from a metered gateway
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Compares the controller's flag with the wanted pairs, the recorded pairs and the pairs that sidecars emit.
    Checks in the monitors, and in each Prometheus replica's live targets, that each sidecar is scraped once and is up.
    Checks that each sample has a namespace to bill.
  - Lists what differs. Nothing is changed, and drifts do not fail the task; the playbook C(aigateway.metering.check)
    does that.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.reading
  - aigateway.metering.common.controller
  - aigateway.metering.common.gateways
  - aigateway.metering.common.prometheus
  - aigateway.metering.common.api
  - aigateway.metering.common.requirements
options:
  pairs:
    description:
      - The pairs that are wanted, as V(header:label,header:label).
      - By default V(x-user-namespace:user_namespace,x-user-group:department).
      - A list of these, or a map of header to label, is taken as well.
    type: raw
    default: ""
  monitor_name:
    description: The name of the PodMonitor of ours, as in M(aigateway.metering.podmonitor_dedupe).
    type: str
    default: ""
  interval:
    description: Its scrape interval, in Prometheus's duration syntax.
    type: str
    default: 30s
  timeout:
    description: How many seconds the live targets may take to become right, for pods that have just been created.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: See what has drifted
  aigateway.metering.drift_info:
  register: found

- name: Fail on it
  ansible.builtin.assert:
    that: found.drifts == []
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
limits:
  description: That only some namespaces were read, in a sentence.
  returned: with O(namespaces)
  type: str
  sample: >-
    Only the namespaces envoy-gateway-system, monitoring are read (metering_namespaces). What other namespaces have is
    not known.
controller:
  description: The controller's Deployment, as namespace/name.
  returned: success
  type: str
  sample: envoy-ai-gateway-system/ai-gateway-controller
prometheus:
  description: The Prometheus object whose replicas were asked, as namespace/name.
  returned: success
  type: str
  sample: cpaas-system/kube-prometheus-0
gateways:
  description: The Gateways whose proxies were looked at.
  returned: success
  type: list
  elements: str
  sample: [team-a/chat]
drifts:
  description: What has drifted.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What kind of drift it is, such as C(stale), C(vanished), C(duplicate), C(target down), C(unmetered)
        or C(unstored).
      type: str
      sample: stale
    where:
      description: The object, as namespace/name.
      type: str
      sample: envoy-gateway-system/envoy-team-a-chat-5d4f-x2x4z
    found:
      description: What was found.
      type: str
      sample: The sidecar was started with another mapping than the controller has.
    why:
      description: Why it matters.
      type: str
      sample: What it counts lacks labels.
    advice:
      description: What to do, in a sentence; empty where the command says it.
      type: str
      sample: ""
    command:
      description: The next command, as it is given to a shell; empty where there is none.
      type: str
      sample: ansible-playbook aigateway.metering.site
    text:
      description: All of it in one line.
      type: str
      sample: "stale: envoy-gateway-system/envoy-team-a-chat-5d4f-x2x4z …"
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import drift_info
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(drift_info)


if __name__ == "__main__":
    main()
