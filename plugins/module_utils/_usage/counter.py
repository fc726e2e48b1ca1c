# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Tokens that a counter has counted in a period, to the token, from its stored samples.

A sidecar counts; whoever scrapes it stores samples; several may scrape it at once or one after the other, under labels
of their own. Those are one counter, told by what the sidecar itself says and by its pod. Growth is the sum of what each
life of the process has added. The value of a series' first sample is growth only where it is known that there was
nothing before; otherwise it is a doubt. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# What a source has told longer ago says nothing of a restart that only it has seen (seconds). Whoever reads a period
# looks so far back before it: what is billed must not depend on where a period begins.
RECENT = 600.0


class Sample(NamedTuple):
    """A stored value, and when it was scraped (Unix seconds)."""

    time: float
    value: int


class Reached(NamedTuple):
    """What a source has told of a counter."""

    value: int
    life: int
    """Of which life of the process."""
    time: float


@dataclass
class Counter:
    """One counter, followed through the samples of all that scrape it, in the order of their times."""

    total: int = 0
    """What was added in the period."""
    baseline: int = 0
    """What the first sample had and is not billed: it may be older than the period."""
    born: float | None = None
    """When its first sample in the period was taken, where none was before."""
    level: int | None = None
    _life: int = 0
    _setter: int = 0
    """The source that has set the level."""
    _last: dict[int, Reached] = field(default_factory=dict)
    """By source, what it has told last."""
    _floor: int = 0
    """What the setter had told before the level: an answer that is late, but of the same life, is not below it."""
    seen: float = 0.0
    """When it was last there."""
    _looked_at: float = 0.0
    """Until when each sample of it was looked at; since then it is only known to have gone on."""

    def follow(
        self,
        sources: Sequence[Sequence[Sample]],
        start: float,
        end: float,
        is_new: Callable[[int, float], bool],
        has_restarted: Callable[[int, float, float], bool] = lambda *_: False,
        has_surely_restarted: Callable[[float, float], bool] = lambda *_: False,
    ) -> None:
        """Go on with further samples.

        Args:
            sources: what each scrape has stored, later than what was followed before. Samples after the end serve to
                look ahead.
            start: when the period begins, in Unix seconds. What was scraped then belongs to the time before.
            end: when it ends. What was scraped then belongs to it.
            is_new: whether a counter that a source (by its number) shows first at some time is known to have begun at 0
                while somebody metered.
            has_restarted: whether a source shows that the process has begun anew between two times, or shortly before
                the first of them.
            has_surely_restarted: whether any source shows that it has begun anew after one time and before another.
        """
        positions = [0] * len(sources)
        events = sorted((sample.time, number, sample.value) for number, own in enumerate(sources) for sample in own)
        for time, number, value in events:
            positions[number] += 1
            if time > end:
                return
            setter = sources[self._setter] if self._setter < len(sources) else ()
            ahead = setter[positions[self._setter]].value if positions_left(setter, positions, self._setter) else None
            before = self._last.get(number)
            has_begun = has_surely_restarted(self._looked_at, time)
            if before is not None and time - before.time <= RECENT:
                # Of several that have seen a restart the first one tells.
                has_begun = has_begun or (before.life == self._life and has_restarted(number, before.time, time))
            if self.level is not None and has_begun:
                self._life += 1
                self.level = self._floor = 0
            self.seen = self._looked_at = time
            self._observe(time, number, value, ahead, start, is_new)

    def knows(self, source: int, value: int, since: float) -> bool:
        """Whether a source that has reached a value may simply have gone on since some time."""
        before = self._last.get(source)
        return before is not None and before.life == self._life and before.value <= value and self.seen >= since

    def go_on(self, values: Mapping[int, int], at: float, until: float) -> None:
        """Go on from one time to another, between which no source has restarted or lost sight of it.

        Args:
            values: by source, what it has reached; each of them is one that the counter knows.
            at: the one time.
            until: the other.
        """
        for source, value in values.items():
            if self.level is not None and value > self.level:
                self.total += value - self.level
                self._set(source, value)
            self._last[source] = Reached(value, self._life, until)
        # Its last sample lies somewhere before that.
        self.seen, self._looked_at = until, at

    def _observe(
        self,
        time: float,
        source: int,
        value: int,
        ahead: int | None,
        start: float,
        is_new: Callable[[int, float], bool],
    ) -> None:
        before = self._last.get(source)
        if self.level is None:
            if time > start:
                self.born = time
                if is_new(source, time):
                    self.total += value
                else:
                    self.baseline = value
            self._set(source, value)
        elif value >= self.level:
            self._add(value - self.level, time, start)
            self._set(source, value)
        elif self._has_begun_anew(before, value, ahead):
            self._life += 1
            self._floor = 0
            self._add(value, time, start)
            self.level, self._setter = value, source
        # Else a scrape that was answered a little earlier than it says, or saw a restart after another did.
        self._last[source] = Reached(value, self._life, time)

    def _has_begun_anew(self, before: Reached | None, value: int, ahead: int | None) -> bool:
        """Whether a value below the level is that of a new life."""
        if before is not None and before.life == self._life:
            return value < before.value
        # This source has not seen the present life yet: it is over unless its own source goes on, or had only just told
        # more than was true when it was asked.
        return value < self._floor and (ahead is None or (self.level is not None and ahead < self.level))

    def _set(self, source: int, value: int) -> None:
        """Set the level by what a source says."""
        before = self._last.get(source)
        self._floor = before.value if before is not None and before.life == self._life else value
        self.level, self._setter = value, source

    def _add(self, tokens: int, time: float, start: float) -> None:
        if time > start:
            self.total += tokens


def positions_left(own: Sequence[Sample], positions: Sequence[int], number: int) -> bool:
    """Whether a source has samples that were not followed yet."""
    return number < len(positions) and positions[number] < len(own)
