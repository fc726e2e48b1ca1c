#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: verify_token_usage
short_description: Prove with requests of known callers that their tokens are counted, labelled and stored
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Sends one plain and one streamed chat completion for each token through the gateway. Then requires that sidecars
    have counted at least the tokens that the answers report, under a namespace to bill, and that every replica of
    the Prometheus has stored what the sidecars show.
  - A caller whose samples lack the namespace is named with the reason that was found.
  - The requests use up tokens. Nothing else is changed; in check mode nothing is sent.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.common.controller
  - aigateway.metering.common.gateways
  - aigateway.metering.common.prometheus
  - aigateway.metering.common.api
  - aigateway.metering.common.requirements
attributes:
  check_mode:
    support: full
    details: In check mode no request is sent.
  diff_mode:
    support: N/A
    details: The module changes no object.
  idempotent:
    support: N/A
    details: Each run sends its requests.
options:
  address:
    description: The gateway's address as a URL, such as V(https://gateway.example.org). It has to be reachable from
      where the module runs.
    type: str
    required: true
  path:
    description: The path of the chat completions API.
    type: str
    default: /v1/chat/completions
  model:
    description: The model to ask for.
    type: str
    required: true
  tokens:
    description: One bearer token for each caller. They are in no output.
    type: list
    elements: str
    required: true
  prompt:
    description: The prompt to send; short, because its tokens cost money.
    type: str
    default: hi
  headers:
    description: Further headers to send, such as a Host.
    type: dict
    default: {}
  secret_headers:
    description:
      - Names of further O(headers) whose values are secret and are in no output.
      - Those whose names have auth, cookie, token, secret, pass, key, credential, session, signature or bearer in them
        are always secret.
    type: list
    elements: str
    default: []
  address_validate_certs:
    description: Whether the gateway's certificate is verified.
    type: bool
    default: true
  address_ca_path:
    description: The file with the authorities that the gateway's certificate is verified against. By default the
      system's.
    type: path
  request_timeout:
    description: How many seconds an answer may take.
    type: int
    default: 60
  timeout:
    description: How many seconds Prometheus may take to store what the sidecars show. More than a scrape interval.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Prove that both tenants are metered
  aigateway.metering.verify_token_usage:
    address: https://gateway.example.org
    model: my-llm
    tokens:
      - "{{ token_of_team_a }}"
      - "{{ token_of_team_b }}"

- name: Prove it at an address with a certificate of a private authority
  aigateway.metering.verify_token_usage:
    address: https://gateway.example.org
    address_ca_path: /etc/ssl/private-ca.pem
    model: my-llm
    tokens: ["{{ token_of_team_a }}"]
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
prometheus:
  description: The Prometheus object that was asked, as namespace/name.
  returned: when requests were sent
  type: str
  sample: cpaas-system/kube-prometheus-0
rows:
  description: The result of each caller's requests.
  returned: always
  type: list
  elements: dict
  contains:
    caller:
      description: Which of the tokens it is, by number.
      type: str
      sample: caller 1
    statuses:
      description: The HTTP statuses of the plain and the streamed request.
      type: list
      elements: int
      sample: [200, 200]
    gateway:
      description: The Gateway whose sidecars counted it, as namespace/name.
      type: str
      sample: team-a/chat
    labels:
      description: The mapped labels that its samples carry.
      type: dict
      sample: {department: sales, user_namespace: team-a}
    missing:
      description: The mapped labels that they do not carry, each with the reason.
      type: dict
      sample: {}
    input:
      description: The input tokens that were counted.
      type: int
      sample: 24
    output:
      description: The output tokens that were counted.
      type: int
      sample: 18
    counted:
      description: Whether the sidecars have counted all tokens that the answers report.
      type: bool
      sample: true
    stored:
      description: Whether every replica of the Prometheus has stored it.
      type: bool
      sample: true
    problems:
      description: What is wrong.
      type: list
      elements: str
      sample: []
table:
  description: The rows for a person to read, one line each.
  returned: always
  type: list
  elements: str
  sample:
    - caller    gateway      user_namespace  department  answers  input  output  sidecar  Prometheus
    - caller 1  team-a/chat  team-a          sales       200 200  24     18      counted  stored
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import verify_token_usage
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(verify_token_usage)


if __name__ == "__main__":
    main()
