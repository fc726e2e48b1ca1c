# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What tokens cost, as PromQL: each type of a model's tokens at its own rate.

Input contains the cached input, and both may have a price. A cached token is counted under both types, so the rate of a
part is what it costs more, or less, than its whole:

    per million        price    rate here
    input               2.50         2.50
    cached input        1.25        -1.25     1,000 cached tokens: 2.50 - 1.25 = 1.25 for a million

An estimate, as the counters' growth is. What an old generation counts beside its whole is in the whole here, too.
Pure: no input or output, no Ansible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ...module_utils import _names
from ...module_utils._prometheus.promql import with_label
from .usage_queries import MODEL, UsageQueries

PROVIDER = _names.PROVIDER_LABELS[0]
KIND = "type"
# The middle of the hour that ends now: by it an hour has its month, and its price.
MIDDLE = "time() - 1800"
MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Rate:
    """What a type of a model's tokens costs more than the type that it is a part of, for some time."""

    model: str
    provider: str
    """Empty where the price is that of every provider."""
    kind: str
    per_million: Decimal
    """Below 0 where a part costs less than its whole."""
    begins: int | None = None
    """Unix seconds; None for always."""
    ends: int | None = None


@dataclass(frozen=True)
class RatedPrices:
    """The rates of the models that a store knows."""

    currency: str
    rates: tuple[Rate, ...]
    by_provider: bool
    """Whether rates depend on the provider."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The labels by which a rate is found."""
        return (MODEL, PROVIDER) if self.by_provider else (MODEL,)


def cost_of(usage: UsageQueries, prices: RatedPrices, window: str, by: Sequence[str]) -> str:
    """What the tokens of a window cost.

    Args:
        usage: what is asked; it names providers where prices depend on them.
        prices: the rates.
        window: the window.
        by: the labels that are kept.
    """
    kept = ", ".join([*by, *prices.keys])
    on = ", ".join(prices.keys)
    parts = []
    for kind in dict.fromkeys(rate.kind for rate in prices.rates):
        is_whole = kind in _names.TOTAL_TOKEN_TYPES
        tokens = usage.tokens(window, (kind,)) if is_whole else usage.tokens_of_part(window, kind)
        rated = f"sum by ({kept}) ({tokens}) * on ({on}) group_left () ({_vectors(prices, kind)})"
        # Without it the parts would take each other's place.
        parts.append(with_label(rated, KIND, kind))
    return f"sum by ({', '.join(by)}) ({' or '.join(parts)})"


def unpriced_tokens(usage: UsageQueries, prices: RatedPrices, window: str) -> str:
    """The tokens of a window that no rate holds for, by model."""
    on = ", ".join(prices.keys)
    tokens = f"sum by ({on}) ({usage.tokens(window)})"
    rated = _vectors(prices, _names.TOTAL_TOKEN_TYPES[0])
    return f"{tokens} unless on ({on}) ({rated})" if rated else tokens


def _vectors(prices: RatedPrices, kind: str) -> str:
    return " or ".join(_vector(rate, prices) for rate in prices.rates if rate.kind == kind)


def _vector(rate: Rate, prices: RatedPrices) -> str:
    """A sample with what one token costs, and the labels of its model."""
    found = f"vector({rate.per_million / MILLION:f})"
    if rate.begins is not None:
        found += f" and on () (vector({MIDDLE}) >= {rate.begins})"
    if rate.ends is not None:
        found += f" and on () (vector({MIDDLE}) < {rate.ends})"
    found = with_label(found, MODEL, _literal(rate.model))
    return with_label(found, PROVIDER, _literal(rate.provider)) if prices.by_provider else found


def _literal(text: str) -> str:
    """A replacement that stands for itself."""
    return text.replace("$", "$$")
