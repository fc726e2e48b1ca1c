# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What the first sample of a counter is worth: all of it where the counter is known to be new, else nothing.

What is older was counted before anybody metered, or is billed already.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .._prometheus.identity import Identity
from . import pod_history
from .counter import Sample
from .pod_history import Key, Origin, PodHistory
from .sample_reader import SampleReader
from .scrape_history import Scrapes
from .store import LOOK_BACK, SCRAPE_SERIES, SCRAPES, SERIES, Group, Store, by, counters_of

# Within so many seconds the last sample of something is looked for, before its samples are read.
WIDTH = 600.0
# A pod that is there, and that somebody would scrape, is scraped within so many seconds, at any interval that is usual.
UNSEEN = 300.0
# The samples of a longer time are read in pieces of so many seconds.
PIECE = 86400.0


@dataclass(frozen=True)
class Beginning:
    """What is known, beside what is stored, of when a pod and its sidecar's processes began (Unix seconds)."""

    processes: Sequence[float] = ()
    """Times at or after which a process of it began: when its ReplicaSet or its pod was made, or its container
    started."""
    pod: float | None = None
    """A time before which there was no such pod."""
    exact: Sequence[float] = ()
    """Those of these times that are the pod's or the container's own, and not only its ReplicaSet's."""


@dataclass
class FirstSamples:
    """Judges the first samples of one pod's counters."""

    store: Store
    group: Group
    beginning: Beginning
    history: PodHistory
    samples: SampleReader
    late: dict[float, float] = field(default_factory=dict)
    """By the time of a scrape whose first samples were billed, when their process began (Unix seconds)."""
    _after_siblings: dict[float, bool] = field(default_factory=dict)
    """By the time of a scrape, whether the pod is known to have come after a sibling."""
    _earlier: dict[Key, list[tuple[int, str, Identity]]] | None = None
    """The series of each counter before what is known of it; None until that is asked for."""

    # --- by what the scrapes show -------------------------------------------------------------------------------------

    def shows_new(self, own: Scrapes, time: float) -> bool:
        """Whether what a target's scrape shows for the first time is known to have begun while it was metered."""
        if own.shows_new(time):
            return True
        now = next((scrape for scrape in own.until(time) if scrape.time == time), None)
        # Whichever target has scraped the pod last: what it did not see was not there.
        last = max((scrape for it in self.history.scrapes.values() for scrape in it.before(time)), default=None)
        if now is None or last is None:
            return self._began_while_scraped(time)
        if now.shows_more(last):
            return True
        # What was there then, and is only stored otherwise now, is as old as that.
        return self._began_while_scraped(time, last.time if now.shows_the_same(last) else -math.inf)

    def _began_while_scraped(self, time: float, since: float = -math.inf) -> bool:
        """Whether the process that tells something at a time is known to have begun after somebody metered.

        Args:
            time: that time.
            since: after this, too.
        """
        for bound in sorted(self.beginning.processes, reverse=True):
            if since < bound <= time and self.store.was_scraping(bound):
                if bound in self.beginning.exact:
                    self.late[time] = bound
                return True
        if since != -math.inf or self.beginning.exact:
            return False
        if time not in self._after_siblings:
            self._after_siblings[time] = self._came_after_a_sibling(time)
        return self._after_siblings[time]

    def _came_after_a_sibling(self, time: float) -> bool:
        """Whether a pod of the same ReplicaSet was being scraped shortly before this one was there.

        Both have the same labels, so what has scraped the one would have scraped the other as well, had it been there.
        Not so where each target is scraped by one of several: another of them may not have run.
        """
        pod, absent = self.group.pod, time - UNSEEN
        if pod is None or self.group.instance or self.store.is_sharded:
            return False
        return self.store.was_scraping_siblings(pod, absent, UNSEEN) and not any(
            self.store.has_any(number, absent, selector)
            for number in range(len(self.store.replicas))
            for selector in self.group.selectors(-math.inf, absent)
        )

    # --- by what was stored before ------------------------------------------------------------------------------------

    def may_be_older(self, own: Mapping[Origin, Sequence[Sample]]) -> bool:
        """Whether a counter may have been scraped before what is known of it: only then it is looked for."""
        times = [min(samples).time for samples in own.values() if samples]
        is_first_later = bool(times) and min(times) > self.history.start
        return is_first_later and (
            self.beginning.pod is None or self.beginning.pod <= self.history.start - pod_history.AHEAD
        )

    def recall(self, key: Key) -> bool:
        """Take in what a counter had reached before what is known, and when the pod was scraped last before that.

        Returns:
            Whether the process has begun anew since then, so that whatever the counter shows next is new.
        """
        if self._earlier is None:
            self._earlier = self._read_earlier_series(self.history.start - pod_history.AHEAD)
        found: dict[Key, dict[Origin, list[Sample]]] = {}
        for number, selector, labels in self._earlier.get(key, ()):
            matchers = [*(by(name, text) for name, text in labels), selector]
            latest = self.store.latest(number, self.history.start - pod_history.AHEAD, WIDTH, *matchers)
            if latest is None:
                continue
            scrapes = self.store.samples(number, latest, WIDTH, SCRAPES, selector)
            targets, dummy = self.history.note_scrapes(number, scrapes, self.group.owns)
            for series in self.store.counters(number, latest, WIDTH, *matchers):
                self.samples.take(found, number, targets, series)
        own = found.get(key, {})
        times = [sample.time for samples in own.values() for sample in samples]
        if not times:
            return False
        for number, selector in sorted({(number, selector) for number, selector, dummy in self._earlier[key]}):
            self._note_restarts(number, selector, max(times))
        if self.history.has_surely_restarted(max(times), self.history.start):
            return True
        known = self.history.add_sources(key, own)
        in_order = [sorted(own.get(source, [])) for source in known]
        self.history.counters[key].follow(
            in_order,
            self.history.start,
            self.history.start,
            lambda *_: False,
            has_surely_restarted=self.history.has_surely_restarted,
        )
        return False

    def _note_restarts(self, number: int, selector: str, time: float) -> None:
        """Note the scrapes between a time and the period, where one may show that the process has begun anew."""
        exposed = (by("__name__", SCRAPE_SERIES[1]), selector)
        # The scrape of that very time is the first to be compared with.
        resets = f"{self.store.over('resets', self.history.start - time + 0.001, *exposed)} > 0"
        if not self.store.answers(number, self.history.start, {"resets": resets}):
            return
        # A scrape that failed is stored as one of no samples: only its `up` tells it from one of a new process.
        while time < self.history.start:
            until = min(time + PIECE, self.history.start)
            self.history.note_scrapes(
                number, self.store.samples(number, until, until - time + 0.001, SCRAPES, selector), self.group.owns
            )
            time = until

    def _read_earlier_series(self, before: float) -> dict[Key, list[tuple[int, str, Identity]]]:
        """The latest series of each counter before a time, each with its replica and selector; and the scrapes then."""
        found: dict[Key, list[tuple[int, str, Identity]]] = {}
        if not self.store.was_scraping(before):
            return found
        for number in range(len(self.store.replicas)):
            for selector in self.group.selectors(-math.inf, before):
                # Most pods began later: one question tells that there is nothing.
                if not self.store.has_any(number, before, selector):
                    continue
                latest = self.store.latest_success(number, before, WIDTH, selector)
                if latest is not None:
                    dummy, times = self.history.note_scrapes(
                        number,
                        self.store.samples(number, latest, WIDTH + pod_history.AHEAD, SCRAPES, selector),
                        self.group.owns,
                    )
                    if times:
                        # What it counted since is billed at the first scrape of the period.
                        self.history.presence.note_before(max(times))
                seen: set[Key] = set()
                for low, high in pairwise((0.0, *LOOK_BACK)):
                    items = self.store.last(number, before - low, high - low, SERIES, selector)
                    here = list(self._keys_of(items, number))
                    for key, labels in here:
                        if key not in seen:
                            found.setdefault(key, []).append((number, selector, labels))
                    seen |= {key for key, dummy in here}
        return found

    def _keys_of(self, items: Iterable[Mapping[str, Any]], number: int) -> Iterator[tuple[Key, Identity]]:
        """The counters that series are of, each with the labels of the series."""
        targets = [dict(labels) for of, labels in self.history.scrapes if of == number]
        for item in items:
            for requests in counters_of(item["metric"]["__name__"]):
                told = self.history.key_of(item["metric"], requests, targets, number)
                if told is not None:
                    yield told[0], told[1][0]
