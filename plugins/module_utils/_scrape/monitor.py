# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The monitor that we create for sidecars, and what is to be changed in one of ours that stands.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

from .. import _names
from .._errors import MeteringError
from .._gateway.sidecar import Sidecar
from .._kubernetes.objects import Object
from .._kubernetes.selectors import matches, satisfying
from .scrapers import MONITOR_KINDS, Scraper

PORT_NUMBER = "portNumber"
# So that the sums are stored as they were before, whatever the Prometheus does with other histograms.
KEEPS_CLASSIC = {"convertClassicHistogramsToNHCB": False, "scrapeClassicHistograms": True}
# By field of the PodMonitor that we create, since when the operator has it: v0.79, v0.82, v0.78.
OPTIONAL_FIELDS = frozenset({PORT_NUMBER, *KEEPS_CLASSIC})


def scoped_name(scope: Sequence[str]) -> str:
    """The name of the monitor that we create for some Gateways: two scopes do not fight over one monitor."""
    if not scope:
        return _names.POD_MONITOR_NAME
    readable = "-".join([_names.POD_MONITOR_NAME, *sorted(scope)]).replace("/", "-")
    digest = hashlib.sha256(",".join(sorted(scope)).encode()).hexdigest()[:8]
    # It becomes the value of a label as well, which takes 63 characters.
    return readable if len(readable) <= 63 else f"{_names.POD_MONITOR_NAME}-{digest}"


def scope_selector(scope: Sequence[str]) -> dict[str, Any]:
    """The label selector of the proxies of the Gateways in scope; of all proxies where the scope is empty."""
    labels = dict(pair.split("=") for pair in _names.PROXY_LABELS.split(","))
    if not scope:
        return {"matchLabels": labels}
    parts = [sorted({name.split("/")[index] for name in scope}) for index in (0, 1)]
    return {
        "matchLabels": labels,
        "matchExpressions": [
            {"key": key, "operator": "In", "values": values}
            for key, values in zip((_names.GATEWAY_NAMESPACE_LABEL, _names.GATEWAY_NAME_LABEL), parts, strict=True)
        ],
    }


def gateways_beyond(scope: Sequence[str], others: Sequence[Sidecar]) -> set[str]:
    """The Gateways whose proxies a selector for a scope would select as well.

    Labels select by namespace and by name, not by pairs of these.
    """
    selector = scope_selector(scope)
    return {other.gateway for other in others if matches(selector, other.pod["metadata"].get("labels") or {})}


def desired_monitor(
    prometheus: Scraper,
    sidecars: Sequence[Sidecar],
    name: str,
    interval: str,
    preferred: str = "",
    *,
    scope: Sequence[str] = (),
    others: Sequence[Sidecar] = (),
    lacking: Set[str] = frozenset(),
) -> dict[str, Any]:
    """The monitor that we create: selected by the Prometheus on both of its selectors, covering every sidecar.

    It selects the sidecar's port by number: port names differ by generation, and v0.4 has two names for the one port.

    Args:
        prometheus: the one that is to select it.
        sidecars: those that it is to cover.
        name: its name.
        interval: its scrape interval.
        preferred: the namespace in which ours stands already.
        scope: the Gateways that are meant; all where it is empty.
        others: the sidecars that are not to be scraped.
        lacking: those of OPTIONAL_FIELDS that the served kind does not have.

    Raises:
        MeteringError: the Prometheus takes PodMonitors from no namespace in which one could be put, or none of ours.
    """
    if scope:
        _refuse_others(scope, others)
    namespaces = sorted({sidecar.pod["metadata"]["namespace"] for sidecar in sidecars})
    namespace = _choose_namespace(prometheus, [preferred, *namespaces, prometheus.namespace])
    spec = {
        **_keep_classic(prometheus, lacking),
        "selector": scope_selector(scope),
        "podMetricsEndpoints": [
            {_port_field(prometheus, lacking): port, "path": _names.METRICS_PATH, "interval": interval}
            for port in sorted({sidecar.port for sidecar in sidecars})
        ],
    }
    if namespaces != [namespace]:
        spec["namespaceSelector"] = {"matchNames": namespaces}
    return {
        "apiVersion": MONITOR_KINDS[prometheus.monitor].api,
        "kind": prometheus.monitor,
        "metadata": {"name": name, "namespace": namespace, "labels": _choose_labels(prometheus, name)},
        "spec": spec,
    }


def _refuse_others(scope: Sequence[str], others: Sequence[Sidecar]) -> None:
    """Refuse a scope whose selector selects proxies of other Gateways as well."""
    beyond = gateways_beyond(scope, others)
    if beyond:
        raise MeteringError(
            f"A PodMonitor for {', '.join(scope)} would select the proxies of {', '.join(sorted(beyond))} as well.",
            "The selector matches namespaces and names separately, not as pairs.",
            "Run this once for each Gateway, or add the other Gateways to metering_gateways.",
            "kubectl get gateway -A",
        )


def _choose_namespace(prometheus: Scraper, candidates: Sequence[str]) -> str:
    """The first of some namespaces, of which some may be empty, from which the Prometheus takes monitors."""
    named = list(dict.fromkeys(filter(None, candidates)))
    namespace = next((item for item in named if prometheus.looks_into(item)), None)
    if namespace is None:
        raise MeteringError(
            f"Prometheus {prometheus.name} takes PodMonitors neither from {' nor from '.join(named)}.",
            "Other namespaces have other owners, so this run creates no PodMonitor there.",
            "Label one of these namespaces so that its podMonitorNamespaceSelector selects it.",
            f"kubectl -n {prometheus.namespace} get {prometheus.kind.lower()} "
            f"{prometheus.document['metadata']['name']} -o yaml",
        )
    return namespace


def _choose_labels(prometheus: Scraper, name: str) -> dict[str, str]:
    """Labels by which the Prometheus selects a monitor, and we know that it is ours."""
    ours = {_names.MANAGED_BY_LABEL: _names.MANAGED_BY}
    labels = {"app.kubernetes.io/name": name, **(satisfying(prometheus.selector) or {}), **ours}
    if not matches(prometheus.selector, labels):
        labels.pop("app.kubernetes.io/name")
    if not matches(prometheus.selector, labels):
        raise MeteringError(
            f"The selector of {prometheus.kind} {prometheus.name} selects nothing with the label "
            f"{_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}.",
            "The next run finds our objects by this label. Without it, they could not be removed.",
            "Widen the selector, or create a PodMonitor for the sidecars yourself.",
            prometheus.edit,
        )
    return labels


def _port_field(prometheus: Scraper, lacking: Set[str]) -> str:
    """The field that takes a port by its number. Where portNumber is not known it is pruned: all ports are scraped."""
    return PORT_NUMBER if prometheus.monitor == "PodMonitor" and PORT_NUMBER not in lacking else "targetPort"


def _keep_classic(prometheus: Scraper, lacking: Set[str]) -> dict[str, Any]:
    """The fields, as far as the kind has them, by which histograms are stored as they were before."""
    fields = KEEPS_CLASSIC if prometheus.monitor == "PodMonitor" else {}
    return {name: value for name, value in fields.items() if name not in lacking}


def restore_monitor(monitor: Object, wanted: Object) -> dict[str, Any] | None:
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
