# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Reads and writes objects that are ours, by what they have to be. What is not ours is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import _names
from .._errors import MeteringError
from .client import Cluster, Permission, UnknownFieldsError
from .objects import Object, name_of, without_absent, without_server_fields
from .ownership import is_ours

# The kinds that can be ours, by what the API calls them in the plural.
PLURALS = {
    "ConfigMap": "configmaps",
    "PrometheusRule": "prometheusrules",
    "MonitorDashboard": "monitordashboards",
    "GrafanaDashboard": "grafanadashboards",
    "PersesDashboard": "persesdashboards",
    "ServiceAccount": "serviceaccounts",
    "Secret": "secrets",
    "Service": "services",
    "Deployment": "deployments",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
}
MERGE_PATCH = "application/merge-patch+json"
OURS = f"{_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}"
# What a diff shows in place of a Secret's values.
HIDDEN = "(not shown)"


def name_in_result(document: Object) -> str:
    """An object for a person: its kind, namespace and name."""
    return f"{document['kind']} {name_of(document)}"


def permission_for(document: Object, verb: str) -> Permission:
    """The permission to do something to an object."""
    group = document["apiVersion"].rpartition("/")[0]
    return verb, group, PLURALS[document["kind"]], document["metadata"].get("namespace", "")


def read_object(cluster: Cluster, document: Object) -> Object | None:
    """The object of this kind and name as it is in the cluster."""
    metadata = document["metadata"]
    plural = PLURALS[document["kind"]]
    return cluster.get(document["apiVersion"], plural, metadata.get("namespace", ""), metadata["name"])


def list_ours(
    cluster: Cluster, api: str, kind: str, labels: Mapping[str, str], *, namespace: str = ""
) -> list[dict[str, Any]]:
    """The objects of a kind that are ours and have these labels, each with its apiVersion and kind."""
    chosen = ",".join([OURS, *(f"{name}={value}" for name, value in labels.items())])
    # The items of a list do not say what they are.
    items = cluster.list(api, PLURALS[kind], namespace=namespace, labels=chosen)
    return [{**item, "apiVersion": api, "kind": kind} for item in items]


def read_ours(cluster: Cluster, documents: Sequence[Object]) -> list[dict[str, Any]]:
    """Those that are there and ours, each with its kind."""
    found = []
    for document in documents:
        there = read_object(cluster, document)
        if there is not None and is_ours(there):
            found.append({**there, "apiVersion": document["apiVersion"], "kind": document["kind"]})
    return found


def refuse_foreign(wanted: Sequence[Object], there: Sequence[Object | None]) -> None:
    """Refuse to overwrite what is not ours.

    Args:
        wanted: what is to be there.
        there: for each of these what there is.

    Raises:
        MeteringError: something of the name of one is not ours; all of these are named.
    """
    pairs = zip(wanted, there, strict=True)
    foreign = [document for document, found in pairs if found and not is_ours(found)]
    if foreign:
        raise MeteringError(
            f"{', '.join(map(name_in_result, foreign))}: already in the cluster, and not ours.",
            "This run would overwrite it, and remove.yml would later delete it. Nothing was changed.",
            "Keep a copy of it and delete it, or choose another name.",
            "; ".join(
                f"kubectl -n {item['metadata'].get('namespace', 'default')} get {item['kind'].lower()} "
                f"{item['metadata']['name']} -o yaml"
                for item in foreign
            ),
        )


def rehearse_object(cluster: Cluster, document: Object, found: Object | None) -> None:
    """Have the API server judge a write of which others may depend, before the first of them.

    Raises:
        RefusedError: the account may not write it.
        MeteringError: the API server would refuse it, or does not know a field of it.
    """
    api, plural = document["apiVersion"], PLURALS[document["kind"]]
    try:
        if found is None:
            cluster.rehearse(cluster.create, api, plural, without_absent(document))
        else:
            cluster.rehearse(cluster.patch, api, plural, found, document, content_type=MERGE_PATCH)
    except UnknownFieldsError as error:
        raise MeteringError(
            f"The cluster's {document['kind']} does not have the field {error}, which "
            f"{name_in_result(document)} needs.",
            "The API server would drop it silently. Nothing was changed.",
            "Upgrade the operator that installs this kind.",
        ) from error


def write_object(cluster: Cluster, document: Object, found: Object | None) -> Object:
    """Create an object, or make it what it has to be; what the API server or others have added stays."""
    api, plural = document["apiVersion"], PLURALS[document["kind"]]
    if found is None:
        return cluster.create(api, plural, without_absent(document))
    version = found["metadata"]["resourceVersion"]
    body = {**document, "metadata": {**document["metadata"], "resourceVersion": version}}
    return cluster.patch(api, plural, found, body, content_type=MERGE_PATCH)


def last_change(document: Object) -> str:
    """When an object was changed last (RFC 3339 in UTC, to the second): as texts these are in their order."""
    metadata = document["metadata"]
    times = [entry.get("time") or "" for entry in metadata.get("managedFields") or ()]
    return max([metadata["creationTimestamp"], *times])


def delete_object(cluster: Cluster, found: Object) -> None:
    """Delete an object as it was read, with its apiVersion and kind."""
    cluster.delete(found["apiVersion"], PLURALS[found["kind"]], found)


def change_to_diff(document: Object, found: Object | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """An object before and after, as a diff shows it: only what this run sets, and no value of a Secret."""
    before = {key: found.get(key) for key in document} if found else {}
    return discreet(before), discreet(document)


def discreet(document: Object) -> dict[str, Any]:
    """An object for a diff: without the API server's fields, and of a Secret only its name and its keys.

    kubectl writes a Secret's values into an annotation as well.
    """
    if document.get("kind") != "Secret":
        return dict(without_server_fields(document))
    metadata = {name: value for name, value in document["metadata"].items() if name in ("name", "namespace", "labels")}
    values = dict.fromkeys(document.get("data") or (), HIDDEN)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": values}
