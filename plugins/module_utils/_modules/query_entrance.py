# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Puts an entrance in place that shows each caller only what it may read, looks whether it is closed, or removes it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import _progress
from .._errors import MeteringError, RefusedError
from .._gateway import reader
from .._gateway.sidecar import sidecars_of
from .._isolation import certificate, entrance
from .._isolation.entrance import Entrance, Upstream
from .._kubernetes.client import BehindError, Cluster, UnknownFieldsError
from .._kubernetes.objects import Object, is_contained, without_absent
from .._kubernetes.owned import (
    PLURALS,
    change_to_diff,
    delete_object,
    discreet,
    last_change,
    list_ours,
    name_in_result,
    read_object,
    refuse_foreign,
    rehearse_object,
    write_object,
)
from .._kubernetes.ownership import is_ours
from .._kubernetes.rollout_status import missing_in_rollout
from .._scrape import context
from .._scrape.backend import port_of
from .._scrape.scrapers import Scraper
from .._secrets import check_address
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
NAME = "token-usage-entrance"
RBAC_IMAGE = "quay.io/brancz/kube-rbac-proxy:v0.19.1"
LABEL_IMAGE = "quay.io/prometheuscommunity/prom-label-proxy:v0.14.0"
# With `-store` behind it, it has to be the name of a Service.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,55}[a-z0-9])?\Z")
LOOK_SECONDS = 15
JSON_PATCH = "application/json-patch+json"
# As the API server refuses to hand on what the account does not have itself.
ESCALATES = "attempting to grant RBAC permissions"
OPENSHIFT = ("security.openshift.io/v1", "securitycontextconstraints")


@dataclass(frozen=True)
class EntrancePlan:
    """What there has to be, and what there is."""

    own: Entrance
    scraper: Scraper | None
    """What is asked; None where an address is given, and nobody needs to know."""
    pairs: list[tuple[dict[str, Any], Object | None]]
    """Each object as it has to be and as it is."""
    differing: list[tuple[dict[str, Any], Object | None]]
    needless: list[dict[str, Any]]
    cautions: list[str]

    @property
    def stands(self) -> bool:
        return all(found for dummy, found in self.pairs)


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What query_entrance returns."""
    return (remove_entrances if module.params["state"] == "absent" else have_entrance)(module, cluster)


def have_entrance(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Have the entrance as it has to be, with nothing open beside it."""
    options = module.params
    plan = _plan(module, cluster)
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
    found = [
        document
        for namespace, name in _find_entrances(cluster)
        for document in _present(cluster, entrance.every_object(name, namespace))
    ]
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


def _plan(module: Any, cluster: Cluster) -> EntrancePlan:
    """What there has to be, and what there is. Nothing is changed.

    Raises:
        MeteringError: the options do not fit to the cluster, or to each other.
    """
    options = module.params
    pods = reader.read_proxy_pods(cluster) if not _knows_everything(options) else []
    scraper = None if options["upstream"] and options["namespace"] else _read_scraper(module, cluster, pods)
    own = _settings(cluster, options, scraper, pods)
    secrets, cautions = [], []
    if options["secret"]:
        _require_secret(cluster, own, must_exist=options["require_secret"])
    else:
        try:
            secrets = [_certificate(cluster, own)]
            own = dataclasses.replace(own, certificate=secrets[0]["data"].get(certificate.CERTIFICATE, ""))
        except RefusedError as error:
            if options["check_permissions"]:
                raise
            cautions.append(f"Whether the certificate of the entrance serves is not known: {error.found}")
    wanted: list[dict[str, Any]] = entrance.in_order(own, secrets)
    there = [read_object(cluster, document) for document in wanted]
    refuse_foreign(wanted, there)
    pairs = [(entrance.as_found(document, found), found) for document, found in zip(wanted, there, strict=True)]
    if not secrets and not options["secret"]:
        pairs = [(_without_certificate(document), found) for document, found in pairs]
    pairs = _with_new_pods(cluster, own, pairs)
    differing = []
    for document, found in pairs:
        differs = _differs(cluster, document, found)
        differing += [(document, found)] if differs else []
        if differs is None:
            cautions.append(
                f"Whether more stands in the pods of {name_in_result(document)} than has to is not known: this account "
                "may not try a patch of it, or an admission webhook knows no dry run. Next: kubectl -n "
                f"{own.namespace} get deployment {own.name} -o yaml"
            )
    return EntrancePlan(own, scraper, pairs, differing, _present(cluster, entrance.leftovers(own)), cautions)


