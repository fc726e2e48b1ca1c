# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Applies and removes objects that are ours, and has those start again that read one of them when they start."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _progress
from .._errors import MeteringError, RefusedError
from .._kubernetes.client import Cluster, Permission
from .._kubernetes.objects import Object, is_contained
from .._kubernetes.owned import (
    change_to_diff,
    delete_object,
    discreet,
    last_change,
    list_ours,
    name_in_result,
    permission_for,
    read_object,
    refuse_foreign,
    rehearse_object,
    write_object,
)
from .._kubernetes.ownership import is_ours
from . import rehearsal

# The kinds that this module takes. Others that can be ours are made by the modules that know them.
KINDS = ("ConfigMap", "PrometheusRule", "MonitorDashboard", "GrafanaDashboard", "PersesDashboard")


def outdated_objects(pods: Sequence[Object], document: Object) -> list[Object]:
    """The pods that began before an object was changed last, and have read it as it was; those that end are left out.

    One of the very second of the change counts as older: it can have read either.
    """
    since = last_change(document)
    return [
        pod
        for pod in pods
        if pod["metadata"]["creationTimestamp"] <= since and not pod["metadata"].get("deletionTimestamp")
    ]


_READER = {name: {"type": "str", "required": True} for name in ("object", "namespace", "labels")}
OPTIONS: dict[str, Any] = {
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "readers": {"type": "list", "elements": "dict", "default": [], "options": _READER},
    "timeout": {"type": "int", "default": 120},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What owned_objects returns."""
    options = module.params
    for number, document in enumerate(options["definitions"], start=1):
        check_definition(number, document, all_of_a_kind=options["state"] == "absent")
    return (remove_objects if options["state"] == "absent" else apply_objects)(module, cluster, options)


def check_definition(number: int, document: Object, *, all_of_a_kind: bool) -> None:
    """Refuse what is no definition of an object.

    Args:
        number: which one it is.
        document: the definition.
        all_of_a_kind: whether metadata without namespace and name stands for every object of the kind that has its
            labels.

    Raises:
        MeteringError: something of it is missing or no text, or its kind is none of ours.
    """
    metadata = document.get("metadata")
    wrong = [name for name in ("apiVersion", "kind") if not _is_text(document.get(name))]
    if not isinstance(metadata, Mapping):
        wrong.append("metadata")
    elif not isinstance(metadata.get("labels") or {}, Mapping):
        wrong.append("metadata.labels")
    elif set(metadata) - {"labels"} or not all_of_a_kind:
        wrong += [f"metadata.{name}" for name in ("namespace", "name") if not _is_text(metadata.get(name))]
    if wrong:
        raise MeteringError(
            f"Definition {number} has no {', '.join(wrong)}, or the value is not a string.",
            "The object cannot be identified. Nothing was changed.",
            "Complete the option definitions; put quotes around a name that has only digits.",
        )
    if document["kind"] not in KINDS:
        raise MeteringError(
            f"Definition {number} is a {document['kind']}.",
            f"This collection can own only these kinds: {', '.join(KINDS)}. Nothing was changed.",
            "Correct the option definitions; for other kinds use kubernetes.core.k8s.",
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def apply_objects(module: Any, cluster: Cluster, options: Mapping[str, Any]) -> dict[str, Any]:
    """Have every object there as it is given, and nothing running that has read another one."""
    wanted = options["definitions"]
    there = _read_all(cluster, options, check_mode=module.check_mode)
    refuse_foreign(wanted, there)
    differing = [pair for pair in zip(wanted, there, strict=True) if not is_contained(*pair)]
    lacking = _rehearse_all(cluster, differing)
    if not module.check_mode:  # who only reads may still plan
        restarts = _restarts(
            [
                pod
                for one, found in zip(wanted, there, strict=True)
                for pod in _readers(cluster, options["readers"], one)
                if not is_contained(one, found) or (found and outdated_objects([pod], found))
            ]
        )
        rehearsal.refuse([*lacking, *cluster.lacking(restarts)])
    before, after, changed, restarted = {}, {}, [], []
    for document, found in zip(wanted, there, strict=True):
        name = name_in_result(document)
        differs = not is_contained(document, found)
        if differs:
            changed.append(name)
            before[name], after[name] = change_to_diff(document, found)
        present = found if module.check_mode or not differs else write_object(cluster, document, found)
        for pod in _readers(cluster, options["readers"], document):
            # What is only planned makes all of them old.
            if differs or (present and outdated_objects([pod], present)):
                restarted.append(pod)
    restarted = [pod for pod in restarted if not pod["metadata"].get("deletionTimestamp")]
    if not module.check_mode:
        _restart(cluster, options, restarted)
    return {
        "changed": bool(changed or restarted),
        "applied": changed,
        "removed": [],
        "restarted": [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in restarted],
        "diff": {"before": before, "after": after},
    }


def _read_all(cluster: Cluster, options: Mapping[str, Any], *, check_mode: bool) -> list[Object | None]:
    """What there is of the objects.

    Raises:
        RefusedError: the account may not read some; what else it lacks for them is named as well.
    """
    wanted = options["definitions"]
    try:
        return [read_object(cluster, document) for document in wanted]
    except RefusedError as error:
        if error.is_unknown:
            raise
        verbs = ("get",) if check_mode else ("get", "create", "patch")
        needed = dict.fromkeys(permission_for(document, verb) for document in wanted for verb in verbs)
        readers = [pod for document in wanted for pod in _readers(cluster, options["readers"], document)]
        rehearsal.refuse_lacking(cluster, [*needed, *([] if check_mode else _restarts(readers))])
        raise


def _rehearse_all(cluster: Cluster, differing: Sequence[tuple[Object, Object | None]]) -> list[Permission]:
    """Try all writes by a dry run: the permissions that are lacking."""
    lacking = []
    for document, found in differing:
        try:
            rehearse_object(cluster, document, found)
        except RefusedError as error:
            if error.is_unknown:
                raise
            lacking.append(permission_for(document, "patch" if found else "create"))
    return lacking


def _restarts(pods: Sequence[Object]) -> list[Permission]:
    """The permissions to have pods start again."""
    return [("delete", "", "pods", own) for own in sorted({pod["metadata"]["namespace"] for pod in pods})]


def remove_objects(module: Any, cluster: Cluster, options: Mapping[str, Any]) -> dict[str, Any]:
    """Remove those of the objects that are ours; where one has no name, every one of its kind that has its labels."""
    found = []
    for document in options["definitions"]:
        if not cluster.reads(document["metadata"].get("namespace", "")):
            continue
        if document["metadata"].get("name"):
            there = read_object(cluster, document)
            found += [there] if there and is_ours(there) else []
        else:
            labels = document["metadata"].get("labels") or {}
            found += list_ours(cluster, document["apiVersion"], document["kind"], labels)
    readers = [pod for document in found for pod in _readers(cluster, options["readers"], document)]
    if not module.check_mode:
        deletions = dict.fromkeys(permission_for(document, "delete") for document in found)
        rehearsal.refuse_lacking(cluster, [*deletions, *_restarts(readers)])
        for document in found:
            delete_object(cluster, document)
        _restart(cluster, options, readers)
    return {
        "changed": bool(found),
        "applied": [],
        "removed": [name_in_result(document) for document in found],
        "restarted": [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in readers],
        "diff": {
            "before": {name_in_result(document): discreet(document) for document in found},
            "after": {},
        },
    }


def _readers(cluster: Cluster, readers: Sequence[Mapping[str, Any]], document: Object) -> list[Object]:
    """The running pods that read an object when they start."""
    return [
        pod
        for reader in readers
        if reader["object"] == document["metadata"]["name"]
        for pod in cluster.list("v1", "pods", namespace=reader["namespace"], labels=reader["labels"])
        if not pod["metadata"].get("deletionTimestamp")
    ]


def _restart(cluster: Cluster, options: Mapping[str, Any], pods: Sequence[Object]) -> None:
    """Delete pods, and wait until what has them made others that are ready."""
    if not pods:
        return
    # Times are kept to the second: the new pods have to be of a later one than the change that they read.
    time.sleep(1)
    for pod in pods:
        cluster.delete("v1", "pods", pod)
    old = {pod["metadata"]["uid"] for pod in pods}
    groups = {
        (reader["namespace"], reader["labels"])
        for reader in options["readers"]
        if any(pod["metadata"]["namespace"] == reader["namespace"] for pod in pods)
    }

    def missing() -> str:
        found = [
            pod for own, labels in sorted(groups) for pod in cluster.list("v1", "pods", namespace=own, labels=labels)
        ]
        waiting = (pod for pod in found if pod["metadata"]["uid"] in old or not _is_ready(pod))
        return ", ".join(sorted(pod["metadata"]["name"] for pod in waiting))

    left = _progress.wait("restart", missing, options["timeout"])
    if left:
        raise MeteringError(
            f"{left}: not ready after {options['timeout']} s.",
            "The objects are applied, but no ready pod has loaded them.",
            "",
            f"kubectl -n {pods[0]['metadata']['namespace']} describe pod",
        )


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
