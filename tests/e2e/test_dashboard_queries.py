# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the dashboards' queries count, by promtool, for each form in which the metric is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.promtool import NAMINGS, Naming, Promtool

from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.token_metric import forms
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.usage_queries import UsageQueries

# So many minutes of nothing, before a series is new.
LATE = "_x470"


@pytest.fixture(params=list(NAMINGS.values()), ids=list(NAMINGS))
def naming(request: pytest.FixtureRequest) -> Naming:
    return request.param


@pytest.fixture
def promtool(naming: Naming, tmp_path: Path) -> Promtool:
    return Promtool(naming, tmp_path)


def tokens(naming: Naming) -> str:
    return f"sum by (user_namespace) ({UsageQueries(forms(naming.metrics), [1064]).tokens('1h')})"


TEAM_A = '{user_namespace="team-a"}'


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        pytest.param("0+60x480", 3600, id="it was there before, and went on"),
        pytest.param(f"{LATE} 40 50 60 70", 70, id="it is new, and its first request counts"),
        pytest.param(f"{LATE} 40 40 40 40", 40, id="it is new, and had one request"),
        # increase() extrapolates what 58 of 59 steps had to the whole hour.
        pytest.param("0+60x450 0+60x29", 58 * 60 * 60 / 59, id="it was there before, and began anew"),
    ],
)
def test_what_a_series_has_counted_in_an_hour(naming: Naming, promtool: Promtool, values: str, counted: float) -> None:
    series = naming.series(values)
    assert promtool.value(tokens(naming), series, at="8h", labels=TEAM_A, value=counted) == ""


def test_what_two_monitors_scrape_counts_once(naming: Naming, promtool: Promtool) -> None:
    twice = [naming.series("0+60x480", job=job) for job in ("a", "b")]
    assert promtool.value(tokens(naming), *twice, at="8h", labels=TEAM_A, value=3600) == ""


def test_input_and_output_are_the_total_and_no_part_of_them(naming: Naming, promtool: Promtool) -> None:
    kinds = [naming.series("0+60x480", kind=kind) for kind in ("input", "output", "cached_input", "reasoning")]
    assert promtool.value(tokens(naming), *kinds, at="8h", labels=TEAM_A, value=7200) == ""


def test_each_request_counts_once_and_not_for_each_type(naming: Naming, promtool: Promtool) -> None:
    query = f"sum by (user_namespace) ({UsageQueries(forms(naming.metrics), [1064]).requests('1h')})"
    kinds = [naming.series("0+6x480", metric="_count", kind=kind) for kind in ("input", "output")]
    assert promtool.value(query, *kinds, at="8h", labels=TEAM_A, value=360) == ""


def test_another_application_with_the_same_metric_does_not_count(naming: Naming, promtool: Promtool) -> None:
    other = naming.series("0+60x480", instance="10.0.0.9:8080", user_namespace="team-b")
    series = [naming.series("0+60x480"), other]
    assert promtool.value(tokens(naming), *series, at="8h", labels=TEAM_A, value=3600) == ""
