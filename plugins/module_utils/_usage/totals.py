# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What was used, summed up by whom or what it was used.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import _names
from .._prometheus import token_types
from .._prometheus.identity import Identity
from .counter import Counter

# What tokens can be summed by, and the labels that say it in one generation or another.
DIMENSIONS = {
    "namespace": (_names.REQUIRED_PAIR[1],),
    "department": (_names.DEPARTMENT_LABEL,),
    "user": ("user", "user_id"),
    "model": ("gen_ai_request_model",),
    "original_model": ("gen_ai_original_model",),
    "provider": ("gen_ai_provider_name", "gen_ai_system_name"),
    "gateway": (),
    "pod": ("pod", "instance"),
}


@dataclass
class Usage:
    """What was used of a kind: tokens by type, and requests."""

    tokens: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    beside: dict[str, int] = field(default_factory=dict)
    """Of these, by type, the tokens of parts that the type which commonly contains them does not contain."""

    @property
    def total(self) -> int:
        """Input and output, of which the other types are parts; and what of those comes beside."""
        return sum(self.tokens.get(kind, 0) for kind in _names.TOTAL_TOKEN_TYPES) + sum(self.beside.values())

    def add(self, requests: bool, kind: str, added: int, *, beside: bool = False) -> None:
        """Add what a counter has: of requests, or of tokens of a type."""
        if not requests:
            self.tokens[kind] = self.tokens.get(kind, 0) + added
            if beside:
                self.beside[kind] = self.beside.get(kind, 0) + added
        elif kind == _names.TOTAL_TOKEN_TYPES[0]:
            # Each request is counted once for each type.
            self.requests += added


class Baseline(NamedTuple):
    """What was there at a first scrape, may be older than the period, and is not billed."""

    tokens: int
    since: float
    """When the first of it was scraped."""


@dataclass
class Sums:
    """What was used, summed up counter by counter, so that none of them has to be kept."""

    by: Sequence[str]
    """Names of DIMENSIONS."""
    days: list[Usage]
    """By the number of the day."""
    gateway_of: Callable[[str], str]
    """The gateway of a pod, by the pod's name; an empty text where that is not known."""
    used: dict[tuple[str, ...], Usage] = field(default_factory=dict)
    """By the values of the dimensions; an absent label is an empty text."""
    whole: Usage = field(default_factory=Usage)
    baselines: dict[tuple[str, str, str], Baseline] = field(default_factory=dict)
    """By who it is of, token type and pod."""
    nobody: int = 0
    """Tokens that carry no namespace to bill."""
    of_pods: dict[str, int] = field(default_factory=dict)
    """By pod, its part of the total."""
    unknown: dict[tuple[str, str], int] = field(default_factory=dict)
    """By provider and type, the tokens of parts of which it is not known whether they come beside their whole."""

    def add(
        self,
        requests: bool,
        identity: Identity,
        added: Mapping[int, int],
        counter: Counter,
        names: Collection[str] = (),
    ) -> None:
        """Add a counter.

        Args:
            requests: whether it counts requests; otherwise it sums tokens.
            identity: what tells it from others.
            added: by the number of the day, what it has added then.
            counter: itself.
            names: the names under which it was stored.
        """
        labels = dict(identity)
        kind = labels.get(_names.TOKEN_TYPE_LABELS[0], "")
        who = labels.get(_names.REQUIRED_PAIR[1], "")
        apart = False
        if not requests and kind in token_types.MAY_BE_BESIDE:
            told = [token_types.is_beside(name, labels) for name in names]
            apart = any(told)
            if None in told and not apart and counter.total:
                provider = (labels.get(_names.PROVIDER_LABELS[0], ""), kind)
                self.unknown[provider] = self.unknown.get(provider, 0) + counter.total
        for day, tokens in added.items():
            self.days[day].add(requests, kind, tokens, beside=apart)
        if counter.total:
            own = self.used.setdefault(tuple(self._value(item, labels) for item in self.by), Usage())
            for sums in (own, self.whole):
                sums.add(requests, kind, counter.total, beside=apart)
            if not requests and (kind in _names.TOTAL_TOKEN_TYPES or apart):
                self.of_pods[labels["pod"]] = self.of_pods.get(labels["pod"], 0) + counter.total
        if not requests and (kind in _names.TOTAL_TOKEN_TYPES or apart):
            self.nobody += 0 if who else counter.total
            if counter.baseline:
                key, since = (who, kind, labels["pod"]), counter.born or 0.0
                before = self.baselines.get(key, Baseline(0, since))
                self.baselines[key] = Baseline(before.tokens + counter.baseline, min(before.since, since))

    def _value(self, dimension: str, labels: Mapping[str, str]) -> str:
        if dimension == "gateway":
            return self.gateway_of(labels["pod"])
        return next((labels[name] for name in DIMENSIONS[dimension] if name in labels), "")
