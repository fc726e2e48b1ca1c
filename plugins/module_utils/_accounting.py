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
from itertools import pairwise
from typing import NamedTuple

from ansible_collections.aigateway.metering.plugins.module_utils import _names

# Labels of the library that counts: they are the same for all counters, and are commonly dropped.
LIBRARY = ("otel_scope_", "otel.scope.")
Identity = tuple[tuple[str, str], ...]
GAP_INTERVALS = 3
# Where a target was scraped once or never, the interval that is taken for its own.
USUAL_SECONDS = 60.0


class Sample(NamedTuple):
    """A stored value, and when it was scraped (Unix seconds)."""

    time: float
    value: int


def identity_of(labels: Mapping[str, str], target: Mapping[str, str] | None, pod: str) -> Identity:
    """What tells a counter from others, whichever scrape stored it and under whichever form of its names.

    Args:
        labels: those of a stored series.
        target: those of its target, which its series `up` carries; None where that is not known.
        pod: the pod whose sidecar it is, or what else tells that.
    """
    # What the scrape really added is told by the series `up` of the same target.
    added = {name for name in labels if name in _names.SCRAPE_LABELS} if target is None else set(target)
    own = {}
    for name, value in labels.items():
        # A label of the sidecar that the target has as well was renamed by the scrape.
        plain = name.removeprefix("exported_") if name.removeprefix("exported_") in added else name
        if value and name not in added and not plain.startswith(LIBRARY):
            own[plain.replace(".", "_")] = value
    return tuple(sorted({**own, "pod": pod}.items()))


