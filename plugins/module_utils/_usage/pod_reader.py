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
from itertools import pairwise
from typing import Any, NamedTuple

from .. import _names
from .._prometheus.identity import Identity, identity_of, target_of
from .counter import RECENT, Counter, Sample
from .duplicates import Stored, twins
from .scrape_history import GAP_INTERVALS, Presence, Scrape, Scrapes, usual
from .store import LOOK_BACK, SCRAPE_SERIES, SCRAPES, SERIES, Group, Series, Store, any_of, by, counters_of, numbers

# What is not steady is looked at in windows of these lengths (seconds), and in the last of them sample by sample.
WINDOWS = (21600, 7200, 1800)
LEAF = WINDOWS[-1]
# Besides, this much of what follows a window, to see whether a scrape went on, and of what goes before the period. What
# was scraped last before that is looked for where something depends on it, however long ago it was.
AHEAD = int(RECENT)
# Within so many seconds the last sample of something is looked for, before its samples are read.
WIDTH = 600.0
# The samples of a longer time are read in pieces of so many seconds.
PIECE = 86400.0
# Of more series than these, the samples of the whole pod are asked for at once.
FEW = 200
# So many samples are read at once, of counters that are looked at by themselves.
SAMPLES = 100_000
# Whether a counter counts requests, and what tells it from others.
Key = tuple[bool, Identity]
# A replica by its number, and the labels of one of its targets.
Target = tuple[int, Identity]
# The labels of a series, with its name, and its target.
Origin = tuple[Identity, Target]


