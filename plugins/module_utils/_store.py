# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What has stored the sidecars' counters, and how it is asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _names, _prometheus
from ansible_collections.aigateway.metering.plugins.module_utils._identity import Identity
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import Replica
from ansible_collections.aigateway.metering.plugins.module_utils._stored import label, quoted

# So many names fit into one query.
NAMES_AT_ONCE = 100
# What kube-state-metrics tells of every pod (docs/metrics/workload/pod-metrics.md): Unix seconds.
CREATED = "kube_pod_created"
# What Prometheus stores beside each scrape: whether it succeeded, how many samples there were, and how many were kept.
SCRAPE_SERIES = ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling")
SCRAPES = f'__name__=~"{"|".join(SCRAPE_SERIES)}"'
SERIES = f'__name__=~"{_names.USAGE_COUNTERS_PATTERN}"'
# The label that tells the answers to several questions of one query apart.
QUESTION = "__question"


def _window(seconds: float) -> str:
    return f"[{round(seconds * 1000)}ms]"


def by(name: str, value: str) -> str:
    """A matcher."""
    return f"{label(name)}={quoted(value)}"


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
        unnamed = [f'pod="",{by("instance", address)}' for address in sorted(self.addresses)]
        return [by("pod", self.pod), *unnamed] if self.is_named else unnamed


@dataclass
class Scraped:
    """What was scraped in some time."""

    pods: dict[str, set[str]] = field(default_factory=dict)
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

    def __init__(self, replicas: Sequence[Replica], ports: Iterable[int], matchers: Mapping[str, str]) -> None:
        """What can be asked.

        Args:
            replicas: those that have stored it.
            ports: those at which sidecars serve their metrics.
            matchers: labels that every series has to have, with their values.
        """
        self.replicas = replicas
        self.ports = frozenset(map(str, ports))
        self.common = [by(name, value) for name, value in sorted(matchers.items())]

    def scraped(self, until: float, seconds: float) -> Scraped:
        """What was scraped in the seconds before a time: a day, say, because it takes a look at every sample.

        A sidecar has no counter before its first request, and may end before that is scraped: so targets count as well.
        """
        found = Scraped()
        ports = "|".join(sorted(self.ports))
        for own in (SERIES, f'__name__="up",instance=~".+:({ports})"'):
            promql = f"group by (__name__, pod, instance) ({self.over('last_over_time', seconds, own)})"
            for replica in self.replicas:
                for item in replica.query(promql, until, apart=True):
                    if not self.is_sidecar(item["metric"]):
                        continue
                    pod, instance = item["metric"].get("pod", ""), item["metric"].get("instance", "")
                    if own == SERIES:
                        found.names.add(item["metric"]["__name__"])
                    if pod:
                        found.pods.setdefault(pod, set()).add(instance)
                    else:
                        found.unnamed.add(instance)
        return found

    def is_sidecar(self, labels: Mapping[str, str]) -> bool:
        """Whether a series is not of another application that exposes the same standard metric."""
        port = labels.get("instance", "").rpartition(":")[2]
        return not port.isdigit() or port in self.ports

    def creations(self, pods: Sequence[str], until: float, seconds: float) -> dict[str, float]:
        """When pods were made (Unix seconds), of those of which kube-state-metrics has told it to the same store."""
        found: dict[str, float] = {}
        for first in range(0, len(pods), NAMES_AT_ONCE):
            names = _prometheus.alternatives(pods[first : first + NAMES_AT_ONCE])
            selector = self._selector(by("__name__", CREATED), f"pod=~{names}")
            for replica in self.replicas:
                for item in replica.query(f"min by (pod) (min_over_time({selector}{_window(seconds)}))", until):
                    pod, value = item["metric"]["pod"], float(item["value"][1])
                    found[pod] = min(value, found.get(pod, value))
        return found

    def samples(self, number: int, until: float, seconds: float, *matchers: str) -> list[dict[str, Any]]:
        """The samples of series in the seconds before a time, by one replica."""
        return self.replicas[number].query(f"{self._selector(*matchers)}{_window(seconds)}", until, apart=True)

    def last(self, number: int, until: float, seconds: float, *matchers: str) -> list[dict[str, Any]]:
        """The last sample of series in the seconds before a time."""
        return self.replicas[number].query(self.over("last_over_time", seconds, *matchers), until, apart=True)

    def answers(self, number: int, until: float, questions: Mapping[str, str]) -> list[tuple[str, Identity, float]]:
        """The answers to several questions at once: which question, the labels, and the value."""
        asked = [f'label_replace({text}, "{QUESTION}", {quoted(name)}, "", "")' for name, text in questions.items()]
        found = []
        for item in self.replicas[number].query(" or ".join(asked), until, apart=True) if asked else ():
            labels = item["metric"]
            own = {name: text for name, text in labels.items() if name not in ("__name__", QUESTION)}
            found.append((labels[QUESTION], tuple(sorted(own.items())), float(item["value"][1])))
        return found

    def over(self, function: str, seconds: float, *matchers: str) -> str:
        """A question: a function over the seconds before the time at which it is asked."""
        return f"{function}({self._selector(*matchers)}{_window(seconds)})"

    def _selector(self, *matchers: str) -> str:
        return f"{{{','.join([*matchers, *self.common])}}}"
