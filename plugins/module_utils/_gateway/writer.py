# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Writes the controller's flag and restarts proxies, and refuses first what would be waited for in vain."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime

from .. import _names
from .._kubernetes import rollout_status
from .._kubernetes.client import Cluster
from .._kubernetes.objects import Object
from . import controller as _controller
from . import mapping, reader
from .controller import Controller
from .mapping import Pair, Record
from .proxy import Proxy

STRATEGIC = "application/strategic-merge-patch+json"


def refuse_what_would_wait_in_vain(
    controller: Controller, proxies: Sequence[Proxy], pairs: Sequence[Pair], *, restart: bool
) -> None:
    """Refuse to bring the flag to a mapping that the controller or a proxy would never get.

    Raises:
        MeteringError: one of them does not roll, and would have to.
    """
    wanted = dataclasses.replace(controller, pairs=tuple(pairs))
    rolling = [("Deployment", controller.deployment)] if pairs != controller.pairs else []
    if restart:
        rolling += [(proxy.kind, proxy.workload) for proxy in proxies if proxy.stale(wanted)]
    if rolling:
        _controller.refuse_without_pods(controller)
    if pairs != controller.pairs:
        controller.lists_with(pairs)
    rollout_status.refuse_what_never_rolls(rolling)


def ignored_warning(controller: Controller, text: str) -> str:
    """What stands among the controller's flags and does not count."""
    return (
        f"Deployment {controller.name} has {text} in its flags, but the gateway ignores it: of a repeated flag it "
        "uses the last value, and an older flag name only if the newer one is empty. Its pairs have no effect. "
        "Remove it, and add the missing pairs to labels_pairs. Next: "
        f"kubectl -n {controller.namespace} edit deployment {controller.deployment['metadata']['name']}"
    )


def write(
    cluster: Cluster, controller: Controller, pairs: Sequence[Pair], record: Record, *, dry_run: bool = False
) -> Object:
    """Write flag and record. Raises ConflictError where the Deployment has changed since it was read."""
    changed = controller.lists_with(pairs) if tuple(pairs) != controller.pairs else {}
    current = controller.deployment
    container = {"name": controller.container, **changed}
    spec = current["spec"]["template"]["spec"]
    in_init = any(item["name"] == controller.container for item in spec.get("initContainers") or ())
    annotations = {
        _names.ADDED_ANNOTATION: record.added,
        _names.REMOVED_ANNOTATION: record.removed,
        _names.MAPPING_ANNOTATION: record.mapping,
    }
    body = {
        "metadata": {
            "resourceVersion": current["metadata"]["resourceVersion"],
            # A null removes the annotation.
            "annotations": {name: mapping.render_mapping(pairs) or None for name, pairs in annotations.items()},
        },
        "spec": {"template": {"spec": {"initContainers" if in_init else "containers": [container]}}},
    }
    return cluster.patch(reader.APPS, "deployments", current, body, content_type=STRATEGIC, dry_run=dry_run)


def restart(cluster: Cluster, proxy: Proxy, *, dry_run: bool = False) -> Object:
    """What `kubectl rollout restart` does, on the version that was judged stale: two runs at once restart once."""
    body = {
        "metadata": {"resourceVersion": proxy.workload["metadata"]["resourceVersion"]},
        "spec": {
            "template": {
                "metadata": {"annotations": {_names.RESTARTED_AT: datetime.now(UTC).isoformat(timespec="seconds")}}
            }
        },
    }
    plural = reader.PLURALS[proxy.kind]
    return cluster.patch(reader.APPS, plural, proxy.workload, body, content_type=STRATEGIC, dry_run=dry_run)
