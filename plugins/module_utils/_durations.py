# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Durations as Prometheus and Go write them: 30s, 1h30m.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdwy])")
# Prometheus takes whole numbers only, the units in their order and each of them once (model/time.go, and the pattern in
# the operator's CRDs). VictoriaMetrics's operator takes less: no years, weeks or days.
_WHOLE = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?\Z"
)


def is_prometheus(text: str, *, may_be_none: bool = False) -> bool:
    """Whether Prometheus takes a text for a duration.

    Args:
        text: the text.
        may_be_none: whether it may be no time at all, such as 0s: an alert may fire at once; a scrape needs a time.
    """
    match = _WHOLE.match(text)
    numbers = [int(number) for number in match.groups() if number] if match else []
    return any(numbers) or (may_be_none and bool(numbers))


def seconds(text: str) -> float | None:
    """How long that is; None where it is no duration."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
