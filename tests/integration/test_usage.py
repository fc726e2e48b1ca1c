# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is summed up for a period equals what the upstream served, whatever happened to the scrape meanwhile."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Stand
from standlib import platform, tenants, traffic, usage
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
OURS = "ai-gateway-metrics"
CALLERS = {caller.name: caller for caller in [*tenants.CALLERS, tenants.NEWCOMER]}
BY = ["namespace", "department", "model"]
Totals = dict[tuple[str, str, str, str], int]


def when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


def wait_for_scrapes(stand: Stand) -> float:
    """Wait until every running proxy has been scraped after now, and return when that was so."""
    begun = traffic.now()

    def scraped() -> bool:
        pods = "|".join(stand.mappings())
        found = usage.query(
            stand.kubectl, stand.step, f'max by (pod) (timestamp(up{{pod=~"{pods}",instance=~".*:1064"}}))'
        )
        return len(found) == len(stand.mappings()) and all(float(item["value"][1]) > begun for item in found)

    wait_until("every proxy to be scraped", scraped, 90)
    return traffic.now()


@dataclass
class Accounted:
    """A period, what the module says of it, and what the upstream has served in it."""

    said: dict[str, Any]
    served: Totals

    @property
    def counted(self) -> Totals:
        return {
            (row["namespace"], row["department"], row["model"], kind): tokens
            for row in self.said["rows"]
            for kind, tokens in row["tokens"].items()
        }


def account(stand: Stand, start: float, end: float) -> Accounted:
    said = stand.module("token_usage_info", start=when(start), end=when(end), by=BY)
    assert "rows" in said, said
    served: Counter[tuple[str, str, str, str]] = Counter()
    for entry in traffic.ledger(stand.kubectl, stand.step, start):
        caller = CALLERS[entry["caller"]]
        for kind, tokens in entry["tokens"].items():
            served[caller.billed_namespace, caller.department, entry["model"], kind] += tokens
    return Accounted(said, {key: tokens for key, tokens in served.items() if tokens})


@pytest.fixture(scope="module")
def eventful(stand: Stand) -> Accounted:
    """A period in which everything happens to the scrape that can, and nothing to what it counts."""
    run = stand.site()
    assert run.code == 0, run.output
    start = wait_for_scrapes(stand)
    stand.send()
    assert stand.gateways().send(traffic.mix(1, [tenants.NEWCOMER])[0]) == 200
    # Scraped twice for a while, then by the other one alone, then by ours again.
    stand.apply(stand.pod_monitor("by-hand"))
    wait_until("the double scrape", lambda: "scraped 2 times" in str(stand.module("prom_scrape_check", timeout=0)), 120)
    stand.send()
    stand.delete("podmonitor", NAMESPACE, OURS)
    wait_until("the other one alone", lambda: "pools" in stand.module("prom_scrape_check", timeout=0), 120)
    stand.send()
    wait_for_scrapes(stand)
    stand.delete("podmonitor", NAMESPACE, "by-hand")
    run = stand.site()
    assert run.code == 0, run.output
    # Restarted once all is scraped: new pods, new series.
    wait_for_scrapes(stand)
    stand.restart_proxies()
    stand.send()
    return account(stand, start, wait_for_scrapes(stand))


def test_what_was_counted_equals_the_ledger_to_the_token(eventful: Accounted) -> None:
    assert eventful.counted == eventful.served


def test_a_new_team_with_a_single_request_is_billed(eventful: Accounted) -> None:
    (row,) = [row for row in eventful.said["rows"] if row["namespace"] == "team-c"]
    assert row["requests"] == 1


def test_every_request_is_counted_once(eventful: Accounted) -> None:
    # Four times every caller, model and way, and the new team.
    assert eventful.said["requests"] == 4 * len(traffic.mix(1)) + 1


def test_what_a_killed_pod_had_not_told_is_missing_and_said(metered: Stand) -> None:
    start = wait_for_scrapes(metered)
    (pod,) = [name for name in metered.mappings() if "gateway-b" in name]
    bob = next(caller for caller in tenants.CALLERS if caller.name == "bob")
    assert metered.gateways().send(traffic.mix(1, [bob])[0]) == 200
    metered.kubectl.run(metered.step, "delete", "pod", pod, "-n", NAMESPACE, "--force", "--grace-period=0")
    deployments = [f"deployment/{name}" for name in metered.revisions()]
    metered.kubectl.rollout(metered.step, NAMESPACE, *deployments)
    wait_until("another pod to be there", lambda: pod not in metered.mappings() and len(metered.mappings()) == 3, 60)
    found = account(metered, start, wait_for_scrapes(metered))
    missing = sum(found.served.values()) - sum(found.counted.values())
    lost = traffic.mix(1, [bob])[0].usage
    assert missing in (0, sum(tokens for dummy, tokens in lost)), (found.served, found.counted)
    assert any(pod in doubt and "has ended" in doubt for doubt in found.said["doubts"]), found.said["doubts"]


def test_a_sidecar_that_ran_before_its_first_scrape_is_not_billed_for_its_past(fresh: Stand) -> None:
    fresh.send()
    start = traffic.now()
    run = fresh.site(labels_restart=False, labels_pairs="x-user-namespace:user_namespace")
    assert run.code == 0, run.output
    fresh.send()
    found = account(fresh, start, wait_for_scrapes(fresh))
    # What was there at the first scrape may be of before or of since; it is told, and not billed.
    assert sum(found.counted.values()) <= sum(found.served.values())
    assert any("may be older than the period" in doubt for doubt in found.said["doubts"])


def test_a_time_without_its_zone_is_refused(stand: Stand) -> None:
    said = stand.module("token_usage_info", start="2026-11-01", end="2026-11-02T00:00:00Z")
    assert "needs a time with its zone" in said["msg"]


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


def test_a_price_list_that_is_none_is_told_without_a_traceback(stand: Stand, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yml"
    prices.write_text("prices: []")
    run = stand.play("report", report_period="this_month", report_prices=str(prices))
    assert run.code != 0
    assert "The price list is not right: currency is None" in run.text
    assert "Traceback" not in run.output
