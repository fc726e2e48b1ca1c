# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What tokens cost, in decimals.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from ...module_utils import _calendar
from ...module_utils._errors import MeteringError
from ...module_utils._prometheus.token_types import PARTS, TYPES

MILLION = Decimal(1_000_000)
# A rate has no more digits before or behind its point: so amounts stay exact.
DIGITS = 9
# Python's Decimal takes more than a person means by a number: 1_000, NaN, digits of other scripts.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?\Z")


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
    """A pattern: * stands for any characters, ? for one. Nothing else is special."""
    valid_from: datetime.date
    per_million: Mapping[str, Decimal]
    """By type; input and output at least."""
    provider: str = ""
    """The provider whose price it is; empty for any."""
    others: tuple[Mapping[str, Decimal], ...] = ()
    """Rates that may have held instead, depending on what nobody stores, such as the length of a context."""
    is_literal: bool = False
    """Whether the model is a name and no pattern."""

    def matches(self, model: str, provider: str = "") -> bool:
        """Whether it is the price of a model, by its name and its provider's."""
        if self.provider not in ("", provider):
            return False
        return self.model == model if self.is_literal else matches_pattern(self.model, model)

    @property
    def rates_apart(self) -> dict[str, Decimal]:
        """By type, what a million tokens cost more than those of the type that they are a part of, and are counted in.

        Below 0 where a part costs less than its whole; a part without a rate of its own costs what its whole costs.
        """
        apart = {whole: self.per_million[whole] for whole in PARTS}
        for whole, parts in PARTS.items():
            for part in parts:
                if part in self.per_million:
                    apart[part] = self.per_million[part] - self.per_million[whole]
        return apart

    @property
    def range(self) -> tuple[Price, Price]:
        """The price at the lowest and at the highest rates that may have held."""
        every = (self.per_million, *self.others)
        rates = {kind: [own[kind] for own in every if kind in own] for kind in self.per_million}
        low = {kind: min(own) for kind, own in rates.items()}
        high = {kind: max(own) for kind, own in rates.items()}
        return replace(self, per_million=low, others=()), replace(self, per_million=high, others=())

    def hides(self, later: Price) -> bool:
        """Whether a price that stands below this one in the list can never be used."""
        # What its `*` may be, a `?` of this one cannot.
        covers = self.model != later.model and matches_pattern(self.model, later.model, not_one="*")
        return covers and self.valid_from <= later.valid_from and self.provider in ("", later.provider)

    def charges(self, tokens: Mapping[str, int], beside: Mapping[str, int] | None = None) -> list[Charge]:
        """What is charged for tokens by type, of which some are parts of others: each token once.

        Args:
            tokens: how many, by type.
            beside: how many of a part's tokens are not contained in the type that it is a part of.
        """
        apart = beside or {}
        found = []
        for whole, parts in PARTS.items():
            priced = [part for part in parts if part in self.per_million]
            own = [Charge(part, tokens.get(part, 0), self.per_million[part]) for part in priced]
            rest = tokens.get(whole, 0)
            rest -= sum(tokens.get(part, 0) - apart.get(part, 0) for part in priced)
            # A part without a rate of its own costs what its whole costs.
            rest += sum(apart.get(part, 0) for part in parts if part not in priced)
            # A provider that no table knows may count parts apart: nothing is taken off for that.
            found += [Charge(whole, max(rest, 0), self.per_million[whole]), *own]
        return [charge for charge in found if charge.tokens]

    def cost(self, tokens: Mapping[str, int], beside: Mapping[str, int] | None = None) -> Decimal:
        """The exact cost of tokens by type."""
        return sum((charge.cost for charge in self.charges(tokens, beside)), Decimal(0))


def matches_pattern(pattern: str, text: str, not_one: str = "") -> bool:
    """Whether a pattern matches a whole text. A regular expression of many `*` may take for ever.

    Args:
        pattern: it.
        text: the text.
        not_one: characters that a `?` does not stand for.
    """
    at = position = 0
    star, resumed = -1, 0
    while position < len(text):
        own = pattern[at] if at < len(pattern) else ""
        if own == "*":
            star, resumed, at = at, position, at + 1
        elif own == text[position] or (own == "?" and text[position] not in not_one):
            at, position = at + 1, position + 1
        elif star >= 0:
            # The last `*` stands for one character more.
            resumed += 1
            at, position = star + 1, resumed
        else:
            return False
    return not pattern[at:].strip("*")


