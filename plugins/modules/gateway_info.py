#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_info
short_description: Say what an Envoy AI Gateway maps, emits and lacks for metering
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Reads the controller, the proxies with their sidecars and expositions, routes, security policies and monitoring
    objects of a cluster.
  - Checks against them what a run would do with the given options. What would make the run fail is listed in
    RV(problems), what would make the bill wrong in RV(cautions). Nothing is changed.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
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
      - The pairs that a run is going to add, as V(header:label,header:label), to be checked against what is there.
      - V(x-user-namespace:user_namespace) is always among them.
    type: str
    default: ""
  allow_per_user:
    description: Whether the run may add a pair that makes one series for each user.
    type: bool
    default: false
  check_permissions:
    description:
      - Whether it is a problem that the account lacks permissions that a run with these options needs.
      - What such a run would write is tried by a dry run (C(dryRun=All)), which changes nothing and also shows what an
        admission webhook would refuse. Where nothing is to be written, no permission to write is needed.
    type: bool
    default: true
  method:
    description:
      - As the option O(aigateway.metering.merge_metrics_attributes#module:method). With V(verify) somebody else sets
        the flag, and only the record of what was added is tried to be written.
    type: str
    choices: [patch, verify]
    default: patch
  restart:
    description: Whether stale proxies are about to be restarted; then it is a problem where one never rolls.
    type: bool
    default: false
  monitor:
    description: What the scrape is to be like; then RV(monitor) says what would have to change for it.
    type: dict
    suboptions:
      name:
        description: As the option O(aigateway.metering.podmonitor_dedupe#module:name).
        type: str
        default: ""
      interval:
        description: As the option O(aigateway.metering.podmonitor_dedupe#module:interval).
        type: str
        default: 30s
      prune:
        description: As the option O(aigateway.metering.podmonitor_dedupe#module:prune).
        type: str
        choices: [none, ours, all]
        default: ours
  dashboard:
    description: The MonitorDashboard to look for, as namespace/name.
    type: str
    default: ""
  cost_management:
    description: Whether to look for pods of Alauda's Cost Management.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See what the gateway emits
  aigateway.metering.gateway_info:
  register: gateway
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
controller:
  description: The controller's name, version, generation (empty where the tag tells none), flag, release and mapping.
  returned: when there is one
  type: dict
scope:
  description: Gateways that were managed, as namespace/name; empty for all.
  returned: always
  type: list
  elements: str
proxies:
  description: The proxy workloads with their gateways, and for each pod the mapping it emits and whether it is stale.
  returned: always
  type: list
  elements: dict
labels:
  description:
    - For each label of the mapping, whether it carries data at the sidecars (C(carries_data)), whether only traffic
      is missing (C(expected)), and why it carries none (C(reason)).
  returned: when there is a controller
  type: dict
prometheuses:
  description: The Prometheus objects.
  returned: always
  type: list
  elements: str
prometheus:
  description: The one that is to scrape, or an empty string.
  returned: always
  type: str
names:
  description: The names under which it stores token sums; none where it could not be asked.
  returned: always
  type: list
  elements: str
department_stored:
  description: Whether it has stored a token sum with a plain value in the label C(department) in the last days.
  returned: always
  type: bool
monitor_dashboard:
  description: Whether the cluster knows the MonitorDashboard kind.
  returned: always
  type: bool
dashboard:
  description: The MonitorDashboard that was looked for; empty where it is not there, or was not looked for.
  returned: always
  type: dict
monitor:
  description:
    - What M(aigateway.metering.podmonitor_dedupe) would return in check mode; empty where O(monitor) is not given, or
      where it could not be told.
  returned: always
  type: dict
cost_management:
  description: Those of Cost Management's programs that there are pods of, if these were looked for.
  returned: always
  type: list
  elements: str
  sample: [slark-agent, slark-server]
rules:
  description:
    - The C(namespace) and the C(labels) that a PrometheusRule needs to be taken by that Prometheus; none where it takes
      none.
  returned: always
  type: dict
ports:
  description: The ports at which sidecars serve their metrics.
  returned: always
  type: list
  elements: int
unmetered:
  description: The proxy pods that serve a Gateway with an AIGatewayRoute and have no sidecar that is ready.
  returned: always
  type: list
  elements: dict
  contains:
    pod:
      description: The pod, as namespace/name.
      type: str
      sample: envoy-gateway-system/envoy-team-a-chat-5d4f-x2x4z
    gateway:
      description: Its Gateway, as namespace/name.
      type: str
      sample: team-a/chat
    why:
      description: What is wrong with it.
      type: str
      sample: it runs without the container ai-gateway-extproc
    command:
      description: The next command.
      type: str
      sample: kubectl -n envoy-gateway-system delete pod envoy-team-a-chat-5d4f-x2x4z
workloads:
  description: The proxies' workloads of Gateways with an AIGatewayRoute, as namespace/name.
  returned: always
  type: list
  elements: str
  sample: [envoy-gateway-system/envoy-team-a-chat]
problems:
  description: What would make a run fail, each with why it matters and the next command.
  returned: always
  type: list
  elements: str
cautions:
  description: What would make the bill wrong; also shown as warnings.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import gateway_info
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(gateway_info)


if __name__ == "__main__":
    main()
