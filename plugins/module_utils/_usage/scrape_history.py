# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""When a pod was scraped, and what its scrapes show of the sidecar's process.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

GAP_INTERVALS = 3
# Where a target was scraped once or never, the interval that is taken for its own.
USUAL_SECONDS = 60.0


class Scrape(NamedTuple):
    """A scrape that succeeded."""

    time: float
    exposed: int
    """How many samples the sidecar had to tell: more with each new counter, fewer only where it has begun anew."""
    dropped: int
    """How many of them were not stored."""

    def shows_restart(self, earlier: Scrape) -> bool:
        """Whether the process has begun anew since an earlier scrape."""
        return self.exposed < earlier.exposed

    def shows_more(self, earlier: Scrape) -> bool:
        """Whether there is something new since an earlier one, and not only something that was dropped until then."""
        return self.exposed > earlier.exposed and self.dropped >= earlier.dropped

    def shows_the_same(self, earlier: Scrape) -> bool:
        """Whether nothing was added since an earlier one, nor stored that was dropped until then."""
        return self.exposed == earlier.exposed and self.dropped >= earlier.dropped


@dataclass
class Scrapes:
    """The scrapes of a target, looked at piece by piece."""

    restarts: set[tuple[float, float]] = field(default_factory=set)
    """Between which two scrapes the process has begun anew."""
    _known: list[Scrape] = field(default_factory=list)
    """Those of the present piece, and the last one before it."""

    def look(self, scrapes: Sequence[Scrape]) -> None:
        """Go on with a piece, of which some may be known already."""
        if not scrapes:
            return
        begin = min(scrapes).time
        before = [scrape for scrape in self._known if scrape.time < begin][-1:]
        self._known = sorted({*before, *(scrape for scrape in self._known if scrape.time >= begin), *scrapes})
        for earlier, later in pairwise(self._known):
            if later.shows_restart(earlier):
                self.restarts.add((earlier.time, later.time))

    def until(self, time: float) -> list[Scrape]:
        """Those that are known, up to a time."""
        return [scrape for scrape in self._known if scrape.time <= time]

    def before(self, time: float) -> list[Scrape]:
        """The last one that is known before a time; nothing where there is none."""
        return [scrape for scrape in self._known if scrape.time < time][-1:]

    def shows_new(self, time: float) -> bool:
        """Whether what a scrape shows for the first time was not there at the one before.

        Otherwise it may have been dropped until then, or been given other labels on its way.
        """
        known = self.until(time)
        if len(known) < 2 or known[-1].time != time:
            return False
        return known[-1].shows_more(known[-2]) or known[-1].shows_restart(known[-2])

    def took_over(self, others: Sequence[Scrapes], earlier: float, later: float) -> bool:
        """Whether it has first shown less than others until some time, and a counter of theirs only at a later one."""
        told = [scrape for other in others for scrape in other.until(earlier)[-1:]]
        if not self._known or not told or not earlier < self._known[0].time < later:
            return False
        first, last = self._known[0], max(told)
        return first.shows_restart(last) and first.dropped <= last.dropped


def typical_interval(times: Sequence[float]) -> float | None:
    """The step between times in their order; several may scrape, each at its own pace: nine of ten are no longer."""
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    return steps[len(steps) * 9 // 10] if steps else None


@dataclass
class Presence:
    """When a pod was scraped, looked at piece by piece from shortly before a period on."""

    start: float = 0.0
    """When the period begins."""
    first: float | None = None
    last: float | None = None
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """When it was not, although it was there: for more than three usual steps that reach into the period."""
    step: float = USUAL_SECONDS
    """How long after one scrape the next one comes (seconds)."""
    scraped: float = 0.0
    """For how many seconds of the period it was scraped."""
    before: float | None = None
    """When it was scraped last before all of that, where this was looked for."""

    # So many steps tell what is usual better than what was so before.
    TELLING = 10

    def look(self, times: Sequence[float]) -> None:
        """Go on with the times of a piece, by whichever scrape."""
        times = sorted(set(times))
        step = typical_interval(times)
        if step is not None and (len(times) > self.TELLING or self.first is None):
            self.step = step
        for time in times:
            self._to(time)

    def steady(self, until: float) -> None:
        """Go on over a piece in which it was scraped all the time."""
        self.scraped += until - max(self.start, self.last if self.last is not None else until)
        self.first = until if self.first is None else self.first
        self.last = until

    def note_before(self, time: float) -> None:
        """Note a scrape before all that was looked at."""
        self.before = time if self.before is None else max(self.before, time)

    def ended(self, alive: tuple[float, float] | None) -> list[tuple[float, float]]:
        """All gaps; also those before the first scrape and after the last where it is known to have been there then."""
        begin, until = (None, None) if alive is None else alive
        if self.before is not None:
            begin = self.before
        if self.first is None or self.last is None:
            return [] if begin is None or until is None else self._missed(begin, until)
        earlier = [] if begin is None else self._missed(begin, self.first)
        return [*earlier, *self.gaps, *([] if until is None else self._missed(self.last, until))]

    @property
    def may_be_cut(self) -> bool:
        """Whether it was scraped so late that it may have counted on into the period."""
        return self.last is not None and self.last >= self.start - GAP_INTERVALS * self.step

    def _missed(self, earlier: float, later: float) -> list[tuple[float, float]]:
        is_long = later - earlier > GAP_INTERVALS * self.step
        return [(earlier, later)] if is_long and later > self.start else []

    def _to(self, time: float) -> None:
        if self.first is None:
            self.first = time
        elif self.last is not None:
            missed = self._missed(self.last, time)
            self.gaps += missed
            if not missed and time > self.start:
                self.scraped += time - max(self.last, self.start)
        self.last = time if self.last is None else max(time, self.last)
