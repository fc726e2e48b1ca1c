# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Tries what a run would write by a dry run, and names the permissions that are lacking."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _names
from .._errors import MeteringError, RefusedError
from .._gateway import reader, writer
from .._gateway.controller import Controller
from .._gateway.mapping import Merge, Record
from .._gateway.proxy import Proxy
from .._kubernetes import objects
from .._kubernetes.client import Cluster, Permission, UnknownFieldsError
from .._kubernetes.objects import Object
from .._scrape import scrapers
from .._scrape.plan import Plan


@dataclass(frozen=True)
class Write:
    """A write that a run would do."""

    permission: Permission
    where: str
    """The kind and namespace/name of what it writes."""
    of: Callable[..., Any]
    """Takes `dry_run`."""
    file: str = ""
    """The file with the role that allows it, where the permission alone does not tell."""


def writes_of(
    cluster: Cluster,
    controller: Controller,
    merged: Merge,
    proxies: Sequence[Proxy],
    plan: Plan | None,
    *,
    sets_flag: bool = True,
    record: Record | None = None,
    file: str = "",
) -> list[Write]:
    """The writes of a run; of restarts one for each namespace and kind.

    Args:
        cluster: where they are written.
        controller: as it is.
        merged: what its flag becomes.
        proxies: those that may be restarted.
        plan: what the scrape would change.
        sets_flag: whether the run sets the flag; where Helm does, it only records what was added.
        record: what is to be remembered of it; by default what a run remembers that adds pairs.
        file: the file with the role that allows them, where the permission alone does not tell.
    """
    writes: list[Write] = []
    record = controller.record.after_merge(merged) if record is None else record
    if merged.pairs != controller.pairs or record != controller.record:
        permission = ("patch", "apps", "deployments", controller.namespace)
        pairs = merged.pairs if sets_flag else controller.pairs
        change: Callable[..., Any] = functools.partial(writer.write, cluster, controller, pairs, record)
        writes.append(Write(permission, f"Deployment {controller.name}", change, file))
    wanted = dataclasses.replace(controller, pairs=merged.pairs)
    restarts: dict[Permission, Proxy] = {}
    for proxy in proxies:
        if proxy.stale(wanted):
            namespace = proxy.workload["metadata"]["namespace"]
            restarts.setdefault(("patch", "apps", reader.PLURALS[proxy.kind], namespace), proxy)
    for permission, proxy in restarts.items():
        change = functools.partial(writer.restart, cluster, proxy)
        writes.append(Write(permission, f"{proxy.kind} {proxy.name}", change, file))
    if plan is None:
        return writes
    changes: list[tuple[str, Object | None, Callable[..., Any]]] = [
        ("create", plan.create, cluster.create),
        ("update", plan.update, cluster.replace),
        *(("delete", source.document, cluster.delete) for source in plan.remove),
    ]
    for verb, document, method in changes:
        if document:
            kind = scrapers.MONITOR_KINDS[document["kind"]]
            permission = (verb, kind.api.partition("/")[0], kind.plural, document["metadata"]["namespace"])
            change = functools.partial(method, kind.api, kind.plural, document)
            writes.append(Write(permission, f"{document['kind']} {objects.name_of(document)}", change))
    return writes


def rehearse(cluster: Cluster, writes: Sequence[Write], unread: Sequence[Permission] = ()) -> list[str]:
    """Try all writes by a dry run: a warning for each of which it is not known whether it would be taken.

    Args:
        cluster: where they are tried.
        writes: the writes.
        unread: the permissions that were lacking already to know of more of them.

    Raises:
        MeteringError: the account lacks permissions for some, all of which are named; or one would be refused.
    """
    lacking = {permission: _file_of(permission) for permission in unread}
    unknown = []
    for write in writes:
        try:
            if cluster.rehearse(write.of) is None:
                unknown.append(write.where)
        except RefusedError as error:
            if error.is_unknown:
                raise
            lacking[write.permission] = write.file or _file_of(write.permission)
        except UnknownFieldsError as error:
            raise MeteringError(
                f"{write.where} needs the field {error}, which its kind does not have.",
                "The API server would drop it silently. Nothing was changed.",
                "Upgrade the operator that installs this kind.",
            ) from error
        except MeteringError as error:
            raise MeteringError(f"{write.where}: {error.found}", error.why, error.advice, error.command) from error
    refuse(lacking)
    return [
        f"It is not known if the API server would accept the change of {where}: an admission webhook does not support "
        "dry runs, or the object has just changed. The run continues. Next: kubectl get "
        "validatingwebhookconfigurations,mutatingwebhookconfigurations"
        for where in unknown
    ]


def refuse_lacking(cluster: Cluster, needed: Sequence[Permission]) -> None:
    """Refuse to begin what could not be finished.

    Raises:
        MeteringError: the account lacks some of the permissions; all of them are named.
    """
    refuse(cluster.lacking(needed))


def refuse(lacking: Sequence[Permission] | Mapping[Permission, str]) -> None:
    """Name the permissions that are lacking.

    Args:
        lacking: they; each with the file of its role, where the permission alone does not tell.

    Raises:
        RefusedError: some are.
    """
    if lacking:
        files = (
            lacking if isinstance(lacking, Mapping) else {permission: _file_of(permission) for permission in lacking}
        )
        listed = "; ".join(
            f"{verb} {resource}{'.' + group if group else ''} in {namespace or 'every namespace'}"
            for verb, group, resource, namespace in dict.fromkeys(lacking)
        )
        raise RefusedError(
            f"The account that runs this lacks permissions: {listed}.",
            "The run would stop half-way, so none of this was begun.",
            f"Bind the roles of {' and '.join(sorted(set(files.values())))} to it, or run this as another.",
            "kubectl auth whoami",
        )


def _file_of(permission: Permission) -> str:
    """The file with the role that has a permission."""
    verb, dummy, resource, namespace = permission
    if verb == "list":
        return "docs/rbac.yml"
    if resource == "prometheusrules" or (resource, verb) == ("pods", "delete"):
        return "docs/rbac-chargeback.yml"
    if resource == "configmaps":
        return f"docs/rbac-{'chargeback' if namespace in _names.COST_MANAGEMENT_NAMESPACES else 'grafana'}.yml"
    return "docs/rbac.yml"
