# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What a Prometheus is asked: each replica and shard for its targets, and one for what is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _configuration, _names
from .._errors import MeteringError
from .._gateway.workloads import Object
from .._kubernetes.client import Cluster
from .._scrape import scrapers
from .._scrape.scrapers import Scraper
from .._scrape.sources import Monitoring
from .api import Address, Api, Pod, Service, data_of
from .token_metric import label, quoted

# How far back it is asked what is stored, so that a quiet weekend changes no dashboard.
REMEMBERED = "7d"
# Thanos Querier and VictoriaMetrics answer with what they have when a part of them is down, unless told not to; and
# VictoriaMetrics leaves out the last half minute (-search.latencyOffset).
# Thanos Querier chooses for each series by itself whose samples it tells: those of `up` would be another replica's.
SAMPLES_APART = ("dedup", "false")
WHOLE_ANSWERS = (("partial_response", "false"), ("deny_partial_response", "1"), ("latency_offset", "1ms"))


@dataclass(frozen=True)
class Replica:
    """What together, one for each shard, scrapes everything once."""

    apis: tuple[Api, ...]

    @property
    def name(self) -> str:
        first, *others = [api.name for api in self.apis]
        return "+".join([first, *(name.rpartition("/")[2] for name in others)])

    def active_targets(self) -> list[dict[str, Any]]:
        """`data.activeTargets` of /api/v1/targets, of all shards.

        Raises:
            NotServedError: the backend knows no targets.
        """
        return [
            target for api in self.apis for target in data_of(api, "targets", [("state", "active")], "activeTargets")
        ]

    def pools(self) -> set[str]:
        """The names of all scrape pools.

        Raises:
            MeteringError: the backend does not tell them (vmagent, Prometheus before 2.42).
        """
        return {pool for api in self.apis for pool in data_of(api, "scrape_pools", [], "scrapePools")}

    def targets_in(self, pools: Iterable[str]) -> list[dict[str, Any]]:
        """The active targets of some scrape pools. An unknown pool has none."""
        return [
            target
            for pool in sorted(pools)
            for api in self.apis
            for target in data_of(api, "targets", [("state", "active"), ("scrapePool", pool)], "activeTargets")
            # Some do not know the parameter, and tell all.
            if target.get("scrapePool") == pool
        ]

    def configurations(self) -> list[dict[str, Any] | None]:
        """The running configuration of each shard; None where it is not shown."""
        found: list[dict[str, Any] | None] = []
        for api in self.apis:
            try:
                found.append(_configuration.parsed(data_of(api, "status/config", [], "yaml")))
            except MeteringError:
                found.append(None)
        return found

    def query(self, promql: str, at: float | None = None, *, apart: bool = False) -> list[dict[str, Any]]:
        """What an instant query yields, now or at a time (Unix seconds); of several shards one after another.

        Args:
            promql: the query.
            at: that time.
            apart: whether what several replicas have stored is told apart, where the backend would choose for each
                series by itself.
        """
        time = [] if at is None else [("time", f"{at:.3f}")]
        asked = [("query", promql), *time, *WHOLE_ANSWERS, *([SAMPLES_APART] if apart else [])]
        return [item for api in self.apis for item in data_of(api, "query", asked, "result")]

    def number(self, promql: str) -> int:
        """What a query without labels yields, summed over the shards; 0 where it yields nothing."""
        return sum(int(float(item["value"][1])) for item in self.query(promql))


def metric_rules(configurations: Iterable[Mapping[str, Any] | None]) -> dict[str, list[dict[str, Any]]]:
    """By scrape pool, what running configurations do with samples; nothing where they are not shown."""
    return {
        job["job_name"]: job.get("metric_relabel_configs") or []
        for document in configurations
        for job in (document or {}).get("scrape_configs") or ()
    }