class Answer(NamedTuple):
    """An answer to one of several questions."""

    replica: int
    question: str
    labels: Identity
    value: float


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
class PodReader:
    """The counters of one pod, followed through a period window by window.

    What a first sample is worth does not depend on the period. A sidecar of which nothing was scraped before, with a
    scrape every 30 s (the store has scraped other sidecars for long):

        scrape   exposed   tokens   billed
        10:00         21        -        -   it has no counter yet
        10:00:30      39      100      100   one more counter than at the scrape before: all of it is new
        10:01         39      130       30   it went on
        10:01:30      21        -        -   it exposes less: another process
        10:02         39       40       40   and its counter is new

    Where the very first scrape shows 100 tokens, they are billed if the process is known to have begun after the
    store's first scrape of any sidecar: they were counted while somebody metered. Else they are older, and are told.
    """

    store: Store
    group: Group
    names: Sequence[str]
    """Those under which counters are stored."""
    start: float
    """When the period begins, in Unix seconds."""
    beginning: Beginning
    counters: dict[Key, Counter] = field(default_factory=dict)
    presence: Presence = field(init=False)
    tokens: Presence = field(init=False)
    """When some counter of it was stored."""
    late: dict[float, float] = field(default_factory=dict)
    """By the time of a scrape whose first samples were billed, when their process began (Unix seconds)."""
    _sources: dict[Key, dict[Origin, int]] = field(default_factory=dict)
    _scrapes: dict[Target, Scrapes] = field(default_factory=dict)
    _steps: dict[Target, float] = field(default_factory=dict)
    """By target, how long after one scrape the next one comes (seconds)."""
    _keys: dict[tuple[Any, ...], tuple[Key, Origin] | None] = field(default_factory=dict)
    """What _key() has told."""
    _history: dict[Key, list[tuple[int, str, Identity]]] | None = None
    """The series of each counter before what is known of it; None until that is asked for."""

    def __post_init__(self) -> None:
        self.presence, self.tokens = Presence(self.start), Presence(self.start)

    def finish(self) -> None:
        """Forget what was remembered only to be quick."""
        self._keys.clear()

    def names_of(self, key: Key) -> set[str]:
        """The names under which a counter was stored."""
        return {dict(labels)["__name__"] for labels, dummy in self._sources.get(key, {})}

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
        # A time without a scrape, or with a new process, is told as such.
        known = [*self.restarts, *self.presence.gaps]
        return [span for span in lacking if not any(begin <= span[1] and span[0] <= until for begin, until in known)]

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
        # By more than what is lost where times are added up.
        smaller = [length for length in WINDOWS if length < until - at - 0.001]
        if not smaller or at == self.start:
            # Nothing is known before the first look.
            until, rest = min(until, at + LEAF), until
            self._follow(at, until, only, beside)
            if until < rest:
                self.window(until, rest, only, beside=beside)
            return
        if self.group.changes(at - AHEAD, until + AHEAD):
            # Not everything that is stored of its addresses is its own.
            self._divide(at, until, smaller[0], only, beside=beside)
            return
        answers = self._answers(until, until - at)
        looks = self._looks(answers)
        values = self._values(answers, looks)
        if not looks and not values:
            return
        steady = {target for target, look in looks.items() if self._is_steady(target, look, until - at)}
        # Where nothing was scraped all the time, none is known only to have gone on.
        if steady:
            busy = self._busy(looks, steady, values, at)
            quiet = [key for key in values if key not in busy]
            for key in quiet:
                if only is None or key in only:
                    self._go_on(key, values[key], at, until)
            only = {key: series for key, series in busy.items() if only is None or key in only}
            beside = beside or bool(quiet)
            if not only:
                self._go_steadily({target: looks[target] for target in steady}, until, beside)
                return
        if until - at < WINDOWS[0] + 0.001 and self._are_few(only, until - at):
            # Smaller windows would only ask more often.
            self._follow(at, until, only, beside)
        else:
            self._divide(at, until, smaller[0], only, beside=beside)

    def _divide(
        self, at: float, until: float, length: float, only: Mapping[Key, set[Identity]] | None, *, beside: bool
    ) -> None:
        """Follow the counters through the parts of a window."""
        while at < until:
            self.window(at, min(at + length, until), only, beside=beside)
            at += length

    def _go_steadily(self, looks: Mapping[Target, Look], until: float, has_tokens: bool) -> None:
        """Go on over a window in which nothing happened but that counters went on."""
        self.presence.steady(until)
        if has_tokens:
            self.tokens.steady(until)
        for target, look in looks.items():
            self._scrapes.setdefault(target, Scrapes()).look([Scrape(until, look.exposed, look.dropped)])

    # --- windows through which counters only went on ------------------------------------------------------------------

    def _answers(self, until: float, seconds: float) -> list[Answer]:
        """What instant queries tell of each target and of each series of a counter in a window, asked at once."""
        found = []
        for number in range(len(self.store.replicas)):
            for selector in self.group.selectors(until - seconds, until):
                questions = self._of_targets(selector, seconds) | self._of_counters(selector, seconds)
                found += [Answer(number, *told) for told in self.store.answers(number, until, questions)]
        return found

    def _of_targets(self, selector: str, seconds: float) -> dict[str, str]:
        """Questions about the targets, by what each is about."""
        over = self.store.over
        up, exposed, kept = ((by("__name__", name), selector) for name in SCRAPE_SERIES)
        return {
            "all": over("count_over_time", seconds, *up),
            "succeeded": over("sum_over_time", seconds, *up),
            "exposed": over("last_over_time", min(seconds, AHEAD), *exposed),
            "kept": over("last_over_time", min(seconds, AHEAD), *kept),
            # The scrape before the window as well: it may have begun anew right after that.
            "resets": f"{over('resets', seconds + AHEAD, *exposed)} > 0",
        }

    def _of_counters(self, selector: str, seconds: float) -> dict[str, str]:
        """Questions about the counters, by what each is about, the series and whether it counts requests."""
        over = self.store.over
        questions = {}
        for name in self.names:
            series = (by("__name__", name), selector)
            resets = f"{over('resets', seconds + AHEAD, *series)} > 0"
            for requests in counters_of(name):
                of = f"{name} {int(requests)}"
                questions[f"count {of}"] = over("count_over_time", seconds, *series)
                # One that went on to the end has a sample shortly before it.
                questions[f"value {of}"] = self.store.value_over(name, requests, min(seconds, AHEAD), selector)
                # The sample before the window as well: it may have begun anew right after that.
                questions[f"resets {of}"] = resets
        return questions

    def _looks(self, answers: Iterable[Answer]) -> dict[Target, Look]:
        """What was answered of each target."""
        found: dict[Target, dict[str, int]] = {}
        for number, question, labels, value in answers:
            if " " not in question and self.store.is_sidecar(dict(labels)):
                found.setdefault((number, labels), {})[question] = round(value)
        looks = {}
        for target, told in found.items():
            if "all" in told:
                is_known = "exposed" in told and "kept" in told
                exposed = told.get("exposed", 0)
                has_restarted = "resets" in told or not is_known
                looks[target] = Look(
                    told["all"], told.get("succeeded", 0), has_restarted, exposed, exposed - told.get("kept", 0)
                )
        return looks

    def _values(
        self, answers: Iterable[Answer], looks: Mapping[Target, Look]
    ) -> dict[Key, dict[Origin, dict[str, float]]]:
        """What was answered of each series of a counter: how many samples it has, the last of these, and its resets."""
        found: dict[Key, dict[Origin, dict[str, float]]] = {}
        targets: dict[int, list[dict[str, str]]] = {}
        for of, identity in looks:
            targets.setdefault(of, []).append(dict(identity))
        for number, question, labels, value in answers:
            if " " not in question:
                continue
            what, name, requests = question.split(" ")
            told = self._key({"__name__": name, **dict(labels)}, requests == "1", targets.get(number, []), number)
            if told is not None:
                found.setdefault(told[0], {}).setdefault(told[1], {})[what] = value
        # What has begun anew before the window, and is not there any more, is nothing of it.
        there = {
            key: {origin: told for origin, told in series.items() if "count" in told} for key, series in found.items()
        }
        return {key: series for key, series in there.items() if series}

    def _are_few(self, only: Mapping[Key, set[Identity]] | None, seconds: float) -> bool:
        """Whether counters have so few series that all samples of these can be read at once."""
        series = FEW + 1 if only is None else _series_of(only)
        step = min(self._steps.values(), default=math.inf)
        return series <= FEW and series * seconds <= SAMPLES * step

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

    def _go_on(self, key: Key, values: Mapping[Origin, Mapping[str, float]], at: float, until: float) -> None:
        numbers = self._sources[key]
        reached = {numbers[origin]: round(told["value"]) for origin, told in values.items()}
        self.counters[key].go_on(reached, at, until)

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
            counter = self.counters.setdefault(key, Counter())
            is_fresh = counter.level is None and self._may_be_older(own) and self._recall(key)
            scrapes = [self._scrapes.get(target, Scrapes()) for dummy, target in known]

            def is_new(number: int, time: float, scrapes: list[Scrapes] = scrapes, is_fresh: bool = is_fresh) -> bool:
                return is_fresh or self._shows_new(scrapes[number], time)

            def has_restarted(number: int, earlier: float, later: float, scrapes: list[Scrapes] = scrapes) -> bool:
                own = scrapes[number]
                others = [other for other in scrapes if other is not own]
                return any(earlier < shown <= later for dummy, shown in own.restarts) or own.took_over(
                    others, earlier, later
                )

            in_order = [sorted(own.get(source, [])) for source in known]
            counter.follow(in_order, self.start, until, is_new, has_restarted, self._has_surely_restarted)

    def _has_surely_restarted(self, since: float, until: float) -> bool:
        """Whether some scrape shows that the process has begun anew after one time and before another."""
        return any(
            since <= earlier and later <= until for own in self._scrapes.values() for earlier, later in own.restarts
        )

    def _shows_new(self, own: Scrapes, time: float) -> bool:
        """Whether what a target's scrape shows for the first time is known to have begun while it was metered."""
        if own.shows_new(time):
            return True
        now = next((scrape for scrape in own.until(time) if scrape.time == time), None)
        # Whichever target has scraped the pod last: what it did not see was not there.
        last = max((scrape for it in self._scrapes.values() for scrape in it.before(time)), default=None)
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
        return False

    def _may_be_older(self, own: Mapping[Origin, Sequence[Sample]]) -> bool:
        """Whether a counter may have been scraped before what is known of it: only then it is looked for."""
        times = [min(samples).time for samples in own.values() if samples]
        is_first_later = bool(times) and min(times) > self.start
        return is_first_later and (self.beginning.pod is None or self.beginning.pod <= self.start - AHEAD)

    def _recall(self, key: Key) -> bool:
        """Take in what a counter had reached before what is known, and when the pod was scraped last before that.

        Returns:
            Whether the process has begun anew since then, so that whatever the counter shows next is new.
        """
        if self._history is None:
            self._history = self._read_history(self.start - AHEAD)
        found: dict[Key, dict[Origin, list[Sample]]] = {}
        for number, selector, labels in self._history.get(key, ()):
            matchers = [*(by(name, text) for name, text in labels), selector]
            latest = self.store.latest(number, self.start - AHEAD, WIDTH, *matchers)
            if latest is None:
                continue
            scrapes = self.store.samples(number, latest, WIDTH, SCRAPES, selector)
            targets = self._note(number, scrapes, [])
            for series in self.store.counters(number, latest, WIDTH, *matchers):
                self._take(found, number, targets, series)
        own = found.get(key, {})
        times = [sample.time for samples in own.values() for sample in samples]
        if not times:
            return False
        for number, selector in sorted({(number, selector) for number, selector, dummy in self._history[key]}):
            self._note_restarts(number, selector, max(times))
        if self._has_surely_restarted(max(times), self.start):
            return True
        known = self._sources.setdefault(key, {})
        for source in own:
            known.setdefault(source, len(known))
        in_order = [sorted(own.get(source, [])) for source in known]
        self.counters[key].follow(
            in_order, self.start, self.start, lambda *_: False, has_surely_restarted=self._has_surely_restarted
        )
        return False

    def _note_restarts(self, number: int, selector: str, time: float) -> None:
        """Note the scrapes between a time and the period, where one may show that the process has begun anew."""
        exposed = (by("__name__", SCRAPE_SERIES[1]), selector)
        # The scrape of that very time is the first to be compared with.
        resets = f"{self.store.over('resets', self.start - time + 0.001, *exposed)} > 0"
        if not self.store.answers(number, self.start, {"resets": resets}):
            return
        # A scrape that failed is stored as one of no samples: only its `up` tells it from one of a new process.
        while time < self.start:
            until = min(time + PIECE, self.start)
            self._note(number, self.store.samples(number, until, until - time + 0.001, SCRAPES, selector), [])
            time = until

    def _read_history(self, before: float) -> dict[Key, list[tuple[int, str, Identity]]]:
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
                    self._note(number, self.store.samples(number, latest, WIDTH + AHEAD, SCRAPES, selector), [])
                seen: set[Key] = set()
                for low, high in pairwise((0.0, *LOOK_BACK)):
                    items = self.store.last(number, before - low, high - low, SERIES, selector)
                    here = list(self._series_of(items, number))
                    for key, labels in here:
                        if key not in seen:
                            found.setdefault(key, []).append((number, selector, labels))
                    seen |= {key for key, dummy in here}
        return found

    def _series_of(self, items: Iterable[Mapping[str, Any]], number: int) -> Iterator[tuple[Key, Identity]]:
        """The counters that series are of, each with the labels of the series."""
        targets = [dict(labels) for of, labels in self._scrapes if of == number]
        for item in items:
            for requests in counters_of(item["metric"]["__name__"]):
                told = self._key(item["metric"], requests, targets, number)
                if told is not None:
                    yield told[0], told[1][0]

    def _samples(
        self, at: float, until: float, only: Mapping[Key, set[Identity]] | None
    ) -> dict[Key, dict[Origin, list[Sample]]]:
        """By counter and by source, the samples of a window and of what follows it."""
        found: dict[Key, dict[Origin, list[Sample]]] = {}
        before = AHEAD if at == self.start else 0
        moment, seconds = until + AHEAD, until - at + AHEAD + before
        seen: list[float] = []
        for number in range(len(self.store.replicas)):
            for selector in self.group.selectors(moment - seconds, moment):
                scrapes = self.store.samples(number, moment, seconds, SCRAPES, selector)
                targets = self._note(number, scrapes, seen)
                for series in self.store.counters(number, moment, seconds, *self._chosen(only), selector):
                    self._take(found, number, targets, series)
        self.presence.look([time for time in seen if time <= until])
        return {key: own for key, own in found.items() if only is None or key in only}

    @staticmethod
    def _chosen(only: Mapping[Key, set[Identity]] | None) -> list[str]:
        """Matchers of what is asked for: a few series, and what else has values of theirs; or all of the pod."""
        if only is None or _series_of(only) > FEW:
            return [SERIES]
        series = [dict(labels) for labels in set().union(*only.values())]
        names = sorted(set().union(*series))
        return [any_of(name, {labels.get(name, "") for labels in series}) for name in names]

    def _take(
        self,
        found: dict[Key, dict[Origin, list[Sample]]],
        number: int,
        targets: list[dict[str, str]],
        series: Series,
    ) -> None:
        told = self._key(series.labels, series.requests, targets, number)
        if told is not None:
            samples = found.setdefault(told[0], {}).setdefault(told[1], [])
            if self.group.owns_all(series.labels):
                samples += [Sample(time, round(value)) for time, value in series.samples]
            else:
                own = (item for item in series.samples if self.group.owns(series.labels, item[0]))
                samples += [Sample(time, round(value)) for time, value in own]

    def _key(
        self, labels: Mapping[str, str], requests: bool, targets: list[dict[str, str]], number: int
    ) -> tuple[Key, Origin] | None:
        """Which counter a series is, and which source of it; None where it is none of a sidecar's."""
        series = tuple(sorted(labels.items()))
        # Each window asks for the same series again, mostly with the same targets.
        known = (series, requests, number, *(tuple(item.items()) for item in targets))
        if known not in self._keys:
            own = _plain(labels)
            target = target_of(own, targets)
            key = (requests, identity_of(own, target, self.group.name))
            origin = (series, (number, tuple(sorted((target or {}).items()))))
            self._keys[known] = (key, origin) if self.store.is_sidecar(own) else None
        return self._keys[known]

    def _note(self, number: int, items: Sequence[Mapping[str, Any]], seen: list[float]) -> list[dict[str, str]]:
        """Note the scrapes of targets; what is returned are their labels."""
        by_target: dict[Identity, dict[str, dict[float, float]]] = {}
        for item in items:
            labels = _plain(item["metric"])
            if self.store.is_sidecar(labels):
                told = {time: value for time, value in numbers(item["values"]) if self.group.owns(item["metric"], time)}
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


def _series_of(only: Mapping[Key, set[Identity]]) -> int:
    """How many series some counters have."""
    return len(set().union(*only.values()))


def _plain(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "__name__"}
