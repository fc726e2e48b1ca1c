# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Public catalogues of prices: which price a model has, what it may have been instead, and what is refused."""

from __future__ import annotations

import datetime
import json
import sys
import types
from decimal import Decimal
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.filter.usage_report import usage_report
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import report as _report
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_prices
from ansible_collections.aigateway.metering.tests.unit.plugin_utils._report.reports import row, usage

DAY = datetime.date(2026, 11, 1)


def entry(provider="openai", given="2.5e-06", out="1e-05", **more):
    return {
        "input_cost_per_token": float(given),
        "output_cost_per_token": float(out),
        "litellm_provider": provider,
        "mode": "chat",
        **more,
    }


LIST: dict[str, Any] = {
    "sample_spec": {"litellm_provider": "one of many", "input_cost_per_token": 0.0, "mode": "one of: chat"},
    "gpt": entry(cache_read_input_token_cost=1.25e-06, input_cost_per_token_batches=1.25e-06),
    "azure/gpt": entry("azure", "3e-06"),
    "azure/only": entry("azure", "3e-06"),
    "bedrock/*/1-month/only-here": entry("bedrock"),
    "one/same": entry("one"),
    "two/same": entry("two"),
    "one/other": entry("one"),
    "two/other": entry("two", "9e-06"),
    "embed": {"input_cost_per_token": 1e-07, "litellm_provider": "openai", "mode": "embedding"},
    "image": {"output_cost_per_image": 0.04, "litellm_provider": "openai", "mode": "image_generation"},
    "long": entry(
        "openai",
        input_cost_per_token_above_200k_tokens=5e-06,
        output_cost_per_token_priority=4e-05,
        tiered_pricing=[{"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-05}],
    ),
}


def prices(document=None) -> Any:
    return load_prices(json.dumps(LIST if document is None else document))


def rate(model, kind="input", provider=""):
    found = prices().of(model, DAY, provider)
    return None if found is None else found.per_million[kind]


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        pytest.param("gpt", "", "2.5", id="its own name"),
        pytest.param("gpt", "azure", "3", id="its own name, of another provider"),
        pytest.param("gpt", "azure.openai", "3", id="its own name, as the gateway calls its provider"),
        pytest.param("same", "a-backend", "2.5", id="a provider that nobody knows, where all cost the same"),
        pytest.param("only", "aws.bedrock", "3", id="another provider, where there is one price"),
        pytest.param("only", "", "3", id="behind a provider"),
        pytest.param("azure/only", "", "3", id="with its provider"),
        pytest.param("same", "", "2.5", id="of several that cost the same"),
        pytest.param("other", "two", "9", id="of several, by the provider"),
        pytest.param("none", "", None, id="no such model"),
        pytest.param("bedrock/eu/1-month/only-here", "", None, id="a star in a name is a letter"),
        pytest.param("sample_spec", "", None, id="what is no model"),
        pytest.param("image", "", None, id="what has no price for tokens"),
    ],
)
def test_which_price_a_model_has(model, provider, expected):
    assert rate(model, provider=provider) == (None if expected is None else Decimal(expected))


def test_several_that_cost_differently_are_ambiguous():
    with pytest.raises(MeteringError, match="The price of other is ambiguous: one/other, two/other"):
        prices().of("other", DAY)


def test_a_provider_that_nobody_knows_decides_nothing():
    with pytest.raises(MeteringError, match="The price of gpt is ambiguous"):
        prices().of("gpt", DAY, "a-backend")


def test_a_model_with_an_ambiguous_price_has_none_and_the_report_says_why():
    found = usage_report(usage(row(model="other"), row(model="gpt")), json.dumps(LIST))["table"]
    assert "without a price, and not part of any amount: other" in found
    (said,) = [line for line in found if "ambiguous" in line]
    assert "Add provider to report_by" in said


def test_a_price_is_a_decimal_to_the_digit():
    assert str(rate("gpt", "cached_input")) == "1.25"


def test_an_embedding_has_no_output():
    assert rate("embed", "output") == 0


def test_what_a_price_may_have_been_instead_is_its_range():
    low, high = prices().of("long", DAY).range
    assert (low.per_million["input"], high.per_million["input"]) == (Decimal(1), Decimal(5))
    assert (low.per_million["output"], high.per_million["output"]) == (Decimal(10), Decimal(40))


