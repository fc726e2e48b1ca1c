# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What tokens cost, in decimals.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError

MILLION = Decimal(1_000_000)
# The parts that a type contains: each is priced at its own rate where it has one, and not twice.
PARTS = {"input": ("cached_input", "cache_creation_input"), "output": ("reasoning",)}
TYPES = tuple(kind for whole, parts in PARTS.items() for kind in (whole, *parts))


@dataclass(frozen=True)
class Charge:
    """Tokens that are charged at one rate."""

    kind: str
    tokens: int
    per_million: Decimal

    @property
    def cost(self) -> Decimal:
        """Exact, in the currency of the price list."""
        return self.tokens * self.per_million / MILLION


@dataclass(frozen=True)
class Price:
    """What a model's tokens cost from a day on."""

    model: str
    """A pattern of the shell: * and ? stand for any letters."""
    valid_from: datetime.date
    per_million: Mapping[str, Decimal]
    """By type; input and output at least."""

    def charges(self, tokens: Mapping[str, int]) -> list[Charge]:
        """What is charged for tokens by type, of which some are parts of others: each token once."""
        found = []
        for whole, parts in PARTS.items():
            own = [
                Charge(part, tokens.get(part, 0), self.per_million[part]) for part in parts if part in self.per_million
            ]
            # A provider may leave the parts out of the whole: nothing is taken off for that.
            rest = max(tokens.get(whole, 0) - sum(charge.tokens for charge in own), 0)
            found += [Charge(whole, rest, self.per_million[whole]), *own]
        return [charge for charge in found if charge.tokens]

    def cost(self, tokens: Mapping[str, int]) -> Decimal:
        """The exact cost of tokens by type."""
        return sum((charge.cost for charge in self.charges(tokens)), Decimal(0))


@dataclass(frozen=True)
class PriceList:
    """Prices in one currency."""

    currency: str
    digits: int
    """How many digits an amount is rounded to."""
    prices: tuple[Price, ...]

    def of(self, model: str, day: datetime.date) -> Price | None:
        """The price of a model on a day: of the patterns that it matches the first in the list, at its latest price."""
        fitting = [item for item in self.prices if fnmatch.fnmatchcase(model, item.model) and item.valid_from <= day]
        same = [item for item in fitting if item.model == fitting[0].model]
        return max(same, key=lambda item: item.valid_from) if same else None

    def changes(self, start: datetime.datetime, end: datetime.datetime) -> list[Price]:
        """The prices that begin to hold within a period, in its own zone: it has to be reported in parts."""

        def begins(price: Price) -> datetime.datetime:
            return datetime.datetime.combine(price.valid_from, datetime.time(), start.tzinfo)

        return [item for item in self.prices if start < begins(item) < end]

    def rounded(self, amount: Decimal) -> Decimal:
        """An amount in money: half to even."""
        return amount.quantize(Decimal(1).scaleb(-self.digits), rounding=ROUND_HALF_EVEN)


def _wrong(found: str) -> MeteringError:
    return MeteringError(
        f"The price list is not right: {found}.",
        "A wrong price makes a wrong bill.",
        "correct it; docs/accounting.md has an example.",
    )


def _decimal(value: Any, where: str) -> Decimal:
    try:
        # A number of YAML has become a binary float; its shortest text is what was written.
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise _wrong(f"{where} is {value!r}, and no number") from error
    if isinstance(value, bool) or not found.is_finite() or found < 0:
        raise _wrong(f"{where} is {value!r}, and no price")
    return found


def _price(entry: Any, number: int) -> Price:
    where = f"entry {number}"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str) or not entry["model"]:
        raise _wrong(f"{where} names no model")
    where = f"entry {number} ({entry['model']})"
    unknown = sorted(set(entry) - {"model", "valid_from", "per_million"})
    if unknown:
        raise _wrong(f"{where} has the unknown key {', '.join(map(str, unknown))}")
    rates = entry.get("per_million")
    if not isinstance(rates, Mapping) or not {"input", "output"} <= set(rates):
        raise _wrong(f"{where} needs per_million with input and output")
    strange = sorted(set(rates) - set(TYPES))
    if strange:
        raise _wrong(f"{where} prices the unknown type {', '.join(map(str, strange))}; there are {', '.join(TYPES)}")
    # YAML makes a date of a day, and a datetime of a moment.
    day = entry.get("valid_from", "1970-01-01")
    try:
        valid_from = datetime.date.fromisoformat(str(day))
    except ValueError as error:
        raise _wrong(f"{where} has valid_from {day!r}, and no day such as 2026-01-01") from error
    return Price(entry["model"], valid_from, {kind: _decimal(rate, f"{where}, {kind}") for kind, rate in rates.items()})


def parse(document: Any) -> PriceList:
    """A price list out of YAML.

    Raises:
        MeteringError: it is none.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("prices"), list):
        raise _wrong("it needs currency and a list prices")
    currency = document.get("currency")
    if not isinstance(currency, str) or not currency.isalpha() or len(currency) != 3:
        raise _wrong(f"currency is {currency!r}, and not three letters such as EUR")
    digits = document.get("digits", 2)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 9:
        raise _wrong(f"digits is {digits!r}, and no number from 0 to 9")
    prices = [_price(entry, number) for number, entry in enumerate(document["prices"], start=1)]
    return PriceList(currency.upper(), digits, tuple(prices))
