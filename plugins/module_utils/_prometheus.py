# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Prometheus's HTTP API, each replica asked itself through the API server's pod proxy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Object


@dataclass(frozen=True)
class Replica:
    """One Prometheus pod."""

    cluster: Cluster
    namespace: str
    pod: str
    port: int
    prefix: str

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}"

    def _get(self, path: str, query: Sequence[tuple[str, str]]) -> Any:
        text = self.cluster.proxied(self.namespace, self.pod, self.port, f"{self.prefix}/api/v1/{path}", query)
        try:
            answer = json.loads(text)
            if answer["status"] == "success":
                return answer["data"]
            detail = answer.get("error", "no reason given")
        except (ValueError, KeyError, TypeError):
            detail = f"no JSON of Prometheus's API: {text[:80]!r}"
        raise MeteringError(
            f"Prometheus {self.name} answered {path} with an error: {detail}.",
            "Its targets and series cannot be judged without it.",
            f"kubectl -n {self.namespace} logs {self.pod} -c prometheus --tail=20",
        )

    def active_targets(self) -> list[dict[str, Any]]:
        """`data.activeTargets` of /api/v1/targets."""
        return list(self._get("targets", [("state", "active")])["activeTargets"])

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The vector that an instant query yields."""
        return list(self._get("query", [("query", promql)])["result"])


def alternatives(pods: Iterable[str]) -> str:
    """A PromQL pattern, to be put into quotes, that matches these names of pods."""
    return "|".join(pod.replace(".", "\\\\.") for pod in pods)


def replicas(cluster: Cluster, prometheus: Object) -> list[Replica]:
    """The running pods of a Prometheus object.

    Raises:
        MeteringError: none runs.
    """
    name, namespace = prometheus["metadata"]["name"], prometheus["metadata"]["namespace"]
    labels = _names.PROMETHEUS_POD_LABELS.format(name=name)
    prefix = (prometheus["spec"].get("routePrefix") or "").rstrip("/")
    pods = cluster.list("v1", "pods", namespace=namespace, labels=labels)
    found = [
        Replica(cluster, namespace, pod["metadata"]["name"], _port(pod), prefix)
        for pod in pods
        if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
    ]
    if not found:
        raise MeteringError(
            f"Prometheus {namespace}/{name} has no running pod.",
            "Nothing is scraped meanwhile, and nothing can be asked.",
            f"kubectl -n {namespace} get pod -l {labels}",
        )
    return found


def stored_form(cluster: Cluster, prometheus: Object) -> tuple[Replica, list[str], list[str]]:
    """A replica that knows token sums, the names under which it stores them, and their types; empty where none does.

    Raises:
        MeteringError: no replica runs, or one does not answer.
    """
    selector = f'{{__name__=~"{_names.USAGE_SUM_PATTERN}"}}'
    found = replicas(cluster, prometheus)
    for replica in found:
        names = sorted(item["metric"]["__name__"] for item in replica.query(f"count by (__name__) ({selector})"))
        if names:
            series = replica.query(f"group without (instance, pod) ({selector})")
            types = {item["metric"].get(label) for item in series for label in _names.TOKEN_TYPE_LABELS}
            return replica, names, sorted(filter(None, types))
    return found[0], [], []


def _port(pod: Object) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if container["name"] == "prometheus" and port.get("name") == "web":
                return int(port["containerPort"])
    return _names.PROMETHEUS_PORT
