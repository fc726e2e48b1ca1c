# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Puts an entrance in place that shows each caller only what it may read, looks whether it is closed, or removes it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from .. import _progress
from .._errors import MeteringError, RefusedError
from .._gateway import reader
from .._gateway.sidecar import sidecars_of
from .._isolation import certificate, entrance
from .._isolation.entrance import Entrance, Upstream
from .._kubernetes.client import BehindError, Cluster
from .._kubernetes.objects import Object, is_contained
from .._kubernetes.owned import (
    change_to_diff,
    delete_object,
    list_ours,
    name_in_result,
    read_object,
    refuse_foreign,
    rehearse_object,
    without_absent,
    write_object,
)
from .._kubernetes.ownership import is_ours
from .._kubernetes.rollout_status import missing_in_rollout
from .._kubernetes.selectors import matches
from .._scrape import context
from .._scrape.scrapers import Scraper
from .._secrets import check_address
from .runner import API_OPTION, PROMETHEUS_OPTION

OPTIONS: dict[str, Any] = {
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str", "default": "token-usage-entrance"},
    "namespace": {"type": "str", "default": ""},
    "upstream": {"type": "str", "default": ""},
    "resource": {"type": "str", "default": entrance.DEFAULT_RESOURCE},
    "secret": {"type": "str", "default": "", "no_log": False},
    "rbac_image": {"type": "str", "default": "quay.io/brancz/kube-rbac-proxy:v0.19.1"},
    "label_image": {"type": "str", "default": "quay.io/prometheuscommunity/prom-label-proxy:v0.11.1"},
    "check_permissions": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 120},
}
LOOK_SECONDS = 15
SITE = "ansible-playbook aigateway.metering.site"
# As the API server refuses to hand on what the account does not have itself.
ESCALATES = "attempting to grant RBAC permissions"


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What query_entrance returns."""
    return (remove_entrances if module.params["state"] == "absent" else have_entrance)(module, cluster)


def have_entrance(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Have the entrance as it has to be, with nothing open beside it."""
    options = module.params
    scraper, own, secrets = _plan_entrance(module, cluster)
    wanted = [*secrets, *entrance.objects_of(own)]
    there = [read_object(cluster, document) for document in wanted]
    refuse_foreign(wanted, there)
    pairs = list(zip(wanted, there, strict=True))
    differing = [(document, found) for document, found in pairs if not is_contained(document, found)]
    needless = _present(cluster, entrance.leftovers(own))
    _rehearse(cluster, differing, must_be_allowed=options["check_permissions"])
    changes = [(name_in_result(document), *change_to_diff(document, found)) for document, found in differing]
    if not module.check_mode:
        for document, found in differing:
            write_object(cluster, document, found)
        for document in needless:
            delete_object(cluster, document)
        _wait_for_rollout(cluster, own, options["timeout"])
    stands = not module.check_mode or (bool(there) and all(there))
    is_closed = _look_from_outside(cluster, own) if stands else None
    if is_closed is False and not module.check_mode:
        raise MeteringError(
            f"The entrance {own.namespace}/{own.name} answers a request without credentials.",
            "Whoever reaches it sees the usage of every team.",
            f"kubectl -n {own.namespace} get deployment,service,pod -l {entrance.NAME_LABEL}={own.name} -o wide",
        )
    cautions = _cautions(cluster, own, scraper)
    for caution in cautions:
        module.warn(caution)
    return {
        "changed": bool(differing or needless),
        "entrance": f"{own.namespace}/{own.name}",
        "url": own.url,
        "header": entrance.HEADER,
        "authority": f"{own.namespace}/{own.secret}",
        "upstream": own.upstream,
        "applied": [name for name, *dummy in changes],
        "removed": [name_in_result(document) for document in needless],
        "closed": is_closed,
        "manifests": without_absent(entrance.objects_of(own)),
        "cautions": cautions,
        "diff": {
            "before": {name: before for name, before, dummy in changes},
            "after": {name: after for name, dummy, after in changes},
        },
    }


