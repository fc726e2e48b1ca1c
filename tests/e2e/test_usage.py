# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is summed up for a period equals what the upstream served, whatever happened to the scrape meanwhile."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
import yaml
from harness import accuracy
from harness.accuracy import BY, Accounted, account, served_since, wait_for_scrapes
from harness.runs import ROOT
from harness.stand import Stand
from standlib import platform, tenants, traffic
from standlib.progress import wait_until


@pytest.fixture(scope="module")
def eventful(stand: Stand) -> Accounted:
    return accuracy.eventful(stand)


def test_what_was_counted_equals_the_ledger_but_for_what_a_killed_pod_had_not_told(eventful: Accounted) -> None:
    told = {key: tokens - eventful.lost.get(key, 0) for key, tokens in eventful.served.items()}
    assert eventful.counted == told


def test_what_a_killed_pod_had_not_told_is_a_doubt(eventful: Accounted) -> None:
    doubts = eventful.said["doubts"]
    assert any(eventful.killed in doubt and "has ended" in doubt for doubt in doubts), doubts


def test_the_days_add_up_to_the_whole(eventful: Accounted) -> None:
    days = eventful.said["days"]
    assert sum(day["total"] for day in days) == eventful.said["total"]


def test_the_parts_of_the_period_add_up_to_the_whole(eventful: Accounted, stand: Stand) -> None:
    start, end = (datetime.datetime.fromisoformat(eventful.said[name]).timestamp() for name in ("start", "end"))
    for number in range(1, 8):
        cut = start + (end - start) * number / 8
        assert accuracy.parts(stand, start, cut, end) == eventful.counted, cut - start


def test_a_new_team_with_a_single_request_is_billed(eventful: Accounted) -> None:
    (row,) = [row for row in eventful.said["rows"] if row["namespace"] == "team-c"]
    assert row["requests"] == 1


def test_every_request_is_counted_once(eventful: Accounted) -> None:
    # Five times every caller, model and way, and the new team; not the one that the killed pod had not told.
    assert eventful.said["requests"] == 5 * len(traffic.mix(1)) + 1


def test_what_a_sidecar_had_counted_before_its_first_scrape_is_billed_only_if_somebody_metered(fresh: Stand) -> None:
    began = traffic.now()
    fresh.restart_proxies()
    fresh.send()
    start = traffic.now()
    # A monitor that nobody has ever seen: a store that has its job alone had scraped no sidecar before.
    name = f"ai-gateway-{round(start)}"
    run = fresh.site(labels_restart=False, labels_pairs="x-user-namespace:user_namespace", scrape_monitor_name=name)
    assert run.code == 0, run.output
    scraped = wait_for_scrapes(fresh)
    fresh.send()
    end = wait_for_scrapes(fresh)
    alone = account(fresh, start, end, matchers={"job": f"{platform.GATEWAY_NAMESPACE}/{name}"})
    # What was there at the first scrape may be of before or of since; it is told, and not billed.
    assert accuracy.by_namespace(alone.counted) == accuracy.by_namespace(served_since(fresh, scraped))
    assert any("may be older than the period" in doubt for doubt in alone.said["doubts"])
    # The Prometheus as a whole had scraped other sidecars before these began.
    whole = account(fresh, start, end)
    assert accuracy.by_namespace(whole.counted) == accuracy.by_namespace(served_since(fresh, began))


def test_a_monitor_beside_ours_that_edits_labels_is_a_doubt(metered: Stand) -> None:
    start = wait_for_scrapes(metered)
    metered.apply(metered.pod_monitor("edits", metricRelabelings=[{"action": "labeldrop", "regex": "department"}]))
    try:
        twice = "scraped 2 times"
        wait_until("the double scrape", lambda: twice in str(metered.module("prom_scrape_check", timeout=0)), 120)
        # Two are only taken for one where both have been there for more than three scrapes.
        for dummy in range(8):
            metered.send()
            end = wait_for_scrapes(metered)
    finally:
        metered.delete("podmonitor", platform.GATEWAY_NAMESPACE, "edits")
    doubts = account(metered, start, end).said["doubts"]
    assert any("are billed twice" in doubt and "(department)" in doubt for doubt in doubts), doubts


def test_nothing_is_lost_at_a_restart_where_proxies_drain_for_longer_than_a_scrape_takes(default_drain: Stand) -> None:
    run = default_drain.site()
    assert run.code == 0, run.output
    assert "may end 1 s after the stop signal" in run.text, "of the gateway that drains quickly"
    requests = traffic.mix(1, [caller for caller in tenants.CALLERS if caller.gateway == "gateway-a"])
    start = wait_for_scrapes(default_drain)
    with traffic.SteadyTraffic(default_drain.gateways(), requests) as steady:
        default_drain.restart_proxies()
        wait_until("old proxies to end", lambda: not default_drain.ending_proxies(), 120)
    assert set(steady.statuses) == {200}, steady.statuses
    found = account(default_drain, start, wait_for_scrapes(default_drain))
    assert found.counted == found.served


@pytest.mark.parametrize("dimension", ["gateway", "pod", "provider", "original_model", "user"])
def test_every_dimension_adds_up_to_the_same(eventful: Accounted, stand: Stand, dimension: str) -> None:
    said = stand.module("token_usage_info", start=eventful.said["start"], end=eventful.said["end"], by=[dimension])
    assert sum(row["total"] for row in said["rows"]) == eventful.said["total"]


def test_the_gateway_is_told_of_pods_that_have_ended_too(eventful: Accounted, stand: Stand) -> None:
    said = stand.module("token_usage_info", start=eventful.said["start"], end=eventful.said["end"], by=["gateway"])
    assert {row["gateway"] for row in said["rows"]} == {"team-a/gateway-a", "team-b/gateway-b"}


def test_a_time_without_its_zone_is_refused(stand: Stand) -> None:
    said = stand.module("token_usage_info", start="2026-11-01", end="2026-11-02T00:00:00Z")
    assert "needs its time zone" in said["msg"]


def test_the_report_is_shown_and_written(eventful: Accounted, stand: Stand, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yml"
    prices.write_text("{currency: EUR, prices: [{model: '*', per_million: {input: 1000000, output: 0}}]}")
    said = eventful.said
    run = stand.play(
        "report",
        report_from=said["start"],
        report_to=said["end"],
        report_by=BY,
        report_prices=str(prices),
        report_directory=str(tmp_path / "report"),
    )
    assert run.code == 0, run.output
    written = json.loads((tmp_path / "report" / "localhost.json").read_text())
    assert (written["total"], written["amount"]) == (said["total"], f"{said['tokens']['input']}.00")
    assert "team-c" in run.output


def test_the_shipped_role_is_enough_for_a_report(eventful: Accounted, stand: Stand, tmp_path: Path) -> None:
    documents = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    (rules,) = [document["rules"] for document in documents if document["kind"] == "ClusterRole"]
    environment = stand.account(tmp_path, rules)
    said = stand.module("token_usage_info", environment, start=eventful.said["start"], end=eventful.said["end"])
    assert said.get("total") == eventful.said["total"], said


def test_a_price_list_that_is_none_is_told_without_a_traceback(stand: Stand, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yml"
    prices.write_text("prices: []")
    run = stand.play("report", report_period="this_month", report_prices=str(prices))
    assert run.code != 0
    assert "The price list is not valid: currency is None" in run.text
    assert "Traceback" not in run.output
