# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What a Prometheus is asked: each replica and shard for its targets, and one for what is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _configuration, _names, _scrapers
from ansible_collections.aigateway.metering.plugins.module_utils._api import (
    Address,
    Api,
    Pod,
    Service,
    data_of,
)
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Object
from ansible_collections.aigateway.metering.plugins.module_utils._scrapers import Scraper
from ansible_collections.aigateway.metering.plugins.module_utils._sources import Monitoring
from ansible_collections.aigateway.metering.plugins.module_utils._stored import quoted

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
        ]

    def metric_rules(self) -> dict[str, list[dict[str, Any]]]:
        """By scrape pool, what the running configuration does with samples; nothing where it is not shown."""
        found: dict[str, list[dict[str, Any]]] = {}
        for api in self.apis:
            try:
                document = _configuration.parsed(data_of(api, "status/config", [], "yaml"))
            except MeteringError:
                continue
            for job in (document or {}).get("scrape_configs") or ():
                found[job["job_name"]] = job.get("metric_relabel_configs") or []
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


class Watch:
    """Repeated looks at a replica's targets: now and then at all of them, in between only at pools that may matter.

    A large Prometheus has megabytes of targets.
    """

    FULL_EVERY = 5

    def __init__(self, matters: Callable[[Mapping[str, Any]], bool]) -> None:
        self._matters = matters
        self._looks: dict[str, int] = {}
        self._idle: dict[str, set[str]] = {}
        """By replica, the pools that have targets of which none matters."""

    def targets(self, replica: Replica) -> list[dict[str, Any]]:
        """The active targets, of all pools or of those that may matter.

        Raises:
            NotServedError: the backend knows no targets.
        """
        look = self._looks.get(replica.name, 0)
        try:
            pools = replica.pools() if look % self.FULL_EVERY else None
        except MeteringError:
            pools = None
        if pools is not None:
            found = replica.targets_in(pools - self._idle[replica.name])
            self._looks[replica.name] = look + 1
            return found
        found = replica.active_targets()
        self._looks[replica.name] = look + 1
        mattering = {target.get("scrapePool") for target in found if self._matters(target)}
        self._idle[replica.name] = {str(target.get("scrapePool")) for target in found} - mattering
        return found


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

    def storing(self) -> list[Replica]:
        """What can be asked for series.

        Raises:
            MeteringError: there is nothing of that kind.
        """
        given = self._given()
        if given is not None:
            return [Replica((given,))]
        self.require_a_store()
        return _pods(self.cluster, self.scraper)

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
    return [_scrapers.unseen(name)] if name else []


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


def stored_form(backend: Backend) -> tuple[Replica, list[str], list[str]]:
    """A replica that knows token sums, the names under which it stores them, and their types; empty where none does.

    Raises:
        MeteringError: no replica runs, or one does not answer.
    """
    # A series of a proxy that has ended is not found by an instant selector, but on dashboards it still is.
    selector = f'last_over_time({{__name__=~"{_names.STORED_SUM_PATTERN}"}}[{REMEMBERED}])'
    found = backend.storing()
    for replica in found:
        counted = replica.query(f"count by (__name__) ({selector})")
        names = sorted({item["metric"]["__name__"] for item in counted})
        if names:
            series = replica.query(f"group without (instance, pod) ({selector})")
            types = {item["metric"].get(label) for item in series for label in _names.TOKEN_TYPE_LABELS}
            return replica, names, sorted(filter(None, types))
    return found[0], [], []


def carries_plain_values(replica: Replica, label: str) -> bool:
    """Whether some stored token sum has a plain value in a label: neither none nor an encoded array."""
    matchers = f'{label}!="",{label}!~"{_names.ENCODED_ARRAY_PATTERN}"'
    return (
        replica.number(f'count(last_over_time({{__name__=~"{_names.STORED_SUM_PATTERN}",{matchers}}}[{REMEMBERED}]))')
        > 0
    )


def _port(pod: Object, kind: _scrapers.ScraperKind) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if container["name"] == kind.container and port.get("name") in ("web", "http"):
                return int(port["containerPort"])
    return kind.port
