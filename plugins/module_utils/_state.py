# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads what the domain files judge: the gateway, its proxies, the monitoring objects."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _gateway, _names, _samples, _scrape
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError

APPS = "apps/v1"
MONITORING = "monitoring.coreos.com/v1"
PLURALS = {"Deployment": "deployments", "DaemonSet": "daemonsets"}
POLL_SECONDS = 1.0


def controller(cluster: Cluster, named: str = "") -> _gateway.Controller:
    """The AI gateway's controller; looked for by its chart's labels first, then among all Deployments."""
    labelled = cluster.list(APPS, "deployments", labels=_names.CONTROLLER_LABELS)
    try:
        return _gateway.find_controller(labelled, named)
    except MeteringError:
        return _gateway.find_controller(cluster.list(APPS, "deployments"), named)


def proxies(cluster: Cluster) -> list[_gateway.Proxy]:
    """Every proxy workload whose pods carry the sidecar."""
    workloads = [
        (kind, item)
        for kind, plural in PLURALS.items()
        for item in cluster.list(APPS, plural, labels=_names.PROXY_LABELS)
    ]
    return _gateway.proxies(workloads, cluster.list("v1", "pods", labels=_names.PROXY_LABELS))


def sidecars(cluster: Cluster) -> list[_gateway.Sidecar]:
    """The sidecars of all running proxy pods."""
    return _gateway.sidecars(cluster.list("v1", "pods", labels=_names.PROXY_LABELS))


def samples(cluster: Cluster, found: list[_gateway.Sidecar]) -> dict[str, list[_samples.Sample]]:
    """The token samples that each sidecar exposes, by namespace/pod."""
    return {
        sidecar.name: _samples.parse(
            cluster.proxied(
                sidecar.pod["metadata"]["namespace"], sidecar.pod["metadata"]["name"], sidecar.port, _names.METRICS_PATH
            )
        )
        for sidecar in found
    }


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


def wait(probe: Callable[[], str], timeout: float) -> str:
    """Poll until probe() has nothing left to wait for, and return what it still waits for at the end.

    Args:
        probe: says what is being waited for; an empty text means that it is there.
        timeout: seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        missing = probe()
        if not missing or time.monotonic() >= deadline:
            return missing
        time.sleep(POLL_SECONDS)
