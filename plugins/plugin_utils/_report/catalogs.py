# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Public catalogues of prices: LiteLLM's file as it is, and the package genai-prices where it is installed.

Their prices are per token or per million, in US dollars. What a price depends on and nobody stores (how long a context
was, batches, priority) is taken at its base; the rates that it may have been instead are kept beside it.
"""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from typing import Any

from ...module_utils._errors import MeteringError
from .prices import DIGITS, MILLION, Price, PriceList, price_error

GENAI_PRICES = "genai-prices"
CURRENCY = "USD"
# By our types of tokens, LiteLLM's rates and those of genai-prices. A rate may have a suffix for what nobody stores.
LITELLM_RATES = {
    "input": "input_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_creation_input": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
    "reasoning": "output_cost_per_reasoning_token",
}
LITELLM_SUFFIXES = ("_above_", "_batches", "_priority", "_flex")
GENAI_RATES = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_creation_input": "cache_write_mtok",
    "output": "output_mtok",
}
# What the gateway calls a provider, and what the catalogues call it. LiteLLM has several names that begin alike.
LITELLM_PROVIDERS = {
    "aws.bedrock": ("bedrock",),
    "aws.anthropic": ("bedrock", "anthropic"),
    "azure.openai": ("azure",),
    "gcp.vertex_ai": ("vertex_ai",),
    "gcp.anthropic": ("vertex_ai",),
    "gcp.gemini": ("gemini", "vertex_ai"),
}
GENAI_PROVIDERS = {
    "aws.bedrock": "aws",
    "aws.anthropic": "aws",
    "azure.openai": "azure",
    "gcp.vertex_ai": "google",
    "gcp.anthropic": "google",
    "gcp.gemini": "google",
}
# What LiteLLM's file has that is no model.
NO_MODELS = ("sample_spec", "fallback_generalizations")


@dataclass(frozen=True)
class LiteLLM(PriceList):
    """LiteLLM's model_prices_and_context_window.json."""

    models: Mapping[str, Price] = field(default_factory=dict)
    providers: Mapping[str, str] = field(default_factory=dict)
    """By the name of a model in the file, its provider."""

    def of(self, model: str, day: datetime.date, provider: str = "") -> Price | None:
        """The price of a model: under its own name, or under that name behind a provider's.

        Raises:
            MeteringError: several of these have different prices.
        """
        del day  # the file has the present prices only
        own = self._named(model, provider)
        rates = {tuple(sorted(self.models[name].per_million.items())) for name in own}
        if len(rates) > 1:
            raise MeteringError(
                f"The price of {model} is ambiguous: {', '.join(own[:5])} have different prices in LiteLLM's list.",
                "A wrong price makes a wrong bill.",
                "Add provider to report_by, or write a price list of your own with this model.",
            )
        return self.models[own[0]] if own else None

    def _named(self, model: str, provider: str) -> list[str]:
        """The names in the file that may be a model's: those of its provider, or where that has none those of all."""
        if not provider and model in self.models:
            return [model]
        ends = f"/{model}"
        every = sorted(name for name in self.models if name == model or name.endswith(ends))
        known = LITELLM_PROVIDERS.get(provider, (provider,))
        own = [name for name in every if provider and self.providers[name].startswith(known)]
        exact = [name for name in (model, *(f"{prefix}/{model}" for prefix in known)) if name in own]
        return exact[:1] or own or every


@dataclass(frozen=True)
class GenaiPrices(PriceList):
    """The data of the package genai-prices."""

    snapshot: Any = None

    def of(self, model: str, day: datetime.date, provider: str = "") -> Price | None:
        """The price of a model on a day, as the package finds it by the model's name."""
        try:
            named = GENAI_PROVIDERS.get(provider, provider)
            dummy, found = self.snapshot.find_provider_model(model, None, named or None, None)
        except LookupError:
            # A provider that neither knows may be a backend's name.
            return None if not provider or provider in GENAI_PROVIDERS else self.of(model, day)
        moment = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        told = found.get_prices(moment)
        rates: dict[str, Decimal] = {}
        others: list[dict[str, Decimal]] = []
        for kind, name in GENAI_RATES.items():
            rate = getattr(told, name, None)
            if rate is None:
                continue
            rates[kind] = rate if isinstance(rate, Decimal) else rate.base
            others += [{kind: tier.price} for tier in getattr(rate, "tiers", ())]
        if not {"input", "output"} <= rates.keys():
            return None
        return Price(str(found.id), datetime.date.min, rates, others=tuple(others), is_literal=True)


def is_litellm(document: Any) -> bool:
    """Whether a document is LiteLLM's list."""
    return isinstance(document, Mapping) and any(
        isinstance(entry, Mapping) and "litellm_provider" in entry for entry in list(document.values())[:20]
    )


def litellm_prices(document: Mapping[str, Any]) -> LiteLLM:
    """LiteLLM's list, every number as the text that was written.

    Raises:
        MeteringError: a price in it is no number.
    """
    models: dict[str, Price] = {}
    providers: dict[str, str] = {}
    for name, entry in document.items():
        if name in NO_MODELS or not isinstance(entry, Mapping):
            continue
        rates = {kind: _rate(entry[key], name) for kind, key in LITELLM_RATES.items() if _is_given(entry.get(key))}
        # An embedding has no output.
        if entry.get("mode") == "embedding":
            rates.setdefault("output", Decimal(0))
        if {"input", "output"} <= rates.keys():
            # A star in a name is a letter like any other.
            models[name] = Price(name, datetime.date.min, rates, others=tuple(_others(name, entry)), is_literal=True)
            providers[name] = str(entry.get("litellm_provider", ""))
    return LiteLLM(CURRENCY, 2, (), models, providers)


def _others(name: str, entry: Mapping[str, Any]) -> list[dict[str, Decimal]]:
    """The rates that may have held instead, by what nobody stores."""
    found = [
        {kind: _rate(value, name)}
        for kind, base in LITELLM_RATES.items()
        for key, value in entry.items()
        if key.startswith(base) and any(part in key for part in LITELLM_SUFFIXES) and _is_given(value)
    ]
    tiers = entry.get("tiered_pricing")
    for tier in tiers if isinstance(tiers, Sequence) and not isinstance(tiers, str) else ():
        if isinstance(tier, Mapping):
            found += [{kind: _rate(tier[key], name)} for kind, key in LITELLM_RATES.items() if _is_given(tier.get(key))]
    return found


def _is_given(value: Any) -> bool:
    return isinstance(value, str) and value not in ("", "null", "~")


def _rate(text: str, name: str) -> Decimal:
    """A price per million out of one per token."""
    try:
        found = Decimal(text) * MILLION
    except DecimalException:
        found = Decimal("NaN")
    if not found.is_finite() or found.is_signed() or (found and abs(found.adjusted()) >= 2 * DIGITS):
        raise price_error(f"{name} has the price {text!r}, which is not a number from 0 on")
    return found.normalize()


def genai_prices() -> GenaiPrices:
    """The data of genai-prices, as the installed version has it: nothing is loaded from anywhere.

    Raises:
        MeteringError: the package is not installed where Ansible runs.
    """
    try:
        snapshot = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    except ImportError as error:
        raise MeteringError(
            f"The prices are to be those of {GENAI_PRICES}, and that package cannot be imported: {error}.",
            "There are no prices without it.",
            "Install it where Ansible runs, or name a file with prices.",
            "pip install genai-prices",
        ) from error
    return GenaiPrices(CURRENCY, 2, (), snapshot)
