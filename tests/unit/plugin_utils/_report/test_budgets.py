# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Budgets: which holds for whom, what was used of it, and what the month may come to."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.filter.usage_report import usage_report
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import budgets as _budgets
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import report as _report
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.price_file import load_budgets
from ansible_collections.aigateway.metering.tests.unit.plugin_utils._report.reports import (
    LIST,
    PRICES,
    prices_of,
    row,
    usage,
)

# Each row of these tests has 1,100,000 tokens, which cost 3.00 EUR.
BUDGETS = """
budgets:
  - {namespace: team-a, tokens: 2_200_000}
  - {namespace: "team-*", tokens: 1000000}
  - {namespace: team-a, amount: 4.50}
"""


def statuses(*rows, text=BUDGETS, **options):
    report = _report.build_report(usage(*rows) | options, prices_of(LIST))
    return {(it.name, it.unit): it for it in _budgets.budget_statuses(report, load_budgets(text))}


def test_the_first_budget_that_matches_holds_of_tokens_and_of_money_each():
    found = statuses(row("team-a"), row("team-b"), row("other"))
    assert {key: it.budget for key, it in found.items()} == {
        ("team-a", "tokens"): 2_200_000,
        ("team-a", "EUR"): Decimal("4.50"),
        ("team-b", "tokens"): 1_000_000,
    }


def test_what_is_left_is_below_nothing_where_more_was_used():
    found = statuses(row("team-a"), row("team-b"))
    assert (found["team-a", "tokens"].left, found["team-b", "tokens"].left) == (1_100_000, -100_000)


def test_a_budget_of_one_that_has_used_nothing_is_whole():
    assert statuses(row("other"))["team-a", "tokens"].left == 2_200_000


@pytest.mark.parametrize(
    ("end", "forecast"),
    [
        pytest.param("2026-12-01T00:00:00+00:00", 1_100_000, id="the month is over"),
        pytest.param("2026-11-16T00:00:00+00:00", 2_200_000, id="half of it"),
        pytest.param("2026-11-04T00:00:00+00:00", 11_000_000, id="a tenth of it"),
    ],
)
def test_the_forecast_is_what_the_month_comes_to_if_it_goes_on_so(end, forecast):
    assert statuses(row("team-a"), end=end)["team-a", "tokens"].forecast == forecast


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param("2026-11-02T00:00:00+00:00", "2026-12-01T00:00:00+00:00", id="not from its beginning"),
        pytest.param("2026-10-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00", id="two months"),
    ],
)
def test_of_what_is_no_month_nothing_is_said_and_the_report_says_so(start, end):
    assert statuses(row("team-a"), start=start, end=end) == {}
    found = usage_report(usage() | {"start": start, "end": end}, PRICES, budgets=BUDGETS)
    assert found["table"][-1] == _budgets.NO_MONTH


def test_a_month_in_which_nobody_has_a_budget_is_a_month():
    text = 'budgets: [{namespace: "other-*", tokens: 5}]'
    assert _budgets.NO_MONTH not in usage_report(usage(), PRICES, budgets=text)["table"]


def test_what_is_nearest_to_its_end_comes_first():
    found = list(statuses(row("team-a"), row("team-b")))
    assert found == [("team-b", "tokens"), ("team-a", "EUR"), ("team-a", "tokens")]


def test_every_form_of_the_report_has_the_budgets():
    found = usage_report(usage(row("team-a"), row("team-b")), PRICES, budgets=BUDGETS, per_namespace=True)
    assert any(line.split()[:4] == ["team-b", "tokens", "1000000", "1100000"] for line in found["table"])
    assert json.loads(found["json"])["budgets"][0]["left"] == "-100000"
    assert "<b>is spent</b>" in found["html"]
    (own,) = [part["text"] for part in found["by_namespace"] if part["name"] == "namespace-team-a.html"]
    assert ("Budgets" in own, "team-b" in own) == (True, False)


def test_a_report_without_budgets_speaks_of_none():
    found = usage_report(usage(), PRICES)
    assert not [text for text in (found["html"], found["json"], "".join(found["table"])) if "udget" in text]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets: {}", "needs a list budgets"),
        ("[]", "needs a list budgets"),
        ("budgets: [5]", "entry 1 is no mapping"),
        ("budgets: [{namespace: a}]", "needs one of namespace, department, and one of tokens, amount"),
        ("budgets: [{namespace: a, department: b, tokens: 5}]", "needs one of namespace"),
        ("budgets: [{namespace: a, tokens: 5, amount: 5}]", "one of tokens, amount"),
        ("budgets: [{namespace: a, tokens: -5}]", "is not a whole number above 0"),
        ("budgets: [{namespace: a, tokens: 1.5}]", "is not a whole number above 0"),
        ("budgets: [{namespace: a, tokens: 0}]", "is not a whole number above 0"),
        ("budgets: [{namespace: a, amount: 0.0}]", "is not a number such as 250.00"),
        ("budgets: [{namespace: a, amount: many}]", "is not a number such as 250.00"),
        ("budgets: [{namespace: '', tokens: 5}]", "is not a name"),
        ("budgets: [{namespace: a, token: 5}]", "unknown key token"),
        ("budgets: [{namespace: a, tokens: 5}, {namespace: a, tokens: 6}]", "entries 1 and 2 are both for namespace a"),
        ("budgets: [{namespace: a*, tokens: 5}, {namespace: ab, tokens: 6}]", "is never used: entry 1"),
        ("budgets: [", "is not valid YAML"),
        ("", "needs a list budgets"),
        ("budgets: [{namespace: a, tokens: 1000_}]", "is not a whole number above 0"),
        ("budgets: [{namespace: a, tokens: 1__0}]", "is not a whole number above 0"),
        ("budgets: [{namespace: a, namespace: b, tokens: 1}]", "list of budgets is not valid.*a second time"),
    ],
)
def test_a_list_that_is_none_is_refused(text, said):
    with pytest.raises(MeteringError, match=said):
        load_budgets(text)


@pytest.mark.parametrize(
    ("text", "prices", "said"),
    [
        ("budgets: [{department: a, tokens: 5}]", PRICES, "Add department to report_by"),
        ("budgets: [{namespace: a, amount: 5}]", None, "Set report_prices"),
    ],
)
def test_a_budget_of_which_nothing_could_be_said_is_refused(text, prices, said):
    with pytest.raises(AnsibleFilterError, match=said):
        usage_report(usage(), prices, budgets=text)
