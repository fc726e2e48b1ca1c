# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Which PodMonitors make a Prometheus scrape which sidecars, and what to change so that each is scraped once.

The rules are those of prometheus-operator 0.93 (pkg/prometheus/promcfg.go, resource_selector.go).
Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import (
    Object,
    Sidecar,
    containers,
    name_of,
)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A Kubernetes label selector. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    for key, wanted in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != wanted:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, operator, values = expression["key"], expression["operator"], expression.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(operator, False):
            return False
    return True


def satisfying(selector: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Labels, as few as possible, that a selector selects; None where there are none."""
    if selector is None:
        return None
    labels = dict(selector.get("matchLabels") or {})
    expressions = selector.get("matchExpressions") or ()
    for key in dict.fromkeys(item["key"] for item in expressions if item["operator"] in ("In", "Exists")):
        own = {"matchExpressions": [item for item in expressions if item["key"] == key]}
        offered = [value for item in own["matchExpressions"] for value in item.get("values") or ()]
        fitting = [value for value in (*offered, "true", "metering") if matches(own, {key: value})]
        if fitting:
            labels.setdefault(key, fitting[0])
    return labels if matches(selector, labels) else None


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus object and the namespaces of its cluster, with their labels."""

    document: Object
    namespaces: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        return name_of(self.document)

    @property
    def namespace(self) -> str:
        return self.document["metadata"]["namespace"]

    @property
    def selector(self) -> Mapping[str, Any] | None:
        return self.document["spec"].get("podMonitorSelector")

    def looks_into(self, namespace: str) -> bool:
        """Whether it takes PodMonitors of a namespace: nil selects its own, `{}` all."""
        selector = self.document["spec"].get("podMonitorNamespaceSelector")
        if selector is None:
            return namespace == self.namespace
        return matches(selector, self.namespaces.get(namespace, {}))

    def selects(self, monitor: Object) -> bool:
        labels = monitor["metadata"].get("labels") or {}
        return self.looks_into(monitor["metadata"]["namespace"]) and matches(self.selector, labels)


def choose_prometheus(found: Sequence[Prometheus], named: str = "") -> Prometheus:
    """The Prometheus that is to scrape: the named one, or the only one that takes PodMonitors at all.

    Raises:
        MeteringError: there is none, or there are several and none is named.
    """
    able = [item for item in found if satisfying(item.selector) is not None]
    if named:
        for item in found:
            if item.name == named:
                if item in able:
                    return item
                raise MeteringError(
                    f"Prometheus {named} selects no PodMonitor: its podMonitorSelector is "
                    f"{'absent' if item.selector is None else 'one that no labels satisfy'}.",
                    "Whatever is created would never be scraped.",
                    f"kubectl -n {item.namespace} edit prometheus {item.document['metadata']['name']}, or "
                    "name another.",
                )
        raise MeteringError(
            f"There is no Prometheus {named}; there is {', '.join(sorted(i.name for i in found)) or 'none at all'}.",
            "It was named as the one that is to scrape.",
            "correct scrape_prometheus (namespace/name): kubectl get prometheus -A",
        )
    if not able:
        described = ", ".join(f"{item.name} (podMonitorSelector absent)" for item in found)
        raise MeteringError(
            f"No Prometheus could select a PodMonitor: {described or 'there is no Prometheus object'}.",
            "Without one the sidecars' counters are read by nobody.",
            "enable monitoring on this cluster, or give a Prometheus a podMonitorSelector: kubectl get prometheus -A",
        )
    if len(able) > 1:
        raise MeteringError(
            f"Several Prometheuses could scrape: {', '.join(sorted(item.name for item in able))}.",
            "A monitor that two of them select is stored twice.",
            "name the one that is meant with the variable scrape_prometheus (namespace/name).",
        )
    return able[0]


def is_ours(document: Object) -> bool:
    """Ours is what carries our label, and nothing else."""
    return (document["metadata"].get("labels") or {}).get(_names.MANAGED_BY_LABEL) == _names.MANAGED_BY


def _namespaces_of(monitor: Object, prometheus: Prometheus) -> tuple[bool, set[str]]:
    """(every namespace, or these): where a PodMonitor looks for pods."""
    own = monitor["metadata"]["namespace"]
    selector = monitor["spec"].get("namespaceSelector") or {}
    if prometheus.document["spec"].get("ignoreNamespaceSelectors"):
        return False, {own}
    if selector.get("any"):
        return True, set()
    return False, set(selector.get("matchNames") or (own,))


def _port_numbers(endpoint: Mapping[str, Any], pod: Object) -> set[int]:
    """The container port numbers that an endpoint resolves to on a live pod.

    `port` is an anchored regular expression on port names and goes before `portNumber`, that before `targetPort`;
    with none of them every declared port is scraped.
    """
    declared = [
        (port.get("name", ""), port["containerPort"])
        for container in containers(pod["spec"])
        for port in container.get("ports") or ()
    ]
    by_name = endpoint.get("port")
    number = endpoint.get("portNumber")
    target = endpoint.get("targetPort")
    if by_name:
        return {port for name, port in declared if re.fullmatch(by_name, name)}
    if number is None and isinstance(target, int):
        number = target
    if number is not None:
        return {port for dummy, port in declared if port == number}
    if isinstance(target, str):
        return {port for name, port in declared if name == target}
    return {port for dummy, port in declared}


def covered(monitor: Object, sidecars: Sequence[Sidecar], prometheus: Prometheus) -> dict[str, int]:
    """How many endpoints of a PodMonitor scrape each sidecar's metrics: by namespace/pod, at least 1."""
    everywhere, namespaces = _namespaces_of(monitor, prometheus)
    found: dict[str, int] = {}
    for sidecar in sidecars:
        metadata = sidecar.pod["metadata"]
        if not everywhere and metadata["namespace"] not in namespaces:
            continue
        if not matches(monitor["spec"].get("selector") or {}, metadata.get("labels") or {}):
            continue
        for endpoint in monitor["spec"].get("podMetricsEndpoints") or ():
            path = endpoint.get("path") or _names.METRICS_PATH
            if path == _names.METRICS_PATH and sidecar.port in _port_numbers(endpoint, sidecar.pod):
                found[sidecar.name] = found.get(sidecar.name, 0) + 1
    return found


@dataclass(frozen=True)
class Plan:
    """What to do so that every sidecar is scraped exactly once."""

    prometheus: Prometheus
    keep: Object | None = None
    create: Object | None = None
    update: Object | None = None
    """Ours, where it stands but no longer as it should."""
    remove: tuple[Object, ...] = ()
    left: tuple[tuple[Object, str], ...] = ()
    """Redundant ones that are not ours, each with the command that removes it."""
    uncovered: tuple[str, ...] = ()
    doubly_covered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Pods that several of the monitors in force cover before the change, with the monitors' names."""


def scoped_name(scope: Sequence[str]) -> str:
    """The name of the monitor that we create for some Gateways: two scopes do not fight over one monitor."""
    if not scope:
        return _names.POD_MONITOR_NAME
    readable = "-".join([_names.POD_MONITOR_NAME, *sorted(scope)]).replace("/", "-")
    digest = hashlib.sha256(",".join(sorted(scope)).encode()).hexdigest()[:8]
    # It becomes the value of a label as well, which takes 63 characters.
    return readable if len(readable) <= 63 else f"{_names.POD_MONITOR_NAME}-{digest}"


def _selector(scope: Sequence[str], others: Sequence[Sidecar]) -> dict[str, Any]:
    """The label selector of the proxies of the Gateways in scope; of all proxies where the scope is empty.

    Raises:
        MeteringError: no selector takes those and leaves the others.
    """
    labels = dict(pair.split("=") for pair in _names.PROXY_LABELS.split(","))
    if not scope:
        return {"matchLabels": labels}
    parts = [sorted({name.split("/")[index] for name in scope}) for index in (0, 1)]
    selector = {
        "matchLabels": labels,
        "matchExpressions": [
            {"key": key, "operator": "In", "values": values}
            for key, values in zip((_names.GATEWAY_NAMESPACE_LABEL, _names.GATEWAY_NAME_LABEL), parts, strict=True)
        ],
    }
    beyond = {other.gateway for other in others if matches(selector, other.pod["metadata"].get("labels") or {})}
    if beyond:
        raise MeteringError(
            f"A PodMonitor for {', '.join(scope)} would select the proxies of {', '.join(sorted(beyond))} as well.",
            "Labels select by namespace and by name, not by pairs of these.",
            "run this once for each of the Gateways, or name those as well in metering_gateways.",
        )
    return selector


def desired_monitor(
    prometheus: Prometheus,
    sidecars: Sequence[Sidecar],
    name: str,
    interval: str,
    preferred: str = "",
    *,
    scope: Sequence[str] = (),
    others: Sequence[Sidecar] = (),
) -> dict[str, Any]:
    """The PodMonitor that we create: selected by the Prometheus on both of its selectors, covering every sidecar.

    It selects the sidecar's port by number: port names differ by generation, and v0.4 has two names for the one port.

    Args:
        prometheus: the one that is to select it.
        sidecars: those that it is to cover.
        name: its name.
        interval: its scrape interval.
        preferred: the namespace in which ours stands already.
        scope: the Gateways that are meant; all where it is empty.
        others: the sidecars that are not to be scraped.

    Raises:
        MeteringError: the Prometheus takes PodMonitors from no namespace in which one could be put, or none of ours.
    """
    proxy_namespaces = sorted({sidecar.pod["metadata"]["namespace"] for sidecar in sidecars})
    candidates = list(dict.fromkeys(filter(None, [preferred, *proxy_namespaces, prometheus.namespace])))
    namespace = next((item for item in candidates if prometheus.looks_into(item)), None)
    if namespace is None:
        raise MeteringError(
            f"Prometheus {prometheus.name} takes PodMonitors neither from {' nor from '.join(candidates)}.",
            "A PodMonitor in any other namespace would surprise whoever owns that.",
            f"label one of these namespaces so that its podMonitorNamespaceSelector selects it: kubectl -n "
            f"{prometheus.namespace} get prometheus {prometheus.document['metadata']['name']} -o yaml",
        )
    ours = {_names.MANAGED_BY_LABEL: _names.MANAGED_BY}
    labels = {"app.kubernetes.io/name": name, **(satisfying(prometheus.selector) or {}), **ours}
    if not matches(prometheus.selector, labels):
        labels.pop("app.kubernetes.io/name")
    if not matches(prometheus.selector, labels):
        raise MeteringError(
            f"The podMonitorSelector of Prometheus {prometheus.name} selects nothing with the label "
            f"{_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}.",
            "By that label the next run knows what is ours; without it nothing could be taken back.",
            f"widen the selector: kubectl -n {prometheus.namespace} edit prometheus "
            f"{prometheus.document['metadata']['name']}; or create a PodMonitor for the sidecars yourself.",
        )
    spec: dict[str, Any] = {
        "selector": _selector(scope, others),
        "podMetricsEndpoints": [
            {"portNumber": port, "path": _names.METRICS_PATH, "interval": interval}
            for port in sorted({sidecar.port for sidecar in sidecars})
        ],
    }
    if proxy_namespaces != [namespace]:
        spec["namespaceSelector"] = {"matchNames": proxy_namespaces}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def _restored(monitor: Object, wanted: Object) -> dict[str, Any] | None:
    """Ours with all that we decide as it should be and what others added left; None where nothing is to be done."""
    spec = {key: value for key, value in monitor["spec"].items() if key != "namespaceSelector"} | wanted["spec"]
    if _has_endpoints(monitor, wanted["spec"]["podMetricsEndpoints"]):
        spec["podMetricsEndpoints"] = monitor["spec"]["podMetricsEndpoints"]
    labels = {**(monitor["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
    if spec == monitor["spec"] and labels == monitor["metadata"].get("labels"):
        return None
    return {**monitor, "metadata": {**monitor["metadata"], "labels": labels}, "spec": spec}


def _has_endpoints(monitor: Object, wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a monitor's endpoints are the wanted ones, but for what the API server or others added to them."""
    found = monitor["spec"].get("podMetricsEndpoints") or []
    return len(found) == len(wanted) and all(
        all(endpoint.get(key) == value for key, value in own.items())
        for own, endpoint in zip(wanted, found, strict=True)
    )


def _rank(monitor: Object, in_scope: bool, reached: int, all_pods: int) -> tuple[Any, ...]:
    """Those that cover all that is in scope first, then those that cover every pod; of these the platform's, then the
    most complete, then the oldest. A partial one of ours goes before a partial one of others: ours can be widened.
    """
    metadata = monitor["metadata"]
    return (
        not in_scope,
        not in_scope and not is_ours(monitor),
        reached < all_pods,
        metadata["name"] != _names.PLATFORM_POD_MONITOR,
        -reached,
        metadata.get("creationTimestamp") or "",
        name_of(monitor),
    )


def plan(
    monitors: Sequence[Object],
    prometheus: Prometheus,
    sidecars: Sequence[Sidecar],
    *,
    name: str = "",
    interval: str = "30s",
    prune: str = "ours",
    scope: Sequence[str] = (),
    others: Sequence[Sidecar] = (),
) -> Plan:
    """What to keep, create, change and remove.

    Args:
        monitors: every PodMonitor of the cluster.
        prometheus: the one that is to scrape.
        sidecars: the sidecars that are to be scraped.
        name: the name of the one that we create; scoped_name() by default.
        interval: the scrape interval of the one that we create.
        prune: which redundant monitors are removed: `none`, `ours`, or `all`.
        scope: the Gateways that are meant; all where it is empty.
        others: the sidecars that are not to be scraped.
    """
    name = name or scoped_name(scope)
    in_force = [(item, covered(item, sidecars, prometheus)) for item in monitors if prometheus.selects(item)]
    in_force = [(item, pods) for item, pods in in_force if pods]
    everyone = [*sidecars, *others]
    reach = {name_of(item): set(covered(item, everyone, prometheus)) for item, dummy in in_force}
    in_force.sort(
        key=lambda entry: _rank(entry[0], len(entry[1]) == len(sidecars), len(reach[name_of(entry[0])]), len(everyone))
    )
    by_pod: dict[str, list[str]] = {}
    for monitor, pods in in_force:
        for pod, times in pods.items():
            by_pod.setdefault(pod, []).extend([name_of(monitor)] * times)
    doubly = {pod: tuple(found) for pod, found in sorted(by_pod.items()) if len(found) > 1}
    ours = next((item for item in monitors if is_ours(item) and item["metadata"]["name"] == name), None)
    if in_force and not is_ours(in_force[0][0]):
        keeper: Object | None = in_force[0][0]
        update, create = None, None
        covers = reach[name_of(in_force[0][0])]
    else:
        own = in_force[0][0] if in_force else ours
        wanted = desired_monitor(
            prometheus,
            sidecars,
            own["metadata"]["name"] if own else name,
            interval,
            own["metadata"]["namespace"] if own else "",
            scope=scope,
            others=others,
        )
        if scope and in_force and list(in_force[0][1].values()) == [1] * len(sidecars):
            # One of ours covers more than is in scope: made for a wider one, it is not this run's to narrow.
            wanted["spec"] |= {
                key: value for key, value in in_force[0][0]["spec"].items() if key in ("selector", "namespaceSelector")
            }
        keeper = next((item for item in monitors if name_of(item) == name_of(wanted)), None)
        if keeper is not None and not is_ours(keeper):
            raise MeteringError(
                f"PodMonitor {name_of(keeper)} is there, does not cover the sidecars, and is not ours.",
                "The one to be created would have to overwrite it.",
                f"choose another name with scrape_monitor_name, or remove it: {removal_command(keeper)}",
            )
        create = wanted if keeper is None else None
        update = _restored(keeper, wanted) if keeper else None
        covers = set(covered(update or keeper or wanted, everyone, prometheus))
    redundant = [(item, reached) for item, reached in in_force if item is not keeper and covers & set(reached)]
    # Ours where the Prometheus no longer looks, while another takes its place.
    stray: list[Object] = [ours] if ours is not None and create is not None else []
    # Whoever else it covers, in scope or not, must not be left uncovered.
    removable = [
        item
        for item, dummy in redundant
        if (prune == "all" or (prune == "ours" and is_ours(item))) and reach[name_of(item)] <= covers
    ]
    stay = [(item, reached) for item, reached in in_force if item is not keeper and item not in removable]
    everywhere = covers.union(*(reached for dummy, reached in stay))
    return Plan(
        prometheus,
        keep=keeper,
        create=create,
        update=update,
        remove=(*removable, *(item for item in stray if item not in removable)),
        left=tuple((item, removal_command(item)) for item, dummy in redundant if item not in removable),
        uncovered=tuple(sorted(sidecar.name for sidecar in sidecars if sidecar.name not in everywhere)),
        doubly_covered=doubly,
    )


def removal_command(monitor: Object) -> str:
    """The command with which its owner removes a redundant monitor."""
    return f"kubectl -n {monitor['metadata']['namespace']} delete podmonitor {monitor['metadata']['name']}"
