# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What has stored the sidecars' counters, and how it is asked for them.

A classic histogram is stored as two counters, its sum and its count. A native one is stored as one series that has
both; it is told here as the same two counters, so that nobody else has to know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .. import _names
from .._prometheus import promql as _promql
from .._prometheus.identity import Identity
from .._prometheus.promql import label, quoted, with_label
from .._prometheus.replica import Replica
from .._prometheus.token_metric import of_sidecars
from .tenure import Span

# What kube-state-metrics tells of every pod (docs/metrics/workload/pod-metrics.md): Unix seconds, and who owns it.
CREATED, OWNER, REPLICASET_OWNER = "kube_pod_created", "kube_pod_owner", "kube_replicaset_owner"
# What Prometheus stores beside each scrape: whether it succeeded, how many samples there were, and how many were kept.
SCRAPE_SERIES = ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling")
SCRAPES = f'__name__=~"{"|".join(SCRAPE_SERIES)}"'
SERIES = f'__name__=~"{_names.STORED_COUNTERS_PATTERN}"'
# What a ReplicaSet or a DaemonSet puts behind its name (apimachinery, pkg/util/rand).
POD_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
# What a Deployment puts behind its own for a ReplicaSet: the ten digits of a 32-bit hash, each as another letter
# (kubernetes, pkg/controller, ComputeHash), or one less. The names of Envoy Gateway's DaemonSets end in eight letters.
POD_OF_REPLICASET = f".+-[456789bcdf]{{9,10}}-{POD_SUFFIX}"
# The label that tells the answers to several questions of one query apart.
QUESTION = "__question"
# How far it is looked back for what is not there a moment ago (seconds): step by step, because each costs more.
LOOK_BACK = (3600.0, 86400.0, 7 * 86400.0, 31 * 86400.0, 366 * 86400.0, 5 * 366 * 86400.0)


def _window(seconds: float) -> str:
    return f"[{round(seconds * 1000)}ms]"


def by(name: str, value: str) -> str:
    """A matcher."""
    return f"{label(name)}={quoted(value)}"


def any_of(name: str, values: Iterable[str]) -> str:
    """A matcher of several values; an empty one stands for no such label."""
    first, *others = sorted(values)
    return f"{label(name)}=~{_promql.alternatives([first, *others])}" if others else by(name, first)


class PodName(NamedTuple):
    """A pod as the store has it."""

    namespace: str
    """The label `namespace`: commonly the pod's own, but a platform may enforce another. Empty where there is none."""
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, self))


class Series(NamedTuple):
    """The samples of a counter."""

    labels: dict[str, str]
    """As they are stored, with the name."""
    requests: bool
    """Whether it counts requests; otherwise it sums tokens."""
    samples: list[tuple[float, float]]


@dataclass(frozen=True)
class Group:
    """What was stored of one pod: its own series, and those of scrapes that do not say the pod, by their address."""

    name: str
    """namespace/name of the pod; where no scrape says one, the address."""
    pod: PodName | None
    """None where no scrape says one."""
    addresses: Mapping[str, Sequence[Span]]
    """Those under which scrapes without the pod have stored it, each with the times at which it was this one's."""
    instance: str = ""
    """The address of the one that is meant, where two pods are stored under one name."""

    def scraped_at(self, whole: Scraped) -> set[str]:
        """The addresses at which it was scraped, of all that was."""
        own = {self.instance} if self.instance else whole.pods.get(self.pod, set()) if self.pod else set()
        return own or set(self.addresses)

    def selectors(self, begin: float, until: float) -> list[str]:
        """Matchers, each alternative for itself, of what is its own at some time between two."""
        unnamed = [
            f'pod="",{by("instance", address)}'
            for address, spans in sorted(self.addresses.items())
            if any(span.begin <= until and begin < span.until for span in spans)
        ]
        if self.pod is None:
            return unnamed
        own = [by("pod", self.pod.name), by("namespace", self.pod.namespace)]
        return [",".join([*own, *([by("instance", self.instance)] if self.instance else [])]), *unnamed]

    def owns_all(self, labels: Mapping[str, str]) -> bool:
        """Whether all samples of a series that it selects are its own."""
        return self.pod is not None and bool(labels.get("pod"))

    def owns(self, labels: Mapping[str, str], time: float) -> bool:
        """Whether a sample of a series that it selects is its own."""
        if self.owns_all(labels):
            return True
        return any(span.begin <= time < span.until for span in self.addresses.get(labels.get("instance", ""), ()))

    def changes(self, begin: float, until: float) -> bool:
        """Whether an address becomes or ceases to be its own between two times."""
        edges = (edge for spans in self.addresses.values() for span in spans for edge in span)
        return any(begin < edge < until for edge in edges)


