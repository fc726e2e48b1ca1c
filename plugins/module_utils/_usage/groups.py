# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Which of the series that were scraped in a period are one pod's.

A scrape that says the pod tells it itself. What another scrape has stored is the pod's that had its address then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import store as _store
from . import tenure
from .owners import Owners
from .pod_history import AHEAD
from .store import Group, PodName, Scraped, Store

Seen = Mapping[str, Sequence[tuple[float, PodName]]]
"""By address, when a scrape that says the pod has found which one there."""


class Grouping:
    """The pods of a period."""

    def __init__(self, store: Store, owners: Owners, start: float, end: float) -> None:
        """Where it is looked.

        Args:
            store: what has stored the period.
            owners: what the cluster knows of pods; what kube-state-metrics has stored of them is added to it.
            start: when the period begins, in Unix seconds.
            end: when it ends.
        """
        self._store, self._owners = store, owners
        self._start, self._end = start, end
        self.created: dict[PodName, float] = {}
        """When pods were made that are gone, as far as kube-state-metrics has stored it."""

    def groups(self, whole: Scraped) -> list[Group]:
        """What was scraped in the period, or shortly before it: each pod with what was stored without its name."""
        named = set().union(*whole.pods.values())
        # What scrapes without the pod have stored until shortly before the period tells what a counter had reached.
        earlier = self._store.scraped(self._start, tenure.KEEPS).unnamed if named else set()
        seen = self._seen_at(sorted(whole.unnamed | (named & earlier)))
        made = self._ask_when_made(whole, seen)
        owned: dict[PodName, dict[str, list[tenure.Span]]] = {pod: {} for pod in whole.pods}
        free: list[Group] = []
        for address, times in seen.items():
            spans, rest = tenure.tenures(times, made)
            for pod, own in spans.items():
                # A pod may have been seen by its name shortly before the period, or only after it.
                if address in whole.unnamed or pod in whole.pods:
                    owned.setdefault(pod, {})[address] = own
            is_free = any(span.begin < self._end and self._start - AHEAD < span.until for span in rest)
            if address in whole.unnamed and is_free:
                free.append(Group(address, None, {address: rest}))
        found: list[Group] = []
        for pod, unnamed in sorted(owned.items()):
            apart = self._apart(pod, whole.pods.get(pod, set()))
            if not apart:
                found.append(Group(str(pod), pod, unnamed))
            for instance in apart:
                its_own = {address: spans for address, spans in unnamed.items() if address == instance}
                found.append(Group(f"{pod} at {instance}", pod, its_own, instance))
        return [*found, *free]

    def _seen_at(self, addresses: Sequence[str]) -> Seen:
        """When which pod was found at addresses by its name, from a day before the period to a day after it.

        So a report that is made later attributes what is around a cut as one does that has no cut there.
        """
        found: dict[str, set[tuple[float, PodName]]] = {address: set() for address in addresses}
        begin, until = self._start - tenure.KEEPS - AHEAD, self._end + tenure.KEEPS + AHEAD
        while addresses and begin < until:
            at = min(begin + tenure.KEEPS, until)
            for item in self._store.named_at(addresses, at, at - begin):
                labels = item["metric"]
                pod = PodName(labels.get("namespace", ""), labels["pod"])
                times = {(time, pod) for time, value in _store.numbers(item["values"]) if value}
                found[labels["instance"]] |= times
            begin = at
        return {address: sorted(times) for address, times in found.items()}

    def _ask_when_made(self, whole: Scraped, seen: Seen) -> dict[PodName, float]:
        """Times before which there was no such pod, as far as that is known; of pods that are gone the store is asked.

        What it tells of them and of their owners is kept.
        """
        at = {pod: set(addresses) for pod, addresses in whole.pods.items()}
        for address, times in seen.items():
            for pod in {pod for dummy, pod in times}:
                at.setdefault(pod, set()).add(address)
        gone = [pod for pod, addresses in at.items() if self._owners.pod(pod, addresses) is None]
        if gone:
            until = self._end + tenure.KEEPS
            asked = (until, until - self._start + tenure.KEEPS)
            self.created |= self._store.creations(gone, *asked)
            # Also where nobody asks for the Gateway: when an owner was made says what a first sample is worth.
            self._owners.stored = self._store.owners(gone, *asked)
            replicasets = sorted({name for kind, name in self._owners.stored.values() if kind == "ReplicaSet"})
            self._owners.deployments = self._store.replicaset_owners(replicasets, *asked)
        found = {pod: self._owners.beginning(pod, own, self.created.get(pod)).pod for pod, own in at.items()}
        return {pod: time for pod, time in found.items() if time is not None}

    def _apart(self, pod: PodName, addresses: set[str]) -> list[str]:
        """The addresses of several pods that are stored under one name; nothing where that is one pod.

        So it is where a platform enforces the label `namespace`, and two namespaces have a pod of one name.
        """
        own = sorted(filter(self._store.is_sidecars, addresses))
        return own if self._owners.has_alike(pod, own) else []
