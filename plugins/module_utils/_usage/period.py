# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""A period of the bill, pod by pod: what was used, and what cannot be known of it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from .. import _progress
from .._gateway import sidecar as _sidecar
from .._kubernetes import objects
from . import doubts as _doubts
from . import owners as _owners
from .doubts import Doubt, shown
from .groups import Grouping
from .owners import Owners
from .pod_reader import AHEAD, Key, PodReader
from .scrape_history import Presence
from .store import PodName, Scraped, Store
from .totals import Sums

# So many pods are read at once: a store is asked by others, too.
AT_ONCE = 2


def followed(
    reader: PodReader, days: Mapping[int, tuple[float, float]], tell: Callable[[float], None]
) -> dict[Key, dict[int, int]]:
    """What each counter of a pod has counted, by day.

    Args:
        reader: follows its counters.
        days: those on which it was scraped, by their numbers: when each begins and ends.
        tell: is told when a day is begun.
    """
    added: dict[Key, dict[int, int]] = {}
    for day, (begin, until) in days.items():
        tell(begin)
        before = {key: counter.total for key, counter in reader.counters.items()}
        reader.window(begin, until)
        for key, counter in reader.counters.items():
            if counter.total != before.get(key, 0):
                added.setdefault(key, {})[day] = counter.total - before.get(key, 0)
    reader.finish()
    return added


class Period:
    """A period as the replicas of a Prometheus have stored it."""

    def __init__(self, store: Store, start: float, end: float, now: float, owners: Owners) -> None:
        """What is to be read.

        Args:
            store: what has stored it.
            start: when it begins, in Unix seconds.
            end: when it ends.
            now: the present moment.
            owners: what the cluster knows of pods.
        """
        self._store = store
        self.start, self.end, self._now = start, end, now
        self._owners = owners
        self._readers: dict[str, PodReader] = {}
        self._gateways: dict[str, str] = {}
        self._at: dict[str, set[str]] = {}
        """By the name of a group, the addresses at which it was scraped."""
        self._later: set[PodName] = set()
        """The pods that were scraped after the period, too."""

    def gateway(self, name: str) -> str:
        """The Gateway of a group, by the group's name."""
        return self._gateways.get(name, "")

    def read(self, sums: Sums, days: Sequence[tuple[float, float]]) -> None:
        """Follow every counter through the days of the period, pod by pod, and sum them up."""
        active = [self._store.scraped(until, until - begin + AHEAD) for begin, until in days]
        whole = functools.reduce(operator.or_, active, Scraped())
        grouping = Grouping(self._store, self._owners, self.start, self.end)
        groups = grouping.groups(whole)
        pace = _progress.Pace("reading what was stored of pods")
        readers = []
        for group in groups:
            addresses = self._at[group.name] = group.scraped_at(whole)
            created = grouping.created.get(group.pod) if group.pod else None
            beginning = self._owners.beginning(group.pod, addresses, created)
            readers.append(PodReader(self._store, group, sorted(whole.names), self.start, beginning))

        def follow(numbered: tuple[int, PodReader]) -> dict[Key, dict[int, int]]:
            number, reader = numbered
            place = f"{reader.group.name}, {number} of {len(groups)}"
            own = {day: span for day, span in enumerate(days) if active[day].has(reader.group)}
            return followed(reader, own, lambda begin: pace.tell(f"{place}: {shown(begin)}"))

        threads = ThreadPoolExecutor(AT_ONCE)
        try:
            for reader, added in zip(readers, threads.map(follow, enumerate(readers, start=1)), strict=True):
                name, at = reader.group.name, self._at[reader.group.name]
                self._gateways[name] = self._owners.gateway(reader.group.pod, at, reader.presence.first)
                for key, counter in reader.counters.items():
                    sums.add(*key, added.get(key, {}), counter, reader.names_of(key))
                self._readers[name] = reader
        finally:
            threads.shutdown(cancel_futures=True)
        self._later = set(self._store.scraped(self.end + AHEAD, AHEAD).pods)

    # --- what cannot be known -----------------------------------------------------------------------------------------

    def doubts(self, sums: Sums) -> list[Doubt]:
        """What cannot be known of the period."""
        last_moment = min(self.end, self._now)
        found = _doubts.of_sums(sums, self.gateway)
        idle = []
        for name, reader in sorted(self._readers.items()):
            has_ended = self._has_ended(reader)
            found += _doubts.of_pod(
                reader,
                sums.of_pods.get(name, 0),
                end=self.end,
                alive=self._alive(reader, last_moment),
                last_moment=last_moment,
                has_ended=has_ended,
            )
            if has_ended and not reader.counters:
                idle.append(reader.presence.step)
        found += _doubts.of_idle(idle)
        found += self._doubts_of_unscraped(last_moment)
        if not self._store.was_scraping(self.start):
            text = f"Nothing is stored of {shown(self.start)} or before: the period may have begun without a scrape."
            found.append(Doubt(text))
        if self.end > self._now:
            found.append(Doubt("The period is not over yet."))
        elif self.end + AHEAD > self._now:
            text = "The period has only just ended: where samples are stored late, the last of it may be missing."
            found.append(Doubt(text))
        return found

    def _there(self, reader: PodReader) -> objects.Object | None:
        """The pod in the cluster that was scraped; None where it is gone."""
        return self._owners.pod(reader.group.pod, self._at[reader.group.name])

    def _has_ended(self, reader: PodReader) -> bool:
        """Whether a pod is gone, and has not been scraped after the period."""
        pod = reader.group.pod
        is_gone = pod is not None and pod not in self._later and self._there(reader) is None
        return is_gone and reader.presence.may_be_cut

    def _alive(self, reader: PodReader, last_moment: float) -> tuple[float, float] | None:
        """From when to when in the period a pod that is there has run; None for one that is gone."""
        name, there = reader.group.name, self._there(reader)
        # What becomes of a pod that is scraped by its name as well is told there.
        is_told = reader.group.pod is None and any(name in at for other, at in self._at.items() if other != name)
        began = _owners.started_at(there) if there is not None and not is_told else None
        return None if began is None or began >= last_moment else (max(began, self.start), last_moment)

    def _doubts_of_unscraped(self, last_moment: float) -> list[Doubt]:
        """The sidecars that are there and were not scraped at all in the period."""
        there = [self._there(reader) for reader in self._readers.values()]
        known = {objects.name_of(pod) for pod in there if pod is not None}
        found = []
        for sidecar in _sidecar.sidecars(self._owners.pods):
            began = _owners.started_at(sidecar.pod)
            if sidecar.name not in known and began is not None and began < last_moment:
                for span in Presence(self.start).ended((max(began, self.start), last_moment)):
                    found.append(_doubts.of_gap(sidecar.name, span, 0.0, last_moment))
        return found
