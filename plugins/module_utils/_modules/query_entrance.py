# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Puts an entrance in place that shows each caller only what it may read, looks whether it is closed, or removes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _names, _progress
from .._errors import MeteringError, RefusedError, told
from .._isolation import entrance
from .._isolation.entrance import Entrance
from .._isolation.network_policies import is_closed_by
from .._kubernetes.client import BehindError, Cluster
from .._kubernetes.objects import JSON_PATCH, Object, without_absent
from .._kubernetes.owned import (
    PLURALS,
    change_to_diff,
    delete_object,
    discreet,
    list_ours,
    name_in_result,
    rehearse_object,
    write_object,
)
from .._kubernetes.rollout_status import missing_in_rollout
from .._scrape.scrapers import Scraper
from .entrance_plan import plan_entrance
from .ours import find_entrance_objects
from .runner import API_OPTION, PROMETHEUS_OPTION

OPTIONS: dict[str, Any] = {
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str", "default": ""},
    "namespace": {"type": "str", "default": ""},
    "upstream": {"type": "str", "default": ""},
    "resource": {"type": "str", "default": ""},
    "secret": {"type": "str", "default": "", "no_log": False},
    "rbac_image": {"type": "str", "default": ""},
    "filter_image": {"type": "str", "default": ""},
    "label_image": {"type": "str", "default": ""},
    "require_secret": {"type": "bool", "default": True, "no_log": False},
    "check_permissions": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 120},
}
LOOK_SECONDS = 15
# As the API server refuses to hand on what the account does not have itself.
ESCALATES = "attempting to grant RBAC permissions"


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What query_entrance returns."""
    return (remove_entrances if module.params["state"] == "absent" else have_entrance)(module, cluster)


def have_entrance(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Have the entrance as it has to be, with nothing open beside it."""
    options = module.params
    plan = plan_entrance(module, cluster)
    own = plan.own
    _rehearse(cluster, plan.differing, must_be_allowed=options["check_permissions"])
    changes = [(name_in_result(document), *change_to_diff(document, found)) for document, found in plan.differing]
    if not module.check_mode:
        for document, found in plan.differing:
            _write(cluster, document, found)
        for document in plan.needless:
            delete_object(cluster, document)
        _wait_for_rollout(cluster, own, options["timeout"])
    stands = plan.stands or not module.check_mode
    missing = _missing(cluster, own) if stands else ""
    is_closed = _look_from_outside(cluster, own) if stands and not missing else None
    if is_closed is False and not module.check_mode:
        raise MeteringError(
            f"The entrance {own.namespace}/{own.name} answers a request without credentials.",
            "Whoever reaches it sees the usage of every team.",
            "",
            f"kubectl -n {own.namespace} get deployment,service,pod -l {entrance.NAME_LABEL}={own.name} -o wide",
        )
    cautions = [*plan.cautions, *_cautions(cluster, own, plan.scraper)]
    for caution in cautions:
        module.warn(caution)
    return {
        "changed": bool(plan.differing or plan.needless),
        "entrance": f"{own.namespace}/{own.name}",
        "url": own.url,
        "header": entrance.HEADER,
        "authority": f"{own.namespace}/{own.secret}",
        "upstream": own.upstream,
        "applied": [name for name, *dummy in changes],
        "removed": [name_in_result(document) for document in plan.needless],
        "closed": is_closed,
        "missing": missing,
        "manifests": without_absent(entrance.objects_of(own)),
        "cautions": cautions,
        "diff": {
            "before": {name: before for name, before, dummy in changes},
            "after": {name: after for name, dummy, after in changes},
        },
    }


