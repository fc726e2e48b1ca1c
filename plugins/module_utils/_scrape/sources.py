# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Which objects make whom scrape which sidecars, with which labels, and whether the token samples are kept.

What is predicted here is what the live targets are to show. The rules are those of prometheus-operator 0.93
(pkg/prometheus/promcfg.go) and of Prometheus's Kubernetes service discovery. Pure: the objects come in as the API
server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .. import _names
from .._gateway.sidecar import Sidecar
from .._kubernetes.objects import Object, name_of
from . import relabel
from . import scrapers as _scrapers
from .discovery import ENDPOINTS, Endpoint, within_reach
from .relabel import Rule
from .scrapers import Scraper

# How operators name the scrape pools that they make out of objects.
_POOLS = {
    "PodMonitor": "podMonitor",
    "ServiceMonitor": "serviceMonitor",
    "ScrapeConfig": "scrapeConfig",
    "VMPodScrape": "podScrape",
}
_OF_OBJECTS = re.compile(r"([a-zA-Z]+(?:Monitor|Config|Scrape)|probe)/([^/]+/[^/]+)(?:/\d+)?\Z")


@dataclass(frozen=True)
class Monitoring:
    """What there is to scrape with."""

    scrapers: Sequence[Scraper]
    monitors: Mapping[str, Sequence[Object]]
    """By kind."""
    services: Sequence[Object] = ()
    namespaces: Sequence[str] = ()
    """The only ones whose objects were read; empty where all were."""

    def has_read(self, namespace: str) -> bool:
        """Whether the objects of a namespace were read."""
        return not self.namespaces or namespace in self.namespaces


@dataclass(frozen=True)
class Target:
    """A sidecar as one source has it scraped."""

    pod: str
    """namespace/name."""
    scheme: str
    labels: frozenset[tuple[str, str]]
    keeps_tokens: bool
    """Whether the token samples are kept after the scrape."""

    @property
    def counts(self) -> bool:
        """Whether tokens come in through it: the sidecar speaks plain HTTP."""
        return self.keeps_tokens and self.scheme == "http"


@dataclass(frozen=True)
class Source:
    """Something that makes somebody scrape sidecars: a monitor, or a job in Prometheus's configuration."""

    kind: str
    name: str
    """namespace/name of a monitor, or the name of a job."""
    scraper: Scraper
    targets: tuple[Target, ...]
    document: Object | None = field(default=None, compare=False)
    is_only_for_sidecars: bool = True
    """Whether nothing else is scraped by it, as far as its selector and its endpoints tell."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def covered(self) -> dict[str, int]:
        """The pods whose tokens come in, each with the number of times that they are counted."""
        kept: dict[str, set[frozenset[tuple[str, str]]]] = {}
        for target in self.targets:
            if target.counts:
                kept.setdefault(target.pod, set()).add(target.labels)
        return {pod: len(labels) for pod, labels in kept.items()}

    def series(self, pod: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """The sets of target labels under which a pod's tokens are stored, beside who stores them."""
        return {
            (self.scraper.identity, target.labels) for target in self.targets if target.counts and target.pod == pod
        }


def is_of_an_object(pool: str) -> bool:
    """Whether an operator has made a scrape pool out of an object."""
    return bool(_OF_OBJECTS.match(pool))


def object_of(pool: str) -> tuple[str, str, str] | None:
    """The kind, namespace and name of the object that a scrape pool is made out of, of the kinds that are read."""
    match = _OF_OBJECTS.match(pool)
    kinds = [kind for kind, stem in _POOLS.items() if match and stem == match.group(1)]
    if match is None or not kinds:
        return None
    namespace, dummy, name = match.group(2).partition("/")
    return kinds[0], namespace, name


def is_judged_by_its_object(pool: str, scraper: Scraper, monitoring: Monitoring) -> bool:
    """Whether a pool comes from an object whose targets are predicted; other discovery of a ScrapeConfig's is not."""
    kind, namespace, name = object_of(pool) or ("", "", "")
    return (
        kind in scraper.known.selectors
        and monitoring.has_read(namespace)
        and not any(
            name_of(monitor) == f"{namespace}/{name}" and _discovers_otherwise(monitor)
            for monitor in monitoring.monitors.get(kind, ())
        )
    )


def _discovers_otherwise(monitor: Object) -> bool:
    """Whether a ScrapeConfig finds targets by what is not read here."""
    roles = {item.get("role", "").lower() for item in monitor["spec"].get("kubernetesSDConfigs") or ()}
    other = [key for key in monitor["spec"] if key.endswith("SDConfigs") and key != "kubernetesSDConfigs"]
    return bool(other or roles - {"pod", "endpoints", "endpointslice"})


