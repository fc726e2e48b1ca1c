# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builders of the objects that the tests are about, as small as the API server would let them be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import controller as _controller
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import mapping as _mapping
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import sidecar as _sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import scrapers as _scrapers
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import sources

Document = dict[str, Any]

PROXY = {
    "app.kubernetes.io/name": "envoy",
    "app.kubernetes.io/component": "proxy",
    "app.kubernetes.io/managed-by": "envoy-gateway",
}
OURS = {"app.kubernetes.io/managed-by": "aigateway.metering"}
GATEWAYS = "gateways"
MONITORING = "monitoring"


def pairs(text: str) -> list[_mapping.Pair]:
    """`a:b,c:d` as pairs, exactly as written: nothing is trimmed, checked or taken for a duplicate."""
    return [_mapping.Pair(*element.split(":", 1)) for element in text.split(",") if element]


def gateway_labels(gateway: str) -> dict[str, str]:
    """The labels that say to which Gateway (namespace/name) a proxy belongs."""
    if not gateway:
        return {}
    namespace, name = gateway.split("/")
    return {
        "gateway.envoyproxy.io/owning-gateway-namespace": namespace,
        "gateway.envoyproxy.io/owning-gateway-name": name,
    }


def container(
    name: str,
    *,
    args: Sequence[str] | None = None,
    command: Sequence[str] | None = None,
    ports: Mapping[str, int] | None = None,
    image: str = "image:v1",
) -> Document:
    """A container; its ports by name."""
    document: Document = {"name": name, "image": image}
    if args is not None:
        document["args"] = list(args)
    if command is not None:
        document["command"] = list(command)
    if ports:
        document["ports"] = [{"name": key, "containerPort": number} for key, number in ports.items()]
    return document


def extproc(
    mapping: str = "",
    *,
    base: str = "",
    port: int = 1064,
    ports: Mapping[str, int] | None = None,
    args: Sequence[str] | None = None,
) -> Document:
    """The sidecar's container, with its flags as the gateway's webhook writes them."""
    if args is None:
        args = ["-adminPort", str(port)]
        args += ["-metricsRequestHeaderAttributes", mapping] if mapping else []
        args += ["-requestHeaderAttributes", base] if base else []
    return container("ai-gateway-extproc", args=args, ports={"aigw-admin": port} if ports is None else ports)


def pod(
    name: str = "proxy-1",
    namespace: str = GATEWAYS,
    *,
    containers: Sequence[Document] | None = None,
    init: Sequence[Document] = (),
    labels: Mapping[str, str] | None = None,
    gateway: str = "team-a/chat",
    phase: str = "Running",
    deleting: bool = False,
    ip: str = "10.0.0.1",
) -> Document:
    """A proxy pod; with the sidecar as an ordinary container unless told otherwise."""
    metadata: Document = {
        "name": name,
        "namespace": namespace,
        "labels": {**PROXY, **gateway_labels(gateway)} if labels is None else dict(labels),
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec: Document = {"containers": [container("envoy"), *([extproc()] if containers is None else containers)]}
    if init:
        spec["initContainers"] = list(init)
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase, "podIP": ip}}


def sidecar(name: str = "proxy-1", namespace: str = GATEWAYS, **options: Any) -> _sidecar.Sidecar:
    """The sidecar of a running proxy pod."""
    found = _sidecar.sidecar_of(pod(name, namespace, **options))
    assert found is not None
    return found


def deployment(
    name: str = "proxy",
    namespace: str = GATEWAYS,
    *,
    containers: Sequence[Document] = (),
    init: Sequence[Document] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    template_annotations: Mapping[str, str] | None = None,
    selector: Mapping[str, str] | None = None,
    replicas: int | None = 1,
    generation: int = 1,
    status: Mapping[str, Any] | None = None,
) -> Document:
    """A Deployment; without replicas it serves for a DaemonSet as well."""
    pod_spec: Document = {"containers": list(containers)}
    if init:
        pod_spec["initContainers"] = list(init)
    spec: Document = {
        "selector": {"matchLabels": dict(PROXY if selector is None else selector)},
        "template": {"metadata": {"annotations": dict(template_annotations or {})}, "spec": pod_spec},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "generation": generation,
            "labels": {**PROXY, **gateway_labels("team-a/chat")} if labels is None else dict(labels),
            "annotations": dict(annotations or {}),
        },
        "spec": spec,
        "status": dict(status or {}),
    }


