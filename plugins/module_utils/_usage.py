# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Reads the samples of a period for token_usage_info, pod by pod and part by part, and sums up what was used."""

from __future__ import annotations

import bisect
import datetime
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import (
    _accounting,
    _names,
    _period,
    _progress,
    _prometheus,
    _state,
    _view,
)
from ansible_collections.aigateway.metering.plugins.module_utils._accounting import Counter, Identity, Sample
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import Replica

# How far before the period the last sample of a counter is looked for.
CARRIED = "1d"
# A period is read in parts of this length (seconds), so that memory does not grow with it.
PART = 6 * 3600
# Besides, this much of what follows a part, to see whether a scrape went on, and of what goes before the first.
AHEAD = 600
# Whether a counter counts requests, and what tells it from others.
Key = tuple[bool, Identity]
# A replica by its number, and the labels of one of its targets.
Target = tuple[int, Identity]
# The labels of a series, and its target.
Origin = tuple[Identity, Target]
Found = dict[Key, dict[Origin, list[Sample]]]
# What Prometheus stores beside each scrape: whether it succeeded, how many samples there were, and how many were kept.
SCRAPE_SERIES = ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling")
SCRAPES = f'__name__=~"{"|".join(SCRAPE_SERIES)}"'
SERIES = f'__name__=~"{_names.USAGE_COUNTERS_PATTERN}"'


