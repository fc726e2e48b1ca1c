# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Reads counters of a period from what stores them, a pod at a time.

A counter that only went on through a window is told by what it had reached at its end; where more happened (it was
born, it began anew, a scrape failed) smaller windows are looked at, and the smallest sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._accounting import Counter, Sample
from ansible_collections.aigateway.metering.plugins.module_utils._identity import Identity, identity_of, target_of
from ansible_collections.aigateway.metering.plugins.module_utils._scraped import (
    GAP_INTERVALS,
    Presence,
    Scrape,
    Scrapes,
    usual,
)
from ansible_collections.aigateway.metering.plugins.module_utils._store import (
    SCRAPE_SERIES,
    SCRAPES,
    SERIES,
    Group,
    Store,
    by,
)
from ansible_collections.aigateway.metering.plugins.module_utils._sums import is_count
from ansible_collections.aigateway.metering.plugins.module_utils._twins import Stored, twins

# How far before the period the last sample of a counter is looked for (seconds).
CARRIED = 86400
# What is not steady is looked at in windows of these lengths (seconds), and in the last of them sample by sample.
WINDOWS = (7200, 1800)
LEAF = WINDOWS[-1]
# Besides, this much of what follows a window, to see whether a scrape went on, and of what goes before the period.
AHEAD = 600
# Of more series than these, the samples of the whole pod are asked for at once.
FEW = 25
# Whether a counter counts requests, and what tells it from others.
Key = tuple[bool, Identity]
# A replica by its number, and the labels of one of its targets.
Target = tuple[int, Identity]
# The labels of a series, with its name, and its target.
Origin = tuple[Identity, Target]


class Look(NamedTuple):
    """A target's scrapes in a window."""

    all: int
    succeeded: int
    has_restarted: bool
    """Whether one had fewer samples than the one before it, or that is not known."""
    exposed: int
    """How many samples the last one had."""
    dropped: int
    """How many of these were not stored."""


