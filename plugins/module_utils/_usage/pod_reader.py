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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._prometheus.identity import Identity
from . import pod_history
from .counter import Counter
from .first_samples import Beginning, FirstSamples
from .pod_history import Key, Origin, PodHistory, Target
from .sample_reader import FEW, SampleReader, count_series
from .scrape_history import Scrape, Scrapes
from .store import Group, Store
from .window_summary import SummaryReader, TargetSummary, WindowSummary

# What is not steady is looked at in windows of these lengths (seconds), and in the last of them sample by sample.
WINDOWS = (21600, 7200, 1800)
LEAF = WINDOWS[-1]
# So many samples are read at once, of counters that are looked at by themselves.
SAMPLES = 100_000


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
    history: PodHistory = field(init=False)
    first: FirstSamples = field(init=False)

    def __post_init__(self) -> None:
        self.history = PodHistory(self.group.name, self.start, self.store.is_sidecar)
        self._summaries = SummaryReader(self.store, self.group, self.names, self.history)
        self._samples = SampleReader(self.store, self.group, self.history)
        self.first = FirstSamples(self.store, self.group, self.beginning, self.history, self._samples)

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
        if self.group.changes(at - pod_history.AHEAD, until + pod_history.AHEAD):
            # Not everything that is stored of its addresses is its own.
            self._divide(at, until, smaller[0], only, beside=beside)
            return
        summary = self._summaries.read(until, until - at)
        if not summary.targets and not summary.values:
            return
        steady = {target for target, told in summary.targets.items() if self._is_steady(target, told, until - at)}
        # Where nothing was scraped all the time, none is known only to have gone on.
        if steady:
            busy = self._busy(summary, steady, at)
            quiet = [key for key in summary.values if key not in busy]
            for key in quiet:
                if only is None or key in only:
                    self.history.go_on(key, summary.values[key], at, until)
            only = {key: series for key, series in busy.items() if only is None or key in only}
            beside = beside or bool(quiet)
            if not only:
                self._go_steadily({target: summary.targets[target] for target in steady}, until, beside)
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

    def _go_steadily(self, summaries: Mapping[Target, TargetSummary], until: float, has_tokens: bool) -> None:
        """Go on over a window in which nothing happened but that counters went on."""
        self.history.presence.steady(until)
        if has_tokens:
            self.history.tokens.steady(until)
        for target, summary in summaries.items():
            self.history.scrapes.setdefault(target, Scrapes()).look([Scrape(until, summary.exposed, summary.dropped)])

    def _are_few(self, only: Mapping[Key, set[Identity]] | None, seconds: float) -> bool:
        """Whether counters have so few series that all samples of these can be read at once."""
        series = FEW + 1 if only is None else count_series(only)
        interval = min(self.history.intervals.values(), default=math.inf)
        return series <= FEW and series * seconds <= SAMPLES * interval

    def _is_steady(self, target: Target, summary: TargetSummary, seconds: float) -> bool:
        """Whether a target was scraped all the time, and each time with success."""
        step = self.history.intervals.get(target)
        is_regular = step is not None and summary.succeeded == summary.all and summary.all >= seconds / step - 1.5
        return is_regular and not summary.has_restarted

    def _busy(self, summary: WindowSummary, steady: set[Target], at: float) -> dict[Key, set[Identity]]:
        """The counters with which more happened than that they went on, with the labels of their series."""

        def only_went_on(key: Key, origin: Origin, told: Mapping[str, float]) -> bool:
            number = self.history.sources.get(key, {}).get(origin)
            target = origin[1]
            return (
                number is not None
                and "resets" not in told
                and target in steady
                and int(told["count"]) == summary.targets[target].succeeded
                and "value" in told
                and self.history.counters[key].knows(number, round(told["value"]), at - pod_history.AHEAD)
            )

        return {
            key: {labels for labels, dummy in own}
            for key, own in summary.values.items()
            if not all(only_went_on(key, origin, told) for origin, told in own.items())
        }

    def _follow(self, at: float, until: float, only: Mapping[Key, set[Identity]] | None, beside: bool) -> None:
        """Follow the counters through the samples of a window."""
        found = self._samples.read(at, until, only)
        if beside:
            self.history.tokens.steady(until)
        else:
            times = {it.time for own in found.values() for samples in own.values() for it in samples}
            self.history.tokens.look([time for time in times if time <= until])
        for key, own in found.items():
            known = self.history.add_sources(key, own)
            counter = self.history.counters.setdefault(key, Counter())
            is_fresh = counter.level is None and self.first.may_be_older(own) and self.first.recall(key)
            scrapes = [self.history.scrapes.get(target, Scrapes()) for dummy, target in known]

            def is_new(number: int, time: float, scrapes: list[Scrapes] = scrapes, is_fresh: bool = is_fresh) -> bool:
                return is_fresh or self.first.shows_new(scrapes[number], time)

            def has_restarted(number: int, earlier: float, later: float, scrapes: list[Scrapes] = scrapes) -> bool:
                own = scrapes[number]
                others = [other for other in scrapes if other is not own]
                return any(earlier < shown <= later for dummy, shown in own.restarts) or own.took_over(
                    others, earlier, later
                )

            in_order = [sorted(own.get(source, [])) for source in known]
            counter.follow(in_order, self.start, until, is_new, has_restarted, self.history.has_surely_restarted)
