#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: prom_scrape_check
short_description: Assert on live targets that every AI gateway sidecar is scraped exactly once
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Asks every running replica of the Prometheus for its active targets, and waits until each proxy pod's sidecar has
    exactly one, and that one is up. If this takes too long, the module fails and names the pods, the scrape pools and
    the last errors.
  - Targets are matched by pod IP and port, so it does not matter which kind of object, or which hand-written job, a
    target comes from.
  - Then waits until what the sidecars expose is stored. If this takes too long, the module fails and shows how many
    tokens are missing. It also fails if a proxy serves a Gateway with an AIGatewayRoute and has no sidecar.
  - Then returns the names under which the token metric is stored, and which mapped labels carry data.
  - It asserts, so it is not named C(_info). It changes nothing.
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
  timeout:
    description: How many seconds the targets and the store may take to become right. Prometheus reloads its
      configuration some time after a PodMonitor has changed.
    type: int
    default: 180
  on_duplicate:
    description: Whether the task fails or only warns if a sidecar is scraped more than once.
    type: str
    choices: [fail, warn]
    default: fail
  require_samples:
    description: Whether the task fails, instead of only warning, if no token sample is stored.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Prove that each sidecar is scraped once
  aigateway.metering.prom_scrape_check:
    timeout: 180

- name: Ask a Thanos whose address is known, and do not fail on what is scraped twice
  aigateway.metering.prom_scrape_check:
    api:
      url: https://thanos.example.org
      token: "{{ token }}"
    on_duplicate: warn
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
prometheus:
  description: The Prometheus object that was asked, as namespace/name.
  returned: success
  type: str
  sample: cpaas-system/kube-prometheus-0
replicas:
  description: The pods of it that were asked.
  returned: success
  type: list
  elements: str
  sample: [cpaas-system/prometheus-kube-prometheus-0-0]
evidence:
  description: V(targets), or V(up) where the backend serves no targets and its series C(up) were used.
  returned: success
  type: str
  sample: targets
pools:
  description: The number of targets by scrape pool.
  returned: success
  type: dict
  sample: {podMonitor/cpaas-system/ai-gateway-metrics/0: 2}
targets:
  description: The number of sidecars that are scraped and up.
  returned: success
  type: int
  sample: 2
scraped_once:
  description: Whether each of them is scraped once only. With O(on_duplicate=fail) it always is.
  returned: success
  type: bool
  sample: true
names:
  description: The names under which token sums are stored, or were in the last days.
  returned: success
  type: list
  elements: str
  sample: [gen_ai_client_token_usage_sum]
token_types:
  description: The token types that are stored. They overlap; only input and output add up to a total.
  returned: success
  type: list
  elements: str
  sample: [cached_input, input, output]
labels_present:
  description: For each mapped label that carries data, the number of stored series with it.
  returned: success
  type: dict
  sample: {department: 24, user_namespace: 24}
labels_absent:
  description: The mapped labels that no stored series carries.
  returned: success
  type: list
  elements: str
  sample: []
no_traffic:
  description: Whether no token sample of the running proxies is stored.
  returned: success
  type: bool
  sample: false
tails:
  description:
    - For each Gateway whose proxies may end before they are scraped once more, how many seconds of what they count may
      be lost at a restart.
  returned: success
  type: dict
  sample: {team-a/chat: 30}
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import prom_scrape_check
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(prom_scrape_check)


if __name__ == "__main__":
    main()
