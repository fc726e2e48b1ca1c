# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Reads the samples of a pod's counters, and of its scrapes, in a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._prometheus.identity import Identity
from . import pod_history
from .counter import Sample
from .pod_history import Key, Origin, PodHistory
from .store import SCRAPES, SERIES, Group, Series, Store, any_of

# Of more series than these, the samples of the whole pod are asked for at once.
FEW = 200


@dataclass(frozen=True)
class SampleReader:
    """Reads samples of one pod, and notes its scrapes on the way."""

    store: Store
    group: Group
    history: PodHistory

    def read(
        self, at: float, until: float, only: Mapping[Key, set[Identity]] | None
    ) -> dict[Key, dict[Origin, list[Sample]]]:
        """By counter and by source, the samples of a window and of what follows it.

        Args:
            at: when the window begins (Unix seconds).
            until: when it ends.
            only: the counters that are asked for, with the labels of their series; None means all.
        """
        found: dict[Key, dict[Origin, list[Sample]]] = {}
        before = pod_history.AHEAD if at == self.history.start else 0
        moment, seconds = until + pod_history.AHEAD, until - at + pod_history.AHEAD + before
        seen: list[float] = []
        for number in range(len(self.store.replicas)):
            for selector in self.group.selectors(moment - seconds, moment):
                scrapes = self.store.samples(number, moment, seconds, SCRAPES, selector)
                targets, succeeded = self.history.note_scrapes(number, scrapes, self.group.owns)
                seen += succeeded
                for series in self.store.counters(number, moment, seconds, *self._chosen(only), selector):
                    self.take(found, number, targets, series)
        self.history.presence.look([time for time in seen if time <= until])
        return {key: own for key, own in found.items() if only is None or key in only}

    @staticmethod
    def _chosen(only: Mapping[Key, set[Identity]] | None) -> list[str]:
        """Matchers of what is asked for: a few series, and what else has values of theirs; or all of the pod."""
        if only is None or count_series(only) > FEW:
            return [SERIES]
        series = [dict(labels) for labels in set().union(*only.values())]
        names = sorted(set().union(*series))
        return [any_of(name, {labels.get(name, "") for labels in series}) for name in names]

    def take(
        self,
        found: dict[Key, dict[Origin, list[Sample]]],
        number: int,
        targets: list[dict[str, str]],
        series: Series,
    ) -> None:
        """Put those of a series' samples that are the pod's own to the counter and the source that they are of."""
        told = self.history.key_of(series.labels, series.requests, targets, number)
        if told is not None:
            samples = found.setdefault(told[0], {}).setdefault(told[1], [])
            if self.group.owns_all(series.labels):
                samples += [Sample(time, round(value)) for time, value in series.samples]
            else:
                own = (item for item in series.samples if self.group.owns(series.labels, item[0]))
                samples += [Sample(time, round(value)) for time, value in own]


def count_series(only: Mapping[Key, set[Identity]]) -> int:
    """How many series some counters have."""
    return len(set().union(*only.values()))
