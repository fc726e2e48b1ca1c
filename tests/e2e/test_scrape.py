# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exactly one scrape, on a real operator and a real Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.stand import Stand
from standlib import platform
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
OURS = f"{NAMESPACE}/ai-gateway-metrics"
PLATFORMS = f"{NAMESPACE}/ai-gateway-extproc-metrics"


@pytest.fixture
def by_hand(metered: Stand) -> Iterator[Stand]:
    """A metered stand to which somebody has added a PodMonitor `by-hand`."""
    metered.apply(metered.pod_monitor("by-hand"))
    yield metered
    metered.delete("podmonitor", NAMESPACE, "by-hand")


@pytest.fixture
def platforms(metered: Stand) -> Iterator[Stand]:
    """A metered stand to which the platform's own PodMonitor has come."""
    metered.apply(metered.pod_monitor("ai-gateway-extproc-metrics"))
    yield metered
    metered.delete("podmonitor", NAMESPACE, "ai-gateway-extproc-metrics")


def test_a_second_monitor_added_by_hand_fails_the_run_with_the_command_that_removes_it(by_hand: Stand) -> None:
    run = by_hand.site()
    assert run.code != 0
    assert f"PodMonitor {NAMESPACE}/by-hand scrapes sidecars that {OURS} scrapes already" in run.text
    assert f"kubectl -n {NAMESPACE} delete podmonitor by-hand" in run.text


def test_a_duplicate_fails_the_run_after_everything_else_has_been_done_and_told(by_hand: Stand) -> None:
    for dashboard in by_hand.all("monitordashboards"):
        by_hand.delete("monitordashboard", dashboard["metadata"]["namespace"], dashboard["metadata"]["name"])
    run = by_hand.site()
    assert run.code != 0
    assert len(by_hand.all("monitordashboards")) == 2
    assert f"next: kubectl -n {NAMESPACE} delete podmonitor by-hand" in run.text


def test_a_duplicate_is_only_warned_of_where_that_was_asked_for(by_hand: Stand) -> None:
    run = by_hand.site(scrape_on_duplicate="warn")
    assert run.code == 0, run.output
    assert f"redundant: {NAMESPACE}/by-hand" in run.text


def test_a_monitor_that_is_not_ours_is_left(by_hand: Stand) -> None:
    by_hand.site()
    assert by_hand.monitors() == {OURS, f"{NAMESPACE}/by-hand"}


def test_a_monitor_that_is_not_ours_is_removed_on_an_explicit_word(by_hand: Stand) -> None:
    run = by_hand.site(scrape_prune="all")
    assert run.code == 0, run.output
    assert by_hand.monitors() == {OURS}


def test_live_targets_show_the_double_scrape_and_name_its_pools(by_hand: Stand) -> None:
    # The operator takes a while to reload Prometheus.
    result = wait_until(
        "the second pool to be there",
        lambda: (found := by_hand.module("prom_scrape_check", timeout=1)).get("failed") and found,
        120,
    )
    assert "is scraped 2 times, by podMonitor/" in result["msg"]
    assert f"podMonitor/{NAMESPACE}/by-hand/0" in result["msg"]


def test_ours_makes_way_for_the_platforms(platforms: Stand) -> None:
    run = platforms.site()
    assert run.code == 0, run.output
    assert platforms.monitors() == {PLATFORMS}


def test_the_platforms_monitor_alone_is_kept_and_none_created(unscraped: Stand) -> None:
    unscraped.apply(unscraped.pod_monitor("ai-gateway-extproc-metrics"))
    result = unscraped.module("podmonitor_dedupe")
    assert (result["kept"], result["created"], result["changed"]) == (PLATFORMS, "", False)


def test_a_monitor_that_prometheus_does_not_select_does_not_count(unscraped: Stand) -> None:
    unseen = unscraped.pod_monitor("unseen")
    unseen["metadata"]["labels"] = {}
    unscraped.apply(unseen)
    assert unscraped.module("podmonitor_dedupe")["created"] == OURS


def test_ours_is_brought_back_when_somebody_edited_it(metered: Stand) -> None:
    words = ["podmonitor", "ai-gateway-metrics", "--namespace", NAMESPACE, "--type=merge"]
    metered.kubectl.run(metered.step, "patch", *words, "-p", '{"spec":{"selector":{"matchLabels":{"x":"y"}}}}')
    result = metered.module("podmonitor_dedupe", interval="5s")
    assert result["changed"], result
    assert metered.module("podmonitor_dedupe", interval="5s")["changed"] is False


def test_every_running_proxy_pod_has_exactly_one_target(metered: Stand) -> None:
    result = metered.module("prom_scrape_check")
    assert result["targets"] == len(metered.mappings()) == 3
    assert result["pools"] == {f"podMonitor/{OURS}/0": 3}
