# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the alerts on budgets fire in a made-up month, by promtool: its time begins on 1 January 1970."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from harness.promtool import NAMINGS, Naming, Promtool

from ansible_collections.aigateway.metering.plugins.plugin_utils._render.budget_rules import COST, MonthBudget
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.price_rules import Rate, RatedPrices

# A namespace uses 60 tokens a minute: 86,400 a day, 2,678,400 in January.
DAY = 86_400
BUDGETS = [
    MonthBudget("namespace", "team-b", Decimal(10 * DAY)),
    MonthBudget("namespace", "team-*", Decimal(20 * DAY)),
    MonthBudget("department", "research", Decimal(1_000_000_000)),
]
SHARES = [Decimal("0.8"), Decimal(1)]
USED, MAY_NOT_LAST = "AIGatewayBudgetUsed", "AIGatewayBudgetMayNotLast"


@pytest.fixture(params=["underscored", "dotted", "native"])
def naming(request: pytest.FixtureRequest) -> Naming:
    return NAMINGS[request.param]


@pytest.fixture
def promtool(naming: Naming, tmp_path: Path) -> Promtool:
    # promtool takes no notice of the interval of a group: what is recorded once an hour is evaluated once an hour.
    return Promtool(naming, tmp_path, pace="1h", scrape="10m", budgets=BUDGETS, shares=SHARES)


def steady(naming: Naming, namespace: str = "team-a") -> dict[str, str]:
    """A counter that grows through fifty days."""
    return naming.series(f"0+600x{50 * 144}", user_namespace=namespace)


def test_the_rules_are_right_in_form(promtool: Promtool) -> None:
    done = promtool.check()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("day", "shares"),
    [
        pytest.param(15, [], id="three quarters"),
        pytest.param(17, ["80 %"], id="seventeen of twenty days"),
        pytest.param(21, ["100 %", "80 %"], id="all of it"),
        pytest.param(33, [], id="the next month"),
    ],
)
def test_an_alert_fires_at_a_share_of_a_budget(naming: Naming, promtool: Promtool, day: int, shares: list[str]) -> None:
    found = promtool.alerts_of(USED, steady(naming), at=f"{day}d")
    assert sorted(share for share in ("80 %", "100 %") for labels in found if f'share="{share}"' in labels) == shares
    assert all('namespace="team-a"' in labels for labels in found)


def test_the_first_budget_that_matches_counts(naming: Naming, promtool: Promtool) -> None:
    both = [steady(naming), steady(naming, "team-b")]
    found = promtool.alerts_of(USED, *both, at="9d")
    assert [labels for labels in found if "team-a" in labels] == []
    assert len([labels for labels in found if 'user_namespace="team-b"' in labels]) == 1


@pytest.mark.parametrize(
    ("day", "fires"),
    [
        pytest.param(4, False, id="too early to tell"),
        pytest.param(7, True, id="thirty-one days of twenty"),
    ],
)
def test_a_month_that_comes_to_more_fires(naming: Naming, promtool: Promtool, day: int, fires: bool) -> None:
    assert bool(promtool.alerts_of(MAY_NOT_LAST, steady(naming), at=f"{day}d")) is fires


def test_a_month_that_lasts_does_not_fire(naming: Naming, promtool: Promtool) -> None:
    slow = naming.series(f"0+300x{20 * 144}")
    assert promtool.alerts_of(MAY_NOT_LAST, slow, at="15d") == []


@pytest.mark.parametrize(("day", "days"), [(10, 10), (30, 30), (34, 3)])
def test_a_month_has_its_own_hours_alone(naming: Naming, promtool: Promtool, day: int, days: int) -> None:
    query = "round(aigateway_metering:namespace_tokens:month / 86400)"
    said = promtool.value(query, steady(naming), at=f"{day}d", labels='{user_namespace="team-a"}', value=days)
    assert said == ""


# --- money ------------------------------------------------------------------------------------------------------------

