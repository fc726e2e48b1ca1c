# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads the gateway: its controller, proxies, sidecars, routes and policies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from .. import _names
from .._errors import MeteringError
from .._kubernetes import objects as _objects
from .._kubernetes.client import Cluster
from . import controller as _controller
from . import exposition, proxy, unmetered
from . import header_setters as _header_setters
from . import sidecar as _sidecar
from .unmetered import Unmetered

APPS = "apps/v1"
# Of an answer that is something else than it has to be.
SHOWN_CHARACTERS = 80
PLURALS = {"Deployment": "deployments", "DaemonSet": "daemonsets"}


def read_controller(cluster: Cluster, named: str = "") -> _controller.Controller:
    """The AI gateway's controller; looked for by its chart's labels first, then among all Deployments."""
    labelled = cluster.list(APPS, "deployments", labels=_names.CONTROLLER_LABELS)
    try:
        found = _controller.find_controller(labelled, named)
    except MeteringError:
        found = _controller.find_controller(cluster.list(APPS, "deployments"), named)
    return found if found.has_flag else _controller.with_flag_of_its_generation(found, read_sidecars(cluster))


def read_proxy_workloads(cluster: Cluster) -> list[tuple[str, _objects.Object]]:
    """The proxies' Deployments and DaemonSets, each with its kind."""
    return [
        (kind, item)
        for kind, plural in PLURALS.items()
        for item in cluster.list(APPS, plural, labels=_names.PROXY_LABELS)
    ]


def read_proxies(cluster: Cluster, scope: Sequence[str] = ()) -> list[proxy.Proxy]:
    """The proxy workloads whose pods carry the sidecar, of the Gateways in scope."""
    return _sidecar.in_scope(proxy.proxies_of(read_proxy_workloads(cluster), read_proxy_pods(cluster)), scope)


def read_routes(cluster: Cluster) -> list[_objects.Object]:
    """The AIGatewayRoutes; none where their kind is not served."""
    group = cluster.preferred(_names.AI_GATEWAY_GROUP)
    if not group:
        return []
    # Some kinds demand no spec.
    return [{**item, "spec": item.get("spec") or {}} for item in cluster.list(group, "aigatewayroutes")]


def read_unused_sidecars(
    cluster: Cluster, found: Sequence[_sidecar.Sidecar], samples: Mapping[str, Sequence[exposition.TokenSum]]
) -> list[Unmetered]:
    """The sidecars that have counted nothing because no listener uses them, as far as that can be seen."""
    unused = []
    for sidecar in found:
        if samples.get(sidecar.name, [None]):
            continue
        metadata, query = sidecar.pod["metadata"], [("filter", unmetered.STATS_FILTER)]
        try:
            text = cluster.proxied(
                metadata["namespace"], metadata["name"], unmetered.STATS_PORT, unmetered.STATS_PATH, query
            )
        except MeteringError:  # its statistics may be closed; then nothing is known
            continue
        if not unmetered.uses_sidecar(text):
            unused.append(unmetered.unused_sidecars(sidecar.pod, sidecar.gateway))
    return unused


def read_proxy_pods(cluster: Cluster) -> list[_objects.Object]:
    """The proxies' pods, whatever their phase, with or without a sidecar."""
    return list(cluster.list("v1", "pods", labels=_names.PROXY_LABELS))


def read_sidecars(cluster: Cluster, scope: Sequence[str] = ()) -> list[_sidecar.Sidecar]:
    """The sidecars of the running proxy pods of the Gateways in scope."""
    return _sidecar.in_scope(_sidecar.sidecars_of(read_proxy_pods(cluster)), scope)


def read_token_sums(cluster: Cluster, found: Sequence[_sidecar.Sidecar]) -> dict[str, list[exposition.TokenSum]]:
    """The token samples that each sidecar exposes, by namespace/pod.

    Raises:
        MeteringError: one of them does not answer.
    """
    answered, silent = read_readable_token_sums(cluster, found)
    for error in silent.values():
        raise error
    return answered


def read_readable_token_sums(
    cluster: Cluster, found: Sequence[_sidecar.Sidecar]
) -> tuple[dict[str, list[exposition.TokenSum]], dict[str, MeteringError]]:
    """The token samples of the sidecars that answer, and why the others do not, by namespace/pod."""
    answered: dict[str, list[exposition.TokenSum]] = {}
    silent: dict[str, MeteringError] = {}
    for sidecar in found:
        metadata = sidecar.pod["metadata"]
        try:
            text = cluster.proxied(metadata["namespace"], metadata["name"], sidecar.port, _names.METRICS_PATH)
        except MeteringError as error:
            silent[sidecar.name] = error
            continue
        if exposition.is_exposition(text):
            answered[sidecar.name] = exposition.parse_exposition(text)
        else:
            silent[sidecar.name] = MeteringError(
                f"Pod {sidecar.name} answered {_names.METRICS_PATH} on port {sidecar.port} with something that is no "
                f"metrics: {cluster.hide(text)[:SHOWN_CHARACTERS]!r}.",
                "What it has counted cannot be known.",
                "",
                (
                    f"kubectl get --raw /api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}:"
                    f"{sidecar.port}/proxy{_names.METRICS_PATH}"
                ),
            )
    return answered, silent


def read_header_setters(
    cluster: Cluster, headers: Collection[str], routes: Sequence[_objects.Object] | None = None
) -> _header_setters.Setters:
    """What sets some request headers; AIGatewayRoutes that were read before may be given.

    Security policies commonly set them all. Others are looked at only where there is a header that these do not set,
    and what may not be read is named as something that cannot be told.
    """
    objects: dict[str, list[_objects.Object]] = {}
    unread: list[str] = []
    group = cluster.preferred(_names.AI_GATEWAY_GROUP)
    for kind, (api, plural) in _header_setters.KINDS.items():
        served = group if api == "aigateway" else api
        try:
            if plural == "aigatewayroutes" and routes is not None:
                objects[kind] = list(routes)
            else:
                objects[kind] = list(cluster.list(served, plural)) if served else []
        except MeteringError:
            unread.append(kind)
        found = _header_setters.setters_of(objects, unread, is_partial=bool(cluster.limits))
        if all(found.of(header) for header in headers):
            break
    return found
