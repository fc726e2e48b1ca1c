# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What is known so far of one pod: its counters, its scrapes, and from which series and targets both are told.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _names
from .._prometheus.identity import Identity, identity_of, target_of
from .counter import RECENT, Counter
from .duplicates import StoredCounter, find_twins
from .scrape_history import GAP_INTERVALS, Presence, Scrape, Scrapes, typical_interval
from .store import SCRAPE_SERIES, numbers

# So many seconds of what follows a window are looked at, to see whether a scrape went on, and of what goes before the
# period. What was scraped last before that is looked for where something depends on it, however long ago it was.
AHEAD = int(RECENT)
# Whether a counter counts requests, and what tells it from others.
Key = tuple[bool, Identity]
# A replica by its number, and the labels of one of its targets.
Target = tuple[int, Identity]
# The labels of a series, with its name, and its target.
Origin = tuple[Identity, Target]


@dataclass
class PodHistory:
    """What is known so far of one pod."""

    name: str
    """namespace/name of the pod; where no scrape says one, its address."""
    start: float
    """When the period begins, in Unix seconds."""
    is_sidecar: Callable[[Mapping[str, str]], bool]
    """Whether a series, by its labels, is a sidecar's."""
    counters: dict[Key, Counter] = field(default_factory=dict)
    sources: dict[Key, dict[Origin, int]] = field(default_factory=dict)
    """By counter, what it is told from, each with its number."""
    scrapes: dict[Target, Scrapes] = field(default_factory=dict)
    intervals: dict[Target, float] = field(default_factory=dict)
    """By target, how long after one scrape the next one comes (seconds)."""
    presence: Presence = field(init=False)
    """When it was scraped."""
    tokens: Presence = field(init=False)
    """When some counter of it was stored."""
    _keys: dict[tuple[Any, ...], tuple[Key, Origin] | None] = field(default_factory=dict)
    """What key_of() has returned."""

    def __post_init__(self) -> None:
        self.presence, self.tokens = Presence(self.start), Presence(self.start)

    def forget_keys(self) -> None:
        """Forget what was remembered only to be quick."""
        self._keys.clear()

    def names_of(self, key: Key) -> set[str]:
        """The names under which a counter was stored."""
        return {dict(labels)["__name__"] for labels, dummy in self.sources.get(key, {})}

    @property
    def restarts(self) -> list[tuple[float, float]]:
        """Between which scrapes the process has begun anew; of several that have seen it the closest."""
        found: list[tuple[float, float]] = []
        for begin, until in sorted(set().union(*(own.restarts for own in self.scrapes.values()))):
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

    def twins(self) -> list[tuple[StoredCounter, StoredCounter]]:
        """Its counters that may be one and the same, and are summed up twice."""
        counters = [
            StoredCounter(
                identity,
                frozenset(target for dummy, target in self.sources[requests, identity]),
                counter.total,
                self.start if counter.born is None else counter.born,
                counter.seen,
            )
            for (requests, identity), counter in self.counters.items()
            if not requests and dict(identity).get(_names.TOKEN_TYPE_LABELS[0]) in _names.TOTAL_TOKEN_TYPES
        ]
        return find_twins(counters, GAP_INTERVALS * self.presence.step)

    def has_surely_restarted(self, since: float, until: float) -> bool:
        """Whether some scrape shows that the process has begun anew after one time and before another."""
        return any(
            since <= earlier and later <= until for own in self.scrapes.values() for earlier, later in own.restarts
        )

    def add_sources(self, key: Key, origins: Iterable[Origin]) -> dict[Origin, int]:
        """Number what a counter is told from; all that it is told from is returned."""
        known = self.sources.setdefault(key, {})
        for origin in origins:
            known.setdefault(origin, len(known))
        return known

    def go_on(self, key: Key, values: Mapping[Origin, Mapping[str, float]], at: float, until: float) -> None:
        """Go on with a counter of which each source only went on, to the `value` that it has reached."""
        numbers_of = self.sources[key]
        reached = {numbers_of[origin]: round(told["value"]) for origin, told in values.items()}
        self.counters[key].go_on(reached, at, until)

    def key_of(
        self, labels: Mapping[str, str], requests: bool, targets: list[dict[str, str]], number: int
    ) -> tuple[Key, Origin] | None:
        """Which counter a series is, and which source of it; None where it is none of a sidecar's."""
        series = tuple(sorted(labels.items()))
        # Each window asks for the same series again, mostly with the same targets.
        known = (series, requests, number, *(tuple(item.items()) for item in targets))
        if known not in self._keys:
            own = _plain(labels)
            target = target_of(own, targets)
            key = (requests, identity_of(own, target, self.name))
            origin = (series, (number, tuple(sorted((target or {}).items()))))
            self._keys[known] = (key, origin) if self.is_sidecar(own) else None
        return self._keys[known]

    def note_scrapes(
        self, number: int, items: Sequence[Mapping[str, Any]], owns: Callable[[Mapping[str, str], float], bool]
    ) -> tuple[list[dict[str, str]], list[float]]:
        """Note the scrapes of targets by one replica.

        Args:
            number: the replica's.
            items: the samples of SCRAPE_SERIES, as the API has them.
            owns: whether a sample of a series, at a time, is of this pod.

        Returns:
            The labels of the targets, and when a scrape of one of them succeeded.
        """
        seen: list[float] = []
        by_target: dict[Identity, dict[str, dict[float, float]]] = {}
        for item in items:
            labels = _plain(item["metric"])
            if self.is_sidecar(labels):
                told = {time: value for time, value in numbers(item["values"]) if owns(item["metric"], time)}
                by_target.setdefault(tuple(sorted(labels.items())), {})[item["metric"]["__name__"]] = told
        for identity, series in by_target.items():
            target = (number, identity)
            up, exposed, kept = (series.get(name, {}) for name in SCRAPE_SERIES)
            step = typical_interval(sorted(up))
            if step is not None:
                self.intervals[target] = step
            succeeded = [time for time, value in up.items() if value]
            seen += succeeded
            self.scrapes.setdefault(target, Scrapes()).look(
                [
                    Scrape(time, round(exposed[time]), round(exposed[time] - kept[time]))
                    for time in succeeded
                    if time in exposed and time in kept
                ]
            )
        return [dict(identity) for identity in by_target], seen


def _plain(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "__name__"}