def pools_reaching(
    configurations: Iterable[Mapping[str, Any] | None], namespaces: Collection[str]
) -> tuple[set[str], set[str]] | None:
    """The scrape pools of running configurations that may have targets in some namespaces, and the others.

    None where that is not shown.
    """
    reaching: set[str] = set()
    others: set[str] = set()
    for document in configurations:
        # What stands in files of its own is not shown.
        if document is None or document.get("scrape_config_files"):
            return None
        for job in document.get("scrape_configs") or ():
            (reaching if _may_reach(job, namespaces) else others).add(str(job["job_name"]))
    return reaching, others - reaching


def _may_reach(job: Mapping[str, Any], namespaces: Collection[str]) -> bool:
    """Whether a job may discover something in one of these namespaces, or it cannot be told."""
    discoveries = {name for name, items in job.items() if name.endswith(("_sd_configs", "static_configs")) and items}
    if discoveries - {"kubernetes_sd_configs"}:
        return True
    for rule in job.get("relabel_configs") or ():
        # An address that is not the discovered one may be anybody's.
        if rule.get("target_label") == "__address__" and not _is_discovered(rule):
            return True
    return any(_discovers(discovery, namespaces) for discovery in job.get("kubernetes_sd_configs") or ())


def _is_discovered(rule: Mapping[str, Any]) -> bool:
    """Whether an address comes out of the one that was discovered, as one with another port does."""
    sources = rule.get("source_labels") or ()
    return not {"__address__", "__meta_kubernetes_pod_ip"}.isdisjoint(sources) and "$" in rule.get("replacement", "$1")


def _discovers(discovery: Mapping[str, Any], namespaces: Collection[str]) -> bool:
    """Whether a Kubernetes discovery may find something in one of these namespaces."""
    where = discovery.get("namespaces") or {}
    names = where.get("names") or ()
    bound = discovery.get("role") in ("pod", "endpoints", "endpointslice", "service", "ingress") and bool(names)
    # Of which namespace its own is, the configuration does not tell.
    return not bound or bool(where.get("own_namespace")) or not set(namespaces).isdisjoint(names)


# So many pools are asked for one by one; of more all targets are asked for at once.
MANY_POOLS = 20


class Watch:
    """Repeated looks at a replica's targets: only at pools that may matter, because a large one has megabytes of them.

    Which ones may, the running configuration tells. Where it is not shown, now and then all targets are looked at, and
    in between only the pools that had any that mattered.
    """

    FULL_EVERY = 5

    def __init__(self, matters: Callable[[Mapping[str, Any]], bool], namespaces: Callable[[], Collection[str]]) -> None:
        """What matters.

        Args:
            matters: whether a target does.
            namespaces: where such targets can be.
        """
        self._matters, self._namespaces = matters, namespaces
        self._looks: dict[str, int] = {}
        self._idle: dict[str, set[str]] = {}
        """By replica, the pools of which no target matters."""
        self._rules: dict[str, dict[str, list[dict[str, Any]]]] = {}
        """By replica, what its pools do with samples, if that was read for the last look."""

    def metric_rules(self, replica: Replica) -> dict[str, list[dict[str, Any]]]:
        """By scrape pool, what the running configuration does with samples; nothing where it is not shown."""
        if replica.name not in self._rules:
            self._rules[replica.name] = metric_rules(replica.configurations())
        return self._rules[replica.name]

    def targets(self, replica: Replica) -> list[dict[str, Any]]:
        """The active targets, of all pools or of those that may matter.

        Raises:
            NotServedError: the backend knows no targets.
        """
        look = self._looks.get(replica.name, 0)
        self._rules.pop(replica.name, None)
        pools = self._chosen(replica) if look % self.FULL_EVERY == 0 else self._left(replica)
        found = replica.active_targets() if pools is None else replica.targets_in(pools)
        self._looks[replica.name] = look + 1
        if pools is None:
            mattering = {target.get("scrapePool") for target in found if self._matters(target)}
            self._idle[replica.name] = {str(target.get("scrapePool")) for target in found} - mattering
        return found

    def _chosen(self, replica: Replica) -> set[str] | None:
        """The pools that may matter, by the running configuration; None where that does not tell, or they are many."""
        configurations = replica.configurations()
        self._rules[replica.name] = metric_rules(configurations)
        known = pools_reaching(configurations, self._namespaces())
        # Where none may, it is looked for whatever there is.
        if known is None or not 0 < len(known[0]) <= MANY_POOLS:
            return None
        reaching, self._idle[replica.name] = known
        return reaching

    def _left(self, replica: Replica) -> set[str] | None:
        """The pools that there are now, without those that do not matter; None where they are not told."""
        try:
            return replica.pools() - self._idle[replica.name]
        except MeteringError:
            return None