def usage(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Read, follow, sum: what token_usage_info returns."""
    options = module.params
    start, end = moment(options["start"], "start"), moment(options["end"], "end")
    if end <= start:
        raise MeteringError(
            f"The period ends ({options['end']}) before it begins ({options['start']}).",
            "Nothing can be used in it.",
            "set start before end.",
        )
    sidecars = _state.sidecars(cluster)
    dummy, backend = _view.asked(module, cluster, sidecars)
    matchers = {str(name): str(value) for name, value in options["matchers"].items()}
    for name in matchers:
        if not re.fullmatch(r"[a-zA-Z_]\w*", name):
            raise MeteringError(
                f"{name!r} among the matchers is no name of a label.",
                "It cannot be asked for.",
                "correct report_matchers.",
            )
    if not options["by"]:
        raise MeteringError("by is empty.", "Nothing would tell the rows apart.", "set report_by, or leave it out.")
    ports = {_names.ADMIN_PORT, *(sidecar.port for sidecar in sidecars)}
    period = Period(backend.storing(), start, end, time.time(), ports=ports, began=started(sidecars), matchers=matchers)
    counters = period.read()
    by = options["by"]
    used = _accounting.summed({key: counter.total for key, counter in counters.items()}, by)
    rows = [
        {**dict(zip(by, key, strict=True)), "tokens": dict(sorted(own.tokens.items())), "total": own.total}
        | {"requests": own.requests}
        for key, own in sorted(used.items())
    ]
    everything = _accounting.summed({key: counter.total for key, counter in counters.items()}, [])
    whole = everything.get((), _accounting.Usage())
    return {
        "changed": False,
        "prometheus": backend.scraper.name,
        "start": shown(start),
        "end": shown(end),
        "by": list(by),
        "rows": rows,
        "tokens": dict(sorted(whole.tokens.items())),
        "total": whole.total,
        "requests": whole.requests,
        "doubts": period.doubts(counters),
    }


def moment(text: str, name: str) -> float:
    """A time in ISO 8601 with its zone, as Unix seconds.

    Raises:
        MeteringError: it is none, or has no zone.
    """
    return _period.moment(text, name).timestamp()


def shown(seconds: float) -> str:
    """A time for a person."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="seconds")


def started(sidecars: Sequence[Sidecar]) -> dict[str, float]:
    """By pod, when its sidecar has started, as Kubernetes says."""
    found = {}
    for sidecar in sidecars:
        status = sidecar.pod["status"]
        for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            running = (container.get("state") or {}).get("running")
            if container["name"] == _names.SIDECAR and running:
                found[sidecar.pod["metadata"]["name"]] = moment(running["startedAt"], "startedAt")
    return found


@dataclass
class Group:
    """What was stored of one pod: its own series, and those of scrapes that do not say the pod, by their address."""

    pod: str
    """The pod; where no scrape says one, the address."""
    addresses: set[str]
    """Those under which scrapes without the pod have stored it."""
    is_named: bool = False

    @property
    def selectors(self) -> list[str]:
        unnamed = [f'pod="",{_by("instance", address)}' for address in sorted(self.addresses)]
        return [_by("pod", self.pod), *unnamed] if self.is_named else unnamed


class Period:
    """A period as the replicas of a Prometheus have stored it."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        start: float,
        end: float,
        now: float,
        *,
        ports: Iterable[int],
        began: Mapping[str, float],
        matchers: Mapping[str, str],
    ) -> None:
        """What is to be read.

        Args:
            replicas: those that have stored it.
            start: when it begins, in Unix seconds.
            end: when it ends.
            now: the present moment.
            ports: those at which sidecars serve their metrics.
            began: for each running pod, when its sidecar has started.
            matchers: labels that every series has to have, with their values.
        """
        self.replicas = replicas
        self.start, self.end, self._now = start, end, now
        self._ports = sorted(map(str, ports))
        self._began = began
        self._common = [_by(name, value) for name, value in sorted(matchers.items())]
        self._seen: dict[Target, list[float]] = {}
        """By target, when it was scraped."""
        self._whole: dict[Target, set[float]] = {}
        """By target, when all that it exposed was stored."""
        self._targets: dict[str, set[Target]] = {}
        """By pod."""
        self._unassigned: list[str] = []
        """Addresses that several pods had, and that some scrape stored without the pod."""

    def read(self) -> dict[Key, Counter]:
        """Follow every counter through the period."""
        counters: dict[Key, Counter] = {}
        sources: dict[Key, dict[Origin, int]] = {}
        groups = self._groups()
        at = self.start
        while at < self.end:
            until = min(at + PART, self.end)
            pods, unnamed = self._scraped(until, int(until - at) + AHEAD)
            active = [group for group in groups if group.pod in pods or unnamed & group.addresses]
            for number, group in enumerate(active, start=1):
                _progress.tell(f"period: {shown(at)}, pod {number} of {len(active)}")
                self._follow(counters, sources, group, at, until)
            at = until
        return counters

    def _follow(
        self, counters: dict[Key, Counter], sources: dict[Key, dict[Origin, int]], group: Group, at: float, until: float
    ) -> None:
        """Go on with what a part of the period has of each counter of a pod."""
        for key, own in self._samples(group, at, until).items():
            known = sources.setdefault(key, {})
            for source in own:
                known.setdefault(source, len(known))
            # Scrapes of its own targets after which nothing was dropped: what they did not show was not there.
            whole = sorted(time for source in known for time in self._whole.get(source[1], ()))
            began = self._began.get(group.pod, 0.0)

            def is_new(time: float, whole: list[float] = whole, began: float = began) -> bool:
                return bisect.bisect_left(whole, time) > 0 or self.start < began <= time

            def was_absent(earlier: float, later: float, whole: list[float] = whole) -> bool:
                return bisect.bisect_right(whole, earlier) < bisect.bisect_left(whole, later)

            in_order = [sorted(own.get(source, [])) for source in known]
            counters.setdefault(key, Counter()).follow(in_order, self.start, until, is_new, was_absent)

    def _scraped(self, until: float, seconds: int) -> tuple[dict[str, set[str]], set[str]]:
        """What was scraped in the seconds before a time: the pods with their addresses, and addresses without a pod.

        A sidecar has no counter before its first request, and may end before that is scraped: so targets count as well.
        """
        pods: dict[str, set[str]] = {}
        unnamed: set[str] = set()
        ports = "|".join(self._ports)
        for own in (SERIES, f'__name__="up",instance=~".+:({ports})"'):
            selector = f"{{{','.join([own, *self._common])}}}"
            for replica in self.replicas:
                for item in replica.query(f"group by (pod, instance) (last_over_time({selector}[{seconds}s]))", until):
                    pod, instance = item["metric"].get("pod", ""), item["metric"].get("instance", "")
                    if pod:
                        pods.setdefault(pod, set()).add(instance)
                    else:
                        unnamed.add(instance)
        return pods, unnamed

    def _groups(self) -> list[Group]:
        """What was scraped in the period, or shortly before it: each pod with what was stored without its name.

        Whose an address was is settled for the whole period, so that a counter stays the same one.
        """
        pods, unnamed = self._scraped(self.end, int(self.end - self.start) + AHEAD)
        owners = {instance: [pod for pod, own in pods.items() if instance in own] for instance in unnamed}
        self._unassigned = sorted(instance for instance, own in owners.items() if len(own) > 1)
        found = [
            Group(pod, {item for item, own in owners.items() if own == [pod]}, is_named=True) for pod in sorted(pods)
        ]
        return found + [Group(item, {item}) for item, own in sorted(owners.items()) if not own]

    def _samples(self, group: Group, at: float, until: float) -> dict[Key, dict[Origin, list[Sample]]]:
        """By counter and by source, the samples of a part of the period and of what follows it."""
        found: dict[Key, dict[Origin, list[Sample]]] = {}
        seconds = int(until - at) + AHEAD
        before = AHEAD if at == self.start else 0
        for number, replica in enumerate(self.replicas):
            for selector in group.selectors:
                chosen = ",".join([selector, *self._common])
                window, moment = f"[{seconds + before}s]", at + seconds
                targets = self._look(group.pod, number, replica.query(f"{{{SCRAPES},{chosen}}}{window}", moment))
                for item in replica.query(f"{{{SERIES},{chosen}}}{window}", moment):
                    self._take(found, number, group.pod, targets, item["metric"], item["values"])
                if before:
                    self._carry(found, number, group.pod, targets, replica, chosen)
        return found

    def _carry(
        self, found: Found, number: int, pod: str, targets: list[dict[str, str]], replica: Replica, chosen: str
    ) -> None:
        """Take in the last values of counters that were not scraped shortly before the period, but longer before it."""
        late = {
            key for key, own in found.items() for samples in own.values() for it in samples if it.time <= self.start
        }
        stale: Found = {}
        for item in replica.query(f"last_over_time({{{SERIES},{chosen}}}[{CARRIED}])", self.start):
            self._take(stale, number, pod, targets, item["metric"], [[self.start - AHEAD, item["value"][1]]])
        for key, own in stale.items():
            if key not in late:
                for source, samples in own.items():
                    found.setdefault(key, {}).setdefault(source, []).extend(samples)

    def _take(
        self,
        found: Found,
        number: int,
        pod: str,
        targets: list[dict[str, str]],
        labels: Mapping[str, str],
        values: Sequence[Sequence[Any]],
    ) -> None:
        own = _plain(labels)
        port = own.get("instance", "").rpartition(":")[2]
        if port.isdigit() and port not in self._ports:
            return  # an application that exposes the same standard metric
        target = _accounting.target_of(own, targets)
        key = (_accounting.is_count(labels["__name__"]), _accounting.identity_of(own, target, pod))
        source = (tuple(sorted(labels.items())), (number, tuple(sorted((target or {}).items()))))
        samples = found.setdefault(key, {}).setdefault(source, [])
        samples += [Sample(float(time), round(float(value))) for time, value in values]

    def _look(self, pod: str, number: int, items: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Note when targets were scraped, and when wholly; what is returned are their labels."""
        by_target: dict[Identity, dict[str, dict[float, float]]] = {}
        for item in items:
            labels = _plain(item["metric"])
            if labels.get("instance", "").rpartition(":")[2] in self._ports:
                own = by_target.setdefault(tuple(sorted(labels.items())), {})
                own[item["metric"]["__name__"]] = {float(time): float(value) for time, value in item["values"]}
        for identity, series in by_target.items():
            target = (number, identity)
            up, exposed, kept = (series.get(name, {}) for name in SCRAPE_SERIES)
            self._targets.setdefault(pod, set()).add(target)
            self._seen.setdefault(target, []).extend(time for time, value in up.items() if value)
            self._whole.setdefault(target, set()).update(
                time for time, value in up.items() if value and exposed.get(time, -1.0) == kept.get(time, -2.0)
            )
        return [dict(identity) for identity in by_target]

    def doubts(self, counters: Mapping[Key, Counter]) -> list[str]:
        """What cannot be known of the period."""
        found = []
        for (is_count, identity), counter in sorted(counters.items(), key=lambda item: item[0]):
            labels = dict(identity)
            if counter.baseline and not is_count and _accounting.in_total(identity):
                who, kind = labels.get(_names.REQUIRED_PAIR[1]) or "nobody", labels[_names.TOKEN_TYPE_LABELS[0]]
                found.append(
                    f"{counter.baseline} {kind} tokens of {who} on {labels['pod']} were there at the first scrape "
                    f"({shown(counter.born or 0)}) and may be older than the period: they are not billed."
                )
        last_moment = min(self.end, self._now)
        for pod in sorted({*self._targets, *self._began}):
            seen = sorted(time for target in self._targets.get(pod, ()) for time in self._seen[target])
            inside = [time for time in seen if time <= self.end]
            began = self._began.get(pod)
            if began is not None and began >= last_moment:
                continue
            first, last = (inside[0], inside[-1]) if inside else (last_moment, last_moment)
            alive = (first, last) if began is None else (max(began, self.start), last_moment)
            for begin, until in _accounting.gaps(seen, self.start, self.end, alive):
                found.append(f"{pod} was not scraped from {shown(begin)} to {shown(until)}.")
            if began is None and inside and inside[-1] == seen[-1]:
                found.append(f"{pod} has ended after its last scrape at {shown(last)}: what it counted then is lost.")
        if not any(time <= self.start for seen in self._seen.values() for time in seen):
            found.append(
                f"Nothing is stored of {shown(self.start)} or before: the period may have begun without a scrape."
            )
        nobody = sum(
            counter.total
            for (counts_requests, identity), counter in counters.items()
            if not counts_requests and _accounting.in_total(identity) and _names.REQUIRED_PAIR[1] not in dict(identity)
        )
        if nobody:
            found.append(f"{nobody} tokens carry no {_names.REQUIRED_PAIR[1]}: they can be billed to nobody.")
        for instance in self._unassigned:
            found.append(
                f"Several pods had the address {instance}: what a scrape stored of it without the pod is left out."
            )
        if self.end > self._now:
            found.append("The period is not over yet.")
        return found


def _by(name: str, value: str) -> str:
    return f"{name}={_prometheus.quoted(value)}"


def _plain(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "__name__"}
