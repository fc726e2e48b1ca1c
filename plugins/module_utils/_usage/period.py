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
from .doubts import Doubt, shown_time
from .groups import Grouping
from .owners import Owners
from .pod_history import AHEAD, Key
from .pod_reader import PodReader
from .scrape_history import Presence
from .store import Group, PodName, Scraped, Store
from .totals import Sums

# So many pods are read at once: a store is asked by others, too.
AT_ONCE = 2


def follow_days(
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
        before = {key: counter.total for key, counter in reader.history.counters.items()}
        reader.window(begin, until)
        for key, counter in reader.history.counters.items():
            if counter.total != before.get(key, 0):
                added.setdefault(key, {})[day] = counter.total - before.get(key, 0)
    reader.history.forget_keys()
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
        self._groups: list[Group] = []
        self._of_pods: dict[str, list[Doubt]] = {}
        """By the name of a group, what cannot be known of it."""
        self._idle: list[float] = []
        """Of pods that have ended and had no counter: how long after one scrape the next one came (seconds)."""
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
        self._groups = groups
        for group in groups:
            self._at[group.name] = group.scraped_at(whole)
        # Asked for first, so that nothing has to be kept of a pod but what is said of it.
        self._later = set(self._store.scraped(self.end + AHEAD, AHEAD).pods)

        def follow(numbered: tuple[int, Group]) -> tuple[PodReader, dict[Key, dict[int, int]]]:
            number, group = numbered
            created = grouping.created.get(group.pod) if group.pod else None
            beginning = self._owners.beginning(group.pod, self._at[group.name], created)
            reader = PodReader(self._store, group, sorted(whole.names), self.start, beginning)
            own = {day: span for day, span in enumerate(days) if active[day].has(group)}
            place = f"{group.name}, {number} of {len(groups)}"
            return reader, follow_days(reader, own, lambda begin: pace.tell(f"{place}: {shown_time(begin)}"))

        threads = ThreadPoolExecutor(AT_ONCE)
        try:
            for reader, added in threads.map(follow, enumerate(groups, start=1)):
                self._take(sums, reader, added)
        finally:
            threads.shutdown(cancel_futures=True)

    def _take(self, sums: Sums, reader: PodReader, added: Mapping[Key, Mapping[int, int]]) -> None:
        """Sum up what was read of a pod, and note what cannot be known of it."""
        name = reader.group.name
        self._gateways[name] = self._owners.gateway(reader.group.pod, self._at[name], reader.history.presence.first)
        for key, counter in reader.history.counters.items():
            sums.add(*key, added.get(key, {}), counter, reader.history.names_of(key))
        has_ended = self._has_ended(reader)
        self._of_pods[name] = _doubts.of_pod(
            reader.history,
            reader.first.late,
            sums.of_pods.get(name, 0),
            end=self.end,
            alive=self._alive(reader.group),
            last_moment=self._last_moment,
            has_ended=has_ended,
        )
        if has_ended and not reader.history.counters:
            self._idle.append(reader.history.presence.step)

    # --- what cannot be known -----------------------------------------------------------------------------------------

    def doubts(self, sums: Sums) -> list[Doubt]:
        """What cannot be known of the period."""
        found = _doubts.of_sums(sums, self.gateway)
        for dummy, own in sorted(self._of_pods.items()):
            found += own
        found += _doubts.of_idle(self._idle)
        found += self._doubts_of_unscraped()
        if not self._store.was_scraping(self.start):
            text = (
                f"Nothing is stored of {shown_time(self.start)} or before: the period may have begun without a scrape."
            )
            found.append(Doubt(text))
        if self.end > self._now:
            found.append(Doubt("The period is not over yet."))
        elif self.end + AHEAD > self._now:
            text = "The period has only just ended: where samples are stored late, the last of it may be missing."
            found.append(Doubt(text))
        return found

    @property
    def _last_moment(self) -> float:
        return min(self.end, self._now)

    def _there(self, group: Group) -> objects.Object | None:
        """The pod in the cluster that was scraped; None where it is gone."""
        return self._owners.pod(group.pod, self._at[group.name])

    def _has_ended(self, reader: PodReader) -> bool:
        """Whether a pod is gone, and has not been scraped after the period."""
        pod = reader.group.pod
        is_gone = pod is not None and pod not in self._later and self._there(reader.group) is None
        return is_gone and reader.history.presence.may_be_cut

    def _alive(self, group: Group) -> tuple[float, float] | None:
        """From when to when in the period a pod that is there has run; None for one that is gone."""
        there = self._there(group)
        # What becomes of a pod that is scraped by its name as well is told there.
        is_told = group.pod is None and any(group.name in at for name, at in self._at.items() if name != group.name)
        began = _owners.started_at(there) if there is not None and not is_told else None
        return None if began is None or began >= self._last_moment else (max(began, self.start), self._last_moment)

    def _doubts_of_unscraped(self) -> list[Doubt]:
        """The sidecars that are there and were not scraped at all in the period."""
        there = [self._there(group) for group in self._groups]
        known = {objects.name_of(pod) for pod in there if pod is not None}
        found = []
        for sidecar in _sidecar.sidecars_of(self._owners.pods):
            began = _owners.started_at(sidecar.pod)
            if sidecar.name not in known and began is not None and began < self._last_moment:
                for span in Presence(self.start).ended((max(began, self.start), self._last_moment)):
                    found.append(_doubts.of_gap(sidecar.name, span, 0.0, self._last_moment))
        return found
