# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""How many series a label for each user would make, from what is stored.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from .. import _names

# What prometheus-operator sets where the object says nothing (pkg/prometheus/server/statefulset.go).
DEFAULT_RETENTION = "24h"
_USAGE = f'{{__name__=~"{_names.STORED_PATTERN}"}}'
_SUMS = f'{{__name__=~"{_names.STORED_SUM_PATTERN}"}}'


def _distinct(*labels: str) -> str:
    """Of how many values a label is, under whichever of its names it is stored."""
    return " + ".join(f'(count(count by ("{label}") ({_SUMS[:-1]},"{label}"!=""}})) or vector(0))' for label in labels)


QUERIES = {
    "series": f"count({_USAGE})",
    "sums": f"count({_SUMS})",
    "models": _distinct(*_names.REQUEST_MODEL_LABELS),
    "types": _distinct(*_names.TOKEN_TYPE_LABELS),
    "pods": _distinct("pod"),
    **{f"users by {label}": _distinct(label) for label in sorted(_names.PER_USER_LABELS)},
}


@dataclass(frozen=True)
class StoredSeries:
    """What a Prometheus has of the token metric."""

    counted: Mapping[str, int]
    """The answers to QUERIES."""
    retention: str
    name: str

    @property
    def users(self) -> tuple[int, str]:
        """How many users are known, and by which label; (0, "") where no such label is stored."""
        by_label = {
            name.removeprefix("users by "): count for name, count in self.counted.items() if name.startswith("users by")
        }
        label = max(by_label, key=lambda name: by_label[name], default="")
        return (by_label[label], label) if by_label.get(label) else (0, "")


def estimated_series(pair: str, stored: StoredSeries) -> str:
    """A sentence on the series that a per-user pair would make at the most."""
    counted = stored.counted
    kept = f"Prometheus {stored.name} has {counted['series']} series of the metric and keeps them {stored.retention}."
    if not counted["sums"]:
        return f"The number of series that {pair} would make is not known: no sample is stored. {kept}"
    # A histogram is stored as its buckets, its count and its sum.
    histogram = ceil(counted["series"] / counted["sums"])
    number = counted["models"] * counted["types"] * counted["pods"] * histogram
    factors = (
        f"{counted['models']} models x {counted['types']} token types x {counted['pods']} pods x {histogram} series of "
        "a histogram"
    )
    users, label = stored.users
    if not users:
        return f"{pair} would make up to {number} series for each user ({factors}). {kept}"
    return (
        f"{pair} would make up to {users * number} series: {users} users, as the label {label} has them, x {factors}. "
        f"{kept}"
    )
