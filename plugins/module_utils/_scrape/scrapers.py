# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What scrapes: the objects of the Prometheus and VictoriaMetrics operators, what they select, where they store.

The rules are those of prometheus-operator 0.93 (pkg/prometheus/resource_selector.go) and of the VictoriaMetrics
operator's VMAgent. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import MeteringError
from .._kubernetes.objects import Object, name_of
from .._kubernetes.selectors import matches, satisfying

COREOS, COREOS_ALPHA = "monitoring.coreos.com/v1", "monitoring.coreos.com/v1alpha1"
VICTORIA = "operator.victoriametrics.com/v1beta1"


@dataclass(frozen=True)
class Kind:
    """A kind of object as the API server serves it."""

    api: str
    plural: str


@dataclass(frozen=True)
class ScraperKind(Kind):
    """A kind of object that scrapes."""

    selectors: Mapping[str, str]
    """By the kind of monitor that it reads, the stem of its two selectors."""
    pods: str
    """The labels of its pods, to be filled in with its name."""
    container: str
    port: int
    stores: bool = True
    """Whether it keeps what it scrapes, and can be asked for it."""
    shards: str = "shards"
    """The field that says how many pods share the targets."""
    selects_by_word: bool = False
    """Whether nil selectors select nothing only as long as spec.selectAllByDefault does not say otherwise."""

    @property
    def monitor(self) -> str:
        """The kind of monitor that we create for it."""
        return next(iter(self.selectors))


MONITOR_KINDS = {
    "PodMonitor": Kind(COREOS, "podmonitors"),
    "ServiceMonitor": Kind(COREOS, "servicemonitors"),
    "ScrapeConfig": Kind(COREOS_ALPHA, "scrapeconfigs"),
    "VMPodScrape": Kind(VICTORIA, "vmpodscrapes"),
}
_BY_PROMETHEUS = {"PodMonitor": "podMonitor", "ServiceMonitor": "serviceMonitor", "ScrapeConfig": "scrapeConfig"}
SCRAPER_KINDS = {
    "Prometheus": ScraperKind(
        COREOS,
        "prometheuses",
        _BY_PROMETHEUS,
        "operator.prometheus.io/name={name},app.kubernetes.io/name=prometheus",
        "prometheus",
        9090,
    ),
    "PrometheusAgent": ScraperKind(
        COREOS_ALPHA,
        "prometheusagents",
        _BY_PROMETHEUS,
        "operator.prometheus.io/name={name},app.kubernetes.io/name=prometheus-agent",
        "prometheus",
        9090,
        stores=False,
    ),
    "VMAgent": ScraperKind(
        VICTORIA,
        "vmagents",
        {"VMPodScrape": "podScrape"},
        "app.kubernetes.io/name=vmagent,app.kubernetes.io/instance={name}",
        "vmagent",
        8429,
        stores=False,
        shards="shardCount",
        selects_by_word=True,
    ),
    # From v0.69 of the operator on it can scrape by itself (spec.ingestOnlyMode: false).
    "VMSingle": ScraperKind(
        VICTORIA,
        "vmsingles",
        {"VMPodScrape": "podScrape"},
        "app.kubernetes.io/name=vmsingle,app.kubernetes.io/instance={name}",
        "vmsingle",
        8429,
        shards="",
        selects_by_word=True,
    ),
}


# Something that scrapes and is no object of this cluster; only its API is known.
UNSEEN = "Prometheus outside of the cluster"
_KINDS = {**SCRAPER_KINDS, UNSEEN: ScraperKind("", "", _BY_PROMETHEUS, "", "", 0)}


