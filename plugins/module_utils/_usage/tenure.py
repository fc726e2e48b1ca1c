# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Whose an address was, and when: what a scrape stored without saying the pod is attributed by that.

The rule looks a fixed time back and ahead from each moment, and knows no period: so two reports that meet at a moment
attribute what is around it alike. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

# A pod that was seen at an address keeps it for so long at the most, if no other is seen there (seconds).
KEEPS = 86400.0
# A pod that is about to be seen there for the first time may have it already (seconds).
ABOUT = 600.0


class Span(NamedTuple):
    """A stretch of time, the beginning of it, the end not (Unix seconds)."""

    begin: float
    until: float


T = TypeVar("T", bound=Hashable)


def tenures(
    seen: Sequence[tuple[float, T]], made: Mapping[T, float] | None = None
) -> tuple[dict[T, list[Span]], list[Span]]:
    """When an address was whose, and when it was no known pod's.

    At each moment it is that of the pod that was seen there last, if that was not too long ago; else that of the pod
    that is seen there next: from when that was made, where that is known and no pod was seen there since, else from ten
    minutes before. Where these are two it could be either's: such a moment is in no span at all.

    Args:
        seen: when a scrape that says the pod has found which one there, in the order of time.
        made: when pods were made, as far as that is known.
    """
    owned: dict[T, list[Span]] = {}
    free: list[Span] = []

    def add(spans: list[Span], begin: float, until: float) -> None:
        if begin >= until:
            return
        if spans and spans[-1].until == begin:
            spans[-1] = Span(spans[-1].begin, until)
        else:
            spans.append(Span(begin, until))

    begun = kept_until = -math.inf
    last: T | None = None
    for time, pod in seen:
        # A pod that is older than what was seen there of another may have got the address at any time since.
        known = (made or {}).get(pod, -math.inf)
        about = min(time, known) if known > begun else time - ABOUT
        if last is not None:
            # Until another is about to be seen it is the former one's; if it is seen again itself, all the time.
            add(owned.setdefault(last, []), begun, min(kept_until, time if pod == last else max(begun, about)))
        add(free, kept_until, about)
        add(owned.setdefault(pod, []), max(kept_until, about), time)
        begun, kept_until, last = time, time + KEEPS, pod
    if last is not None:
        add(owned.setdefault(last, []), begun, kept_until)
    add(free, kept_until, math.inf)
    return {pod: spans for pod, spans in owned.items() if spans}, free