def test_the_report_says_how_a_model_is_priced_and_what_the_amounts_may_be():
    found = usage_report(usage(row(model="only"), row(model="long")), json.dumps(LIST))["table"]
    assert "only is priced as azure/only" in found
    (said,) = [line for line in found if line.startswith("prices are taken at their base")]
    assert said.endswith("the amounts may be from 6.00 to 13.00 USD")


def test_a_list_whose_prices_depend_on_nothing_says_no_range():
    assert not [line for line in usage_report(usage(row(model="same")), json.dumps(LIST))["table"] if "base" in line]


@pytest.mark.parametrize("wrong", ["free", -1e-06, "NaN", "Infinity", "1e400", "1e999999", "-0.0"])
def test_a_price_that_is_no_number_is_refused(wrong):
    with pytest.raises(MeteringError, match="gpt has the price"):
        prices({"gpt": entry() | {"input_cost_per_token": wrong}})


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(MeteringError, match="has the key gpt a second time"):
        load_prices('{"gpt": {"litellm_provider": "a"}, "gpt": {"litellm_provider": "b"}}')


def test_our_own_list_may_be_written_in_a_line():
    found = load_prices("{currency: EUR, prices: [{model: a, per_million: {input: 2.5, output: 10}}]}").of("a", DAY)
    assert found is not None
    assert found.per_million["input"] == Decimal("2.5")


def test_our_own_list_may_be_json():
    own = {"currency": "EUR", "prices": [{"model": "a", "per_million": {"input": 2.5, "output": 10}}]}
    assert prices(own).of("a", DAY).per_million["input"] == Decimal("2.5")


# --- providers in our own list ----------------------------------------------------------------------------------------

BY_PROVIDER = """
currency: EUR
prices:
  - {model: gpt, provider: azure, per_million: {input: 3, output: 12}}
  - {model: gpt, per_million: {input: 2.5, output: 10}}
"""


@pytest.mark.parametrize(("provider", "expected"), [("azure", "3"), ("openai", "2.5"), ("", "2.5")])
def test_a_price_of_a_provider_holds_for_its_rows_alone(provider, expected):
    found = load_prices(BY_PROVIDER).of("gpt", DAY, provider)
    assert found is not None
    assert found.per_million["input"] == Decimal(expected)


def test_prices_of_providers_need_the_provider_in_the_report():
    with pytest.raises(MeteringError, match="Add provider to report_by"):
        _report.build_report(usage(row(model="gpt")), load_prices(BY_PROVIDER))


# --- genai-prices -----------------------------------------------------------------------------------------------------


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(MeteringError, match="pip install genai-prices"):
        load_prices("genai-prices")


@pytest.fixture
def installed(monkeypatch):
    """The package, as far as it is used: its own types are not needed to hold a price."""

    def tiered(base, *tiers):
        return types.SimpleNamespace(
            base=Decimal(base), tiers=[types.SimpleNamespace(price=Decimal(it)) for it in tiers]
        )

    told = types.SimpleNamespace(input_mtok=tiered("3", "6"), cache_read_mtok=None, output_mtok=Decimal(15))
    model = types.SimpleNamespace(id="claude", get_prices=lambda _: told)

    def find_provider_model(name, provider, provider_id, url):
        del provider, url
        if name != "claude-4" or provider_id == "unknown":
            raise LookupError(name)
        return types.SimpleNamespace(id="anthropic"), model

    snapshot = types.SimpleNamespace(find_provider_model=find_provider_model)
    package = types.ModuleType("genai_prices")
    data: Any = types.ModuleType("genai_prices.data_snapshot")
    data.get_snapshot = lambda: snapshot
    monkeypatch.setitem(sys.modules, "genai_prices", package)
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", data)
    return load_prices("genai-prices")


@pytest.mark.parametrize(
    ("model", "provider", "known"), [("claude-4", "", True), ("claude-4", "unknown", True), ("x", "", False)]
)
def test_the_package_finds_the_price_by_the_models_name(installed, model, provider, known):
    found = installed.of(model, DAY, provider)
    assert (found is not None) is known
    if known:
        assert (found.model, found.per_million) == ("claude", {"input": Decimal(3), "output": Decimal(15)})
        assert found.range[1].per_million["input"] == Decimal(6)