def _knows_everything(options: dict[str, Any]) -> bool:
    return bool(options["upstream"] and options["namespace"] and options["filter_image"])


def _settings(cluster: Cluster, options: dict[str, Any], scraper: Scraper | None, pods: Sequence[Object]) -> Entrance:
    """What the entrance is made of. A survey gives an empty text for what is not set."""
    name = options["name"] or NAME
    if not _NAME.match(name):
        raise MeteringError(
            f"dashboard_isolation_name is {name!r}, which names no Service.",
            "The objects of the entrance could not be created. Nothing was changed.",
            "set it to at most 57 small letters, digits and hyphens, a letter first",
        )
    resource = options["resource"] or entrance.DEFAULT_RESOURCE
    entrance.resource_parts(resource)
    namespace = options["namespace"] or (scraper.namespace if scraper else "")
    store = find_store(cluster, scraper, options)
    if not namespace or cluster.get("v1", "namespaces", "", namespace) is None:
        raise MeteringError(
            f"The namespace of the entrance, {namespace!r}, does not exist.",
            "Nothing can be created there. Nothing was changed.",
            "create it, or correct dashboard_isolation_namespace",
        )
    if scraper and not store.address and namespace != scraper.namespace:
        raise MeteringError(
            f"The entrance is to be in {namespace}, and {scraper.kind} {scraper.name} is not.",
            "A Service leads to pods of its own namespace only. Nothing was changed.",
            "leave dashboard_isolation_namespace out, or set dashboard_isolation_upstream as well",
        )
    return Entrance(
        name,
        namespace,
        store,
        resource,
        options["rbac_image"] or RBAC_IMAGE,
        options["filter_image"] or _image_of_proxies(pods),
        options["label_image"] or LABEL_IMAGE,
        options["secret"] or entrance.secret_of(name),
        user=None if cluster.serves(*OPENSHIFT) else entrance.USER,
    )


def _image_of_proxies(pods: Sequence[Object]) -> str:
    """The image of Envoy that the gateway's proxies run: the cluster can pull it.

    Raises:
        MeteringError: there is no proxy.
    """
    images = sorted({it["image"] for pod in pods for it in pod["spec"]["containers"] if it["name"] == "envoy"})
    if not images:
        raise MeteringError(
            "No proxy of the gateway runs, so its image of Envoy is not known.",
            "A container of the entrance runs Envoy. Nothing was changed.",
            "set dashboard_isolation_filter_image, as docker.io/envoyproxy/envoy:distroless-v1.38.3",
        )
    return str(images[-1])


