# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tokens cost as PromQL: the rates of the models that are stored, and what they add up to."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import promql_parser
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.filter.usage_rules import rated_prices, usage_rules
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.token_types import PARTS
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.price_rules import Rate
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_prices
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.prices import Price

TODAY = "2026-11-26"
OWN = """
currency: EUR
prices:
  - model: chat-large
    per_million: {input: 2.50, cached_input: 1.25, output: 10}
  - model: chat-*
    valid_from: 2026-01-01
    per_million: {input: 1, output: 2}
  - model: chat-*
    valid_from: 2026-12-01
    per_million: {input: 3, output: 4}
"""
DECEMBER = int(datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC).timestamp())
JANUARY = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp())


def rates(text: str, *models: tuple[str, str]) -> tuple[Rate, ...]:
    told = [{"model": model, "provider": provider} for model, provider in models]
    return rated_prices(load_prices(text), told, TODAY).rates


def test_a_part_is_rated_by_its_difference():
    assert rates(OWN, ("chat-large", "openai")) == (
        Rate("chat-large", "", "input", Decimal("2.50")),
        Rate("chat-large", "", "output", Decimal(10)),
        Rate("chat-large", "", "cached_input", Decimal("-1.25")),
    )


def test_a_price_holds_from_its_day_to_the_next():
    own = [rate for rate in rates(OWN, ("chat-small", "")) if (rate.model, rate.kind) == ("chat-small", "input")]
    found = [(rate.per_million, rate.begins, rate.ends) for rate in own]
    assert found == [(Decimal(1), JANUARY, DECEMBER), (Decimal(3), DECEMBER, None)]


def test_a_model_of_two_providers_is_rated_once_where_prices_do_not_tell_them_apart():
    both = rates(OWN, ("chat-large", "openai"), ("chat-large", "azure.openai"))
    assert both == rates(OWN, ("chat-large", "openai"))


def test_a_model_without_a_price_has_no_rate():
    assert [rate for rate in rates(OWN, ("other", "openai")) if rate.model == "other"] == []


def test_a_model_that_the_list_names_is_rated_before_it_is_used():
    assert rates(OWN) == rates(OWN, ("chat-large", ""))
    of_azure = OWN.replace("model: chat-large", "model: chat-large\n    provider: azure.openai")
    assert {(rate.model, rate.provider) for rate in rates(of_azure)} == {("chat-large", "azure.openai")}


CATALOGUE = json.dumps(
    {
        "azure/gpt": {"litellm_provider": "azure", "input_cost_per_token": 2e-06, "output_cost_per_token": 4e-06},
        "vertex_ai/gpt": {
            "litellm_provider": "vertex_ai",
            "input_cost_per_token": 3e-06,
            "output_cost_per_token": 4e-06,
        },
    }
)


def test_a_catalogue_is_asked_by_provider_and_what_is_ambiguous_has_no_rate():
    found = rates(CATALOGUE, ("gpt", "azure.openai"), ("gpt", ""))
    assert {(rate.provider, rate.kind, rate.per_million) for rate in found} == {
        ("azure.openai", "input", Decimal(2)),
        ("azure.openai", "output", Decimal(4)),
    }


amounts = st.decimals("0", "1000", places=3)
counts = st.integers(0, 10**9)


@given(
    amounts,
    amounts,
    st.none() | amounts,
    st.none() | amounts,
    st.none() | amounts,
    counts,
    counts,
    counts,
    counts,
    counts,
)
def test_the_rates_add_up_to_the_price_wherever_parts_are_within_their_whole(
    first, second, cached, created, reasoned, own_input, own_output, some, more, others
):
    given_rates = {"input": first, "output": second, "cached_input": cached, "cache_creation_input": created}
    per_million = {kind: rate for kind, rate in (given_rates | {"reasoning": reasoned}).items() if rate is not None}
    price = Price("m", datetime.date.min, per_million)
    tokens = {"cached_input": some, "cache_creation_input": more, "reasoning": others}
    tokens |= {"input": own_input + some + more, "output": own_output + others}
    added = sum((tokens[kind] * rate / 1_000_000 for kind, rate in price.rates_apart.items()), Decimal(0))
    assert added == price.cost(tokens)
    assert set(price.rates_apart) <= {*PARTS, *(part for parts in PARTS.values() for part in parts)}


def gateway(metrics: list[str], *models: tuple[str, str]) -> dict[str, Any]:
    return {
        "names": metrics,
        "rules": {"namespace": "monitoring", "labels": {}},
        "ports": [1064],
        "labels": {},
        "models": [{"model": model, "provider": provider} for model, provider in models],
    }


FORMS = [["gen_ai_client_token_usage_sum"], ["gen_ai.client.token.usage_token_sum"], ["gen_ai_client_token_usage"], []]


@pytest.mark.parametrize("metrics", FORMS)
@pytest.mark.parametrize("prices", [OWN, CATALOGUE])
def test_every_expression_is_promql_whatever_a_model_is_called(metrics: list[str], prices: str):
    hostile = 'gpt"} or vector(1) # $1 \\ {{ x }}'
    own = OWN + "  - model: '*'\n    per_million: {input: 1, output: 1}\n"
    text = prices if prices == CATALOGUE else own
    rule = usage_rules(gateway(metrics, ("gpt", "azure.openai"), (hostile, "")), "r", prices=text, today=TODAY)
    for group in rule["spec"]["groups"]:
        for item in group["rules"]:
            promql_parser.parse(item["expr"])


def test_a_budget_in_money_is_refused_where_nothing_has_a_price():
    budgets = "budgets: [{namespace: team-a, amount: 10.00}]"
    with pytest.raises(AnsibleFilterError, match="Set chargeback_prices"):
        usage_rules(gateway(FORMS[0]), "r", budgets=budgets)
    assert usage_rules(gateway(FORMS[0]), "r", budgets=budgets, prices=OWN, today=TODAY)


def test_what_is_wrong_with_a_price_list_is_told_in_its_own_words():
    with pytest.raises(AnsibleFilterError, match="The price list is not valid"):
        usage_rules(gateway(FORMS[0]), "r", prices="currency: EURO\nprices: []", today=TODAY)


def test_the_same_input_makes_the_same_rules():
    first, second = (usage_rules(gateway(FORMS[0], ("chat-large", "")), "r", prices=OWN, today=TODAY) for dummy in "ab")
    assert first == second
    other_day = usage_rules(gateway(FORMS[0], ("chat-large", "")), "r", prices=OWN, today="2027-03-01")
    assert first == other_day