def sources_of(monitoring: Monitoring, scraper: Scraper, sidecars: Sequence[Sidecar]) -> list[Source]:
    """All that makes a scraper, or another that stores in the same place, scrape sidecars."""
    found = []
    by_namespace: dict[str, list[Sidecar]] = {}
    for sidecar in sidecars:
        by_namespace.setdefault(sidecar.pod["metadata"]["namespace"], []).append(sidecar)
    for item in monitoring.scrapers:
        if item.identity != scraper.identity and not item.stores & scraper.stores:
            continue
        for kind, monitors in monitoring.monitors.items():
            for monitor in monitors:
                if item.selects(kind, monitor):
                    near = within_reach(kind, monitor, item, by_namespace)
                    source = source_of(kind, monitor, item, near, monitoring.services)
                    if source.targets:
                        found.append(source)
    return found


def source_of(
    kind: str, monitor: Object, scraper: Scraper, sidecars: Sequence[Sidecar], services: Sequence[Object] = ()
) -> Source:
    """What a monitor makes a scraper scrape, provided that it is selected."""
    # Two ports of one number, or two services of one pod, make one target as long as the labels are the same.
    targets: dict[Target, None] = {}
    alone = _selects_proxies(monitor)
    for sidecar in sidecars:
        for endpoint in ENDPOINTS[kind](monitor, sidecar, scraper, services):
            targets |= dict.fromkeys(_targets(endpoint, sidecar))
            alone = alone and all(discovered["__address__"] == sidecar.address for discovered in endpoint.discovered)
    return Source(kind, name_of(monitor), scraper, tuple(targets), monitor, alone)


def _selects_proxies(monitor: Object) -> bool:
    """Whether a monitor's selector asks for labels that only proxies have; a ScrapeConfig has no selector."""
    proxy = dict(pair.split("=") for pair in _names.PROXY_LABELS.split(","))
    wanted = (monitor["spec"].get("selector") or {}).get("matchLabels") or {}
    expressions = (monitor["spec"].get("selector") or {}).get("matchExpressions") or ()
    keys = {*wanted, *(item["key"] for item in expressions if item["operator"] in ("In", "Exists"))}
    of_a_gateway = {_names.GATEWAY_NAME_LABEL, _names.GATEWAY_NAMESPACE_LABEL}
    # Other software has a component `proxy` as well.
    manager = _names.MANAGED_BY_LABEL
    return bool(keys & of_a_gateway) or wanted.get(manager) == proxy[manager]


def _targets(endpoint: Endpoint, sidecar: Sidecar) -> Iterator[Target]:
    """Those of the discovered targets that are the sidecar's metrics once all rules are applied."""
    for discovered in endpoint.discovered:
        labels = relabel.apply_rules(endpoint.rules, discovered)
        if labels is None:
            continue
        # A rule may remove any of these; Prometheus then drops the target, or falls back to the default.
        path, scheme = labels.get("__metrics_path__", _names.METRICS_PATH), labels.get("__scheme__", "http")
        if labels.get("__address__") != sidecar.address or path != _names.METRICS_PATH:
            continue
        visible = {"instance": sidecar.address}
        visible |= {name: value for name, value in labels.items() if not name.startswith("__")}
        yield Target(
            sidecar.name,
            scheme,
            frozenset(visible.items()),
            keeps_tokens(visible, endpoint.metric_rules, sidecar),
        )


def keeps_tokens(labels: Mapping[str, str], metric_rules: Sequence[Rule], sidecar: Sidecar) -> bool:
    """Whether the token samples of a sidecar stay, under one of the names that its generation gives them.

    Rules that read labels of the samples themselves are taken to keep them.
    """
    known = {*labels, "__name__"}
    rules = relabel.rules_about(metric_rules, known)
    return any(relabel.apply_rules(rules, {**labels, "__name__": name}) is not None for name in sidecar.usage_sums)


def choose_scraper_of(monitoring: Monitoring, named: str, sidecars: Sequence[Sidecar]) -> Scraper:
    """The one that is to scrape; see _scrapers.choose()."""
    scraping = {
        item.identity
        for item in monitoring.scrapers
        if any(source.scraper.identity == item.identity for source in sources_of(monitoring, item, sidecars))
    }
    return _scrapers.choose_scraper(monitoring.scrapers, named, scraping)