@dataclass(frozen=True)
class PriceList:
    """Prices in one currency."""

    currency: str
    digits: int
    """How many digits an amount is rounded to."""
    prices: tuple[Price, ...]

    @property
    def needs_provider(self) -> bool:
        """Whether some price is that of one provider."""
        return any(item.provider for item in self.prices)

    def of(self, model: str, day: datetime.date, provider: str = "") -> Price | None:
        """The price of a model on a day: of the patterns that it matches the first in the list, at its latest price."""
        fitting = [item for item in self.prices if item.matches(model, provider) and item.valid_from <= day]
        same = [item for item in fitting if (item.model, item.provider) == (fitting[0].model, fitting[0].provider)]
        return max(same, key=lambda item: item.valid_from) if same else None

    def course(self, model: str, today: datetime.date, provider: str = "") -> list[tuple[datetime.date, Price | None]]:
        """The prices of a model, each with the day on which it begins to hold.

        Args:
            model: the model.
            today: the day of which a list tells that has no days.
            provider: who serves it.
        """
        days = sorted({item.valid_from for item in self.prices if item.matches(model, provider)})
        found: list[tuple[datetime.date, Price | None]] = []
        for day in days:
            price = self.of(model, day, provider)
            # A later price of a pattern further down in the list changes nothing.
            if not found or found[-1][1] != price:
                found.append((day, price))
        return found or [(datetime.date.min, self.of(model, today, provider))]

    def changes(self, start: datetime.datetime, end: datetime.datetime) -> list[Price]:
        """The prices that begin to hold within a period, in its own zone: it has to be reported in parts."""

        place = start.tzinfo or datetime.UTC

        def begins(price: Price) -> float:
            return _calendar.day_start(price.valid_from, place).timestamp()

        # Of days that are far away no time can be told.
        near = [item for item in self.prices if start.date() < item.valid_from <= end.astimezone(place).date()]
        return [item for item in near if begins(item) < end.timestamp()]

    def rounded(self, amount: Decimal) -> Decimal:
        """An amount in money: half to even."""
        return amount.quantize(Decimal(1).scaleb(-self.digits), rounding=ROUND_HALF_EVEN)


def price_error(found: str) -> MeteringError:
    return MeteringError(
        f"The price list is not valid: {found}.",
        "A wrong price makes a wrong bill.",
        "Correct it; docs/howto/prices-and-budgets.md has an example.",
    )


def _decimal(text: Any, where: str) -> Decimal:
    if not isinstance(text, str) or not _NUMBER.match(text):
        raise price_error(f"{where} is {text!r}, which is not a number such as 2.50")
    found = Decimal(text)
    if found.is_signed():
        raise price_error(f"{where} is {text}, but a price has no minus sign")
    if found and (found.adjusted() >= DIGITS or -int(found.as_tuple().exponent) > DIGITS):
        raise price_error(f"{where} is {text}: it has more than {DIGITS} digits before or behind its point")
    return found


def _price(entry: Any, number: int) -> Price:
    where = f"entry {number}"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str) or not entry["model"]:
        raise price_error(f"{where} names no model")
    where = f"entry {number} ({entry['model']})"
    if entry["model"] != entry["model"].strip():
        raise price_error(f"{where} has a blank before or after the model's name")
    unknown = sorted(set(entry) - {"model", "valid_from", "per_million", "provider"})
    if unknown:
        raise price_error(f"{where} has the unknown key {', '.join(map(str, unknown))}")
    rates = entry.get("per_million")
    if not isinstance(rates, Mapping) or not {"input", "output"} <= set(rates):
        raise price_error(f"{where} needs per_million with input and output")
    strange = sorted(set(rates) - set(TYPES))
    if strange:
        raise price_error(
            f"{where} prices the unknown type {', '.join(map(str, strange))}; there are {', '.join(TYPES)}"
        )
    day = entry.get("valid_from", "1970-01-01")
    if not isinstance(day, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        raise price_error(f"{where} has valid_from {day!r}, which is not a date such as 2026-01-01")
    try:
        valid_from = datetime.date.fromisoformat(day)
    except ValueError as error:
        raise price_error(f"{where} has valid_from {day!r}, which is not a valid date") from error
    provider = entry.get("provider", "")
    if not isinstance(provider, str) or provider != provider.strip():
        raise price_error(f"{where} has the provider {provider!r}, which is not a name")
    own = {kind: _decimal(rate, f"{where}, {kind}") for kind, rate in rates.items()}
    return Price(entry["model"], valid_from, own, provider)


def _refuse_ambiguity(prices: Sequence[Price]) -> None:
    """Refuse two prices for the same, and a price that another one hides.

    Raises:
        MeteringError: there is one.
    """
    for number, later in enumerate(prices, start=1):
        for earlier_number, earlier in enumerate(prices[: number - 1], start=1):
            if (earlier.model, earlier.valid_from, earlier.provider) == (later.model, later.valid_from, later.provider):
                raise price_error(
                    f"entries {earlier_number} and {number} both price {later.model} from {later.valid_from} on"
                )
            if earlier.hides(later):
                raise price_error(
                    f"entry {number} ({later.model}) is never used: entry {earlier_number} ({earlier.model}) matches "
                    "the same models, and the first match counts. Put the narrower one first"
                )


def parse_prices(document: Any) -> PriceList:
    """A price list out of what its file says, every scalar as the text that was written.

    Raises:
        MeteringError: it is none, or can be read in two ways.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("prices"), list):
        raise price_error("it needs currency and a list prices")
    unknown = sorted(map(str, set(document) - {"currency", "digits", "prices"}))
    if unknown:
        raise price_error(f"it has the unknown key {', '.join(unknown)}")
    currency = document.get("currency")
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3}", currency):
        raise price_error(f"currency is {currency!r}, but it must be three letters such as EUR")
    digits = document.get("digits", "2")
    if not isinstance(digits, str) or not re.fullmatch(r"[0-9]", digits):
        raise price_error(f"digits is {digits!r}, but it must be a number from 0 to 9")
    prices = [_price(entry, number) for number, entry in enumerate(document["prices"], start=1)]
    _refuse_ambiguity(prices)
    return PriceList(currency.upper(), int(digits), tuple(prices))
