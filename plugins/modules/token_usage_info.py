#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_usage_info
short_description: Sum up to the token what was used in a period
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Follows each counter of the AI gateway's sidecars through its stored samples, and sums up what was added in a
    period.
  - Unlike PromQL's C(increase), it neither extrapolates nor loses the first request of a new series. A counter is
    identified by its pod and by what the sidecar exposes, not by the scrape. If a monitor replaces another, or scrapes
    the same pod, nothing is billed twice.
  - The value of a counter's first sample is growth where the pod was scraped before and had no such counter, or where
    its sidecar is known to have started in the period. Kubernetes says so of a running one; of one that has ended, its
    ReplicaSet was made in the period, or kube-state-metrics has stored that the pod was. Otherwise it is not billed,
    and is reported as a doubt.
  - Doubts report what cannot be known. These are scrape gaps, pods that have ended after their last scrape, a period
    that begins before anything is stored, and tokens without a namespace.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.reading
  - aigateway.metering.common.prometheus
  - aigateway.metering.common.api
  - aigateway.metering.common.requirements
options:
  start:
    description: When the period begins, in ISO 8601 with its zone. A sample of exactly this time does not count.
    type: str
    required: true
  end:
    description: When it ends. A sample of exactly this time counts, so that periods add up.
    type: str
    required: true
  by:
    description:
      - The fields to group by, of V(namespace), V(department), V(user), V(model), V(original_model), V(provider),
        V(gateway) and V(pod). The model is the one that was requested of the provider.
      - The gateway, as namespace/name, is that of the pod's workload; it is empty where that is gone.
    type: list
    elements: str
    default: [namespace, model]
  zone:
    description: The time zone in which days begin, such as V(Europe/Berlin).
    type: str
    default: UTC
  matchers:
    description:
      - Labels and their values that only this cluster's series have in a store of several clusters, such as
        C(cluster).
      - Without them the tokens of every cluster in the store are summed up.
    type: dict
    default: {}
  cache:
    description:
      - A file on the host that runs the module, that keeps answers about past times. A report that
        was interrupted, or is run again, then queries only the rest.
      - An answer is used only for the same store and query, and for times at least three hours ago. One that is 40
        days old is removed.
      - The file shows who has used what. Only its owner may read it.
    type: path
"""

EXAMPLES = r"""
- name: Sum up November
  aigateway.metering.token_usage_info:
    start: "2026-11-01T00:00:00+01:00"
    end: "2026-12-01T00:00:00+01:00"
    by: [namespace, department, model]

- name: Sum up a day by model, as one cluster of a shared store has it
  aigateway.metering.token_usage_info:
    start: "2026-11-01T00:00:00Z"
    end: "2026-11-02T00:00:00Z"
    by: [model]
    matchers:
      cluster: production
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
prometheus:
  description: The Prometheus object that was queried, as namespace/name.
  returned: success
  type: str
  sample: cpaas-system/kube-prometheus-0
start:
  description: When the period begins, in UTC.
  returned: success
  type: str
  sample: "2026-10-31T23:00:00Z"
end:
  description: When it ends, in UTC.
  returned: success
  type: str
  sample: "2026-11-30T23:00:00Z"
by:
  description: The fields that the rows are grouped by.
  returned: success
  type: list
  elements: str
  sample: [namespace, model]
rows:
  description:
    - For each combination of what is summed by, C(tokens) by type, C(total), which is input and output, and
      C(requests).
    - The other types are parts of these two, but for those in C(beside), by type - v0.4 and older count them apart
      for some upstreams, and they are in C(total) as well.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: One such key for each of RV(by).
      type: str
      sample: team-a
    tokens:
      description: Tokens by type.
      type: dict
      sample: {input: 1200, output: 300, cached_input: 200}
    beside:
      description: Of these, those that are part of neither input nor output.
      type: dict
      sample: {}
    total:
      description: Input and output tokens, and those in C(beside).
      type: int
      sample: 1500
    requests:
      description: Requests.
      type: int
      sample: 12
days:
  description: For each day of the period its C(date), and C(tokens), C(beside), C(total) and C(requests) as of rows.
  returned: success
  type: list
  elements: dict
  contains:
    date:
      description: The day, in the zone of the period.
      type: str
      sample: "2026-11-01"
    tokens:
      description: Tokens by type.
      type: dict
      sample: {input: 1200, output: 300}
    beside:
      description: Of these, those that are part of neither input nor output.
      type: dict
      sample: {}
    total:
      description: Input and output tokens, and those in C(beside).
      type: int
      sample: 1500
    requests:
      description: Requests.
      type: int
      sample: 12
tokens:
  description: All tokens by type.
  returned: success
  type: dict
  sample: {input: 1200, output: 300, cached_input: 200}
beside:
  description: Of these, by type, the tokens that v0.4 and older counted beside input or output; none elsewhere.
  returned: success
  type: dict
  sample: {}
total:
  description: Input and output tokens, and those in RV(beside).
  returned: success
  type: int
  sample: 1500
requests:
  description: All requests.
  returned: success
  type: int
  sample: 12
doubts:
  description: What cannot be known of the period, one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["Nothing is stored of 2026-11-01T00:00:00Z or before: the period may have begun without a scrape."]
doubtful_tokens:
  description: How many tokens these may be together; 0 also where it is not known of any.
  returned: success
  type: int
  sample: 0
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import token_usage_info
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(token_usage_info)


if __name__ == "__main__":
    main()