def targets_of_up(replica: Replica, ports: Iterable[int]) -> list[dict[str, Any]]:
    """What stands in for active targets where a backend knows none: the series `up` of the sidecars' ports."""
    pattern = "|".join(str(port) for port in sorted(ports))
    return [
        {
            "scrapeUrl": f"http://{item['metric']['instance']}{_names.METRICS_PATH}",
            "scrapePool": item["metric"].get("job", ""),
            "labels": {name: value for name, value in item["metric"].items() if name != "__name__"},
            "health": "up" if float(item["value"][1]) else "down",
        }
        for item in replica.query(f'up{{instance=~".+:({pattern})"}}')
    ]


@dataclass(frozen=True)
class Backend:
    """What can be asked about a scraper."""

    cluster: Cluster
    scraper: Scraper
    options: Mapping[str, Any]

    def _given(self) -> Api | None:
        """What the options name to be asked for series."""
        if self.options.get("service"):
            return Service(self.cluster, self.options["service"])
        return Address(self.options["url"], self.options) if self.options.get("url") else None

    def scraping(self) -> list[Replica]:
        """The running replicas of the scraper, to be asked for targets.

        Raises:
            MeteringError: there is none.
        """
        if self.options.get("targets_urls"):
            return [Replica((Address(url, self.options),)) for url in self.options["targets_urls"]]
        given = self._given()
        if given is not None and self.scraper.is_unseen:
            return [Replica((given,))]
        return _pods(self.cluster, self.scraper)

    def storing(self, scraping: Sequence[Replica] = ()) -> Sequence[Replica]:
        """What can be asked for series.

        Args:
            scraping: the running replicas, where they were looked for a moment ago.

        Raises:
            MeteringError: there is nothing of that kind.
        """
        given = self._given()
        if given is not None:
            return [Replica((given,))]
        self.require_a_store()
        # The addresses of targets may be others than those that are asked for series.
        known = () if self.options.get("targets_urls") else scraping
        return known or _pods(self.cluster, self.scraper)

    @property
    def has_a_store(self) -> bool:
        """Whether there is anything that can be asked for series."""
        return self._given() is not None or self.scraper.known.stores

    def require_a_store(self) -> None:
        """Refuse to ask an agent for what is stored.

        Raises:
            MeteringError: the scraper keeps nothing, and nothing else is named.
        """
        if not self.has_a_store:
            raise MeteringError(
                f"{self.scraper.kind} {self.scraper.name} scrapes and keeps nothing.",
                "What is stored has to be asked where it writes to.",
                f"set scrape_api.url to the address for queries of what it writes to: kubectl -n "
                f"{self.scraper.namespace} get {self.scraper.kind.lower()} -o yaml",
            )


def unseen(options: Mapping[str, Any]) -> list[Scraper]:
    """What scrapes without an object in this cluster, where the options say how it is asked: it may take everything."""
    name = options.get("service") or (Address(options["url"], options).name if options.get("url") else "")
    return [scrapers.unseen(name)] if name else []


def monitoring_with(monitoring: Monitoring, options: Mapping[str, Any]) -> Monitoring:
    """What there is to scrape with; where no object scrapes, what the options name does."""
    if not all(scraper.only_stores for scraper in monitoring.scrapers):
        return monitoring
    return Monitoring(unseen(options), monitoring.monitors, monitoring.services)