def remove_entrances(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Remove every entrance that is ours; its ConfigMap last, so that the next run finds what is left."""
    found = find_entrance_objects(cluster)
    if not module.check_mode:
        for document in found:
            delete_object(cluster, document)
    nothing = dict.fromkeys(("entrance", "url", "authority", "upstream", "missing"), "")
    return {
        **nothing,
        "changed": bool(found),
        "header": entrance.HEADER,
        "applied": [],
        "removed": [name_in_result(document) for document in found],
        "closed": None,
        "manifests": [],
        "cautions": [],
        "diff": {"before": {name_in_result(item): discreet(item) for item in found}, "after": {}},
    }


def _write(cluster: Cluster, document: dict[str, Any], found: Object | None) -> None:
    """Write an object; of a Deployment's pods whatever else stands in them is taken away."""
    written = write_object(cluster, document, found)
    if found is not None and document["kind"] == "Deployment":
        cluster.patch(
            "apps/v1",
            PLURALS["Deployment"],
            written,
            entrance.template_patch(document),
            content_type=JSON_PATCH,
        )


def _rehearse(cluster: Cluster, differing: Sequence[tuple[Object, Object | None]], *, must_be_allowed: bool) -> None:
    """Have the API server judge every write before the first.

    Raises:
        MeteringError: it would refuse one; what the account may not write is named together.
    """
    refused = []
    for document, found in differing:
        try:
            rehearse_object(cluster, document, found)
        except RefusedError as error:
            refused.append((name_in_result(document), error))
        except MeteringError as error:
            if ESCALATES not in error.found:
                raise _with_removal(error, found) from error
            refused.append(
                (name_in_result(document), RefusedError(error.found, error.why, error.advice, error.command))
            )
    if refused and must_be_allowed:
        first = refused[0][1]
        raise RefusedError(
            f"The account that runs this may not write {', '.join(name for name, dummy in refused)}: {first.found}",
            "The entrance would be there in part only. Nothing was changed.",
            "Bind docs/rbac-isolation.yml to it besides docs/rbac.yml, or run this as another.",
            "kubectl auth whoami",
        ) from first


def _missing(cluster: Cluster, own: Entrance) -> str:
    """What the entrance still waits for; empty where it serves."""
    workload = cluster.get("apps/v1", "deployments", own.namespace, own.name)
    if workload is None:
        return "the Deployment"
    if not workload["spec"].get("replicas", 1):
        return "a pod: the Deployment is scaled to 0"
    pods = cluster.list("v1", "pods", namespace=own.namespace, labels=entrance.selector_text(own))
    return missing_in_rollout("Deployment", workload, pods) or _missing_store(cluster, own)


def _missing_store(cluster: Cluster, own: Entrance) -> str:
    """Whether the Service for Prometheus's pods leads to one that answers; empty where that cannot be seen."""
    if own.store.address:
        return ""
    where = f"{own.namespace}/{own.name}-store:{own.store.port}"
    path = f"{own.store.prefix}{entrance.PATHS[0]}"
    try:
        answer = cluster.service(where, path, [("query", "vector(1)")], LOOK_SECONDS)
    except RefusedError:
        return ""
    except MeteringError as error:
        return f"an answer of what it asks ({error.found})"
    return "" if answer is not None else f"an answer of what it asks ({where} does not serve {path})"


def _with_removal(error: MeteringError, found: Object | None) -> MeteringError:
    """What the API server does not let this run change in an object of ours is made anew after a removal."""
    if found is None:
        return error
    advice = "The removal takes the entrance away with everything else; then run this again."
    return MeteringError(error.found, error.why, advice, _names.REMOVE)


def _wait_for_rollout(cluster: Cluster, own: Entrance, timeout: int) -> None:
    what = f"entrance {own.namespace}/{own.name}"
    left = _progress.wait(what, lambda: _missing(cluster, own), timeout)
    if left:
        raise MeteringError(
            f"The entrance {own.namespace}/{own.name} does not serve after {timeout} s: it waits for {left}.",
            "Nobody can read usage through it. Nothing is open that was not before.",
            "",
            f"kubectl -n {own.namespace} describe pod -l {entrance.NAME_LABEL}={own.name}",
        )


def _look_from_outside(cluster: Cluster, own: Entrance) -> bool | None:
    """Whether a request without credentials is refused; None where that cannot be seen.

    The API server, through which it goes, takes the credentials of this run out.
    """
    where = f"{own.namespace}/https:{own.name}:443"
    try:
        answer = cluster.service(where, entrance.PATHS[0], [("query", "vector(1)")], LOOK_SECONDS)
    except BehindError as error:
        if error.status in (401, 403):
            return True
        # prom-label-proxy misses the header, and should not have been reached.
        return False if error.status == 400 else None
    except MeteringError:
        return None
    return None if answer is None else False


def _cautions(cluster: Cluster, own: Entrance, scraper: Scraper | None) -> list[str]:
    """What the entrance cannot keep closed, and entrances that were left elsewhere."""
    known = [item["metadata"] for item in list_ours(cluster, "v1", "ConfigMap", entrance.OF_ENTRANCES)]
    places = {(metadata["namespace"], metadata["name"]) for metadata in known}
    found = [
        told(
            f"There is another entrance of ours, {namespace}/{name}, which this run does not look at. The removal "
            "takes every entrance away; then run this again.",
            command=_names.REMOVE,
        )
        for namespace, name in sorted(places - {(own.namespace, own.name)})
    ]
    others = "The entrance isolates only who has no other way to the samples."
    if own.store.address or scraper is None:
        return [
            *found,
            f"It is not known who else can ask {own.upstream}, and whether it has the samples of other clusters, whose "
            f"namespaces of the same name would be shown. {others} Close it to the teams, as docs/howto/isolation.md "
            "shows.",
        ]
    try:
        policies = cluster.list("networking.k8s.io/v1", "networkpolicies", namespace=scraper.namespace)
    except MeteringError:
        policies = []
    if is_closed_by(policies, own.store.pods or {}):
        return found
    return [
        *found,
        f"No NetworkPolicy is seen that closes the pods of {scraper.kind} {scraper.name}: every pod of the cluster can "
        f"ask them for everything. {others} Add one, as docs/howto/isolation.md shows.",
    ]