@dataclass
class Scraped:
    """What was scraped in some time."""

    pods: dict[PodName, set[str]] = field(default_factory=dict)
    """The pods, with their addresses."""
    unnamed: set[str] = field(default_factory=set)
    """Addresses without a pod."""
    names: set[str] = field(default_factory=set)
    """The names under which counters are stored."""

    def __or__(self, other: Scraped) -> Scraped:
        pods = {pod: self.pods.get(pod, set()) | other.pods.get(pod, set()) for pod in {*self.pods, *other.pods}}
        return Scraped(pods, self.unnamed | other.unnamed, self.names | other.names)

    def has(self, group: Group) -> bool:
        return group.pod in self.pods or not self.unnamed.isdisjoint(group.addresses)


class Store:
    """Replicas of something that has stored what sidecars said."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        ports: Iterable[int],
        matchers: Mapping[str, str],
        *,
        is_sharded: bool = False,
    ) -> None:
        """What can be asked.

        Args:
            replicas: those that have stored it.
            ports: those at which sidecars serve their metrics.
            matchers: labels that every series has to have, with their values.
            is_sharded: whether each target may be scraped by one of several.
        """
        self.is_sharded = is_sharded or any(replica.is_sharded for replica in replicas)
        self.replicas = replicas
        self.ports = frozenset(ports)
        self.common = [by(name, value) for name, value in sorted(matchers.items())]
        self._scraped_since = math.inf
        """By this time some sidecar had been scraped; it may have been earlier."""
        self._not_scraped_until = -math.inf
        """Until this time none had."""

    def scraped(self, until: float, seconds: float) -> Scraped:
        """What was scraped in the seconds before a time: a day, say, because it takes a look at every sample.

        A sidecar has no counter before its first request, and may end before that is scraped: so targets count as well.
        """
        found = Scraped()
        for own in (SERIES, f'__name__="up",{of_sidecars(self.ports)}'):
            promql = f"group by (__name__, namespace, pod, instance) ({self.over('last_over_time', seconds, own)})"
            for replica in self.replicas:
                for item in replica.query(promql, until, apart=True):
                    labels = item["metric"]
                    if not self.is_sidecar(labels):
                        continue
                    instance = labels.get("instance", "")
                    if own == SERIES:
                        found.names.add(labels["__name__"])
                    if labels.get("pod"):
                        found.pods.setdefault(PodName(labels.get("namespace", ""), labels["pod"]), set()).add(instance)
                    else:
                        found.unnamed.add(instance)
        return found

    def was_scraping(self, time: float) -> bool:
        """Whether some sidecar had been scraped by a time, as far as it is still stored."""
        if self._not_scraped_until < time < self._scraped_since:
            asked = (of_sidecars(self.ports), by("__name__", "up")), (SERIES,)
            for seconds in LOOK_BACK:
                if any(self._has_samples(time, seconds, *matchers) for matchers in asked):
                    self._scraped_since = time
                    return True
            self._not_scraped_until = time
        return time >= self._scraped_since

    def was_scraping_siblings(self, pod: PodName, until: float, seconds: float) -> bool:
        """Whether a pod of the same ReplicaSet was scraped with success in the seconds before a time.

        The pods of a DaemonSet are none: those of another revision may have other labels.
        """
        if not re.fullmatch(POD_OF_REPLICASET, pod.name):
            return False
        alike = f"pod=~{quoted(re.escape(pod.name.rpartition('-')[0]) + '-' + POD_SUFFIX)}"
        matchers = by("__name__", "up"), of_sidecars(self.ports), alike, by("namespace", pod.namespace)
        scraped = f"group ({self.over('max_over_time', seconds, *matchers)} > 0)"
        return any(replica.query(scraped, until, apart=True) for replica in self.replicas)

    def _has_samples(self, until: float, seconds: float, *matchers: str) -> bool:
        promql = f"group by (instance) ({self.over('last_over_time', seconds, *matchers)})"
        return any(
            self.is_sidecar(item["metric"])
            for replica in self.replicas
            for item in replica.query(promql, until, apart=True)
        )

    def has_any(self, number: int, before: float, selector: str) -> bool:
        """Whether a replica has anything of a pod before a time: a scrape, or a counter without one."""
        kinds = (self.over("last_over_time", LOOK_BACK[-1], own, selector) for own in (SCRAPES, SERIES))
        return any(self.replicas[number].query(f"group ({kind})", before, apart=True) for kind in kinds)

    def named_at(self, addresses: Sequence[str], until: float, seconds: float) -> Iterator[dict[str, Any]]:
        """The samples of `up` of scrapes that say the pod, at addresses, in the seconds before a time."""
        for part in _promql.in_parts(addresses):
            some = _promql.alternatives(part)
            for number in range(len(self.replicas)):
                yield from self.samples(number, until, seconds, by("__name__", "up"), f"instance=~{some}", 'pod!=""')

    def latest(self, number: int, before: float, width: float, *matchers: str) -> float | None:
        """A time shortly after the last sample before another time: by so many seconds at most. None for no sample."""
        return _latest(before, width, lambda until, seconds: bool(self.last(number, until, seconds, *matchers)))

    def latest_success(self, number: int, before: float, width: float, selector: str) -> float | None:
        """A time shortly after the last scrape before another time that has succeeded."""

        def has_succeeded(until: float, seconds: float) -> bool:
            promql = f"{self.over('max_over_time', seconds, by('__name__', 'up'), selector)} > 0"
            return bool(self.replicas[number].query(promql, until, apart=True))

        return _latest(before, width, has_succeeded)

    def is_sidecar(self, labels: Mapping[str, str]) -> bool:
        """Whether a series is not of another application that exposes the same standard metric."""
        address = labels.get("instance", "")
        return not address.rpartition(":")[2].isdecimal() or self.is_sidecars(address)

    def is_sidecars(self, address: str) -> bool:
        """Whether an address (HOST:PORT) has one of the sidecars' ports."""
        port = address.rpartition(":")[2]
        return port.isdecimal() and int(port) in self.ports

    # --- what kube-state-metrics has told to the same store -----------------------------------------------------------

    def creations(self, pods: Sequence[PodName], until: float, seconds: float) -> dict[PodName, float]:
        """When pods were made (Unix seconds), of those of which that is stored."""
        found: dict[PodName, float] = {}
        for labels, value in self._of_pods(CREATED, "min_over_time", pods, until, seconds):
            pod = PodName(labels["namespace"], labels["pod"])
            found[pod] = min(value, found.get(pod, value))
        return found

    def owners(self, pods: Sequence[PodName], until: float, seconds: float) -> dict[PodName, tuple[str, str]]:
        """The kind and the name of pods' owners, of those of which that is stored."""
        return {
            PodName(labels["namespace"], labels["pod"]): (labels.get("owner_kind", ""), labels.get("owner_name", ""))
            for labels, dummy in self._of_pods(OWNER, "last_over_time", pods, until, seconds)
        }

    def replicaset_owners(self, names: Sequence[str], until: float, seconds: float) -> dict[tuple[str, str], str]:
        """The Deployment of each ReplicaSet, by namespace and name, of those of which that is stored."""
        return {
            (labels["namespace"], labels["replicaset"]): labels.get("owner_name", "")
            for labels, dummy in self._told("replicaset", REPLICASET_OWNER, "last_over_time", names, until, seconds)
            if labels.get("owner_kind") == "Deployment"
        }

    def _of_pods(
        self, metric: str, function: str, pods: Sequence[PodName], until: float, seconds: float
    ) -> Iterator[tuple[dict[str, str], float]]:
        names = sorted({pod.name for pod in pods})
        return self._told("pod", metric, function, names, until, seconds)

    def _told(
        self, subject: str, metric: str, function: str, names: Sequence[str], until: float, seconds: float
    ) -> Iterator[tuple[dict[str, str], float]]:
        """What is stored of some pods or ReplicaSets. Without honorLabels theirs are called exported_pod and so on."""
        for part in _promql.in_parts(names):
            alternatives = _promql.alternatives(part)
            for prefix in ("exported_", ""):
                promql = self.over(function, seconds, by("__name__", metric), f"{prefix}{subject}=~{alternatives}")
                for replica in self.replicas:
                    for item in replica.query(promql, until):
                        labels = dict(item["metric"])
                        if not prefix and f"exported_{subject}" in labels:
                            continue
                        for name in ("namespace", subject):
                            labels[name] = labels.get(f"{prefix}{name}", labels.get(name, ""))
                        yield labels, float(item["value"][1])

    # --- samples ------------------------------------------------------------------------------------------------------

    def samples(self, number: int, until: float, seconds: float, *matchers: str) -> list[dict[str, Any]]:
        """The samples of series in the seconds before a time, by one replica, as the API has them."""
        return self.replicas[number].query(f"{self._selector(*matchers)}{_window(seconds)}", until, apart=True)

    def counters(self, number: int, until: float, seconds: float, *matchers: str) -> Iterator[Series]:
        """The samples of counters in the seconds before a time, by one replica."""
        for item in self.samples(number, until, seconds, *matchers):
            name = item["metric"]["__name__"]
            if item.get("values"):
                yield Series(item["metric"], name.endswith("_count"), numbers(item["values"]))
            for requests, part in ((False, "sum"), (True, "count")) if item.get("histograms") else ():
                told = [(time, histogram[part]) for time, histogram in item["histograms"]]
                yield Series(item["metric"], requests, numbers(told))

    def last(self, number: int, until: float, seconds: float, *matchers: str) -> list[dict[str, Any]]:
        """The last sample of series in the seconds before a time, as the API has them."""
        return self.replicas[number].query(self.over("last_over_time", seconds, *matchers), until, apart=True)

    def answers(self, number: int, until: float, questions: Mapping[str, str]) -> list[tuple[str, Identity, float]]:
        """The answers to several questions at once: which question, the labels, and the value."""
        asked = [with_label(text, QUESTION, name) for name, text in questions.items()]
        found = []
        for item in self.replicas[number].query(" or ".join(asked), until, apart=True) if asked else ():
            labels = item["metric"]
            own = {name: text for name, text in labels.items() if name not in ("__name__", QUESTION)}
            found.append((labels[QUESTION], tuple(sorted(own.items())), float(item["value"][1])))
        return found

    def over(self, function: str, seconds: float, *matchers: str) -> str:
        """A question: a function over the seconds before the time at which it is asked."""
        return f"{function}({self._selector(*matchers)}{_window(seconds)})"

    def value_over(self, name: str, requests: bool, seconds: float, selector: str) -> str:
        """A question: what a counter had reached within the seconds before the time at which it is asked."""
        last = self.over("last_over_time", seconds, by("__name__", name), selector)
        if not is_native(name):
            return last
        return f"{'histogram_count' if requests else 'histogram_sum'}({last})"

    def _selector(self, *matchers: str) -> str:
        return f"{{{','.join([*matchers, *self.common])}}}"


def _latest(before: float, width: float, is_there: Callable[[float, float], bool]) -> float | None:
    """A time shortly after something was there last: by so many seconds at most. None where it never was.

    Args:
        before: before which it is looked for (Unix seconds).
        width: so many seconds.
        is_there: whether it was in the seconds before a time: called with that time, and with these.
    """
    low, high = 0.0, 0.0
    for high in LOOK_BACK:
        if is_there(before - low, high - low):
            break
        low = high
    else:
        return None
    while high - low > width:
        middle = (low + high) / 2
        if is_there(before - low, middle - low):
            high = middle
        else:
            low = middle
    return before - low


def is_native(name: str) -> bool:
    """Whether a counter is stored within a native histogram, by the name of the series."""
    return not name.endswith(("_sum", "_count"))


def counters_of(name: str) -> tuple[bool, ...]:
    """What a series of a name counts: tokens (False), requests (True), or both."""
    return (False, True) if is_native(name) else (name.endswith("_count"),)


def numbers(values: Iterable[Sequence[Any]]) -> list[tuple[float, float]]:
    """Times and values of samples, without the NaN by which VictoriaMetrics tells that a series has ended."""
    # NaN is the one number that is not itself.
    return [(float(time), value) for time, text in values if (value := float(text)) == value]
