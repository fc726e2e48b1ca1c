# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Counters of one pod that may be one and the same, because one of two scrapes edits what the sidecar says.

Whoever scrapes a sidecar stores all of its counters. So where two scrape at once, and each has stored one that the
other has not, either each keeps some only, or one of them has edited labels. Pure: no input or output, no Ansible.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

from .._prometheus.identity import Identity


@dataclass(frozen=True)
class StoredCounter:
    """A counter, and who has stored it."""

    identity: Identity
    targets: frozenset[Hashable]
    tokens: int
    """What it has added in the period."""
    begin: float
    """When it was first scraped in the period (Unix seconds)."""
    until: float
    """When it was last scraped."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the labels by which it is told from others."""
        return frozenset(name for name, dummy in self.identity)

    def told_by(self, names: frozenset[str]) -> Identity:
        """Of these labels, those of some names."""
        return tuple(pair for pair in self.identity if pair[0] in names)


def find_twins(counters: Sequence[StoredCounter], apart: float) -> list[tuple[StoredCounter, StoredCounter]]:
    """The pairs of counters that may be one.

    Args:
        counters: those of one pod.
        apart: two are only taken for one where both were scraped for longer than this (seconds).
    """
    by_targets: dict[frozenset[Hashable], list[StoredCounter]] = {}
    for counter in counters:
        if counter.tokens:
            by_targets.setdefault(counter.targets, []).append(counter)
    return [
        (one, other)
        for (targets, own), (other_targets, others) in combinations(by_targets.items(), 2)
        if targets.isdisjoint(other_targets)
        for one, other in _alike(own, others)
        if min(one.until, other.until) - max(one.begin, other.begin) > apart
    ]


def _alike(own: Sequence[StoredCounter], others: Sequence[StoredCounter]) -> list[tuple[StoredCounter, StoredCounter]]:
    """Pairs in which a label is missing, added or renamed, or in which values differ and what was counted is equal."""
    found = []
    for names in {counter.names for counter in own}:
        for other_names in {counter.names for counter in others}:
            common = names & other_names
            is_renamed = names != other_names
            known: dict[Hashable, list[StoredCounter]] = {}
            for counter in own:
                if counter.names == names:
                    known.setdefault(counter.told_by(common) if is_renamed else counter.tokens, []).append(counter)
            for counter in others:
                if counter.names == other_names:
                    key = counter.told_by(common) if is_renamed else counter.tokens
                    found += [(one, counter) for one in known.get(key, ())]
    return found


def differing(pairs: Sequence[tuple[StoredCounter, StoredCounter]]) -> list[str]:
    """The names of the labels in which the counters of pairs differ."""
    return sorted({name for one, other in pairs for name, dummy in set(one.identity) ^ set(other.identity)})


def billed_twice(pairs: Sequence[tuple[StoredCounter, StoredCounter]]) -> int:
    """How many tokens may be billed twice at most."""
    best: dict[StoredCounter, int] = {}
    for one, other in pairs:
        best[one] = max(best.get(one, 0), min(one.tokens, other.tokens))
    return sum(best.values())