# The eleventh of January.
TENTH_DAY = 10 * DAY
RATES = (
    Rate("chat", "", "input", Decimal(2), ends=TENTH_DAY),
    Rate("chat", "", "input", Decimal(4), begins=TENTH_DAY),
    # A million cached tokens cost 1, which is 1 less than as input.
    Rate("chat", "", "cached_input", Decimal(-1)),
)
BY_PROVIDER = (Rate("chat", "openai", "input", Decimal(2)), Rate("chat", "azure.openai", "input", Decimal(8)))
# Of the first ten days 0.1728 a day, then twice that.
MONEY = [MonthBudget("namespace", "team-*", Decimal(2), COST), MonthBudget("namespace", "team-a", Decimal(10**9))]
# By what the hours have recorded: promtool evaluates what sums them up now before the last of them, now after it.
COST_NOW = "round(10000 * sum by (user_namespace, currency) (sum_over_time(aigateway_metering:cost:growth1h[31d])))"


def priced(naming: Naming, directory: Path, *rates: Rate, by_provider: bool = False) -> Promtool:
    prices = RatedPrices("EUR", rates, by_provider)
    return Promtool(naming, directory, pace="1h", scrape="10m", budgets=MONEY, shares=SHARES, prices=prices)


def test_rules_with_prices_are_right_in_form(naming: Naming, tmp_path: Path) -> None:
    for by_provider, rates in ((False, RATES), (True, BY_PROVIDER), (False, ())):
        done = priced(naming, tmp_path, *rates, by_provider=by_provider).check()
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("day", "cost"), [(5, 0.864), (10, 1.728), (12, 1.728 + 2 * 0.3456)])
def test_an_hour_costs_what_held_then(naming: Naming, tmp_path: Path, day: int, cost: float) -> None:
    labels = '{currency="EUR", user_namespace="team-a"}'
    tool = priced(naming, tmp_path, *RATES)
    assert tool.value(COST_NOW, steady(naming), at=f"{day}d", labels=labels, value=round(cost * 10_000)) == ""


def test_a_part_is_paid_once_at_its_own_price(naming: Naming, tmp_path: Path) -> None:
    cached = naming.series(f"0+300x{20 * 144}", kind="cached_input")
    labels = '{currency="EUR", user_namespace="team-a"}'
    # Half of 86,400 tokens a day at 2, and half at 1 for a million.
    cost = 5 * (43_200 * 2 + 43_200 * 1) / 1_000_000
    tool = priced(naming, tmp_path, *RATES)
    said = tool.value(COST_NOW, steady(naming), cached, at="5d", labels=labels, value=round(cost * 10_000))
    assert said == ""


def test_each_provider_has_its_own_price(naming: Naming, tmp_path: Path) -> None:
    other = naming.series(f"0+600x{20 * 144}", **{naming.provider: "azure.openai"})
    labels = '{currency="EUR", user_namespace="team-a"}'
    tool = priced(naming, tmp_path, *BY_PROVIDER, by_provider=True)
    cost = 5 * DAY * (2 + 8) / 1_000_000
    assert tool.value(COST_NOW, steady(naming), other, at="5d", labels=labels, value=round(cost * 10_000)) == ""


@pytest.mark.parametrize(
    ("day", "shares"),
    [
        pytest.param(8, [], id="1.38 of 2"),
        pytest.param(10, ["80 %"], id="1.73 of 2"),
        pytest.param(12, ["100 %", "80 %"], id="2.42 of 2, at the new price"),
        pytest.param(33, [], id="the next month"),
    ],
)
def test_an_alert_fires_at_a_share_of_an_amount(naming: Naming, tmp_path: Path, day: int, shares: list[str]) -> None:
    found = priced(naming, tmp_path, *RATES).alerts_of(USED, steady(naming), at=f"{day}d")
    assert sorted(share for share in ("80 %", "100 %") for labels in found if f'share="{share}"' in labels) == shares
    assert all('unit="cost"' in labels and 'namespace="team-a"' in labels for labels in found)


def test_a_model_without_a_price_is_named(naming: Naming, tmp_path: Path) -> None:
    unknown = naming.series("0+600x300", **{naming.model: "new"})
    tool = priced(naming, tmp_path, *RATES)
    (found,) = tool.alerts_of("AIGatewayModelUnpriced", naming.series("0+600x300"), unknown, at="1d")
    assert 'gen_ai_request_model="new"' in found
