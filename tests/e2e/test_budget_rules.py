# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the alerts on budgets fire in a made-up month, by promtool: its time begins on 1 January 1970."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from harness.promtool import NAMINGS, Naming, Promtool

from ansible_collections.aigateway.metering.plugins.plugin_utils._render.budget_rules import TokenBudget

# A namespace uses 60 tokens a minute: 86,400 a day, 2,678,400 in January.
DAY = 86_400
BUDGETS = [
    TokenBudget("namespace", "team-b", 10 * DAY),
    TokenBudget("namespace", "team-*", 20 * DAY),
    TokenBudget("department", "research", 1_000_000_000),
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
