# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What is ours in a cluster: what a removal takes away."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from .. import _names
from .._errors import RefusedError
from .._isolation import entrance
from .._kubernetes.client import Cluster, Permission
from .._kubernetes.owned import list_ours, name_in_result, permission_for, read_ours
from .._scrape import monitor as _monitor
from .._scrape import scrapers
from . import dashboard_providers

# What is ours besides monitors and entrances, by its API.
OBJECTS = (
    (dashboard_providers.MONITOR_API, "MonitorDashboard"),
    (dashboard_providers.OPERATOR_API, "GrafanaDashboard"),
    *((api, "PersesDashboard") for api in dashboard_providers.PERSES_APIS),
    (scrapers.COREOS, "PrometheusRule"),
    ("v1", "ConfigMap"),
)


def names_of(name: str, gateways: Sequence[str]) -> set[str]:
    """The names of the monitors of ours that are meant; none where all are."""
    return {name} if name else {_monitor.scoped_name(gateways)} if gateways else set()


def find_monitors(cluster: Cluster, name: str, gateways: Sequence[str]) -> list[tuple[scrapers.Kind, dict[str, Any]]]:
    """The monitors of ours that are meant, each with what is known of its kind."""
    names = names_of(name, gateways)
    return [
        (known, {**item, "kind": kind})
        for kind, known in scrapers.MONITOR_KINDS.items()
        for item in cluster.list(known.api, known.plural, labels=f"{_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}")
        if not names or item["metadata"]["name"] in names
    ]


def find_entrance_objects(cluster: Cluster) -> list[dict[str, Any]]:
    """What is there of every entrance that is ours."""
    return [
        document
        for namespace, name in _find_entrances(cluster)
        for document in read_ours(cluster, entrance.every_object(name, namespace))
    ]


def _find_entrances(cluster: Cluster) -> list[tuple[str, str]]:
    """The namespace and the name of each entrance of which something of ours is left."""
    kinds = (("v1", "ConfigMap"), ("apps/v1", "Deployment"))
    known = [item["metadata"] for api, kind in kinds for item in list_ours(cluster, api, kind, entrance.OF_ENTRANCES)]
    places = {(metadata["namespace"], metadata["name"]) for metadata in known}
    # Of one whose namespace was deleted only this is left; who has never made one need not be allowed to look.
    with contextlib.suppress(RefusedError):
        api = f"{entrance.RBAC}/v1"
        for item in list_ours(cluster, api, "ClusterRoleBinding", entrance.OF_ENTRANCES):
            namespace, dummy, name = item["metadata"]["name"].partition(":")
            places.add((namespace, name))
    return sorted(places)


def find_everything_else(cluster: Cluster) -> tuple[list[dict[str, Any]], list[Permission]]:
    """Every dashboard, rule, configuration and entrance of ours; and the permissions to look that are lacking."""
    found: list[dict[str, Any]] = []
    unread: list[Permission] = []
    for api, kind, namespace in ((*known, namespace) for known in OBJECTS for namespace in cluster.namespaces or [""]):
        try:
            found += list_ours(cluster, api, kind, {}, namespace=namespace)
        except RefusedError as error:
            if error.is_unknown:
                raise
            place = {"apiVersion": api, "kind": kind, "metadata": {"namespace": namespace}}
            unread.append(permission_for(place, "list"))
    # Some are found twice: in two versions of their API, or as a part of an entrance.
    once = {name_in_result(document): document for document in [*found, *find_entrance_objects(cluster)]}
    return list(once.values()), unread
