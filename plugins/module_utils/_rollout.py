# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Writes the controller's flag, restarts stale proxies, and waits until either is really in force."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ansible_collections.aigateway.metering.plugins.module_utils import _flags, _gateway, _mapping, _names, _state
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import ConflictError, MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Controller, Proxy
from ansible_collections.aigateway.metering.plugins.module_utils._mapping import Merge, Pair

STRATEGIC = "application/strategic-merge-patch+json"
# The pairs that we added, for whoever takes them back. On the Deployment, not on its template: no restart.
ADDED_ANNOTATION = "aigateway.metering/added-pairs"
# After its own rollout the gateway's controller may take some 15 s to be elected leader before it rolls a proxy.
SELF_ROLL_SECONDS = 60


def set_flag(cluster: Cluster, controller: Controller, merged: Merge) -> None:
    """Write the flag. Raises ConflictError where the Deployment has changed since it was read."""
    metadata = controller.deployment["metadata"]
    recorded = (metadata.get("annotations") or {}).get(ADDED_ANNOTATION, "")
    added = dict.fromkeys([*filter(None, recorded.split(",")), *map(str, merged.added)])
    container = {
        "name": controller.container,
        controller.field: [
            *controller.program,
            *_flags.replaced(controller.words, _names.METRICS_FLAG, merged.value),
        ],
    }
    spec = controller.deployment["spec"]["template"]["spec"]
    in_init = any(item["name"] == controller.container for item in spec.get("initContainers") or ())
    body = {
        "metadata": {
            "resourceVersion": metadata["resourceVersion"],
            "annotations": {ADDED_ANNOTATION: ",".join(added)} if added else {},
        },
        "spec": {"template": {"spec": {"initContainers" if in_init else "containers": [container]}}},
    }
    cluster.patch(_state.APPS, "deployments", controller.deployment, body, content_type=STRATEGIC)


def wait_for_controller(cluster: Cluster, controller: Controller, value: str, timeout: float) -> None:
    """Wait until the Deployment has rolled out with the flag and every pod of its own is a new one.

    Raises:
        MeteringError: it takes longer.
    """
    labels = ",".join(f"{key}={text}" for key, text in controller.deployment["spec"]["selector"]["matchLabels"].items())
    wanted = _mapping.parse(value, "The merged mapping")

    def missing() -> str:
        deployment = cluster.get(_state.APPS, "deployments", controller.namespace, controller.name.split("/")[1])
        if deployment is None:
            return "the Deployment, which is gone"
        if not _gateway.is_rolled_out("Deployment", deployment):
            return "the new pods to become available"
        old = [
            pod["metadata"]["name"]
            for pod in cluster.list("v1", "pods", namespace=controller.namespace, labels=labels)
            if pod["metadata"].get("deletionTimestamp") or not _has_flag(pod, controller, wanted)
        ]
        return f"the old pods {', '.join(old)} to end" if old else ""

    still = _state.wait(missing, timeout)
    if still:
        namespace, name = controller.name.split("/")
        raise MeteringError(
            f"The controller {controller.name} did not roll out within {timeout:.0f} s; it still waits for {still}.",
            "Proxies are not restarted meanwhile: they could get the old mapping from an old controller pod.",
            f"kubectl -n {namespace} describe deploy {name}; kubectl -n {namespace} get events; then run this again, "
            f"or go back with kubectl -n {namespace} rollout undo deploy/{name}",
        )


def _has_flag(pod: _gateway.Object, controller: Controller, wanted: list[Pair]) -> bool:
    for container in _gateway.containers(pod["spec"]):
        if container["name"] == controller.container:
            dummy, words = _flags.split_program(container.get(controller.field) or (), controller.field)
            value = _flags.value(words, _names.METRICS_FLAG) or ""
            return _mapping.parse(value, f"Pod {_gateway.name_of(pod)}") == wanted
    return False


@dataclass
class Rollout:
    """What became of each proxy workload."""

    restarted: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    """Rolling already, or rolled by the gateway itself."""
    current: list[str] = field(default_factory=list)
    before: dict[str, tuple[Pair, ...]] = field(default_factory=dict)
    """The mapping of each pod's sidecar at the beginning, by pod."""
    after: dict[str, tuple[Pair, ...]] = field(default_factory=dict)
    """The mapping of each pod's sidecar at the end, by pod."""

    def described(self, mappings: Mapping[str, Iterable[Pair]]) -> str:
        values = {name: _mapping.render(pairs) for name, pairs in mappings.items()}
        return "".join(f"{name}: {value}\n" for name, value in sorted(values.items()))