def controller_deployment(
    mapping: str = "",
    *,
    base: str = "",
    name: str = "ai-gateway-controller",
    namespace: str = "envoy-ai-gateway-system",
    image: str = "ai-gateway-controller:v1.0.0",
    annotations: Mapping[str, str] | None = None,
    writers: Sequence[str] = (),
) -> Document:
    """The AI gateway controller's Deployment, with its flags as the chart renders them, written by these managers."""
    args = ["-logLevel=info", "--extProcImage=extproc:v1.0.0"]
    args += [f"--metricsRequestHeaderAttributes={mapping}"] if mapping else []
    args += [f"--requestHeaderAttributes={base}"] if base else []
    document = deployment(
        name,
        namespace,
        containers=[container("ai-gateway-helm", args=args, image=image)],
        annotations=annotations,
    )
    flags: Document = {"f:containers": {'k:{"name":"ai-gateway-helm"}': {"f:args": {}}}}
    for key in ("f:spec", "f:template", "f:spec"):
        flags = {key: flags}
    document["metadata"]["managedFields"] = [
        {"manager": "kube-controller-manager", "time": "2026-02-01T00:00:00Z", "fieldsV1": {"f:status": {}}},
        *(
            {"manager": manager, "time": f"2026-01-0{day}T00:00:00Z", "fieldsV1": flags}
            for day, manager in enumerate(writers, start=1)
        ),
    ]
    return document


def controller(mapping: str = "", *, base: str = "") -> _controller.Controller:
    """The controller with a mapping."""
    return _controller.find_controller([controller_deployment(mapping, base=base)])


def prometheus(
    name: str = "main",
    namespace: str = MONITORING,
    *,
    selector: Mapping[str, Any] | None = None,
    namespace_selector: Mapping[str, Any] | None = None,
    namespaces: Sequence[str] = (GATEWAYS, MONITORING),
    takes_all: bool = True,
    **spec: Any,
) -> _scrapers.Scraper:
    """A Prometheus; by default it takes every PodMonitor of every namespace."""
    document: Document = {"metadata": {"name": name, "namespace": namespace}, "spec": dict(spec)}
    for key, value in ("podMonitorSelector", selector), ("podMonitorNamespaceSelector", namespace_selector):
        if value is not None or takes_all:
            document["spec"][key] = {} if value is None else value
    return _scrapers.Scraper(document, {item: {"kubernetes.io/metadata.name": item} for item in namespaces})


def pod_monitor(
    name: str = "monitor",
    namespace: str = GATEWAYS,
    *,
    labels: Mapping[str, str] | None = None,
    selector: Mapping[str, Any] | None = None,
    endpoints: Sequence[Mapping[str, Any]] | None = None,
    namespace_selector: Mapping[str, Any] | None = None,
    created: str = "2026-01-01T00:00:00Z",
) -> Document:
    """A PodMonitor; by default it scrapes the sidecars' port of every proxy in its namespace."""
    spec: Document = {
        "selector": {"matchLabels": PROXY} if selector is None else selector,
        "podMetricsEndpoints": [{"portNumber": 1064}] if endpoints is None else list(endpoints),
    }
    if namespace_selector is not None:
        spec["namespaceSelector"] = namespace_selector
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels or {}), "creationTimestamp": created},
        "spec": spec,
    }


def monitoring(
    *monitors: Document, scrapers: Sequence[_scrapers.Scraper] = (), services: Sequence[Document] = ()
) -> sources.Monitoring:
    """Monitors, each of the kind that it says it is, and who is there to scrape by them."""
    by_kind: dict[str, list[Document]] = {}
    for item in monitors:
        by_kind.setdefault(item["kind"], []).append(item)
    return sources.Monitoring(scrapers or [prometheus()], by_kind, services)


def covered(monitor: Document, sidecars: Sequence[_sidecar.Sidecar], by: _scrapers.Scraper) -> dict[str, int]:
    """How often a monitor has each sidecar counted, by namespace/pod."""
    return sources.source_of(monitor["kind"], monitor, by, sidecars).covered


def target(
    address: str = "10.0.0.1:1064",
    pool: str = "podMonitor/gateways/monitor/0",
    health: str = "up",
    error: str = "",
    **labels: str,
) -> Document:
    """An active target as /api/v1/targets has it; its job is its pool."""
    return {
        "scrapeUrl": f"http://{address}/metrics",
        "scrapePool": pool,
        "labels": {"instance": address, "job": pool, **labels},
        "health": health,
        "lastError": error,
    }


def route(
    name: str = "chat",
    namespace: str = "team-a",
    *,
    parents: Sequence[Mapping[str, str]] | None = None,
    targets: Sequence[Mapping[str, str]] | None = None,
    costs: bool = True,
) -> Document:
    """An AIGatewayRoute; `targets` are the references of v0.3 and before."""
    spec: Document = {}
    if parents is not None or targets is None:
        spec["parentRefs"] = [{"name": "gateway"}] if parents is None else list(parents)
    if targets is not None:
        spec["targetRefs"] = list(targets)
    if costs:
        spec["llmRequestCosts"] = [{"metadataKey": "total", "type": "TotalToken"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def security_policy(*headers: str, name: str = "jwt", namespace: str = "team-a") -> Document:
    """A SecurityPolicy whose JWT provider writes claims into headers."""
    claims = [{"claim": "some_claim", "header": header} for header in headers]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"jwt": {"providers": [{"name": "issuer", "claimToHeaders": claims}]}},
    }
