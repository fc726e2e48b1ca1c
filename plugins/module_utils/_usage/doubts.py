# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What cannot be known of a period, and by how much the bill may differ for it.

Nothing is asked here, of a store or a clock: a pod's reader has followed it to the end.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .. import _names
from .._prometheus import token_types
from . import duplicates
from .pod_history import PodHistory
from .scrape_history import GAP_INTERVALS
from .totals import Sums


class Doubt(NamedTuple):
    """Something that cannot be known."""

    text: str
    tokens: float = 0.0
    """How many tokens it may be: at most, or by what was usual."""
    seconds: float = 0.0
    """How much time it is about."""


def gravest_first(doubts: Iterable[Doubt]) -> list[str]:
    """Their texts, those first that may be the most tokens."""
    return [doubt.text for doubt in sorted(doubts, key=lambda it: (-it.tokens, -it.seconds, it.text))]


def utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def shown_time(seconds: float) -> str:
    """A time for a person."""
    return utc(seconds).isoformat(timespec="seconds")


def traffic_text(seconds: float, rate: float) -> str:
    """How much may have been counted in some time, for a person.

    Args:
        seconds: that time.
        rate: tokens a second, as the pod has counted them in the period.
    """
    usual = round(seconds * rate)
    return f"it may have counted up to {seconds:.0f} s of traffic" + (
        f" (some {usual} tokens at its rate)" if usual else ""
    )


def of_sums(sums: Sums, gateway: Callable[[str], str]) -> list[Doubt]:
    """What the sums of a period leave open.

    Args:
        sums: they.
        gateway: the Gateway of a pod, by the pod's name; an empty text where that is not known.
    """
    found = [
        Doubt(
            f"{baseline.tokens} {kind} tokens of {who or 'nobody'} on {pod} were there at the first scrape "
            f"({shown_time(baseline.since)}). They may be older than the period, or than the metering, so they are "
            "not billed in any period.",
            baseline.tokens,
        )
        for (who, kind, pod), baseline in sorted(sums.baselines.items())
    ]
    if sums.nobody:
        label = _names.REQUIRED_PAIR[1]
        found.append(Doubt(f"{sums.nobody} tokens carry no {label}: they cannot be billed.", sums.nobody))
    for (provider, kind), tokens in sorted(sums.unknown.items()):
        text = (
            f"{tokens} {kind} tokens of the provider {provider or 'without a name'} were counted by v0.4 or older, "
            f"which counts them within {token_types.WHOLE_OF[kind]} for some upstreams and apart from it for "
            "others; they are taken as part of it."
        )
        found.append(Doubt(text, tokens))
    unowned = {name: tokens for name, tokens in sums.of_pods.items() if not gateway(name)}
    if "gateway" in sums.by and unowned:
        text = (
            f"{sum(unowned.values())} tokens are of pods whose Gateway is not known any more: "
            f"{', '.join(sorted(unowned)[:5])}{' and others' if len(unowned) > 5 else ''}. Their workloads are gone, "
            "and kube_pod_owner is not stored."
        )
        found.append(Doubt(text, sum(unowned.values())))
    return found


def of_gap(name: str, span: tuple[float, float], rate: float, last_moment: float) -> Doubt:
    """A time in which a pod was not scraped, at its rate (tokens a second)."""
    begin, until = span
    seconds = until - begin
    bill = "which is billed at the next scrape" if until < last_moment else "which is not billed yet"
    when = f"from {shown_time(begin)} to {shown_time(until)}"
    text = f"{name} was not scraped {when}: {traffic_text(seconds, rate)}, {bill}."
    return Doubt(text, rate * seconds, seconds)


def of_idle(steps: Sequence[float]) -> list[Doubt]:
    """Pods that had counted nothing and have ended: of each, how long after one scrape the next one would come."""
    if not steps:
        return []
    ended = (
        "1 pod that had counted nothing has ended"
        if len(steps) == 1
        else (f"{len(steps)} pods that had counted nothing have ended")
    )
    return [Doubt(f"{ended}: the tokens of each after its last scrape, of up to {max(steps):.0f} s, are lost.")]


def of_pod(
    history: PodHistory,
    late: Mapping[float, float],
    tokens: int,
    *,
    end: float,
    alive: tuple[float, float] | None,
    last_moment: float,
    has_ended: bool,
) -> list[Doubt]:
    """What cannot be known of a pod that was scraped.

    Args:
        history: what was read of it.
        late: by the time of a scrape whose first samples were billed, when their process began (Unix seconds).
        tokens: its part of the total.
        end: when the period ends (Unix seconds).
        alive: from when to when in the period the pod has run, as the cluster tells.
        last_moment: the end, or the present moment in a period that is not over.
        has_ended: whether it is gone, and was not scraped after the period.
    """
    name, presence = history.name, history.presence
    rate = tokens / presence.scraped if presence.scraped else 0.0
    found = [of_gap(name, span, rate, last_moment) for span in presence.ended(alive)]
    found += _of_unstored(history, rate)
    found += [_of_restart(name, span, rate) for span in history.restarts if history.start < span[1] <= end]
    found += _of_late(history, late, rate)
    found += _of_twins(history)
    if has_ended and history.counters and presence.last is not None:
        text = (
            f"{name} has ended after its last scrape at {shown_time(presence.last)}: "
            f"{traffic_text(presence.step, rate)} after that, which is lost."
        )
        found.append(Doubt(text, rate * presence.step, presence.step))
    return found


def _of_unstored(history: PodHistory, rate: float) -> Iterator[Doubt]:
    """Times in which a pod was scraped and its counters were not stored."""
    for begin, until in history.unstored():
        seconds = until - max(begin, history.start)
        text = (
            f"{history.name} was scraped from {shown_time(begin)} to {shown_time(until)}, and its tokens were not "
            f"stored: {traffic_text(seconds, rate)} then, which is billed late, or not at all."
        )
        yield Doubt(text, rate * seconds, seconds)


def _of_restart(name: str, span: tuple[float, float], rate: float) -> Doubt:
    """A new process between two scrapes."""
    begin, until = span
    seconds = until - begin
    text = (
        f"The sidecar of {name} has restarted between {shown_time(begin)} and {shown_time(until)}: "
        f"{traffic_text(seconds, rate)} before the restart, which is lost."
    )
    return Doubt(text, rate * seconds, seconds)


def _of_late(history: PodHistory, late: Mapping[float, float], rate: float) -> Iterator[Doubt]:
    """First scrapes that came long after the process had begun."""
    for first, began in late.items():
        seconds = first - began
        if seconds > GAP_INTERVALS * history.presence.step and first > history.start:
            text = (
                f"{history.name} was scraped first at {shown_time(first)}, {seconds:.0f} s after its sidecar started: "
                "the tokens that it had counted by then are billed at that moment."
            )
            yield Doubt(text, rate * seconds, seconds)


def _of_twins(history: PodHistory) -> list[Doubt]:
    """Counters that are billed twice, because one of two scrapes edits labels."""
    pairs = history.twins()
    if not pairs:
        return []
    twice = duplicates.billed_twice(pairs)
    text = (
        f"Up to {twice} tokens of {history.name} are billed twice: it is scraped twice, and one scrape edits the "
        f"sidecar's labels ({', '.join(duplicates.differing(pairs))}). Remove that one, or its metricRelabelings."
    )
    return [Doubt(text, twice)]
