# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads what scrapes: the objects of the monitoring's operators, the monitors, the services."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from .._errors import MeteringError
from .._gateway import sidecar as _sidecar
from .._kubernetes.client import Cluster
from . import scrapers as _scrapers
from .scrapers import Scraper
from .sources import Monitoring


def _may_be_served(cluster: Cluster, known: _scrapers.Kind) -> bool:
    """Whether to ask for the objects of a kind. Few clusters have VictoriaMetrics' kinds: one question tells."""
    return known.api != _scrapers.VICTORIA or cluster.serves(known.api, known.plural)


class _Namespaces(Mapping[str, Mapping[str, str]]):
    """The labels of namespaces, read when somebody needs them: many Prometheuses take monitors from every one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @functools.cached_property
    def _labels(self) -> dict[str, Mapping[str, str]]:
        found = self._cluster.list("v1", "namespaces")
        return {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in found}

    def __getitem__(self, name: str) -> Mapping[str, str]:
        return self._labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)


def read_scrapers(cluster: Cluster) -> list[Scraper]:
    """What may scrape: the objects of the monitoring's operators."""
    documents = {
        kind: cluster.list(known.api, known.plural)
        for kind, known in _scrapers.SCRAPER_KINDS.items()
        if _may_be_served(cluster, known)
    }
    namespaces = _Namespaces(cluster)
    return [Scraper(item, namespaces, kind) for kind, items in documents.items() for item in items]


def read_monitoring(cluster: Cluster, sidecars: Sequence[_sidecar.Sidecar]) -> Monitoring:
    """What there is to scrape with, and the services that may lead to sidecars.

    Raises:
        MeteringError: the cluster knows no kind of monitor.
    """
    found = read_scrapers(cluster)
    monitors = {
        kind: list(cluster.pages(known.api, known.plural)) if _may_be_served(cluster, known) else [None]
        for kind, known in _scrapers.MONITOR_KINDS.items()
    }
    if None in monitors["PodMonitor"] and None in monitors["VMPodScrape"]:
        raise MeteringError(
            "The cluster has no PodMonitor kind (podmonitors.monitoring.coreos.com).",
            "The sidecars are scraped through a PodMonitor.",
            "Enable the platform's monitoring (the Prometheus operator).",
            "kubectl get crd podmonitors.monitoring.coreos.com",
        )
    through_services = monitors["ServiceMonitor"] or monitors["ScrapeConfig"]
    where = sorted({sidecar.pod["metadata"]["namespace"] for sidecar in sidecars}) if through_services else []
    return Monitoring(
        found,
        {
            # The items of a list do not say what they are.
            kind: [
                {**item, "apiVersion": known.api, "kind": kind, "spec": item.get("spec") or {}}
                for item in monitors[kind]
                if item is not None
            ]
            for kind, known in _scrapers.MONITOR_KINDS.items()
        },
        [item for namespace in where for item in cluster.list("v1", "services", namespace=namespace)],
        cluster.namespaces,
    )
