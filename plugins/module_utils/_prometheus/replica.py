# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What a Prometheus is asked: each replica and shard for its targets, and one for what is stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import _configuration, _names
from .._errors import MeteringError, doc_of
from .api import PATIENCE, PATIENCE_FOR_PAST, Api, data_of
from .token_metric import of_sidecars

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

    @property
    def is_sharded(self) -> bool:
        """Whether each target is scraped by one of several."""
        return len(self.apis) > 1

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
                found.append(_configuration.parse_configuration(data_of(api, "status/config", [], "yaml")))
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
        patience = PATIENCE if at is None else PATIENCE_FOR_PAST
        return [item for api in self.apis for item in _series_of(api, data_of(api, "query", asked, "result", patience))]

    def number(self, promql: str) -> int:
        """What a query without labels yields, summed over the shards; 0 where it yields nothing."""
        return sum(int(float(item["value"][1])) for item in self.query(promql))


def _series_of(api: Api, found: Any) -> list[dict[str, Any]]:
    """The series of an answer.

    Raises:
        MeteringError: something in it is none.
    """
    for item in found:
        if not isinstance(item, dict) or not isinstance(item.get("metric"), dict):
            raise MeteringError(
                f"{api.name} answered a query with something that is no series: {api.hide(str(item))[:80]!r}.",
                "What it has stored cannot be known.",
                "See that its address is that of an API like Prometheus's.",
                doc_of("scrape"),
            )
    return list(found)


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
    return [
        {
            "scrapeUrl": f"http://{item['metric']['instance']}{_names.METRICS_PATH}",
            "scrapePool": item["metric"].get("job", ""),
            "labels": {name: value for name, value in item["metric"].items() if name != "__name__"},
            "health": "up" if float(item["value"][1]) else "down",
        }
        for item in replica.query(f"up{{{of_sidecars(ports)}}}")
    ]