def find_store(cluster: Cluster, scraper: Scraper | None, options: dict[str, Any]) -> Upstream:
    """What an entrance asks for series.

    Args:
        cluster: the cluster.
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
    pods = cluster.list("v1", "pods", namespace=scraper.namespace, labels=labels)
    port = next((port_of(pod, scraper.known) for pod in pods), scraper.known.port)
    chosen = dict(label.split("=", 1) for label in labels.split(","))
    return Upstream(pods=chosen, port=port, prefix=scraper.prefix)


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
    if any(name.startswith("httpAuth") for name in spec.get("extraArgs") or ()):
        return f"{scraper.kind} {scraper.name} asks for credentials"
    return f"{scraper.kind} {scraper.name} listens on its own loopback" if spec.get("listenLocal") else ""


def _read_scraper(module: Any, cluster: Cluster, pods: list[Object]) -> Scraper:
    dummy, backend = context.select_backend(module, cluster, sidecars_of(pods))
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


def _require_secret(cluster: Cluster, own: Entrance, *, must_exist: bool) -> None:
    found = cluster.get("v1", "secrets", own.namespace, own.secret)
    if found is None and not must_exist:
        return
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


def _without_certificate(document: dict[str, Any]) -> dict[str, Any]:
    """A Deployment of which nobody needs to know by which certificate it was started."""
    if document["kind"] == "Deployment":
        document["spec"]["template"]["metadata"]["annotations"].pop(entrance.CERTIFICATE_ANNOTATION, None)
    return document


def _with_new_pods(
    cluster: Cluster, own: Entrance, pairs: list[tuple[dict[str, Any], Object | None]]
) -> list[tuple[dict[str, Any], Object | None]]:
    """The same, with pods that start again where some may have read another configuration: they read it only then."""
    configuration, found = next(pair for pair in pairs if pair[0]["kind"] == "ConfigMap")
    if found is None:
        return pairs
    pods = cluster.list("v1", "pods", namespace=own.namespace, labels=entrance.selector_text(own))
    changed = last_change(found)
    is_old = not is_contained(configuration, found) or any(
        pod["metadata"]["creationTimestamp"] < changed for pod in pods if not pod["metadata"].get("deletionTimestamp")
    )
    if not is_old:
        return pairs
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        (entrance.started_again(document, now), there) if document["kind"] == "Deployment" else (document, there)
        for document, there in pairs
    ]


def _differs(cluster: Cluster, document: dict[str, Any], found: Object | None) -> bool | None:
    """Whether an object is not as it has to be; of a Deployment's pods, whether anything at all stands in them besides.

    What the API server makes of them, with all its defaults, it says in a dry run; None where it does not say.
    """
    if found is None or not is_contained(document, found):
        return True
    if document["kind"] != "Deployment":
        return False
    try:
        plural, patch = PLURALS["Deployment"], entrance.template_patch(document)
        expected = cluster.rehearse(cluster.patch, "apps/v1", plural, found, patch, content_type=JSON_PATCH)
    except RefusedError:
        return None  # who only reads sees what is looked at above
    except UnknownFieldsError:
        return True
    if expected is None:
        return None
    pods, theirs = (item["spec"]["template"] for item in (expected, found))
    return bool(_comparable(pods, document) != _comparable(theirs, document))


def _comparable(template: Object, document: Object) -> tuple[Any, Any]:
    """What of a pod template is compared: the annotations that are ours, and all of its specification."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    ours = {name: annotations.get(name) for name in document["spec"]["template"]["metadata"]["annotations"]}
    return ours, template["spec"]


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
                raise _with_removal(error, found) from error
            refused.append((name_in_result(document), RefusedError(error.found, error.why, error.command)))
    if refused and must_be_allowed:
        first = refused[0][1]
        raise RefusedError(
            f"The account that runs this may not write {', '.join(name for name, dummy in refused)}: {first.found}",
            "The entrance would be there in part only. Nothing was changed.",
            "bind docs/rbac-isolation.yml to it besides docs/rbac.yml, or run this as another",
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
    command = (
        "ansible-playbook aigateway.metering.remove takes the entrance away with everything else; then run this again"
    )
    return MeteringError(error.found, error.why, command)


def _wait_for_rollout(cluster: Cluster, own: Entrance, timeout: int) -> None:
    what = f"entrance {own.namespace}/{own.name}"
    left = _progress.wait(what, lambda: _missing(cluster, own), timeout)
    if left:
        raise MeteringError(
            f"The entrance {own.namespace}/{own.name} does not serve after {timeout} s: it waits for {left}.",
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
    """What the entrance cannot keep closed, and entrances that were left elsewhere."""
    known = [item["metadata"] for item in list_ours(cluster, "v1", "ConfigMap", entrance.OF_ENTRANCES)]
    places = {(metadata["namespace"], metadata["name"]) for metadata in known}
    found = [
        f"There is another entrance of ours, {namespace}/{name}, which this run does not look at. Next: "
        "ansible-playbook aigateway.metering.remove takes every entrance away; then run this again."
        for namespace, name in sorted(places - {(own.namespace, own.name)})
    ]
    others = "The entrance isolates only who has no other way to the samples."
    if own.store.address or scraper is None:
        return [
            *found,
            f"It is not known who else can ask {own.upstream}, and whether it has the samples of other clusters, whose "
            f"namespaces of the same name would be shown. {others} Next: close it to the teams, as "
            "docs/howto/isolation.md shows.",
        ]
    try:
        policies = cluster.list("networking.k8s.io/v1", "networkpolicies", namespace=scraper.namespace)
    except MeteringError:
        policies = []
    if entrance.is_closed_by(policies, own.store.pods or {}):
        return found
    return [
        *found,
        f"No NetworkPolicy is seen that closes the pods of {scraper.kind} {scraper.name}: every pod of the cluster can "
        f"ask them for everything. {others} Next: add one, as docs/howto/isolation.md shows.",
    ]