def _plan_entrance(module: Any, cluster: Cluster) -> tuple[Scraper | None, Entrance, list[dict[str, Any]]]:
    """What scrapes, where that has to be known; the entrance as it has to be; and its certificate, where it is ours."""
    options = module.params
    entrance.resource_parts(options["resource"])
    scraper = None if options["upstream"] and options["namespace"] else _read_scraper(module, cluster)
    own = Entrance(
        options["name"],
        options["namespace"] or (scraper.namespace if scraper else ""),
        find_store(scraper, options),
        options["resource"],
        options["rbac_image"],
        options["label_image"],
        options["secret"] or f"{options['name']}-tls",
    )
    if not own.namespace or cluster.get("v1", "namespaces", "", own.namespace) is None:
        raise MeteringError(
            f"The namespace of the entrance, {own.namespace!r}, does not exist.",
            "Nothing can be created there. Nothing was changed.",
            "create it, or correct dashboard_isolation_namespace",
        )
    if options["secret"]:
        _require_secret(cluster, own)
        return scraper, own, []
    secret = _certificate(cluster, own)
    return scraper, dataclasses.replace(own, certificate=secret["data"].get(certificate.CERTIFICATE, "")), [secret]


def remove_entrances(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Remove every entrance that is ours; its Deployment last, so that the next run finds what is left."""
    # Somebody may have deleted one of these by hand.
    by_kind = (("apps/v1", "Deployment"), ("v1", "ConfigMap"))
    known = [item["metadata"] for api, kind in by_kind for item in list_ours(cluster, api, kind, entrance.OF_ENTRANCES)]
    places = sorted({(metadata["namespace"], metadata["name"]) for metadata in known})
    found = [
        document for namespace, name in places for document in _present(cluster, entrance.every_object(name, namespace))
    ]
    if not module.check_mode:
        for document in found:
            delete_object(cluster, document)
    return {
        "changed": bool(found),
        "entrance": "",
        "url": "",
        "header": entrance.HEADER,
        "authority": "",
        "upstream": "",
        "applied": [],
        "removed": [name_in_result(document) for document in found],
        "closed": None,
        "manifests": [],
        "cautions": [],
        "diff": {"before": {name_in_result(item): change_to_diff({}, item)[0] for item in found}, "after": {}},
    }


def find_store(scraper: Scraper | None, options: dict[str, Any]) -> Upstream:
    """What an entrance asks for series.

    Args:
        scraper: what scrapes the sidecars; None where nobody needs to know.
        options: of the module.

    Raises:
        MeteringError: no pods of this cluster can be asked, and no address is named.
    """
    if options["upstream"]:
        check_address(
            options["upstream"], "dashboard_isolation_upstream", "no credentials: prom-label-proxy sends none"
        )
        return Upstream(options["upstream"].rstrip("/"))
    reason = _why_no_pods(scraper, options["api"]) if scraper else "nothing scrapes"
    if scraper is None or reason:
        raise MeteringError(
            f"The entrance does not know what to ask for series: {reason}.",
            "It has no credentials, and asks one address, which must have the samples of every sidecar.",
            "set dashboard_isolation_upstream to an address that answers within the cluster, as http://thanos-query.monitoring:9090",
        )
    labels = scraper.known.pods.format(name=scraper.document["metadata"]["name"])
    pods = dict(label.split("=", 1) for label in labels.split(","))
    return Upstream(pods=pods, port=scraper.known.port, prefix=scraper.prefix)


def _why_no_pods(scraper: Scraper, api: dict[str, Any]) -> str:
    """Why the pods of a scraper cannot be asked for everything; empty where they can."""
    spec = scraper.spec
    if api.get("url") or api.get("service") or api.get("feature") or scraper.is_unseen:
        return "scrape_api names a store that is asked from outside"
    if not scraper.known.stores or scraper.only_stores:
        return f"{scraper.kind} {scraper.name} is not both what scrapes and what stores"
    if int(spec.get("shards") or 1) > 1:
        return f"{scraper.kind} {scraper.name} has shards, of which each stores a part"
    if scraper.scheme == "https":
        return f"{scraper.kind} {scraper.name} serves HTTPS, and its certificate is hardly for a Service of ours"
    return f"{scraper.kind} {scraper.name} listens on its own loopback" if spec.get("listenLocal") else ""


def _read_scraper(module: Any, cluster: Cluster) -> Scraper:
    sidecars = sidecars_of(reader.read_proxy_pods(cluster))
    dummy, backend = context.select_backend(module, cluster, sidecars)
    return backend.scraper


def _certificate(cluster: Cluster, own: Entrance) -> dict[str, Any]:
    """The Secret with our certificate: as it is where it serves, else a new one."""
    empty = entrance.certificate_object(own, {})
    found = read_object(cluster, empty)
    now = datetime.datetime.now(datetime.UTC)
    if found is not None and not is_ours(found):
        return empty  # refused with everything else that is not ours
    data = (found.get("data") or {}) if found else None
    if certificate.what_is_wrong(data, own.hosts, now):
        data = certificate.make_certificate(own.hosts, now)
    return entrance.certificate_object(own, data or {})


def _require_secret(cluster: Cluster, own: Entrance) -> None:
    found = cluster.get("v1", "secrets", own.namespace, own.secret)
    lacking = [
        key for key in (certificate.CERTIFICATE, certificate.KEY) if key not in ((found or {}).get("data") or {})
    ]
    if lacking:
        raise MeteringError(
            f"Secret {own.namespace}/{own.secret} "
            + ("does not exist." if found is None else f"has no {' and no '.join(lacking)}."),
            "dashboard_isolation_secret names it as the certificate of the entrance.",
            f"kubectl -n {own.namespace} get secret {own.secret}; it has to be of the type kubernetes.io/tls",
        )


def _present(cluster: Cluster, documents: Sequence[Object]) -> list[dict[str, Any]]:
    """Those that are there and ours, each with its kind."""
    found = []
    for document in documents:
        there = read_object(cluster, document)
        if there is not None and is_ours(there):
            found.append({**there, "apiVersion": document["apiVersion"], "kind": document["kind"]})
    return found


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
                raise
            refused.append((name_in_result(document), RefusedError(error.found, error.why, error.command)))
    if refused and must_be_allowed:
        first = refused[0][1]
        raise RefusedError(
            f"The account that runs this may not write {', '.join(name for name, dummy in refused)}: {first.found}",
            "The entrance would be there in part only. Nothing was changed.",
            "bind docs/rbac-isolation.yml to it besides docs/rbac.yml, or run this as another",
        ) from first


def _wait_for_rollout(cluster: Cluster, own: Entrance, timeout: int) -> None:
    labels = f"{entrance.NAME_LABEL}={own.name},{entrance.COMPONENT_LABEL}={entrance.COMPONENT}"

    def missing() -> str:
        workload = cluster.get("apps/v1", "deployments", own.namespace, own.name)
        pods = cluster.list("v1", "pods", namespace=own.namespace, labels=labels)
        return missing_in_rollout("Deployment", workload, pods) if workload else "the Deployment"

    left = _progress.wait(f"entrance {own.namespace}/{own.name}", missing, timeout)
    if left:
        raise MeteringError(
            f"The entrance {own.namespace}/{own.name} is not ready after {timeout} s: {left}.",
            "Nobody can read usage through it. Nothing is open that was not before.",
            f"kubectl -n {own.namespace} describe pod -l {entrance.NAME_LABEL}={own.name}; then run this again",
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
    """What the entrance cannot keep closed."""
    others = "The entrance isolates only who has no other way to the samples."
    if own.store.address or scraper is None:
        return [
            f"It is not known who else can ask {own.upstream}. {others} Next: close it to the teams, as "
            "docs/howto/isolation.md shows."
        ]
    try:
        policies = cluster.list("networking.k8s.io/v1", "networkpolicies", namespace=scraper.namespace)
    except MeteringError:
        policies = []
    labels = own.store.pods or {}
    if any(_covers(policy, labels) for policy in policies):
        return []
    return [
        f"No NetworkPolicy is seen that covers the pods of {scraper.kind} {scraper.name}: every pod of the cluster can "
        f"ask them for everything. {others} Next: add one, as docs/howto/isolation.md shows."
    ]


def _covers(policy: Object, labels: Any) -> bool:
    spec = policy["spec"]
    return "Ingress" in (spec.get("policyTypes") or ["Ingress"]) and matches(spec.get("podSelector") or {}, labels)
