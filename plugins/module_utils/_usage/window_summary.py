# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What instant queries tell of a window: enough for a counter that only went on through it.

Everything about a pod's targets and counters is asked in one query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .._prometheus.identity import Identity
from . import pod_history
from .pod_history import Key, Origin, PodHistory, Target
from .store import SCRAPE_SERIES, Group, Store, by, counters_of


class Answer(NamedTuple):
    """An answer to one of several questions."""

    replica: int
    question: str
    labels: Identity
    value: float


class TargetSummary(NamedTuple):
    """A target's scrapes in a window."""

    all: int
    succeeded: int
    has_restarted: bool
    """Whether one had fewer samples than the one before it, or that is not known."""
    exposed: int
    """How many samples the last one had."""
    dropped: int
    """How many of these were not stored."""


class WindowSummary(NamedTuple):
    """What is told of a window."""

    targets: dict[Target, TargetSummary]
    values: dict[Key, dict[Origin, dict[str, float]]]
    """By counter and by series: its `count` of samples, the last `value` of them, its `resets` where it has some."""


@dataclass(frozen=True)
class SummaryReader:
    """Asks what happened in windows to the targets and the counters of one pod."""

    store: Store
    group: Group
    names: Sequence[str]
    """Those under which counters are stored."""
    history: PodHistory

    def read(self, until: float, seconds: float) -> WindowSummary:
        """What happened in the seconds before a time."""
        answers = self._answers(until, seconds)
        targets = self._summarize_targets(answers)
        return WindowSummary(targets, self._values(answers, targets))

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
            "exposed": over("last_over_time", min(seconds, pod_history.AHEAD), *exposed),
            "kept": over("last_over_time", min(seconds, pod_history.AHEAD), *kept),
            # The scrape before the window as well: it may have begun anew right after that.
            "resets": f"{over('resets', seconds + pod_history.AHEAD, *exposed)} > 0",
        }

    def _of_counters(self, selector: str, seconds: float) -> dict[str, str]:
        """Questions about the counters, by what each is about, the series and whether it counts requests."""
        over = self.store.over
        questions = {}
        for name in self.names:
            series = (by("__name__", name), selector)
            resets = f"{over('resets', seconds + pod_history.AHEAD, *series)} > 0"
            for requests in counters_of(name):
                of = f"{name} {int(requests)}"
                questions[f"count {of}"] = over("count_over_time", seconds, *series)
                # One that went on to the end has a sample shortly before it.
                questions[f"value {of}"] = self.store.value_over(
                    name, requests, min(seconds, pod_history.AHEAD), selector
                )
                # The sample before the window as well: it may have begun anew right after that.
                questions[f"resets {of}"] = resets
        return questions

    def _summarize_targets(self, answers: Iterable[Answer]) -> dict[Target, TargetSummary]:
        """What was answered of each target."""
        found: dict[Target, dict[str, int]] = {}
        for number, question, labels, value in answers:
            if " " not in question and self.store.is_sidecar(dict(labels)):
                found.setdefault((number, labels), {})[question] = round(value)
        summaries = {}
        for target, told in found.items():
            if "all" in told:
                is_known = "exposed" in told and "kept" in told
                exposed = told.get("exposed", 0)
                has_restarted = "resets" in told or not is_known
                summaries[target] = TargetSummary(
                    told["all"], told.get("succeeded", 0), has_restarted, exposed, exposed - told.get("kept", 0)
                )
        return summaries

    def _values(
        self, answers: Iterable[Answer], summaries: Mapping[Target, TargetSummary]
    ) -> dict[Key, dict[Origin, dict[str, float]]]:
        """What was answered of each series of a counter: how many samples it has, the last of these, and its resets."""
        found: dict[Key, dict[Origin, dict[str, float]]] = {}
        targets: dict[int, list[dict[str, str]]] = {}
        for of, identity in summaries:
            targets.setdefault(of, []).append(dict(identity))
        for number, question, labels, value in answers:
            if " " not in question:
                continue
            what, name, requests = question.split(" ")
            told = self.history.key_of(
                {"__name__": name, **dict(labels)}, requests == "1", targets.get(number, []), number
            )
            if told is not None:
                found.setdefault(told[0], {}).setdefault(told[1], {})[what] = value
        # What has begun anew before the window, and is not there any more, is nothing of it.
        there = {
            key: {origin: told for origin, told in series.items() if "count" in told} for key, series in found.items()
        }
        return {key: series for key, series in there.items() if series}
