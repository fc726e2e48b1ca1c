# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What an entrance has to be in a cluster, and what of it is otherwise. Only reads."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import MeteringError, RefusedError, doc_of
from .._gateway import reader
from .._gateway.sidecar import sidecars_of
from .._isolation import certificate, entrance
from .._isolation.entrance import Entrance, Upstream
from .._kubernetes.client import Cluster, UnknownFieldsError
from .._kubernetes.objects import JSON_PATCH, Object, is_contained
from .._kubernetes.owned import PLURALS, last_change, name_in_result, read_object, read_ours, refuse_foreign
from .._kubernetes.ownership import is_ours
from .._scrape import context
from .._scrape.backend import port_of
from .._scrape.scrapers import Scraper
from .._secrets import check_address

NAME = "token-usage-entrance"
RBAC_IMAGE = "quay.io/brancz/kube-rbac-proxy:v0.19.1"
LABEL_IMAGE = "quay.io/prometheuscommunity/prom-label-proxy:v0.14.0"
# With `-store` behind it, it has to be the name of a Service.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,55}[a-z0-9])?\Z")
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


def plan_entrance(module: Any, cluster: Cluster) -> EntrancePlan:
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
    return EntrancePlan(own, scraper, pairs, differing, read_ours(cluster, entrance.leftovers(own)), cautions)


def _knows_everything(options: dict[str, Any]) -> bool:
    return bool(options["upstream"] and options["namespace"] and options["filter_image"])


def _settings(cluster: Cluster, options: dict[str, Any], scraper: Scraper | None, pods: Sequence[Object]) -> Entrance:
    """What the entrance is made of. A survey gives an empty text for what is not set."""
    name = options["name"] or NAME
    if not _NAME.match(name):
        raise MeteringError(
            f"dashboard_isolation_name is {name!r}, which names no Service.",
            "The objects of the entrance could not be created. Nothing was changed.",
            "Set it to at most 57 small letters, digits and hyphens, a letter first.",
        )
    resource = options["resource"] or entrance.DEFAULT_RESOURCE
    entrance.resource_parts(resource)
    namespace = options["namespace"] or (scraper.namespace if scraper else "")
    store = find_store(cluster, scraper, options)
    if not namespace or cluster.get("v1", "namespaces", "", namespace) is None:
        raise MeteringError(
            f"The namespace of the entrance, {namespace!r}, does not exist.",
            "Nothing can be created there. Nothing was changed.",
            "Create it, or correct dashboard_isolation_namespace.",
            f"kubectl create namespace {namespace}",
        )
    if scraper and not store.address and namespace != scraper.namespace:
        raise MeteringError(
            f"The entrance is to be in {namespace}, and {scraper.kind} {scraper.name} is not.",
            "A Service leads to pods of its own namespace only. Nothing was changed.",
            "Leave dashboard_isolation_namespace out, or set dashboard_isolation_upstream as well.",
            doc_of("dashboard"),
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
            "Set dashboard_isolation_filter_image, as docker.io/envoyproxy/envoy:distroless-v1.38.3.",
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
            "Set dashboard_isolation_upstream to an address that answers within the cluster, as "
            "http://thanos-query.monitoring:9090.",
            "kubectl get service -A",
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
            "It has to be of the type kubernetes.io/tls.",
            f"kubectl -n {own.namespace} get secret {own.secret}",
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
