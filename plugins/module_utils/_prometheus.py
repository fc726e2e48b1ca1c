# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Prometheus's HTTP API, each replica and shard asked itself through the API server's pod proxy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Object

# How far back it is asked what is stored, so that a quiet weekend changes no dashboard.
REMEMBERED = "7d"


@dataclass(frozen=True)
class Pod:
    """One Prometheus pod."""

    cluster: Cluster
    namespace: str
    pod: str
    port: int
    prefix: str

    def get(self, path: str, query: Sequence[tuple[str, str]]) -> Any:
        """`data` of an answer of Prometheus's API."""
        text = self.cluster.proxied(self.namespace, self.pod, self.port, f"{self.prefix}/api/v1/{path}", query)
        try:
            answer = json.loads(text)
            if answer["status"] == "success":
                return answer["data"]
            detail = answer.get("error", "no reason given")
        except (ValueError, KeyError, TypeError):
            detail = f"no JSON of Prometheus's API: {text[:80]!r}"
        raise MeteringError(
            f"Prometheus {self.namespace}/{self.pod} answered {path} with an error: {detail}.",
            "Its targets and series cannot be judged without it.",
            f"kubectl -n {self.namespace} logs {self.pod} -c prometheus --tail=20",
        )


@dataclass(frozen=True)
class Replica:
    """The pods, one for each shard, that together scrape everything once."""

    pods: tuple[Pod, ...]

    @property
    def name(self) -> str:
        return f"{self.pods[0].namespace}/{'+'.join(pod.pod for pod in self.pods)}"

    def active_targets(self) -> list[dict[str, Any]]:
        """`data.activeTargets` of /api/v1/targets, of all shards."""
        return [target for pod in self.pods for target in pod.get("targets", [("state", "active")])["activeTargets"]]

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The vector that an instant query yields; those of several shards one after another, not aggregated."""
        return [item for pod in self.pods for item in pod.get("query", [("query", promql)])["result"]]

    def number(self, promql: str) -> int:
        """What a query without labels yields, summed over the shards; 0 where it yields nothing."""
        return sum(int(float(item["value"][1])) for item in self.query(promql))


def alternatives(pods: Iterable[str]) -> str:
    """A PromQL pattern, to be put into quotes, that matches these names of pods."""
    return "|".join(pod.replace(".", "\\\\.") for pod in pods)


def replicas(cluster: Cluster, prometheus: Object) -> list[Replica]:
    """The running replicas of a Prometheus object.

    Raises:
        MeteringError: none runs.
    """
    name, namespace = prometheus["metadata"]["name"], prometheus["metadata"]["namespace"]
    labels = _names.PROMETHEUS_POD_LABELS.format(name=name)
    prefix = (prometheus["spec"].get("routePrefix") or "").rstrip("/")
    pods = cluster.list("v1", "pods", namespace=namespace, labels=labels)
    by_ordinal: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda item: item["metadata"]["name"]):
        if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            # A StatefulSet for each shard; the pods of one ordinal share the targets among them.
            ordinal = pod["metadata"]["name"].rpartition("-")[2]
            own = Pod(cluster, namespace, pod["metadata"]["name"], _port(pod), prefix)
            by_ordinal.setdefault(ordinal, []).append(own)
    found = [Replica(tuple(own)) for own in by_ordinal.values()]
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
    # A series of a proxy that has ended is not found by an instant selector, but on dashboards it still is.
    selector = f'last_over_time({{__name__=~"{_names.USAGE_SUM_PATTERN}"}}[{REMEMBERED}])'
    found = replicas(cluster, prometheus)
    for replica in found:
        counted = replica.query(f"count by (__name__) ({selector})")
        names = sorted({item["metric"]["__name__"] for item in counted})
        if names:
            series = replica.query(f"group without (instance, pod) ({selector})")
            types = {item["metric"].get(label) for item in series for label in _names.TOKEN_TYPE_LABELS}
            return replica, names, sorted(filter(None, types))
    return found[0], [], []


def carries_plain_values(replica: Replica, label: str) -> bool:
    """Whether some stored token sum has a plain value in a label: neither none nor an encoded array."""
    matchers = f'{label}!="",{label}!~"{_names.ENCODED_ARRAY_PREFIX}.*"'
    return (
        replica.number(f'count(last_over_time({{__name__=~"{_names.USAGE_SUM_PATTERN}",{matchers}}}[{REMEMBERED}]))')
        > 0
    )


def _port(pod: Object) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if container["name"] == "prometheus" and port.get("name") == "web":
                return int(port["containerPort"])
    return _names.PROMETHEUS_PORT
