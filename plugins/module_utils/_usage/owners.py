# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Whose a pod was that a store tells of: the pod in the cluster, its workload, its Gateway.

A pod is told by namespace and name. Where a platform enforces the label `namespace` the store has another one there;
then it is the one of that name at that address. A pod that is gone is told by its owner: by what kube-state-metrics has
stored, or by the ReplicaSet or DaemonSet whose name its own has before the last hyphen, exactly.
Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from .. import _calendar, _names
from .._gateway.sidecar import gateway_of
from .._kubernetes.objects import Object
from .first_samples import Beginning
from .store import POD_SUFFIX, PodName

# The kinds of workloads that own pods themselves.
OWNERS = ("ReplicaSet", "DaemonSet")


def _seconds(text: str) -> float:
    return _calendar.parse_time(text, "a time of Kubernetes").timestamp()


@dataclass(frozen=True)
class Workload:
    """A Deployment, DaemonSet or ReplicaSet of proxies."""

    kind: str
    namespace: str
    name: str
    gateway: str
    """namespace/name; an empty text where its labels do not say it."""
    made: float
    """When it was made (Unix seconds)."""


def workload_of(kind: str, document: Object) -> Workload:
    metadata = document["metadata"]
    made = _seconds(metadata["creationTimestamp"])
    return Workload(kind, metadata["namespace"], metadata["name"], gateway_of(document), made)


@dataclass
class Owners:
    """What a cluster knows of pods, those that are there and those that are gone."""

    pods: Sequence[Object]
    """The proxies' pods that are there."""
    workloads: Sequence[Workload]
    stored: Mapping[PodName, tuple[str, str]] = field(default_factory=dict)
    """By pod, the kind and the name of its owner, as kube-state-metrics has stored it."""
    deployments: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By namespace and name of a ReplicaSet, its Deployment, as that has stored it."""

    def pod(self, told: PodName | None, addresses: Collection[str]) -> Object | None:
        """The pod in the cluster that a store tells of; None where there is none any more."""
        named = [item for item in self.pods if told is None or item["metadata"]["name"] == told.name]
        own = [item for item in named if told is not None and item["metadata"]["namespace"] == told.namespace]
        at = [item for item in named if not _addresses(item).isdisjoint(addresses)]
        if len(own) == 1 and (not at or own[0] in at or len(named) == 1):
            return own[0]
        return at[0] if len(at) == 1 else None

    def has_alike(self, told: PodName, addresses: Collection[str]) -> bool:
        """Whether the cluster has several pods that a store may tell of under one name.

        Args:
            told: the pod's name, with a namespace that may be enforced.
            addresses: those at which it was scraped.
        """
        named = [item for item in self.pods if item["metadata"]["name"] == told.name]
        if all(item["metadata"]["namespace"] != told.namespace for item in named):
            return len(named) > 1
        # One of them has that namespace itself: others are told by their addresses.
        other = [item for item in named if item["metadata"]["namespace"] != told.namespace]
        return any(not _addresses(item).isdisjoint(addresses) for item in other)

    def gateway(self, told: PodName | None, addresses: Collection[str], since: float | None = None) -> str:
        """The Gateway of a pod; an empty text where that is not known.

        Args:
            told: the pod; None where only its address is stored.
            addresses: those at which it was scraped.
            since: when it was scraped first. At an address alone a pod that was made later is another one.
        """
        there = self.pod(told, addresses)
        if there is not None:
            is_later = since is not None and _seconds(there["metadata"]["creationTimestamp"]) > since
            return "" if told is None and is_later else gateway_of(there)
        found = {item.gateway for item in self._workloads(told)}
        return found.pop() if len(found) == 1 else ""

    def beginning(self, told: PodName | None, addresses: Collection[str], created: float | None = None) -> Beginning:
        """What is known of when a pod and its processes began.

        Args:
            told: the pod.
            addresses: those at which it was scraped.
            created: when it was made, as kube-state-metrics has stored it.
        """
        there = self.pod(told, addresses)
        times = [] if created is None else [created]
        times += [item.made for item in self._workloads(told) if item.kind in OWNERS]
        made = [] if there is None else [_seconds(there["metadata"]["creationTimestamp"])]
        exists = max([*times, *made], default=None)
        if there is not None:
            made += [started] if (started := started_at(there)) is not None else []
        return Beginning((*times, *made), exists, tuple(made if created is None else [created, *made]))

    def _workloads(self, told: PodName | None) -> list[Workload]:
        """What owned a pod that is gone, as far as that is known for sure."""
        if told is None:
            return []
        if told in self.stored:
            return self._of_stored(told, *self.stored[told])
        name, dummy, suffix = told.name.rpartition("-")
        if not re.fullmatch(POD_SUFFIX, suffix):
            return []
        named = [item for item in self.workloads if item.kind in OWNERS and item.name == name]
        # The store may have another namespace; a name that is there once only cannot be mistaken.
        own = [item for item in named if item.namespace == told.namespace]
        found = own or named
        return found if len(found) == 1 else []

    def _of_stored(self, told: PodName, kind: str, name: str) -> list[Workload]:
        def there(kind: str, name: str) -> list[Workload]:
            return [
                item
                for item in self.workloads
                if (item.kind, item.namespace, item.name) == (kind, told.namespace, name)
            ]

        found = there(kind, name)
        deployment = self.deployments.get((told.namespace, name)) if kind == "ReplicaSet" else None
        return found or (there("Deployment", deployment) if deployment else [])


def started_at(pod: Object) -> float | None:
    """When the present process of a pod's sidecar has started (Unix seconds)."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        running = (container.get("state") or {}).get("running") or {}
        if container["name"] == _names.SIDECAR and running.get("startedAt"):
            return _seconds(running["startedAt"])
    return None


def _addresses(pod: Object) -> set[str]:
    """The addresses at which a pod's declared ports are scraped."""
    status = pod.get("status") or {}
    found = {status.get("podIP", ""), *(item.get("ip", "") for item in status.get("podIPs") or ())} - {""}
    ports = {
        str(port["containerPort"])
        for key in ("initContainers", "containers")
        for container in pod["spec"].get(key) or ()
        for port in container.get("ports") or ()
    } | {str(_names.ADMIN_PORT)}
    return {f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip in found for port in ports}
