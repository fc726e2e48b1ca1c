#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: gateway_info
short_description: Show what an Envoy AI Gateway maps, emits and lacks for metering
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Reads the controller, the proxies with their sidecars and expositions, routes, security policies and monitoring
    objects of a cluster.
  - Checks against them what a run would do with the given options. What would make the run fail is listed in
    RV(problems), what would make the bill wrong in RV(cautions). Nothing is changed.
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
      - The pairs that a run is going to add, as V(header:label,header:label), to be checked against what is there.
      - V(x-user-namespace:user_namespace) is always among them.
      - A list of these, or a map of header to label, is taken as well.
    type: raw
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
      - As O(aigateway.metering.merge_metrics_attributes#module:method) of
        M(aigateway.metering.merge_metrics_attributes). With V(verify) something else sets
        the flag, and the dry run covers only the record of the added pairs.
    type: str
    choices: [patch, verify]
    default: patch
  restart:
    description: Whether stale proxies will be restarted. If so, a stale proxy that never rolls out is a problem.
    type: bool
    default: false
  monitor:
    description: The wanted scrape. If it is given, RV(monitor) shows what would have to change.
    type: dict
    suboptions:
      name:
        description: As O(aigateway.metering.podmonitor_dedupe#module:name) of M(aigateway.metering.podmonitor_dedupe).
        type: str
        default: ""
      interval:
        description:
          - As O(aigateway.metering.podmonitor_dedupe#module:interval) of M(aigateway.metering.podmonitor_dedupe).
        type: str
        default: 30s
      prune:
        description: As O(aigateway.metering.podmonitor_dedupe#module:prune) of M(aigateway.metering.podmonitor_dedupe).
        type: str
        choices: [none, ours, all]
        default: ours
  dashboards:
    description: The dashboards that are looked for. By default none are, nor what shows them.
    type: dict
    suboptions:
      name:
        description: What their names are made of.
        type: str
        required: true
      namespace:
        description: Their namespace. By default that from which each provider takes them.
        type: str
        default: ""
      providers:
        description: What is to show them, or V(auto) for all that is found.
        type: list
        elements: str
        choices: [auto, monitor, grafana, grafana_operator, perses]
        default: [auto]
  cost_management:
    description: Whether to look for pods of Alauda's Cost Management.
    type: bool
    default: false
  models:
    description: Whether to return the models whose tokens are stored.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See what the gateway emits
  aigateway.metering.gateway_info:
  register: gateway

- name: Check what a run would add, before it is run
  aigateway.metering.gateway_info:
    pairs: [x-user-namespace:user_namespace, x-team:team]
    gateways: [team-a/chat]
  register: gateway
  failed_when: gateway.problems != []
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
controller:
  description: The controller's name, version, generation (empty where the tag shows none), flag, release and mapping.
  returned: when there is one
  type: dict
  contains:
    name:
      description: The controller's Deployment, as namespace/name.
      type: str
      sample: envoy-ai-gateway-system/ai-gateway-controller
    version:
      description: The tag of its image.
      type: str
      sample: v0.6.0
    generation:
      description: The generation of the gateway; empty where the tag shows none.
      type: str
      sample: v0.6
    flag:
      description: The name of the flag that has the mapping.
      type: str
      sample: metricsRequestHeaderAttributes
    helm:
      description: The Helm release that it belongs to, with C(release) and C(namespace); empty for none.
      type: dict
      sample: {release: aieg, namespace: envoy-ai-gateway-system}
    mapping:
      description: The value of the flag.
      type: str
      sample: x-user-namespace:user_namespace,x-user-group:department
    base_mapping:
      description: The value of the flag for metrics, spans and logs together.
      type: str
      sample: ""
scope:
  description: Gateways that were managed, as namespace/name; empty for all.
  returned: always
  type: list
  elements: str
  sample: [team-a/chat]
proxies:
  description: The proxy workloads with their gateways, and for each pod the mapping it emits and whether it is stale.
  returned: always
  type: list
  elements: dict
  contains:
    workload:
      description: The Deployment or DaemonSet, as namespace/name.
      type: str
      sample: envoy-gateway-system/envoy-team-a-chat
    kind:
      description: V(Deployment) or V(DaemonSet).
      type: str
      sample: Deployment
    gateway:
      description: Its Gateway, as namespace/name.
      type: str
      sample: team-a/chat
    rolls_itself:
      description: Whether the gateway restarts it by itself when the mapping changes.
      type: bool
      sample: false
    pods:
      description: Its running pods.
      type: list
      elements: dict
      contains:
        name:
          description: The pod, as namespace/name.
          type: str
          sample: envoy-gateway-system/envoy-team-a-chat-5d4f-x2x4z
        mapping:
          description: The mapping that its sidecar was started with.
          type: str
          sample: x-user-namespace:user_namespace,x-user-group:department
        stale:
          description: Whether that differs from the controller's.
          type: bool
          sample: false
labels:
  description:
    - For each label of the mapping, whether it carries data at the sidecars (C(carries_data)), whether only traffic
      is missing (C(expected)), and why it carries none (C(reason)).
  returned: when there is a controller
  type: dict
  sample: {department: {carries_data: true, expected: true, reason: ""}}
prometheuses:
  description: The Prometheus objects.
  returned: always
  type: list
  elements: str
  sample: [cpaas-system/kube-prometheus-0]
prometheus:
  description: The Prometheus object that has to scrape, or an empty string.
  returned: always
  type: str
  sample: cpaas-system/kube-prometheus-0
names:
  description: The names under which it stores token sums; none if it could not be queried.
  returned: always
  type: list
  elements: str
  sample: [gen_ai_client_token_usage_sum]
department_stored:
  description: Whether it has stored a token sum with a plain value in the label C(department) in the last days.
  returned: always
  type: bool
  sample: true
dashboard_providers:
  description: What shows dashboards, of what was asked for with O(dashboards).
  returned: always
  type: list
  elements: dict
  contains:
    provider:
      description: V(monitor), V(grafana), V(grafana_operator) or V(perses).
      type: str
      sample: grafana
    api:
      description: The group and version of the dashboards' kind.
      type: str
      sample: v1
    kind:
      description: That kind.
      type: str
      sample: ConfigMap
    plural:
      description: Its name in the API's addresses.
      type: str
      sample: configmaps
    namespace:
      description: Where its dashboards are put.
      type: str
      sample: monitoring
    labels:
      description: The labels by which it selects dashboards, or by which its operator selects it.
      type: dict
      sample: {grafana_dashboard: "1"}
dashboards:
  description: The dashboards under the names of ours that are there, whoever has made them.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: The kind.
      type: str
      sample: ConfigMap
    metadata:
      description: Namespace, name and labels.
      type: dict
      sample: {namespace: monitoring, name: ai-gateway-token-usage}
entrances:
  description: The entrances of M(aigateway.metering.query_entrance) that are there, as namespace/name; only where
    O(dashboards) is given.
  returned: always
  type: list
  elements: str
  sample: [cpaas-system/token-usage-entrance]
recorded:
  description: What rules of ours record of the present month; only where O(dashboards) is given.
  returned: always
  type: list
  elements: dict
  contains:
    currency:
      description: The currency of amounts, or an empty string where there are no prices.
      type: str
      sample: EUR
    budgets:
      description: Of which units namespaces have budgets, separated by commas.
      type: str
      sample: cost,tokens
models:
  description: The models whose tokens were stored within the last 31 days; only with O(models).
  returned: always
  type: list
  elements: dict
  contains:
    model:
      description: Its name, as it was requested of the provider.
      type: str
      sample: gpt-4o
    provider:
      description: The provider, or an empty string.
      type: str
      sample: azure.openai
dashboards_left_out:
  description: The providers that were found and may not be read or written, so that they get no dashboards.
  returned: always
  type: list
  elements: str
  sample: []
monitor:
  description:
    - What M(aigateway.metering.podmonitor_dedupe) would return in check mode; empty where O(monitor) is not given, or
      where it is not known.
  returned: always
  type: dict
  sample: {kept: cpaas-system/ai-gateway-metrics, created: "", updated: "", removed: []}
cost_management:
  description: The Cost Management programs that have pods in the cluster, if they were looked for.
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
  sample: {namespace: cpaas-system, labels: {prometheus: kube-prometheus}}
ports:
  description: The ports at which sidecars serve their metrics.
  returned: always
  type: list
  elements: int
  sample: [1064]
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
    advice:
      description: What to do, in a sentence; empty where the command says it.
      type: str
      sample: ""
    command:
      description: The next command, as it is given to a shell; empty where there is none.
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
  sample:
    - "The label 'department' comes from the header 'x-team' by the controller's flag and 'x-user-group' by this run."
cautions:
  description: What would make the bill wrong; also shown as warnings.
  returned: always
  type: list
  elements: str
  sample: ["Gateway team-a/chat: the header x-user-group is set by no policy. …"]
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import gateway_info
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(gateway_info)


if __name__ == "__main__":
    main()
