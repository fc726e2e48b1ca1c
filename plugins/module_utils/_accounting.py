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

# What the scrape commonly adds to a series; what it really adds is told by the series `up` of the same target.
SCRAPE_LABELS = frozenset(
    {"job", "endpoint", "instance", "namespace", "pod", "container", "service", "prometheus", "prometheus_replica"}
)
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
    added = {name for name in labels if name in SCRAPE_LABELS} if target is None else set(target)
    own = {name.replace(".", "_"): value for name, value in labels.items() if value and name not in added}
    return tuple(sorted({**own, "pod": pod}.items()))


def target_of(labels: Mapping[str, str], targets: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
    """The target that a series comes from: the one all of whose labels it carries; of several the most particular."""
    fitting = [item for item in targets if item.items() <= labels.items()]
    return max(fitting, key=len) if fitting else None


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
    _last: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By source, its last value and the life that it was of."""
    _seen: float = 0.0
    """When the counter was last there."""

    def follow(
        self,
        sources: Sequence[Sequence[Sample]],
        start: float,
        end: float,
        is_new: Callable[[float], bool],
        was_absent: Callable[[float, float], bool] = lambda *_: False,
    ) -> None:
        """Go on with further samples.

        Args:
            sources: what each scrape has stored, later than what was followed before. Samples after the end serve to
                look ahead.
            start: when the period begins, in Unix seconds. What was scraped then belongs to the time before.
            end: when it ends. What was scraped then belongs to it.
            is_new: whether a counter whose first sample is of some time is known to have begun at 0 in the period.
            was_absent: whether the process was scraped between two times, and had no such counter then: it had begun
                anew.
        """
        positions = [0] * len(sources)
        events = sorted((sample.time, number, sample.value) for number, own in enumerate(sources) for sample in own)
        for time, number, value in events:
            positions[number] += 1
            if time > end:
                return
            setter = sources[self._setter] if self._setter < len(sources) else ()
            ahead = setter[positions[self._setter]].value if positions_left(setter, positions, self._setter) else None
            if self.level is not None and was_absent(self._seen, time):
                self._life += 1
                self.level = 0
            self._seen = time
            self._observe(time, number, value, ahead, start, is_new)

    def _observe(
        self, time: float, source: int, value: int, ahead: int | None, start: float, is_new: Callable[[float], bool]
    ) -> None:
        before = self._last.get(source)
        if self.level is None:
            if time > start:
                self.born = time
                if is_new(time):
                    self.total += value
                else:
                    self.baseline = value
            self._take(source, value)
        elif value >= self.level:
            self._add(value - self.level, time, start)
            self._take(source, value)
        elif self._has_begun_anew(before, value, ahead):
            self._life += 1
            self._add(value, time, start)
            self._take(source, value)
        else:  # a scrape that was answered a little earlier than it says, or saw a restart after another did
            self._last[source] = (value, self._life)

    def _has_begun_anew(self, before: tuple[int, int] | None, value: int, ahead: int | None) -> bool:
        """Whether a value below the level is that of a new life."""
        if before is not None and before[1] == self._life:
            return value < before[0]
        # This source has not seen the present life yet: it is over unless its own source goes on.
        return ahead is None or (self.level is not None and ahead < self.level)

    def _take(self, source: int, value: int) -> None:
        self.level, self._setter = value, source
        self._last[source] = (value, self._life)

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


def is_count(name: str) -> bool:
    """Whether a series counts requests; otherwise it sums tokens."""
    return name.endswith("_count")


def summed(counters: Mapping[tuple[bool, Identity], int], by: Sequence[str]) -> dict[tuple[str, ...], Usage]:
    """What was used, by the values of some dimensions; an absent label is an empty text.

    Args:
        counters: by whether it counts requests and by identity, what a counter has added.
        by: names of DIMENSIONS.
    """
    found: dict[tuple[str, ...], Usage] = {}
    for (requests, identity), added in counters.items():
        labels = dict(identity)
        kind = labels.get(_names.TOKEN_TYPE_LABELS[0], "")
        key = tuple(next((labels[name] for name in DIMENSIONS[item] if name in labels), "") for item in by)
        if added and not requests:
            usage = found.setdefault(key, Usage())
            usage.tokens[kind] = usage.tokens.get(kind, 0) + added
        elif added and kind == _names.TOTAL_TOKEN_TYPES[0]:
            # Each request is counted once for each type.
            found.setdefault(key, Usage()).requests += added
    return found


def in_total(identity: Identity) -> bool:
    """Whether a counter is a part of the total."""
    return dict(identity).get(_names.TOKEN_TYPE_LABELS[0]) in _names.TOTAL_TOKEN_TYPES


def gaps(seen: Sequence[float], start: float, end: float, alive: tuple[float, float]) -> list[tuple[float, float]]:
    """When a target was not scraped although it was there: for more than three usual intervals.

    Several may scrape it, each at its own pace: nine of ten steps are taken for usual.

    Args:
        seen: when it was scraped.
        start: when the period begins.
        end: when it ends.
        alive: from when on, and until when, it is known to have been there; otherwise its first and last scrape.
    """
    inside = sorted({time for time in seen if start <= time <= end})
    steps = sorted(later - earlier for earlier, later in pairwise(inside))
    usual = steps[len(steps) * 9 // 10] if steps else USUAL_SECONDS
    edges = sorted({max(start, alive[0]), *inside, min(end, alive[1])})
    return [(earlier, later) for earlier, later in pairwise(edges) if later - earlier > GAP_INTERVALS * usual]
