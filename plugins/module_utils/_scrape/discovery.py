# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What a monitor's service discovery finds of a sidecar's pod, endpoint by endpoint, before any relabeling.

The rules are those of prometheus-operator 0.93 (pkg/prometheus/promcfg.go) and of Prometheus's Kubernetes service
discovery. Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _names, _patterns
from .._gateway.sidecar import Sidecar
from .._kubernetes import selectors
from .._kubernetes.objects import Object, containers, name_of
from .relabel import Rule, of_monitors
from .scrapers import Scraper

# A discovered target's labels, before any relabeling.
Labels = dict[str, str]


@dataclass(frozen=True)
class Endpoint:
    """One thing that a monitor scrapes: what is discovered of a pod for it, and what is done with that."""

    discovered: Sequence[Labels]
    rules: Sequence[Rule]
    metric_rules: Sequence[Rule]


def _sanitized(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _meta(prefix: str, values: Mapping[str, str] | None) -> Labels:
    found = {}
    for name, value in (values or {}).items():
        found[f"__meta_kubernetes_{prefix}_{_sanitized(name)}"] = value
        found[f"__meta_kubernetes_{prefix}present_{_sanitized(name)}"] = "true"
    return found


def _ports(pod: Object) -> list[tuple[str, str, int]]:
    """The declared ports of all containers, init containers among them: container, port's name, number."""
    return [
        (container["name"], port.get("name", ""), port["containerPort"])
        for container in containers(pod["spec"])
        for port in container.get("ports") or ()
    ]


def _pod_labels(pod: Object) -> Labels:
    metadata = pod["metadata"]
    return {
        "__meta_kubernetes_namespace": metadata["namespace"],
        "__meta_kubernetes_pod_name": metadata["name"],
        "__meta_kubernetes_pod_ip": pod["status"].get("podIP", ""),
        "__meta_kubernetes_pod_node_name": pod["spec"].get("nodeName", ""),
        "__meta_kubernetes_pod_phase": pod["status"].get("phase", ""),
        "__meta_kubernetes_pod_ready": "true",
        **_meta("pod_label", metadata.get("labels")),
        **_meta("pod_annotation", metadata.get("annotations")),
    }


def _port_labels(pod: Object, container: str, name: str, number: int) -> Labels:
    address = pod["status"].get("podIP", "")
    return {
        "__address__": f"[{address}]:{number}" if ":" in address else f"{address}:{number}",
        "__meta_kubernetes_pod_container_name": container,
        "__meta_kubernetes_pod_container_port_name": name,
        "__meta_kubernetes_pod_container_port_number": str(number),
    }


def _scrape_labels(endpoint: Mapping[str, Any], path: str = "path") -> Labels:
    """How a target is scraped. ScrapeConfigs write the scheme in capitals."""
    params = {f"__param_{name}": values[0] for name, values in (endpoint.get("params") or {}).items() if values}
    return {
        "__scheme__": (endpoint.get("scheme") or "http").lower(),
        "__metrics_path__": endpoint.get(path) or _names.METRICS_PATH,
        **params,
    }


def namespaces_of(monitor: Object, scraper: Scraper) -> tuple[bool, set[str]]:
    """(every namespace, or these): where a monitor looks for pods or services."""
    own = monitor["metadata"]["namespace"]
    selector = monitor["spec"].get("namespaceSelector") or {}
    if scraper.spec.get("ignoreNamespaceSelectors"):
        return False, {own}
    if selector.get("any"):
        return True, set()
    return False, set(selector.get("matchNames") or (own,))


def within_reach(
    kind: str, monitor: Object, scraper: Scraper, by_namespace: Mapping[str, Sequence[Sidecar]]
) -> list[Sidecar]:
    """The sidecars in the namespaces in which a monitor looks: most look only in their own, and there are thousands."""
    everywhere, namespaces = namespaces_of(monitor, scraper)
    # What a ScrapeConfig discovers, each of its discoveries says for itself.
    if everywhere or kind == "ScrapeConfig":
        return [sidecar for own in by_namespace.values() for sidecar in own]
    return [sidecar for name, own in by_namespace.items() if name in namespaces for sidecar in own]


def _looks_at(monitor: Object, scraper: Scraper, pod: Object) -> bool:
    everywhere, namespaces = namespaces_of(monitor, scraper)
    return everywhere or pod["metadata"]["namespace"] in namespaces


def _is_port(endpoint: Mapping[str, Any], name: str, number: int) -> bool:
    """Whether a declared port is the one that an endpoint of a PodMonitor names.

    `port` is an anchored regular expression on port names and goes before `portNumber`, that before `targetPort`, which
    is a number, or as a text another expression on names; with none of them every declared port is scraped.
    """
    by_name, by_number, target = endpoint.get("port"), endpoint.get("portNumber"), endpoint.get("targetPort")
    if by_name:
        return _is_named(by_name, name)
    if by_number is not None:
        return number == by_number
    if target not in (None, ""):
        return _is_target_port(target, name, number)
    return True


def _is_target_port(target: Any, name: str, number: int) -> bool:
    """Whether a declared port is a targetPort: as a text it is a pattern of names, be it made of digits."""
    return number == target if isinstance(target, int) else _is_named(str(target), name)


def _is_named(pattern: str, name: str) -> bool:
    """Whether an anchored regular expression matches a port's name."""
    known = _patterns.compiled(pattern)
    return known is not None and known.can_be_tried(name) and known.fullmatch(name) is not None


def _called(endpoint: Mapping[str, Any]) -> Labels:
    """The label `endpoint`: it is set for a port's name and for targetPort, and not for portNumber."""
    named = endpoint.get("port") or (endpoint.get("targetPort") if endpoint.get("portNumber") is None else None)
    return {"endpoint": str(named)} if named not in (None, "") else {}


def _first(endpoint: Mapping[str, Any], *keys: str) -> list[Rule]:
    """The first of several spellings that is there."""
    return list(next((endpoint[key] for key in keys if endpoint.get(key)), ()))


# As the operators write them: of Prometheus, and of VictoriaMetrics.
_RELABELINGS, _METRIC_RELABELINGS = ("relabelings", "relabelConfigs"), ("metricRelabelings", "metricRelabelConfigs")
_TEMPLATES = {"VMPodScrape": "podScrapeRelabelTemplate"}
_RESOURCES = {"PodMonitor": "podmonitors", "ServiceMonitor": "servicemonitors", "ScrapeConfig": "scrapeconfigs"}


def _scrape_class(monitor: Object, scraper: Scraper) -> Mapping[str, Any] | None:
    """What the scraper adds to a monitor: the class that it names, or the default one; None for one that is unknown."""
    named, classes = monitor["spec"].get("scrapeClass") or "", scraper.spec.get("scrapeClasses") or ()
    fitting = [item for item in classes if (item.get("name") == named if named else item.get("default"))]
    return next(iter(fitting), None if named else {})


def _enforced(monitor: Object, scraper: Scraper, kind: str) -> list[Rule]:
    """The rule that writes the namespace of the monitor over a label of everything that comes in through it."""
    label, own = scraper.spec.get("enforcedNamespaceLabel"), monitor["metadata"]
    if not label:
        return []
    for item in scraper.spec.get("excludedFromEnforcement") or ():
        resource = item.get("resource") == _RESOURCES.get(kind)
        if resource and item.get("namespace") == own["namespace"] and item.get("name", "") in ("", own["name"]):
            return []
    return [{"target_label": label, "replacement": own["namespace"].replace("$", "$$")}]


def _endpoint(
    kind: str, monitor: Object, scraper: Scraper, written: Mapping[str, Any], discovered: Sequence[Labels]
) -> list[Endpoint]:
    """An endpoint with all rules in the order in which the operator writes them; none where it rejects the monitor."""
    scrape_class = _scrape_class(monitor, scraper)
    if scrape_class is None:
        return []
    last = _enforced(monitor, scraper, kind)
    # What the VictoriaMetrics operator appends for every monitor of a kind, and what vmagent does to every sample.
    added = (scraper.spec.get(_TEMPLATES.get(kind, "")), scraper.spec.get("inlineRelabelConfig"))
    rules, metric_rules = (
        [*of_monitors([*_first(scrape_class, *keys), *_first(written, *keys), *(more or ())]), *last]
        for keys, more in zip((_RELABELINGS, _METRIC_RELABELINGS), added, strict=True)
    )
    return [Endpoint(discovered, rules, metric_rules)]


def _copied(names: Iterable[str], values: Mapping[str, str]) -> Labels:
    return {_sanitized(name): values[name] for name in names if values.get(name)}


def _of_pod_monitor(monitor: Object, sidecar: Sidecar, scraper: Scraper, dummy: Sequence[Object]) -> list[Endpoint]:
    pod, spec = sidecar.pod, monitor["spec"]
    labels = pod["metadata"].get("labels") or {}
    seen = _looks_at(monitor, scraper, pod) and selectors.matches(spec.get("selector") or {}, labels)
    found = []
    for endpoint in spec.get("podMetricsEndpoints") or ():
        own = [
            {
                **_pod_labels(pod),
                **_port_labels(pod, container, name, number),
                **_scrape_labels(endpoint),
                "job": labels.get(spec.get("jobLabel") or "", "") or name_of(monitor),
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "container": container,
                **_copied([*(scraper.spec.get("podTargetLabels") or ()), *(spec.get("podTargetLabels") or ())], labels),
                **_called(endpoint),
            }
            for container, name, number in _ports(pod)
            if seen and _is_port(endpoint, name, number)
        ]
        found += _endpoint(monitor.get("kind", "PodMonitor"), monitor, scraper, endpoint, own)
    return found


def _behind(service: Object, pod: Object) -> list[tuple[str, str, str, int]]:
    """What service discovery finds of a pod behind a service: the service port's name, container, port's name, number.

    Declared ports of the pod that no service port leads to are found as well, without a service port's name.
    """
    selector = service["spec"].get("selector") or {}
    same_namespace = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    if not same_namespace or not selector or not selector.items() <= (pod["metadata"].get("labels") or {}).items():
        return []
    declared = _ports(pod)
    found = []
    for port in service["spec"].get("ports") or ():
        target = str(port.get("targetPort", port["port"]))
        numbers = {number for dummy, name, number in declared if name == target}
        numbers |= {int(target)} if target.isdigit() else set()
        for number in sorted(numbers):
            container, name = next(((owner, own) for owner, own, known in declared if known == number), ("", ""))
            found.append((port.get("name", ""), container, name, number))
    reached = {number for *dummy, number in found}
    return found + [("", *port) for port in declared if port[2] not in reached]


def _of_service_monitor(
    monitor: Object, sidecar: Sidecar, scraper: Scraper, services: Sequence[Object]
) -> list[Endpoint]:
    pod, spec = sidecar.pod, monitor["spec"]
    selected = [
        service
        for service in services
        if _looks_at(monitor, scraper, service)
        and selectors.matches(spec.get("selector") or {}, service["metadata"].get("labels") or {})
    ]
    found = []
    for endpoint in spec.get("endpoints") or ():
        own = []
        for service in selected:
            labels = service["metadata"].get("labels") or {}
            for service_port, container, name, number in _behind(service, pod):
                target = endpoint.get("targetPort")
                wanted = target is None or _is_target_port(target, name, number)
                if endpoint.get("port"):
                    wanted = _is_named(endpoint["port"], service_port)
                if not wanted:
                    continue
                own.append(
                    {
                        **_pod_labels(pod),
                        **_port_labels(pod, container, name, number),
                        **_scrape_labels(endpoint),
                        "__meta_kubernetes_service_name": service["metadata"]["name"],
                        "__meta_kubernetes_endpointslice_port_name": service_port,
                        "job": labels.get(spec.get("jobLabel") or "", "") or service["metadata"]["name"],
                        "namespace": pod["metadata"]["namespace"],
                        "service": service["metadata"]["name"],
                        "pod": pod["metadata"]["name"],
                        "container": container,
                        **_copied(spec.get("targetLabels") or (), labels),
                        **_copied(spec.get("podTargetLabels") or (), pod["metadata"].get("labels") or {}),
                        "endpoint": str(endpoint.get("port") or target or ""),
                    }
                )
        found += _endpoint("ServiceMonitor", monitor, scraper, endpoint, own)
    return found


def _is_discovered(discovery: Mapping[str, Any], role: str, namespace: str, item: Object) -> bool:
    """Whether a Kubernetes service discovery of a ScrapeConfig finds an object."""
    where = discovery.get("namespaces") or {}
    names = [*(where.get("names") or ()), *([namespace] if where.get("ownNamespace") else ())]
    labels = item["metadata"].get("labels") or {}
    return (not names or item["metadata"]["namespace"] in names) and all(
        selectors.matches(selectors.parse_selector(selector.get("label") or ""), labels)
        for selector in discovery.get("selectors") or ()
        if selector.get("role", "").lower() == role
    )


def _of_scrape_config(
    monitor: Object, sidecar: Sidecar, scraper: Scraper, services: Sequence[Object]
) -> list[Endpoint]:
    """A ScrapeConfig is one scrape pool, whatever it discovers. Other kinds of discovery show on the live targets."""
    pod, spec = sidecar.pod, monitor["spec"]
    namespace = monitor["metadata"]["namespace"]
    common = {**_scrape_labels(spec, "metricsPath"), "job": spec.get("jobName") or f"scrapeConfig/{name_of(monitor)}"}
    found: list[Labels] = []
    for static in spec.get("staticConfigs") or ():
        own = static.get("labels") or {}
        found += [{**common, **own, "__address__": address} for address in static.get("targets") or ()]
    for discovery in spec.get("kubernetesSDConfigs") or ():
        role = discovery.get("role", "").lower()
        if role == "pod" and _is_discovered(discovery, "pod", namespace, pod):
            found += [{**common, **_pod_labels(pod), **_port_labels(pod, *port)} for port in _ports(pod)]
        elif role in ("endpoints", "endpointslice"):
            found += [
                {**common, **_pod_labels(pod), **_port_labels(pod, container, name, number)}
                for service in services
                if _is_discovered(discovery, "service", namespace, service)
                for dummy_name, container, name, number in _behind(service, pod)
            ]
    return _endpoint("ScrapeConfig", monitor, scraper, spec, found)


# By the kind of monitor: its endpoints, each with what is discovered of one pod for it.
ENDPOINTS: dict[str, Callable[[Object, Sidecar, Scraper, Sequence[Object]], list[Endpoint]]] = {
    "PodMonitor": _of_pod_monitor,
    "ServiceMonitor": _of_service_monitor,
    "ScrapeConfig": _of_scrape_config,
    "VMPodScrape": _of_pod_monitor,
}
