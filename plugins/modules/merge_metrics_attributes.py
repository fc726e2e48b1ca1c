#!/usr/bin/python
# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: merge_metrics_attributes
short_description: Merge header-to-label pairs into the AI gateway controller's one metrics flag
version_added: 0.1.0
author:
  - The aigateway.metering authors (@aigateway)
description:
  - Sets C(--metricsRequestHeaderAttributes) of the AI gateway's controller to the union of what it has, what the
    running sidecars emit, and the wanted pairs. No pair is ever lost; existing pairs keep their order.
  - Then waits until the controller has rolled out and its old pods are gone, because a proxy that is created while an
    old one still serves the webhook gets the old mapping.
  - Running proxies keep their mapping until they are restarted; see M(aigateway.metering.proxy_rollout).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - aigateway.metering.attributes
  - aigateway.metering.attributes.changing
  - aigateway.metering.common.controller
  - aigateway.metering.common.requirements
options:
  pairs:
    description:
      - The wanted pairs, as V(header:label,header:label).
      - V(x-user-namespace:user_namespace) is always part of the result.
    type: str
    default: x-user-namespace:user_namespace,x-user-group:department
  allow_per_user:
    description:
      - Whether a pair that makes one series for each user may be added.
      - One that is there already stays, whatever this says.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds the controller may take to roll out.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Label token metrics with the billed namespace and the caller's department
  aigateway.metering.merge_metrics_attributes:
    pairs: x-user-namespace:user_namespace,x-user-group:department
"""

RETURN = r"""
server:
  description: The API server that was spoken to.
  returned: always
  type: str
controller:
  description: The controller's Deployment, as namespace/name.
  returned: success
  type: str
before:
  description: The flag's value as it was.
  returned: success
  type: str
after:
  description: The flag's value as it is now, or in check mode as it would be.
  returned: success
  type: str
added:
  description: The pairs that this run added because they were wanted.
  returned: success
  type: list
  elements: str
recovered:
  description: The pairs that sidecars still emitted although the flag had lost them.
  returned: success
  type: list
  elements: str
sources:
  description: For each pair, who had it.
  returned: success
  type: dict
"""

from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _mapping, _names, _state
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._module import CONTROLLER_OPTION, run
from ansible_collections.aigateway.metering.plugins.module_utils._rollout import set_flag, wait_for_controller


def merge(module: Any, cluster: Cluster) -> dict[str, Any]:
    wanted = _mapping.wanted(module.params["pairs"])
    _mapping.check_wanted(wanted)
    controller = _state.controller(cluster, module.params["controller"])
    merged = _mapping.merge(
        controller.pairs,
        {sidecar.name: sidecar.emitted for sidecar in _state.sidecars(cluster)},
        wanted,
        base=controller.base,
        consent=module.params["allow_per_user"],
    )
    changed = merged.pairs != controller.pairs
    if not module.check_mode:
        if changed:
            set_flag(cluster, controller, merged)
        wait_for_controller(cluster, controller, merged.value, module.params["wait_timeout"])
    after = merged.value if changed else controller.value
    flag = f"--{_names.METRICS_FLAG}="
    return {
        "changed": changed,
        "controller": controller.name,
        "before": controller.value,
        "after": after,
        "added": list(map(str, merged.added)),
        "recovered": list(map(str, merged.recovered)),
        "sources": dict(merged.sources),
        "diff": {"before": f"{flag}{controller.value}\n", "after": f"{flag}{after}\n"},
    }


def main() -> None:
    run(
        {
            **CONTROLLER_OPTION,
            "pairs": {"type": "str", "default": _names.DEFAULT_PAIRS},
            "allow_per_user": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 300},
        },
        merge,
    )


if __name__ == "__main__":
    main()