def target_of(labels: Mapping[str, str], targets: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
    """The target that a series comes from: the one all of whose labels it carries; of several the most particular."""
    fitting = [item for item in targets if item.items() <= labels.items()]
    return max(fitting, key=len) if fitting else None


class Reached(NamedTuple):
    """What a source has told of a counter."""

    value: int
    life: int
    """Of which life of the process."""
    time: float


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

    def shows_new(self, time: float) -> bool:
        """Whether what a scrape shows for the first time was not there before.

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

    def follow(
        self,
        sources: Sequence[Sequence[Sample]],
        start: float,
        end: float,
        is_new: Callable[[int, float], bool],
        has_restarted: Callable[[int, float, float], bool] = lambda *_: False,
    ) -> None:
        """Go on with further samples.

        Args:
            sources: what each scrape has stored, later than what was followed before. Samples after the end serve to
                look ahead.
            start: when the period begins, in Unix seconds. What was scraped then belongs to the time before.
            end: when it ends. What was scraped then belongs to it.
            is_new: whether a counter that a source (by its number) shows first at some time is known to have begun at 0
                in the period.
            has_restarted: whether a source shows that the process has begun anew between two times.
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
            if before is None:
                has_begun = any(has_restarted(other, self.seen, time) for other in range(len(sources)))
            else:
                # Of several that have seen a restart the first one tells.
                has_begun = before.life == self._life and has_restarted(number, before.time, time)
            if self.level is not None and has_begun:
                self._life += 1
                self.level = self._floor = 0
            self.seen = time
            self._observe(time, number, value, ahead, start, is_new)

    def knows(self, source: int, value: int, since: float) -> bool:
        """Whether a source that has reached a value may simply have gone on since some time."""
        before = self._last.get(source)
        return before is not None and before.life == self._life and before.value <= value and self.seen >= since

    def go_on(self, values: Mapping[int, int], until: float) -> None:
        """Go on to a time before which no source has restarted or lost sight of it.

        Args:
            values: by source, what it has reached; each of them is one that the counter knows.
            until: that time.
        """
        for source, value in values.items():
            if self.level is not None and value > self.level:
                self.total += value - self.level
                self._set(source, value)
            self._last[source] = Reached(value, self._life, until)
        self.seen = until

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


# What tokens can be summed by, and the labels that say it in one generation or another.
DIMENSIONS = {
    "namespace": (_names.REQUIRED_PAIR[1],),
    "department": (_names.DEPARTMENT_LABEL,),
    "user": ("user", "user_id"),
    "model": ("gen_ai_request_model",),
    "original_model": ("gen_ai_original_model",),
    "provider": ("gen_ai_provider_name", "gen_ai_system_name"),
    "gateway": (),
    "pod": ("pod", "instance"),
}


@dataclass
class Usage:
    """What was used of a kind: tokens by type, and requests."""

    tokens: dict[str, int] = field(default_factory=dict)
    requests: int = 0

    @property
    def total(self) -> int:
        """Input and output; the other types are parts of these."""
        return sum(self.tokens.get(kind, 0) for kind in _names.TOTAL_TOKEN_TYPES)

    def add(self, requests: bool, kind: str, added: int) -> None:
        """Add what a counter has: of requests, or of tokens of a type."""
        if not requests:
            self.tokens[kind] = self.tokens.get(kind, 0) + added
        elif kind == _names.TOTAL_TOKEN_TYPES[0]:
            # Each request is counted once for each type.
            self.requests += added


def is_count(name: str) -> bool:
    """Whether a series counts requests; otherwise it sums tokens."""
    return name.endswith("_count")


class Baseline(NamedTuple):
    """What was there at a first scrape, may be older than the period, and is not billed."""

    tokens: int
    since: float
    """When the first of it was scraped."""


@dataclass
class Sums:
    """What was used, summed up counter by counter, so that none of them has to be kept."""

    by: Sequence[str]
    """Names of DIMENSIONS."""
    days: list[Usage]
    """By the number of the day."""
    gateway_of: Callable[[str], str]
    """The gateway of a pod, by the pod's name; an empty text where that is not known."""
    used: dict[tuple[str, ...], Usage] = field(default_factory=dict)
    """By the values of the dimensions; an absent label is an empty text."""
    whole: Usage = field(default_factory=Usage)
    baselines: dict[tuple[str, str, str], Baseline] = field(default_factory=dict)
    """By who it is of, token type and pod."""
    nobody: int = 0
    """Tokens that carry no namespace to bill."""

    def add(self, requests: bool, identity: Identity, added: Mapping[int, int], counter: Counter) -> None:
        """Add a counter.

        Args:
            requests: whether it counts requests; otherwise it sums tokens.
            identity: what tells it from others.
            added: by the number of the day, what it has added then.
            counter: itself.
        """
        labels = dict(identity)
        kind = labels.get(_names.TOKEN_TYPE_LABELS[0], "")
        who = labels.get(_names.REQUIRED_PAIR[1], "")
        for day, tokens in added.items():
            self.days[day].add(requests, kind, tokens)
        if counter.total:
            self.used.setdefault(tuple(self._value(item, labels) for item in self.by), Usage()).add(
                requests, kind, counter.total
            )
            self.whole.add(requests, kind, counter.total)
        if not requests and kind in _names.TOTAL_TOKEN_TYPES:
            self.nobody += 0 if who else counter.total
            if counter.baseline:
                key, since = (who, kind, labels["pod"]), counter.born or 0.0
                before = self.baselines.get(key, Baseline(0, since))
                self.baselines[key] = Baseline(before.tokens + counter.baseline, min(before.since, since))

    def _value(self, dimension: str, labels: Mapping[str, str]) -> str:
        if dimension == "gateway":
            return self.gateway_of(labels["pod"])
        return next((labels[name] for name in DIMENSIONS[dimension] if name in labels), "")


def usual(times: Sequence[float]) -> float | None:
    """The step between times in their order; several may scrape, each at its own pace: nine of ten are no longer."""
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    return steps[len(steps) * 9 // 10] if steps else None


@dataclass
class Presence:
    """When a pod was scraped in a period, looked at piece by piece."""

    start: float = 0.0
    """When the period begins: of earlier scrapes no more counts than that there were some."""
    first: float | None = None
    last: float | None = None
    seen: float | None = None
    """When it was scraped last, be it before the period."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """When it was not, although it was there: for more than three usual steps."""
    step: float = USUAL_SECONDS
    """How long after one scrape the next one comes (seconds)."""

    # So many steps tell what is usual better than what was so before.
    TELLING = 10

    def look(self, times: Sequence[float]) -> None:
        """Go on with the times of a piece, by whichever scrape."""
        times = sorted(set(times))
        step = usual(times)
        if step is not None and (len(times) > self.TELLING or self.first is None):
            self.step = step
        for time in times:
            self._to(time)

    def steady(self, until: float) -> None:
        """Go on over a piece in which it was scraped all the time."""
        self.first = until if self.first is None else self.first
        self.last = self.seen = until

    def ended(self, alive: tuple[float, float] | None) -> list[tuple[float, float]]:
        """All gaps; also those before the first scrape and after the last where it is known to have been there then."""
        if alive is None:
            return self.gaps
        begin, until = alive
        if self.first is None or self.last is None:
            return self._missed(begin, until)
        return [*self._missed(begin, self.first), *self.gaps, *self._missed(self.last, until)]

    @property
    def may_be_cut(self) -> bool:
        """Whether it was scraped so late that it may have counted on into the period."""
        return self.seen is not None and self.seen >= self.start - GAP_INTERVALS * self.step

    def _missed(self, earlier: float, later: float) -> list[tuple[float, float]]:
        return [(earlier, later)] if later - earlier > GAP_INTERVALS * self.step else []

    def _to(self, time: float) -> None:
        at = max(time, self.start)
        if self.first is None:
            self.first = at
        elif self.last is not None:
            self.gaps += self._missed(self.last, at)
        self.last, self.seen = at, time
