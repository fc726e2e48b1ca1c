#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: podmonitor_dedupe
short_description: Have exactly one PodMonitor scrape the AI gateway's sidecars
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Works out which PodMonitors make the Prometheus scrape which sidecar, by container port number on the live pods.
  - Keeps one, creates one where there is none, and removes the redundant ones that it may. A redundant one that is not
    ours is left, with the command that removes it.
  - One that covers every sidecar is kept before one that does not; of these the platform's, then the most complete,
    then the oldest.
  - Ours is what carries the label C(app.kubernetes.io/managed-by=aigateway.metering), and nothing else.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.gateways
  - aigateway.metering.common.prometheus
  - aigateway.metering.common.requirements
options:
  state:
    description:
      - V(present) has exactly one PodMonitor scrape the sidecars.
      - V(absent) removes those that are ours, or with O(name) or O(gateways) only the one of that name or made for
        those Gateways.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - The name of the PodMonitor that is created where there is none.
      - By default V(ai-gateway-metrics), followed by the Gateways where O(gateways) names some.
    type: str
    default: ""
  interval:
    description: Its scrape interval, in Prometheus's duration syntax.
    type: str
    default: 30s
  prune:
    description: Which redundant PodMonitors are removed.
    type: str
    choices: [none, ours, all]
    default: ours
  on_duplicate:
    description: Whether a redundant PodMonitor that is left, or a sidecar that none covers, fails the task. Everything
      else has been done by then.
    type: str
    choices: [fail, warn]
    default: fail
"""

EXAMPLES = r"""
- name: Have the sidecars scraped once
  aigateway.metering.podmonitor_dedupe:
    interval: 30s
"""

RETURN = r"""
server:
  description: The API server that was spoken to.
  returned: always
  type: str
prometheus:
  description: The Prometheus object that scrapes, as namespace/name.
  returned: success, with O(state=present)
  type: str
kept:
  description: The PodMonitor that was there and stays, or an empty string.
  returned: success, with O(state=present)
  type: str
created:
  description: The PodMonitor that was created, or an empty string.
  returned: success, with O(state=present)
  type: str
updated:
  description: Ours, where it was brought back to what it should be, or an empty string.
  returned: success, with O(state=present)
  type: str
removed:
  description: The redundant PodMonitors that were removed.
  returned: success
  type: list
  elements: str
left:
  description: The redundant PodMonitors that were left, each with the command that removes it.
  returned: success, with O(state=present)
  type: list
  elements: dict
uncovered_pods:
  description: The proxy pods that no PodMonitor covers.
  returned: success, with O(state=present)
  type: list
  elements: str
applied:
  description: Whether what is to be changed was changed; false in check mode.
  returned: success, with O(state=present)
  type: bool
manifest:
  description: The PodMonitor of ours that scrapes, or in check mode is to scrape, as a manifest; empty where one that
    is not ours does.
  returned: success, with O(state=present)
  type: dict
doubly_covered_pods:
  description: The proxy pods that several PodMonitors covered before, with their names.
  returned: success, with O(state=present)
  type: dict
"""

from ansible_collections.aigateway.metering.plugins.module_utils._dedupe import dedupe
from ansible_collections.aigateway.metering.plugins.module_utils._module import GATEWAYS_OPTION, PROMETHEUS_OPTION, run


def main() -> None:
    run(
        {
            **GATEWAYS_OPTION,
            **PROMETHEUS_OPTION,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str", "default": ""},
            "interval": {"type": "str", "default": "30s"},
            "prune": {"type": "str", "choices": ["none", "ours", "all"], "default": "ours"},
            "on_duplicate": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
        },
        dedupe,
    )


if __name__ == "__main__":
    main()