@dataclass
class Pod:
    """The counters of one pod, followed through a period window by window."""

    store: Store
    group: Group
    names: Sequence[str]
    """Those under which counters are stored."""
    start: float
    """When the period begins, in Unix seconds."""
    bounds: Sequence[float]
    """Times before which the sidecar, or its present process, is known not to have been there."""
    counters: dict[Key, Counter] = field(default_factory=dict)
    presence: Presence = field(init=False)
    tokens: Presence = field(init=False)
    """When some counter of it was stored."""
    was_there_before: bool = False
    """Whether it was scraped at the start of the period, or shortly before."""
    _sources: dict[Key, dict[Origin, int]] = field(default_factory=dict)
    _scrapes: dict[Target, Scrapes] = field(default_factory=dict)
    _steps: dict[Target, float] = field(default_factory=dict)
    """By target, how long after one scrape the next one comes (seconds)."""

    def __post_init__(self) -> None:
        self.presence, self.tokens = Presence(self.start), Presence(self.start)

    @property
    def restarts(self) -> list[tuple[float, float]]:
        """Between which scrapes the process has begun anew; of several that have seen it the closest."""
        found: list[tuple[float, float]] = []
        for begin, until in sorted(set().union(*(own.restarts for own in self._scrapes.values()))):
            if found and begin < found[-1][1]:
                found[-1] = (max(begin, found[-1][0]), min(until, found[-1][1]))
            else:
                found.append((begin, until))
        return found

    def unstored(self) -> list[tuple[float, float]]:
        """When it was scraped, and its counters were not stored, although it had some."""
        if self.tokens.first is None or self.presence.last is None:
            return []
        lacking = self.tokens.ended((self.tokens.first, self.presence.last))
        return [span for span in lacking if not any(span[0] <= begin <= span[1] for begin, dummy in self.restarts)]

    def twins(self) -> list[tuple[Stored, Stored]]:
        """Its counters that may be one and the same, and are summed up twice."""
        counters = [
            Stored(
                identity,
                frozenset(target for dummy, target in self._sources[requests, identity]),
                counter.total,
                self.start if counter.born is None else counter.born,
                counter.seen,
            )
            for (requests, identity), counter in self.counters.items()
            if not requests and dict(identity).get(_names.TOKEN_TYPE_LABELS[0]) in _names.TOTAL_TOKEN_TYPES
        ]
        return twins(counters, GAP_INTERVALS * self.presence.step)

    def window(
        self, at: float, until: float, only: Mapping[Key, set[Identity]] | None = None, *, beside: bool = False
    ) -> None:
        """Follow the counters from one time to another.

        Args:
            at: that time (Unix seconds).
            until: the other.
            only: the counters that are followed here, with the labels of their series; None means all.
            beside: whether there are others, which go on.
        """
        smaller = [length for length in WINDOWS if length < until - at]
        if not smaller or at == self.start:
            # Nothing is known before the first look.
            until, rest = min(until, at + LEAF), until
            self._follow(at, until, only, beside)
            if until < rest:
                self.window(until, rest, only, beside=beside)
            return
        looks = self._looks(until, until - at)
        if not looks and not self._is_there(until, until - at):
            return
        steady = {target for target, look in looks.items() if self._is_steady(target, look, until - at)}
        # Where nothing was scraped all the time, none is known only to have gone on.
        if steady:
            values = self._values(looks, until, until - at)
            busy = self._busy(looks, steady, values, at)
            quiet = [key for key in values if key not in busy]
            for key in quiet:
                if only is None or key in only:
                    self._go_on(key, values[key], until)
            only = {key: series for key, series in busy.items() if only is None or key in only}
            beside = beside or bool(quiet)
            if not only:
                self._go_steadily(looks, until, beside)
                return
        while at < until:
            self.window(at, min(at + smaller[0], until), only, beside=beside)
            at += smaller[0]

    def _go_steadily(self, looks: Mapping[Target, Look], until: float, has_tokens: bool) -> None:
        """Go on over a window in which nothing happened but that counters went on."""
        self.presence.steady(until)
        if has_tokens:
            self.tokens.steady(until)
        for target, look in looks.items():
            self._scrapes.setdefault(target, Scrapes()).look([Scrape(until, look.exposed, look.dropped)])

    # --- windows through which counters only went on ------------------------------------------------------------------

    def _is_there(self, until: float, seconds: float) -> bool:
        """Whether there are samples of a counter in a window, be it without those of its target."""
        numbers = range(len(self.store.replicas))
        asked = [(number, selector) for number in numbers for selector in self.group.selectors]
        return any(self.store.last(number, until, seconds, SERIES, selector) for number, selector in asked)

    def _looks(self, until: float, seconds: float) -> dict[Target, Look]:
        """What instant queries tell of each target in a window."""
        found: dict[Target, Look] = {}
        for number in range(len(self.store.replicas)):
            for selector in self.group.selectors:
                found |= self._targets(number, selector, until, seconds)
        return found

    def _values(
        self, looks: Mapping[Target, Look], until: float, seconds: float
    ) -> dict[Key, dict[Origin, dict[str, float]]]:
        """What they tell of each series of a counter: how many samples it has, the last of these, and its resets."""
        found: dict[Key, dict[Origin, dict[str, float]]] = {}
        over = self.store.over
        for number in range(len(self.store.replicas)):
            targets = [dict(labels) for of, labels in looks if of == number]
            for selector in self.group.selectors:
                questions = {}
                for name in self.names:
                    series = (by("__name__", name), selector)
                    questions[f"count {name}"] = over("count_over_time", seconds, *series)
                    # One that went on to the end has a sample shortly before it.
                    questions[f"value {name}"] = over("last_over_time", min(seconds, AHEAD), *series)
                    # The sample before the window as well: it may have begun anew right after that.
                    questions[f"resets {name}"] = f"{over('resets', seconds + AHEAD, *series)} > 0"
                for question, labels, value in self.store.answers(number, until, questions):
                    what, dummy, name = question.partition(" ")
                    told = self._key({"__name__": name, **dict(labels)}, targets, number)
                    if told is not None:
                        found.setdefault(told[0], {}).setdefault(told[1], {})[what] = value
        # What has begun anew before the window, and is not there any more, is nothing of it.
        there = {
            key: {origin: told for origin, told in series.items() if "count" in told} for key, series in found.items()
        }
        return {key: series for key, series in there.items() if series}

    def _targets(self, number: int, selector: str, until: float, seconds: float) -> dict[Target, Look]:
        over = self.store.over
        up, exposed, kept = ((by("__name__", name), selector) for name in SCRAPE_SERIES)
        questions = {
            "all": over("count_over_time", seconds, *up),
            "succeeded": over("sum_over_time", seconds, *up),
            "exposed": over("last_over_time", min(seconds, AHEAD), *exposed),
            "kept": over("last_over_time", min(seconds, AHEAD), *kept),
            # The scrape before the window as well: it may have begun anew right after that.
            "resets": f"{over('resets', seconds + AHEAD, *exposed)} > 0",
        }
        found: dict[Identity, dict[str, int]] = {}
        for question, labels, value in self.store.answers(number, until, questions):
            if self.store.is_sidecar(dict(labels)):
                found.setdefault(labels, {})[question] = round(value)
        looks = {}
        for labels, told in found.items():
            if "all" in told:
                is_known = "exposed" in told and "kept" in told
                exposed_last = told.get("exposed", 0)
                looks[number, labels] = Look(
                    told["all"],
                    told["succeeded"],
                    "resets" in told or not is_known,
                    exposed_last,
                    exposed_last - told.get("kept", 0),
                )
        return looks

    def _is_steady(self, target: Target, look: Look, seconds: float) -> bool:
        """Whether a target was scraped all the time, and each time with success."""
        step = self._steps.get(target)
        is_regular = step is not None and look.succeeded == look.all and look.all >= seconds / step - 1.5
        return is_regular and not look.has_restarted

    def _busy(
        self,
        looks: Mapping[Target, Look],
        steady: set[Target],
        values: Mapping[Key, Mapping[Origin, Mapping[str, float]]],
        at: float,
    ) -> dict[Key, set[Identity]]:
        """The counters with which more happened than that they went on, with the labels of their series."""

        def only_went_on(key: Key, origin: Origin, told: Mapping[str, float]) -> bool:
            number = self._sources.get(key, {}).get(origin)
            target = origin[1]
            return (
                number is not None
                and "resets" not in told
                and target in steady
                and int(told["count"]) == looks[target].succeeded
                and "value" in told
                and self.counters[key].knows(number, round(told["value"]), at - AHEAD)
            )

        return {
            key: {labels for labels, dummy in own}
            for key, own in values.items()
            if not all(only_went_on(key, origin, told) for origin, told in own.items())
        }

    def _go_on(self, key: Key, values: Mapping[Origin, Mapping[str, float]], until: float) -> None:
        numbers = self._sources[key]
        self.counters[key].go_on({numbers[origin]: round(told["value"]) for origin, told in values.items()}, until)

    # --- windows that are looked at sample by sample ------------------------------------------------------------------

    def _follow(self, at: float, until: float, only: Mapping[Key, set[Identity]] | None, beside: bool) -> None:
        """Follow the counters through the samples of a window."""
        found = self._samples(at, until, only)
        if beside:
            self.tokens.steady(until)
        else:
            times = {it.time for own in found.values() for samples in own.values() for it in samples}
            self.tokens.look([time for time in times if time <= until])
        for key, own in found.items():
            known = self._sources.setdefault(key, {})
            for source in own:
                known.setdefault(source, len(known))
            scrapes = [self._scrapes.get(target, Scrapes()) for dummy, target in known]

            def is_new(number: int, time: float, scrapes: list[Scrapes] = scrapes) -> bool:
                return scrapes[number].shows_new(time) or any(self.start < bound <= time for bound in self.bounds)

            def has_restarted(number: int, earlier: float, later: float, scrapes: list[Scrapes] = scrapes) -> bool:
                own = scrapes[number]
                others = [other for other in scrapes if other is not own]
                return any(earlier < shown <= later for dummy, shown in own.restarts) or own.took_over(
                    others, earlier, later
                )

            in_order = [sorted(own.get(source, [])) for source in known]
            self.counters.setdefault(key, Counter()).follow(in_order, self.start, until, is_new, has_restarted)

    def _samples(
        self, at: float, until: float, only: Mapping[Key, set[Identity]] | None
    ) -> dict[Key, dict[Origin, list[Sample]]]:
        """By counter and by source, the samples of a window and of what follows it."""
        found: dict[Key, dict[Origin, list[Sample]]] = {}
        before = AHEAD if at == self.start else 0
        moment, seconds = until + AHEAD, until - at + AHEAD + before
        seen: list[float] = []
        for number in range(len(self.store.replicas)):
            for selector in self.group.selectors:
                scrapes = self.store.samples(number, moment, seconds, SCRAPES, selector)
                targets = self._note(number, scrapes, seen)
                for matchers in self._chosen(selector, only):
                    for item in self.store.samples(number, moment, seconds, *matchers):
                        self._take(found, number, targets, item["metric"], item["values"])
                if before:
                    self._carry(found, number, targets, selector)
        self.presence.look([time for time in seen if time <= until])
        self.was_there_before = self.was_there_before or any(time <= self.start for time in seen)
        return {key: own for key, own in found.items() if only is None or key in only}

    @staticmethod
    def _chosen(selector: str, only: Mapping[Key, set[Identity]] | None) -> list[tuple[str, ...]]:
        """What is asked for: each of a few series, or all of the pod."""
        if only is None:
            return [(SERIES, selector)]
        series = sorted(set().union(*only.values()))
        if len(series) > FEW:
            return [(SERIES, selector)]
        return [tuple(by(name, text) for name, text in labels) for labels in series]

    def _carry(
        self,
        found: dict[Key, dict[Origin, list[Sample]]],
        number: int,
        targets: list[dict[str, str]],
        selector: str,
    ) -> None:
        """Take in the last values of counters that were not scraped shortly before the period, but longer before it."""
        late = {
            key for key, own in found.items() for samples in own.values() for it in samples if it.time <= self.start
        }
        stale: dict[Key, dict[Origin, list[Sample]]] = {}
        for item in self.store.last(number, self.start, CARRIED, SERIES, selector):
            self._take(stale, number, targets, item["metric"], [[self.start - AHEAD, item["value"][1]]])
        for key, own in stale.items():
            if key not in late:
                for source, samples in own.items():
                    found.setdefault(key, {}).setdefault(source, []).extend(samples)

    def _take(
        self,
        found: dict[Key, dict[Origin, list[Sample]]],
        number: int,
        targets: list[dict[str, str]],
        labels: Mapping[str, str],
        values: Sequence[Sequence[Any]],
    ) -> None:
        told = self._key(labels, targets, number)
        if told is not None:
            samples = found.setdefault(told[0], {}).setdefault(told[1], [])
            samples += [Sample(time, round(value)) for time, value in _numbers(values)]

    def _key(self, labels: Mapping[str, str], targets: list[dict[str, str]], number: int) -> tuple[Key, Origin] | None:
        """Which counter a series is, and which source of it; None where it is none of a sidecar's."""
        own = _plain(labels)
        if not self.store.is_sidecar(own):
            return None
        target = target_of(own, targets)
        key = (is_count(labels["__name__"]), identity_of(own, target, self.group.pod))
        return key, (tuple(sorted(labels.items())), (number, tuple(sorted((target or {}).items()))))

    def _note(self, number: int, items: Sequence[Mapping[str, Any]], seen: list[float]) -> list[dict[str, str]]:
        """Note the scrapes of targets; what is returned are their labels."""
        by_target: dict[Identity, dict[str, dict[float, float]]] = {}
        for item in items:
            labels = _plain(item["metric"])
            if self.store.is_sidecar(labels):
                told = dict(_numbers(item["values"]))
                by_target.setdefault(tuple(sorted(labels.items())), {})[item["metric"]["__name__"]] = told
        for identity, series in by_target.items():
            target = (number, identity)
            up, exposed, kept = (series.get(name, {}) for name in SCRAPE_SERIES)
            step = usual(sorted(up))
            if step is not None:
                self._steps[target] = step
            succeeded = [time for time, value in up.items() if value]
            seen += succeeded
            self._scrapes.setdefault(target, Scrapes()).look(
                [
                    Scrape(time, round(exposed[time]), round(exposed[time] - kept[time]))
                    for time in succeeded
                    if time in exposed and time in kept
                ]
            )
        return [dict(identity) for identity in by_target]


def _numbers(values: Iterable[Sequence[Any]]) -> Iterator[tuple[float, float]]:
    """Samples without those by which a store tells that a series has ended (VictoriaMetrics: NaN)."""
    for time, text in values:
        value = float(text)
        if not math.isnan(value):
            yield float(time), value


def _plain(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "__name__"}
