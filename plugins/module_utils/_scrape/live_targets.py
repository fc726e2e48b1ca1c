# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The verdict on a Prometheus's live targets: is every sidecar scraped, once, and does it answer?

A target belongs to a sidecar when it fetches the metrics' path from the pod's IP and the sidecar's port, whatever
object or hand-written job it comes from. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .. import _durations, _names
from .._gateway.sidecar import Sidecar
from . import sources
from .scrapers import Scraper
from .sources import Monitoring, Source, Target


@dataclass(frozen=True)
class Verdict:
    """What one Prometheus replica scrapes of the sidecars."""

    pools: Mapping[str, int]
    """Targets by scrape pool."""
    missing: tuple[str, ...]
    """Sidecars without a target."""
    doubled: Mapping[str, tuple[str, ...]]
    """Sidecars with more than one target, with their pools."""
    down: Mapping[str, str]
    """Sidecars whose target is not up, with the health and the last error."""
    intervals: Mapping[str, float] = field(default_factory=dict)
    """How many seconds there are between two scrapes of a sidecar."""

    @property
    def is_right(self) -> bool:
        return not (self.missing or self.doubled or self.down)

    def losses(self) -> list[str]:
        """Where tokens are lost, one sentence for each pod."""
        found = [f"{pod} is not scraped" for pod in self.missing]
        return found + [f"{pod} is not up: {error}" for pod, error in self.down.items()]

    def doubles(self) -> list[str]:
        """Where tokens are counted several times, one sentence for each pod."""
        return [f"{pod} is scraped {len(pools)} times, by {', '.join(pools)}" for pod, pools in self.doubled.items()]

    def problems(self) -> list[str]:
        """All that is wrong."""
        return self.losses() + self.doubles()


def judge_targets(
    targets: Sequence[Mapping[str, Any]],
    sidecars: Sequence[Sidecar],
    metric_rules: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Verdict:
    """Judge the active targets of one Prometheus replica.

    Several targets of a sidecar count its tokens several times only where their labels differ (those of the same
    labels write into one series) and their samples are kept.

    Args:
        targets: `data.activeTargets` of /api/v1/targets.
        sidecars: those that are to be scraped.
        metric_rules: by scrape pool, what the running configuration does with samples.
    """
    by_address: dict[str, list[Mapping[str, Any]]] = {}
    for target in targets:
        url = _url(target)
        if url.path == _names.METRICS_PATH:
            by_address.setdefault(url.netloc, []).append(target)
    pools: dict[str, int] = {}
    missing: list[str] = []
    doubled: dict[str, tuple[str, ...]] = {}
    down: dict[str, str] = {}
    intervals: dict[str, float] = {}
    for sidecar in sidecars:
        own = [
            target
            for target in by_address.get(sidecar.address, [])
            if sources.keeps_tokens(target.get("labels") or {}, (metric_rules or {}).get(_pool(target), ()), sidecar)
        ]
        names = sorted(map(_pool, own))
        for pool in names:
            pools[pool] = pools.get(pool, 0) + 1
        if not own:
            missing.append(sidecar.name)
        # The sidecar speaks plain HTTP: whoever asks it for TLS gets nothing.
        answered = [target for target in own if target["scrapeUrl"].startswith("http:")]
        if len({tuple(sorted((target.get("labels") or {}).items())) for target in answered}) > 1:
            doubled[sidecar.name] = tuple(names)
        unwell = [target for target in own if str(target.get("health")).lower() != "up"]
        if unwell:
            error = unwell[0].get("lastError") or "not scraped yet"
            down[sidecar.name] = f"{unwell[0].get('health', 'unknown')}, {error}"
        told = [_durations.seconds(str(target.get("scrapeInterval", ""))) for target in own]
        if any(told):
            intervals[sidecar.name] = min(filter(None, told))
    return Verdict(pools, tuple(missing), doubled, down, intervals)


def tails(verdict: Verdict, sidecars: Sequence[Sidecar]) -> dict[str, tuple[float, float]]:
    """The Gateways whose proxies may end before they are scraped again: the interval and the least drain (seconds)."""
    found: dict[str, tuple[float, float]] = {}
    for sidecar in sidecars:
        interval, drain = verdict.intervals.get(sidecar.name), sidecar.min_drain
        if interval is not None and drain is not None and drain < interval:
            found[sidecar.gateway] = max(found.get(sidecar.gateway, (0.0, 0.0)), (interval, drain))
    return found


def may_matter(target: Mapping[str, Any], sidecars: Sequence[Sidecar]) -> bool:
    """Whether a target is at the port of a sidecar: of one that is there, was there, or is yet to come."""
    port = _url(target).netloc.rpartition(":")[2]
    return port in {str(sidecar.port) for sidecar in sidecars}


def _url(target: Mapping[str, Any]) -> SplitResult:
    """Where a target is scraped; nowhere, for an address that is none.

    What is not ours comes with any address that somebody has written, such as `exporter:9100:9100`: it is not parsed
    further than to the text between the slashes.
    """
    try:
        return urlsplit(str(target.get("scrapeUrl") or ""))
    except ValueError:
        return urlsplit("")


def _pool(target: Mapping[str, Any]) -> str:
    return str(target.get("scrapePool") or "")


def jobs_of_targets(
    targets: Sequence[Mapping[str, Any]],
    sidecars: Sequence[Sidecar],
    scraper: Scraper,
    metric_rules: Mapping[str, Sequence[Mapping[str, Any]]],
    monitoring: Monitoring,
) -> list[Source]:
    """What scrapes sidecars and is predicted from no object: jobs written by hand, and discovery of other kinds."""
    found: dict[str, list[Target]] = {}
    own = {sidecar.address: sidecar for sidecar in sidecars}
    for target in targets:
        url, pool = _url(target), _pool(target)
        if url.netloc not in own or url.path != _names.METRICS_PATH:
            continue
        # An object of a kind that is read is judged by what it says now: Prometheus may not have reloaded yet.
        if sources.is_judged_by_its_object(pool, scraper, monitoring):
            continue
        labels = target.get("labels") or {}
        keeps = sources.keeps_tokens(labels, metric_rules.get(pool, ()), own[url.netloc])
        made = Target(own[url.netloc].name, url.scheme, frozenset(labels.items()), keeps)
        found.setdefault(pool, []).append(made)
    return [Source("scrape job", pool, scraper, tuple(own)) for pool, own in sorted(found.items())]
