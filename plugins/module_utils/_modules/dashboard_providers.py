# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Finds what shows dashboards in a cluster, and the dashboards of a name that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import _names
from .._errors import MeteringError, RefusedError, doc_of
from .._kubernetes.client import Cluster, Permission
from .._kubernetes.objects import Object, containers, without_server_fields

MONITOR, GRAFANA, GRAFANA_OPERATOR, PERSES = "monitor", "grafana", "grafana_operator", "perses"
PROVIDERS = (MONITOR, GRAFANA, GRAFANA_OPERATOR, PERSES)
AUTO = "auto"
MONITOR_API = f"{_names.ALAUDA_GROUP}/v1alpha2"
OPERATOR_API = "grafana.integreatly.org/v1beta1"
# The present version first.
PERSES_APIS = ("perses.dev/v1alpha2", "perses.dev/v1alpha1")
# The namespace from which Alauda's platform shows management views.
MONITOR_NAMESPACE = "cpaas-system"
# As the charts of Grafana label its pods, and what their sidecar selects by where nothing else is said.
GRAFANA_LABELS = "app.kubernetes.io/name=grafana"
SIDECAR_LABEL, SIDECAR_VALUE = "grafana_dashboard", "1"
# For Grafana's operator where no Grafana is there to tell: what its documentation uses.
OPERATOR_SELECTOR = {"dashboards": "grafana"}

# What is wished of the dashboards.
WISHES: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": ""},
    "providers": {"type": "list", "elements": "str", "choices": [AUTO, *PROVIDERS], "default": [AUTO]},
}


@dataclass(frozen=True)
class Provider:
    """Something that shows dashboards."""

    provider: str
    """One of PROVIDERS."""
    api: str
    kind: str
    plural: str
    namespace: str
    """Where its dashboards are put; empty where nothing in the cluster tells."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Those by which it selects dashboards, or by which its operator selects it."""

    def permission(self, verb: str) -> Permission:
        """The permission to do something with its dashboards."""
        return verb, self.api.rpartition("/")[0], self.plural, self.namespace

    def as_result(self) -> dict[str, Any]:
        """As gateway_info returns it."""
        return asdict(self)


def find_providers(cluster: Cluster, wishes: Mapping[str, Any], unreadable: dict[str, str]) -> list[Provider]:
    """What shows dashboards: what is wished for, or all that is found.

    Args:
        cluster: the cluster.
        wishes: as WISHES.
        unreadable: takes, by provider, why one that nobody has named could not be looked for.

    Raises:
        MeteringError: something is wished for, and it is not known where its dashboards are to be put.
    """
    named = wishes["providers"]
    namespace = wishes["namespace"]
    finders = {
        MONITOR: lambda: _monitor(cluster, namespace),
        GRAFANA: lambda: _grafana(cluster, namespace, is_named=GRAFANA in named),
        GRAFANA_OPERATOR: lambda: _grafana_operator(cluster, namespace),
        PERSES: lambda: _perses(cluster, namespace),
    }
    there = []
    for name in PROVIDERS:
        if AUTO not in named and name not in named:
            continue
        try:
            provider = finders[name]()
        except RefusedError as error:
            if name in named:
                raise
            unreadable[name] = error.found
            continue
        there += [provider] if provider is not None else []
    homeless = [provider.provider for provider in there if not provider.namespace and provider.provider in named]
    if homeless:
        raise MeteringError(
            f"dashboard_providers names {', '.join(homeless)}, and nothing in the cluster shows where their "
            "dashboards go.",
            "Without a namespace none can be created.",
            "Set dashboard_namespace to the namespace from which it takes dashboards.",
            doc_of("dashboard"),
        )
    return [provider for provider in there if provider.namespace]


def read_dashboards(cluster: Cluster, providers: Sequence[Provider], name: str) -> list[dict[str, Any]]:
    """The dashboards of these providers under our names, whoever has made them."""
    found = []
    for provider in providers:
        for key in _names.DASHBOARD_KEYS:
            document = cluster.get(provider.api, provider.plural, provider.namespace, _names.dashboard_name(name, key))
            if document is not None:
                found.append({**without_server_fields(document), "apiVersion": provider.api, "kind": provider.kind})
    return found


def lacking_permissions(providers: Sequence[Provider], there: Sequence[Object]) -> list[Permission]:
    """The permissions that a run needs to put dashboards in place."""
    needed = []
    for provider in providers:
        own = [item for item in there if item["kind"] == provider.kind]
        needed += [provider.permission("patch")] if own else []
        needed += [provider.permission("create")] if len(own) < len(_names.DASHBOARD_KEYS) else []
    return needed


def _monitor(cluster: Cluster, namespace: str) -> Provider | None:
    if not cluster.serves(MONITOR_API, "monitordashboards"):
        return None
    return Provider(MONITOR, MONITOR_API, "MonitorDashboard", "monitordashboards", namespace or MONITOR_NAMESPACE)


def _grafana(cluster: Cluster, namespace: str, *, is_named: bool) -> Provider | None:
    """Grafana with a sidecar that loads dashboards from ConfigMaps."""
    for pod in cluster.list("v1", "pods", labels=GRAFANA_LABELS):
        for container in containers(pod["spec"]):
            told = {item["name"]: item.get("value", "") for item in container.get("env") or ()}
            if "LABEL" in told and "dashboard" in container["name"]:
                # ALL, or several: its own is among them, or the first is as good as another.
                own = pod["metadata"]["namespace"]
                looked_into = [item.strip() for item in told.get("NAMESPACE", "").split(",") if item.strip()]
                place = own if not looked_into or own in looked_into or "ALL" in looked_into else looked_into[0]
                labels = {told["LABEL"]: told.get("LABEL_VALUE") or SIDECAR_VALUE}
                return Provider(GRAFANA, "v1", "ConfigMap", "configmaps", namespace or place, labels)
    labels = {SIDECAR_LABEL: SIDECAR_VALUE}
    return Provider(GRAFANA, "v1", "ConfigMap", "configmaps", namespace, labels) if is_named else None


def _grafana_operator(cluster: Cluster, namespace: str) -> Provider | None:
    if not cluster.serves(OPERATOR_API, "grafanadashboards"):
        return None
    grafanas = sorted(cluster.list(OPERATOR_API, "grafanas"), key=lambda item: str(item["metadata"]["namespace"]))
    first = grafanas[0]["metadata"] if grafanas else {}
    labels = first.get("labels") or OPERATOR_SELECTOR
    chosen = {key: labels[key] for key in OPERATOR_SELECTOR if key in labels} or dict(labels)
    place = namespace or first.get("namespace", "")
    return Provider(GRAFANA_OPERATOR, OPERATOR_API, "GrafanaDashboard", "grafanadashboards", place, chosen)


def _perses(cluster: Cluster, namespace: str) -> Provider | None:
    api = next((api for api in PERSES_APIS if cluster.serves(api, "persesdashboards")), None)
    if api is None:
        return None
    instances = sorted(str(item["metadata"]["namespace"]) for item in cluster.list(api, "perses"))
    place = namespace or next(iter(instances), "")
    return Provider(PERSES, api, "PersesDashboard", "persesdashboards", place)