def alternatives(pods: Iterable[str]) -> str:
    """A string of PromQL with a pattern that matches these names of pods and no others, whoever has chosen them."""
    return quoted("|".join(map(re.escape, pods)))


def _pods(cluster: Cluster, scraper: Scraper) -> list[Replica]:
    """The running replicas of a scraper.

    Raises:
        MeteringError: none runs.
    """
    kind = scraper.known
    labels = kind.pods.format(name=scraper.document["metadata"]["name"])
    pods = cluster.list("v1", "pods", namespace=scraper.namespace, labels=labels)
    by_ordinal: dict[str, list[Api]] = {}
    for pod in sorted(pods, key=lambda item: item["metadata"]["name"]):
        if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            # A StatefulSet for each shard; the pods of one ordinal share the targets among them.
            ordinal = pod["metadata"]["name"].rpartition("-")[2]
            own = Pod(
                cluster, scraper.namespace, pod["metadata"]["name"], _port(pod, kind), scraper.prefix, scraper.scheme
            )
            by_ordinal.setdefault(ordinal, []).append(own)
    # One for each node, or shards whose names tell nothing: together they scrape everything once.
    shared = scraper.is_on_every_node or (scraper.kind == "VMAgent" and scraper.spec.get("shardCount"))
    if shared and by_ordinal:
        by_ordinal = {"": [pod for own in by_ordinal.values() for pod in own]}
    shards = 1 if scraper.is_on_every_node else int(scraper.spec.get(kind.shards) or 1)
    # What lacks a shard does not scrape everything: another replica of the same is whole, or nothing can be said.
    found = [Replica(tuple(own)) for own in by_ordinal.values() if len(own) >= shards]
    if by_ordinal and not found:
        raise MeteringError(
            f"{scraper.kind} {scraper.name} has {shards} shards, and of no replica of it all of them run.",
            "What the missing ones scrape, and have stored, is not known; it would be missing in every sum.",
            f"kubectl -n {scraper.namespace} get pod -l {labels}",
        )
    if not found:
        raise MeteringError(
            f"{scraper.kind} {scraper.name} has no running pod.",
            "Nothing is scraped meanwhile, and nothing can be asked.",
            f"kubectl -n {scraper.namespace} get pod -l {labels}",
        )
    return found


def stored_form(backend: Backend, scraping: Sequence[Replica] = ()) -> tuple[Replica, list[str], list[str]]:
    """A replica that knows token sums, the names under which it stores them, and their types; empty where none does.

    Args:
        backend: what is asked.
        scraping: its running replicas, where they were looked for a moment ago.

    Raises:
        MeteringError: no replica runs, or one does not answer.
    """
    # A series of a proxy that has ended is not found by an instant selector, but on dashboards it still is.
    selector = f'last_over_time({{__name__=~"{_names.STORED_SUM_PATTERN}"}}[{REMEMBERED}])'
    labels = ", ".join(map(label, _names.TOKEN_TYPE_LABELS))
    found = backend.storing(scraping)
    for replica in found:
        series = [item["metric"] for item in replica.query(f"group by (__name__, {labels}) ({selector})")]
        if series:
            types = {own.get(name) for own in series for name in _names.TOKEN_TYPE_LABELS}
            return replica, sorted({own["__name__"] for own in series}), sorted(filter(None, types))
    return found[0], [], []


def carries_plain_values(replica: Replica, name: str) -> bool:
    """Whether some stored token sum has a plain value in a label: neither none nor an encoded array."""
    matchers = f'{label(name)}!="",{label(name)}!~"{_names.ENCODED_ARRAY_PATTERN}"'
    return (
        replica.number(f'count(last_over_time({{__name__=~"{_names.STORED_SUM_PATTERN}",{matchers}}}[{REMEMBERED}]))')
        > 0
    )


def _port(pod: Object, kind: scrapers.ScraperKind) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if container["name"] == kind.container and port.get("name") in ("web", "http"):
                return int(port["containerPort"])
    return kind.port
