# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What can be asked about a Prometheus or an agent: its replicas for targets, and a store for series."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _names
from .._errors import MeteringError
from .._kubernetes.client import Cluster
from .._kubernetes.objects import Object
from .._prometheus.api import Address, Api, Pod, Service
from .._prometheus.promql import label
from .._prometheus.replica import Replica
from . import scrapers
from .scrapers import Scraper
from .sources import Monitoring

# How far back it is asked what is stored, so that a quiet weekend changes no dashboard.
REMEMBERED = "7d"
# A model that is used once a month has its price, too.
MONTH = "31d"


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
                f"{self.scraper.kind} {self.scraper.name} scrapes, but stores nothing.",
                "Queries must go to the store that it writes to.",
                "Set scrape_api.url to the query address of that store.",
                f"kubectl -n {self.scraper.namespace} get {self.scraper.kind.lower()} -o yaml",
            )


def backend_without_object(options: Mapping[str, Any]) -> list[Scraper]:
    """What scrapes without an object in this cluster, where the options say how it is asked: it may take everything."""
    name = options.get("service") or (Address(options["url"], options).name if options.get("url") else "")
    return [scrapers.scraper_without_object(name)] if name else []


def monitoring_with(monitoring: Monitoring, options: Mapping[str, Any]) -> Monitoring:
    """What there is to scrape with; where no object scrapes, what the options name does."""
    if not all(scraper.only_stores for scraper in monitoring.scrapers):
        return monitoring
    return dataclasses.replace(monitoring, scrapers=backend_without_object(options))


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
                cluster, scraper.namespace, pod["metadata"]["name"], port_of(pod, kind), scraper.prefix, scraper.scheme
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
            f"{scraper.kind} {scraper.name} has {shards} shards, but no replica has all its shards running.",
            "The samples of the missing shards cannot be read. They would be missing in every sum.",
            "",
            f"kubectl -n {scraper.namespace} get pod -l {labels}",
        )
    if not found:
        raise MeteringError(
            f"{scraper.kind} {scraper.name} has no running pod.",
            "It scrapes nothing now, and cannot be queried.",
            "",
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


def stored_models(replica: Replica) -> list[dict[str, str]]:
    """The models whose tokens are stored, each with its `model` and `provider` as the present generation names them."""
    names = (*_names.REQUEST_MODEL_LABELS, *_names.PROVIDER_LABELS)
    series = f'last_over_time({{__name__=~"{_names.STORED_SUM_PATTERN}"}}[{MONTH}])'
    found = set()
    for item in replica.query(f"group by ({', '.join(map(label, names))}) ({series})"):
        told = {_names.plain(name): value for name, value in item["metric"].items()}
        found.add((told.get(_names.REQUEST_MODEL_LABELS[0], ""), told.get(_names.PROVIDER_LABELS[0], "")))
    return [{"model": model, "provider": provider} for model, provider in sorted(found) if model]


def recorded_months(replica: Replica) -> list[dict[str, str]]:
    """What rules of ours record of months: the `currency` of amounts, and the units of which there are `budgets`."""
    found = replica.query(f"group by (currency, budgets) ({_names.MONTHS_RECORD})")
    told = {(item["metric"].get("currency", ""), item["metric"].get("budgets", "")) for item in found}
    return [{"currency": currency, "budgets": budgets} for currency, budgets in sorted(told)]


def carries_plain_values(replica: Replica, name: str) -> bool:
    """Whether some stored token sum has a plain value in a label: neither none nor an encoded array."""
    matchers = f'{label(name)}!="",{label(name)}!~"{_names.ENCODED_ARRAY_PATTERN}"'
    return (
        replica.number(f'count(last_over_time({{__name__=~"{_names.STORED_SUM_PATTERN}",{matchers}}}[{REMEMBERED}]))')
        > 0
    )


def port_of(pod: Object, kind: scrapers.ScraperKind) -> int:
    """The port at which a pod of a scraper answers."""
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if container["name"] == kind.container and port.get("name") in ("web", "http"):
                return int(port["containerPort"])
    return kind.port