@dataclass(frozen=True)
class Scraper:
    """An object that scrapes, and the namespaces of its cluster, with their labels."""

    document: Object
    namespaces: Mapping[str, Mapping[str, str]]
    kind: str = "Prometheus"

    @property
    def name(self) -> str:
        return name_of(self.document)

    @property
    def identity(self) -> str:
        """What tells it from others: two kinds may have one name."""
        return f"{self.kind} {self.name}"

    @property
    def namespace(self) -> str:
        return self.document["metadata"]["namespace"]

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.document.get("spec") or {}

    @property
    def known(self) -> ScraperKind:
        """What its kind is like."""
        return _KINDS[self.kind]

    @property
    def only_stores(self) -> bool:
        """Whether it takes in what others send, and scrapes nothing: so does a VMSingle unless it is told otherwise."""
        return bool(self.spec.get("ingestOnlyMode", self.kind == "VMSingle"))

    @property
    def is_unseen(self) -> bool:
        """Whether only its API is known."""
        return self.kind == UNSEEN

    @property
    def is_on_every_node(self) -> bool:
        """Whether its pods, one on each node, scrape those of their node: together they are one replica."""
        return self.spec.get("mode") == "DaemonSet" or bool(self.spec.get("daemonSetMode"))

    @property
    def scheme(self) -> str:
        """How its API is spoken to."""
        args = self.spec.get("extraArgs") or {}
        # VictoriaMetrics has a flag, with a value for each of several addresses.
        flag = str(args.get("tls", "")).partition(",")[0]
        is_secure = (self.spec.get("web") or {}).get("tlsConfig") or flag == "true"
        return "https" if is_secure else "http"

    @property
    def prefix(self) -> str:
        """The path before that of its API."""
        args = self.spec.get("extraArgs") or {}
        return str(self.spec.get("routePrefix") or args.get("http.pathPrefix") or "").rstrip("/")

    @property
    def edit(self) -> str:
        """The command with which its owner changes it."""
        return f"kubectl -n {self.namespace} edit {self.kind.lower()} {self.document['metadata']['name']}"

    @property
    def is_sharded(self) -> bool:
        """Whether each target may be scraped by one of several; of one that is not seen that is not known."""
        return self.is_unseen or self.is_on_every_node or int(self.spec.get(self.known.shards) or 1) > 1

    @property
    def monitor(self) -> str:
        """The kind of monitor that we create for it."""
        return self.known.monitor

    def _selectors(self, kind: str) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """Its selectors of monitors of a kind and of their namespaces. nil selects nothing, and its own namespace."""
        known = self.known
        if kind not in known.selectors or self.only_stores:
            return None, None
        stem = known.selectors[kind]
        selector, namespaces = self.spec.get(f"{stem}Selector"), self.spec.get(f"{stem}NamespaceSelector")
        if known.selects_by_word and selector is None:
            if namespaces is not None:
                return {}, namespaces
            if self.spec.get("selectAllByDefault"):
                return {}, {}
        return selector, namespaces

    @property
    def selector(self) -> Mapping[str, Any] | None:
        """What the labels of a monitor that we create have to match."""
        return self._selectors(self.monitor)[0]

    def looks_into(self, namespace: str, kind: str = "") -> bool:
        """Whether it takes monitors of a kind, by default of ours, from a namespace."""
        selector = self._selectors(kind or self.monitor)[1]
        if selector is None:
            return namespace == self.namespace
        return self._takes(selector, namespace)

    def _takes(self, selector: Mapping[str, Any], namespace: str) -> bool:
        """Whether a selector of namespaces takes one. Their labels are asked for only where it has any."""
        return not any(selector.values()) or matches(selector, self.namespaces.get(namespace, {}))

    def selects(self, kind: str, monitor: Object) -> bool:
        labels = monitor["metadata"].get("labels") or {}
        return self.looks_into(monitor["metadata"]["namespace"], kind) and matches(self._selectors(kind)[0], labels)

    def rule_place(self) -> tuple[str, dict[str, str]] | None:
        """Where it takes a PrometheusRule from, and what labels that needs; None where it takes none.

        Its own namespace, unless it looks into others only.
        """
        labels = satisfying(self.spec.get("ruleSelector"))
        if labels is None or not self.known.stores:
            return None
        selector = self.spec.get("ruleNamespaceSelector")
        if selector is None or self._takes(selector, self.namespace):
            return self.namespace, labels
        others = sorted(name for name, own in self.namespaces.items() if matches(selector, own))
        return (others[0], labels) if others else None

    @property
    def stores(self) -> set[str]:
        """Where its samples end up: with itself, at the addresses that it writes to, in a bucket."""
        found = {self.identity} if self.known.stores else set()
        found |= {str(target.get("url", "")) for target in self.spec.get("remoteWrite") or ()}
        bucket = (self.spec.get("thanos") or {}).get("objectStorageConfig")
        if bucket:
            found.add(f"secret {self.namespace}/{bucket.get('name')}/{bucket.get('key')}")
        return found


def scraper_without_object(name: str) -> Scraper:
    """What scrapes without an object in this cluster; it is taken to read every monitor."""
    selectors: dict[str, Any] = {
        f"{stem}{what}": {} for stem in _BY_PROMETHEUS.values() for what in ("Selector", "NamespaceSelector")
    }
    document = {"metadata": {"name": name, "namespace": ""}, "spec": selectors}
    return Scraper(document, {}, UNSEEN)


def choose_scraper(found: Sequence[Scraper], named: str = "", scraping: Collection[str] = ()) -> Scraper:
    """The one that is to scrape: the named one, or the only one that takes monitors, or that scrapes sidecars already.

    Args:
        found: all there are.
        named: namespace/name of the one that is meant.
        scraping: the identities of those that scrape sidecars already.

    Raises:
        MeteringError: there is none, or there are several and none is named.
    """
    able = [item for item in found if satisfying(item.selector) is not None]
    if named:
        meant = [item for item in found if named in (item.name, item.identity)]
        for item in meant:
            if item in able:
                return item
        for item in meant:
            raise MeteringError(
                f"{item.kind} {named} selects no {item.monitor}: its selector for these is "
                f"{'absent' if item.selector is None else 'one that no labels satisfy'}.",
                "It would ignore every monitor that this run creates.",
                "Change its selector, or name another.",
                item.edit,
            )
        raise MeteringError(
            f"Prometheus {named} does not exist. Found: {', '.join(sorted(i.name for i in found)) or 'none at all'}.",
            "scrape_prometheus names it as the one that scrapes the sidecars.",
            "Correct scrape_prometheus (namespace/name).",
            "kubectl get prometheus -A",
        )
    if not able:
        described = ", ".join(
            f"{item.kind} {item.name} only stores what it is sent (spec.ingestOnlyMode: false lets it scrape)"
            if item.only_stores
            else f"{item.name} (its selector for these is absent)"
            for item in found
        )
        raise MeteringError(
            f"No Prometheus could select a PodMonitor: {described or 'there is no Prometheus object'}.",
            "Without one, nothing scrapes the sidecars.",
            "Enable monitoring on this cluster, or give a Prometheus a podMonitorSelector.",
            "kubectl get prometheus -A",
        )
    busy = [item for item in able if item.identity in scraping]
    if len(able) > 1 and len(busy) != 1:
        raise MeteringError(
            f"Several Prometheuses could scrape: {', '.join(sorted(item.name for item in able))}.",
            "If two of them select a monitor, its samples are stored twice.",
            "Set scrape_prometheus to the right one (namespace/name; if two kinds have the same name, put the kind "
            "before it: PrometheusAgent namespace/name).",
            "kubectl get prometheus -A",
        )
    return (busy or able)[0]
