#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: owned_objects
short_description: Apply or remove objects that this collection owns
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Applies objects that carry our label C(app.kubernetes.io/managed-by), where they differ from the cluster. If one of
    the same name has no such label, the module fails before it changes anything.
  - Programs that read such an object only when they start are restarted where their pods are older than its last
    change. So an interrupted run is finished by the next one, and a run without a change restarts nothing.
extends_documentation_fragment:
  - aigateway.metering.auth
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.requirements
options:
  definitions:
    description:
      - The objects, each a C(ConfigMap), a C(PrometheusRule) or a C(MonitorDashboard).
      - To remove objects only C(apiVersion), C(kind) and C(metadata) are used. One without a name means every
        object of its kind that is ours.
    type: list
    elements: dict
    required: true
  state:
    description: Whether the objects must exist. V(absent) removes only objects that are ours.
    type: str
    choices: [present, absent]
    default: present
  readers:
    description: What reads an object when it starts.
    type: list
    elements: dict
    default: []
    suboptions:
      object:
        description: The name of the object.
        type: str
        required: true
      namespace:
        description: The namespace of the pods.
        type: str
        required: true
      labels:
        description: Their labels, as C(name=value).
        type: str
        required: true
  timeout:
    description: How many seconds the restarted pods may take to become ready.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Tell Cost Management what to collect
  aigateway.metering.owned_objects:
    definitions: "{{ (gateway | aigateway.metering.cost_management).values() | list }}"
    readers:
      - object: slark-agent-aigateway-config
        namespace: cpaas-system
        labels: service_name=slark-agent

- name: Take a dashboard of ours back
  aigateway.metering.owned_objects:
    state: absent
    definitions:
      - apiVersion: ait.alauda.io/v1alpha2
        kind: MonitorDashboard
        metadata:
          namespace: cpaas-system
          name: aigateway-token-usage
"""

RETURN = r"""
server:
  description: URL of the API server.
  returned: always
  type: str
  sample: https://192.0.2.10:6443
applied:
  description: The objects that were created or changed, each with its kind, namespace and name.
  returned: success
  type: list
  elements: str
  sample: [ConfigMap cpaas-system/slark-agent-aigateway-config]
removed:
  description: Those that were removed.
  returned: success
  type: list
  elements: str
  sample: []
restarted:
  description: The pods that were restarted, as namespace/name.
  returned: success
  type: list
  elements: str
  sample: [cpaas-system/slark-agent-7c9d-kk2vm]
"""

from ansible_collections.aigateway.metering.plugins.module_utils._modules import owned_objects
from ansible_collections.aigateway.metering.plugins.module_utils._modules.runner import run


def main() -> None:
    run(owned_objects)


if __name__ == "__main__":
    main()
