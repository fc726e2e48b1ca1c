#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: query_entrance
short_description: Give each team an entrance to Prometheus that shows only its own usage
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Puts a Deployment in place with well-known proxies. C(kube-rbac-proxy) asks the API server whether the caller may
    read the namespace that the header C(X-Namespace) names. C(prom-label-proxy), on the pod's loopback, limits every
    query to that namespace. Between them Envoy refuses the function C(scalar()) and quoted names in lists such as
    C(on), by which a query could get around that.
  - A request has to have a token that the API server knows, of a ServiceAccount or of a person.
  - Lets through only the paths C(/api/v1/query) and C(/api/v1/query_range).
  - Looks from outside whether a request without credentials is refused, and fails if it is answered.
  - The entrance isolates only who has no other way to the samples. A warning says where Prometheus itself can be asked.
  - kube-rbac-proxy remembers for up to five minutes that somebody was allowed.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.prometheus
  - aigateway.metering.common.api
  - aigateway.metering.common.requirements
options:
  state:
    description: Whether the entrance must exist. V(absent) removes every entrance that is ours.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The name of its objects; C(token-usage-entrance) by default.
    type: str
    default: ""
  namespace:
    description: Their namespace. By default that of Prometheus.
    type: str
    default: ""
  upstream:
    description:
      - The address that is asked for series, as pods of the cluster reach it. No credentials are sent.
      - By default the pods of the Prometheus object. One with shards, an agent, or one that serves HTTPS needs an
        address, such as that of a querier.
    type: str
    default: ""
  resource:
    description:
      - What a caller has to be allowed to V(get) in a namespace to read its usage, as C(resource) or
        C(resource.group); a POST needs V(create).
      - The default C(tokenusages.aigateway.metering) is served by no API server; a ClusterRole of ours adds it to the
        role C(view).
        Whoever may view a namespace may then read its usage.
    type: str
    default: ""
  secret:
    description:
      - A Secret of the type C(kubernetes.io/tls) in the same namespace, with a certificate of yours.
      - By default one is made for two years, and made anew when it has less than 60 days left. Its authority is
        C(ca.crt) of the same Secret.
    type: str
    default: ""
  rbac_image:
    description: The image of kube-rbac-proxy; C(quay.io/brancz/kube-rbac-proxy:v0.19.1) by default.
    type: str
    default: ""
  filter_image:
    description: The image of Envoy; by default that of the gateway's proxies.
    type: str
    default: ""
  label_image:
    description: The image of prom-label-proxy; C(quay.io/prometheuscommunity/prom-label-proxy:v0.14.0) by default.
    type: str
    default: ""
  require_secret:
    description: Whether O(secret) has to be there already.
    type: bool
    default: true
  check_permissions:
    description: Whether a permission that this account lacks fails the task in check mode, too.
    type: bool
    default: true
  timeout:
    description: How many seconds the entrance may take to become ready.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Have an entrance for the teams
  aigateway.metering.query_entrance:
  register: entrance

- name: Ask Thanos, with a certificate of our own
  aigateway.metering.query_entrance:
    namespace: monitoring
    upstream: http://thanos-query.monitoring:9090
    secret: entrance-tls

- name: Take it back
  aigateway.metering.query_entrance:
    state: absent
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
entrance:
  description: The entrance, as namespace/name.
  returned: success
  type: str
  sample: cpaas-system/token-usage-entrance
url:
  description: Its address within the cluster.
  returned: success
  type: str
  sample: https://token-usage-entrance.cpaas-system.svc
header:
  description: The header that names the namespace.
  returned: success
  type: str
  sample: X-Namespace
authority:
  description: The Secret with the authority to be trusted (C(ca.crt)), as namespace/name.
  returned: success
  type: str
  sample: cpaas-system/token-usage-entrance-tls
upstream:
  description: What it asks for series.
  returned: success
  type: str
  sample: http://token-usage-entrance-store.cpaas-system.svc:9090
applied:
  description: The objects that were created or changed, each with its kind, namespace and name.
  returned: success
  type: list
  elements: str
  sample: [Deployment cpaas-system/token-usage-entrance]
removed:
  description: Those that were removed.
  returned: success
  type: list
  elements: str
  sample: []
closed:
  description: Whether a request without credentials was refused; none where that could not be seen.
  returned: success
  type: bool
  sample: true
missing:
  description: What the entrance waits for before it serves; an empty string where it serves, or is not there yet.
  returned: success
  type: str
  sample: ""
manifests:
  description: All its objects but for the certificate.
  returned: success
  type: list
  elements: dict
  contains:
    apiVersion:
      description: The version of the kind.
      type: str
      sample: apps/v1
    kind:
      description: The kind.
      type: str
      sample: Deployment
    metadata:
      description: Its name, namespace and labels.
      type: dict
      sample: {name: token-usage-entrance, namespace: cpaas-system}
cautions:
  description: What it cannot keep closed, and the next command.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import query_entrance
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(query_entrance)


if __name__ == "__main__":
    main()
