# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What cannot be known of a period, and by how much the bill may differ for it.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import NamedTuple


class Doubt(NamedTuple):
    """Something that cannot be known."""

    text: str
    tokens: float = 0.0
    """How many tokens it may be: at most, or by what was usual."""
    seconds: float = 0.0
    """How much time it is about."""


def in_order(doubts: Iterable[Doubt]) -> list[str]:
    """Their texts, those first that may be the most tokens."""
    return [doubt.text for doubt in sorted(doubts, key=lambda it: (-it.tokens, -it.seconds, it.text))]


def utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def shown(seconds: float) -> str:
    """A time for a person."""
    return utc(seconds).isoformat(timespec="seconds")


def traffic(seconds: float, rate: float) -> str:
    """How much may have been counted in some time, for a person.

    Args:
        seconds: that time.
        rate: tokens a second, as the pod has counted them in the period.
    """
    usual = round(seconds * rate)
    return f"it may have counted up to {seconds:.0f} s of traffic" + (
        f" (some {usual} tokens at its rate)" if usual else ""
    )