def predict(cluster: Cluster, named: str, mapping: str | None) -> Rollout:
    """What roll_out() would do, were the controller's flag what `mapping` says."""
    controller = _state.controller(cluster, named)
    if mapping is not None:
        controller = dataclasses.replace(controller, pairs=tuple(_mapping.parse(mapping, "The option mapping")))
    result = Rollout()
    for proxy in _state.proxies(cluster):
        stale = proxy.stale(controller)
        result.before |= {sidecar.name: sidecar.metrics for sidecar in proxy.sidecars}
        result.after |= {sidecar.name: controller.pairs if stale else sidecar.metrics for sidecar in proxy.sidecars}
        if not stale:
            result.current.append(proxy.name)
        elif proxy.rolls_itself:
            result.waited.append(proxy.name)
        else:
            result.restarted.append(proxy.name)
    return result


def roll_out(cluster: Cluster, named: str, timeout: float) -> Rollout:
    """Bring every proxy to the controller's mapping, one workload after another.

    Raises:
        MeteringError: a workload does not settle in time. Those after it are left alone.
    """
    result = Rollout()
    found = _state.proxies(cluster)
    _gateway.require_sidecars([sidecar for proxy in found for sidecar in proxy.sidecars])
    controller = _state.controller(cluster, named)
    result.before = {sidecar.name: sidecar.metrics for proxy in found for sidecar in proxy.sidecars}
    for proxy in found:
        _bring_up_to_date(cluster, controller, proxy, timeout, result)
    for sidecar in _state.sidecars(cluster):
        result.after[sidecar.name] = sidecar.metrics
    return result


def _bring_up_to_date(cluster: Cluster, controller: Controller, first: Proxy, timeout: float, result: Rollout) -> None:
    """Wait, restart where that is needed, and wait again, until the workload is settled and nothing in it is stale."""
    was_stale = bool(first.stale(controller)) or not first.is_settled()
    started = time.monotonic()
    restarted = False

    def missing() -> str:
        nonlocal restarted
        proxy = next((item for item in _state.proxies(cluster) if item.name == first.name), None)
        if proxy is None:
            return "a pod of it to carry the sidecar"
        stale = proxy.stale(controller)
        if not proxy.is_settled():
            return "its new pods to be available"
        if not stale:
            return ""
        elapsed = time.monotonic() - started
        if proxy.rolls_itself and elapsed < min(SELF_ROLL_SECONDS, timeout / 2):
            return "the gateway to roll it"
        if not restarted:
            try:
                _restart(cluster, proxy)
            except ConflictError:
                return "somebody else's change of it"
            restarted = True
        return f"stale pods to be replaced: {', '.join(sidecar.name for sidecar in stale)}"

    still = _state.wait(missing, timeout)
    if still:
        namespace, name = first.name.split("/")
        raise MeteringError(
            f"The proxy {first.name} of gateway {first.gateway} was not settled within {timeout:.0f} s; it still "
            f"waits for {still}.",
            "The proxies after it were left alone; its old pods go on serving where the rollout strategy keeps them.",
            f"kubectl -n {namespace} describe {first.kind.lower()} {name}; kubectl -n {namespace} get pod; then run "
            "this again",
        )
    if restarted:
        result.restarted.append(first.name)
    elif was_stale:
        result.waited.append(first.name)
    else:
        result.current.append(first.name)


def _restart(cluster: Cluster, proxy: Proxy) -> None:
    """What `kubectl rollout restart` does, on the version that was judged stale: two runs at once restart once."""
    body = {
        "metadata": {"resourceVersion": proxy.workload["metadata"]["resourceVersion"]},
        "spec": {
            "template": {
                "metadata": {
                    "annotations": {_names.RESTARTED_AT: datetime.now(timezone.utc).isoformat(timespec="seconds")}
                }
            }
        },
    }
    cluster.patch(_state.APPS, _state.PLURALS[proxy.kind], proxy.workload, body, content_type=STRATEGIC)
