#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: podmonitor_dedupe
short_description: Ensure that exactly one monitor scrapes each sidecar
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Predicts the targets that PodMonitors, ServiceMonitors, ScrapeConfigs and VMPodScrapes create for every sidecar, and
    finds in the live targets the scrape jobs that come from no object.
  - Keeps one that covers every sidecar, and removes the redundant ones that it may. A redundant one that is not ours is
    left, with the next command.
  - Where nothing covers the sidecars, creates one; where others cover some Gateways only, one for the rest. It is a
    PodMonitor, or for a VMAgent a VMPodScrape.
  - One that covers every sidecar is kept before one that does not; of these one without an object, then the platform's,
    then the most complete, then the oldest.
  - Ours is what carries the label C(app.kubernetes.io/managed-by=aigateway.metering), and nothing else.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.gateways
  - aigateway.metering.common.prometheus
  - aigateway.metering.common.api
  - aigateway.metering.common.requirements
options:
  state:
    description:
      - V(present) ensures that exactly one monitor scrapes each sidecar.
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
    description: Which redundant monitors are removed. One that also scrapes other targets is never removed.
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

- name: Remove redundant monitors of others as well, of two Gateways only
  aigateway.metering.podmonitor_dedupe:
    gateways: [team-a/chat, team-b/chat]
    prune: all
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
prometheus:
  description: The Prometheus object that scrapes, as namespace/name.
  returned: success, with O(state=present)
  type: str
  sample: cpaas-system/kube-prometheus-0
scraper:
  description: The same with its kind before it, because another kind may have the same name.
  returned: success, with O(state=present)
  type: str
  sample: Prometheus cpaas-system/kube-prometheus-0
kept:
  description: What was there and was kept, separated by commas, or an empty string.
  returned: success, with O(state=present)
  type: str
  sample: cpaas-system/ai-gateway-metrics
created:
  description: The PodMonitor that was created, or an empty string.
  returned: success, with O(state=present)
  type: str
  sample: ""
updated:
  description: Our monitor, if it differed and was corrected, or an empty string.
  returned: success, with O(state=present)
  type: str
  sample: ""
removed:
  description: The redundant PodMonitors that were removed.
  returned: success
  type: list
  elements: str
  sample: [team-a/own-monitor]
removal_commands:
  description: For each of these, the command that does the same by hand.
  returned: success, with O(state=present)
  type: list
  elements: str
  sample: [kubectl -n team-a delete podmonitor own-monitor]
left:
  description: What scrapes sidecars redundantly and was left, each with its kind and the next command.
  returned: success, with O(state=present)
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind; V(job) for a scrape job of no object.
      type: str
      sample: PodMonitor
    name:
      description: namespace/name, or the name of the job.
      type: str
      sample: team-b/everything
    advice:
      description: What to do, in a sentence; empty where the command says it.
      type: str
      sample: ""
    command:
      description: The next command, as it is given to a shell; empty where there is none.
      type: str
      sample: kubectl -n team-b delete podmonitor everything
uncovered_pods:
  description: The proxy pods that no PodMonitor covers.
  returned: success, with O(state=present)
  type: list
  elements: str
  sample: []
applied:
  description: Whether the changes were applied; false in check mode.
  returned: success, with O(state=present)
  type: bool
  sample: true
manifest:
  description: The PodMonitor of ours that scrapes, or in check mode is to scrape, as a manifest; empty where one that
    is not ours does.
  returned: success, with O(state=present)
  type: dict
  sample:
    apiVersion: monitoring.coreos.com/v1
    kind: PodMonitor
    metadata: {namespace: cpaas-system, name: ai-gateway-metrics}
doubly_covered_pods:
  description: The proxy pods that several PodMonitors covered before, with their names.
  returned: success, with O(state=present)
  type: dict
  sample:
    envoy-gateway-system/envoy-team-a-chat-5d4f-x2x4z: [cpaas-system/ai-gateway-metrics, team-a/own-monitor]
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import podmonitor_dedupe
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(podmonitor_dedupe)


if __name__ == "__main__":
    main()
