# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads what the domain files judge: the gateway, its proxies, the monitoring objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _gateway, _names, _samples, _scrape
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError

APPS = "apps/v1"
MONITORING = "monitoring.coreos.com/v1"
PLURALS = {"Deployment": "deployments", "DaemonSet": "daemonsets"}


def controller(cluster: Cluster, named: str = "") -> _gateway.Controller:
    """The AI gateway's controller; looked for by its chart's labels first, then among all Deployments."""
    labelled = cluster.list(APPS, "deployments", labels=_names.CONTROLLER_LABELS)
    try:
        return _gateway.find_controller(labelled, named)
    except MeteringError:
        return _gateway.find_controller(cluster.list(APPS, "deployments"), named)


def proxies(cluster: Cluster, scope: Sequence[str] = ()) -> list[_gateway.Proxy]:
    """The proxy workloads whose pods carry the sidecar, of the Gateways in scope."""
    workloads = [
        (kind, item)
        for kind, plural in PLURALS.items()
        for item in cluster.list(APPS, plural, labels=_names.PROXY_LABELS)
    ]
    found = _gateway.proxies(workloads, cluster.list("v1", "pods", labels=_names.PROXY_LABELS))
    return _gateway.within(found, scope)


def sidecars(cluster: Cluster, scope: Sequence[str] = ()) -> list[_gateway.Sidecar]:
    """The sidecars of the running proxy pods of the Gateways in scope."""
    return _gateway.within(_gateway.sidecars(cluster.list("v1", "pods", labels=_names.PROXY_LABELS)), scope)


def samples(cluster: Cluster, found: Sequence[_gateway.Sidecar]) -> dict[str, list[_samples.Sample]]:
    """The token samples that each sidecar exposes, by namespace/pod.

    Raises:
        MeteringError: one of them does not answer.
    """
    answered, silent = readable_samples(cluster, found)
    for error in silent.values():
        raise error
    return answered


def readable_samples(
    cluster: Cluster, found: Sequence[_gateway.Sidecar]
) -> tuple[dict[str, list[_samples.Sample]], dict[str, MeteringError]]:
    """The token samples of the sidecars that answer, and why the others do not, by namespace/pod."""
    answered: dict[str, list[_samples.Sample]] = {}
    silent: dict[str, MeteringError] = {}
    for sidecar in found:
        metadata = sidecar.pod["metadata"]
        try:
            text = cluster.proxied(metadata["namespace"], metadata["name"], sidecar.port, _names.METRICS_PATH)
        except MeteringError as error:
            silent[sidecar.name] = error
        else:
            answered[sidecar.name] = _samples.parse(text)
    return answered, silent


def prometheuses(cluster: Cluster) -> list[_scrape.Prometheus]:
    """Every Prometheus object, with the namespaces that its selectors are matched against."""
    documents = cluster.list(MONITORING, "prometheuses")
    namespaces = {
        item["metadata"]["name"]: item["metadata"].get("labels") or {}
        for item in (cluster.list("v1", "namespaces") if documents else [])
    }
    return [_scrape.Prometheus(document, namespaces) for document in documents]


def pod_monitors(cluster: Cluster) -> list[dict[str, Any]]:
    """Every PodMonitor.

    Raises:
        MeteringError: the cluster does not know the kind.
    """
    found = list(cluster.pages(MONITORING, "podmonitors"))
    if None in found:
        raise MeteringError(
            "The cluster has no PodMonitor kind (podmonitors.monitoring.coreos.com).",
            "The sidecars are scraped through a PodMonitor.",
            "enable the platform's monitoring (the Prometheus operator): kubectl get crd "
            "podmonitors.monitoring.coreos.com",
        )
    return [item for item in found if item is not None]
