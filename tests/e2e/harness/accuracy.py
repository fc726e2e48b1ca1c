# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A period in which everything happens to the scrape that can, and what is said of it: by the report, by the upstream's
ledger, and by the queries that are commonly written for it."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from standlib import platform, tenants, traffic, usage
from standlib.progress import step, wait_until

from .stand import Stand

NAMESPACE = platform.GATEWAY_NAMESPACE
OURS = "ai-gateway-metrics"
CALLERS = {caller.name: caller for caller in [*tenants.CALLERS, tenants.NEWCOMER]}
BY = ["namespace", "department", "model"]
TOTAL = ("input", "output")


def when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def scraped_at(stand: Stand, asked: str = usage.PROMETHEUS) -> dict[str, float]:
    """When each running proxy was scraped last."""
    pods = "|".join(stand.mappings())
    promql = f'max by (pod) (timestamp(up{{pod=~"{pods}",instance=~".*:1064"}}))'
    found = usage.query(stand.kubectl, promql, asked=asked)
    return {item["metric"]["pod"]: float(item["value"][1]) for item in found}


def wait_for_scrapes(stand: Stand, asked: str = usage.PROMETHEUS) -> float:
    """Wait until every running proxy has been scraped after now, and return when that was so."""
    begun = traffic.now()

    def scraped() -> bool:
        found = scraped_at(stand, asked)
        return len(found) == len(stand.mappings()) and all(time > begun for time in found.values())

    wait_until("every proxy to be scraped", scraped, 90)
    return traffic.now()


@dataclass
class Accounted:
    """A period, what the module says of it, and what the upstream has served in it."""

    said: dict[str, Any]
    served: traffic.Totals
    lost: traffic.Totals
    """Of what was served, what a killed pod had counted and not told."""
    killed: str
    """That pod."""

    @property
    def counted(self) -> traffic.Totals:
        return {
            (row["namespace"], row["department"], row["model"], kind): tokens
            for row in self.said["rows"]
            for kind, tokens in row["tokens"].items()
        }


def served_since(stand: Stand, start: float, callers: Iterable[tenants.Caller] = CALLERS.values()) -> traffic.Totals:
    known = {caller.name: caller for caller in callers}
    served: Counter[tuple[str, str, str, str]] = Counter()
    for entry in traffic.ledger(stand.kubectl, start):
        caller = known[entry["caller"]]
        for kind, tokens in entry["tokens"].items():
            served[caller.billed_namespace, caller.department, entry["model"], kind] += tokens
    return {key: tokens for key, tokens in served.items() if tokens}


def account(
    stand: Stand, start: float, end: float, callers: Iterable[tenants.Caller] = CALLERS.values(), **asked: Any
) -> Accounted:
    said = stand.module("token_usage_info", start=when(start), end=when(end), by=BY, **asked)
    assert "rows" in said, said
    return Accounted(said, served_since(stand, start, callers), {}, "")


def parts(stand: Stand, start: float, cut: float, end: float) -> traffic.Totals:
    """What two reports have that meet at a moment, added up."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for begin, until in ((start, cut), (cut, end)):
        found.update(account(stand, begin, until).counted)
    return {key: tokens for key, tokens in found.items() if tokens}


def kill_between_scrapes(stand: Stand) -> tuple[str, traffic.Totals]:
    """Have a proxy answer a request and end before it is scraped again; which one, and what it had counted then."""
    pods = stand.mappings()
    (pod,) = [name for name in pods if "gateway-b" in name]
    request = traffic.mix(1, [CALLERS["bob"]])[0]
    gateways = stand.gateways()
    before = scraped_at(stand)[pod]
    wait_until("the next scrape", lambda: scraped_at(stand)[pod] > before, 60, 0.2)
    assert gateways.send(request) == 200
    stand.kubectl.run(stand.step, "delete", "pod", pod, "-n", NAMESPACE, "--force", "--grace-period=0")
    stand.kubectl.rollout(stand.step, NAMESPACE, *(f"deployment/{name}" for name in stand.revisions()))
    wait_until(
        "another pod to be there", lambda: pod not in stand.mappings() and len(stand.mappings()) == len(pods), 60
    )
    who = (request.caller.billed_namespace, request.caller.department, request.model)
    return pod, {(*who, kind): tokens for kind, tokens in request.usage}


def eventful(stand: Stand) -> Accounted:
    """A period in which everything happens to the scrape that can."""
    with step("site.yml, and a scrape of every proxy"):
        run = stand.site()
        assert run.code == 0, run.output
        start = wait_for_scrapes(stand)
    with step("requests of every caller, plain and streamed; a new team with a single one"):
        stand.send()
        assert stand.gateways().send(traffic.mix(1, [tenants.NEWCOMER])[0]) == 200
    with step("a second PodMonitor beside ours; requests"):
        stand.apply(stand.pod_monitor("by-hand"))
        twice = "scraped 2 times"
        wait_until("the double scrape", lambda: twice in str(stand.module("prom_scrape_check", timeout=0)), 120)
        stand.send()
    with step("the second PodMonitor alone; requests"):
        stand.delete("podmonitor", NAMESPACE, OURS)
        wait_until("the other one alone", lambda: "pools" in stand.module("prom_scrape_check", timeout=0), 120)
        stand.send()
        wait_for_scrapes(stand)
    with step("ours again, by site.yml"):
        stand.delete("podmonitor", NAMESPACE, "by-hand")
        run = stand.site()
        assert run.code == 0, run.output
    with step("every proxy restarted once it was scraped; requests"):
        wait_for_scrapes(stand)
        stand.restart_proxies()
        stand.send()
    with step("a proxy killed between two scrapes"):
        wait_for_scrapes(stand)
        killed, lost = kill_between_scrapes(stand)
    with step("requests, and a scrape of every proxy"):
        stand.send()
        found = account(stand, start, wait_for_scrapes(stand))
    return Accounted(found.said, found.served, lost, killed)


def by_namespace(tokens: traffic.Totals) -> dict[str, int]:
    """Input and output tokens by who is billed."""
    found: Counter[str] = Counter()
    for (namespace, dummy, dummy, kind), count in tokens.items():
        found[namespace] += count if kind in TOTAL else 0
    return dict(found)


# The first as it is commonly written: all types, of which some are parts of others.
QUERIES = {
    "increase()": "sum by (user_namespace) (increase(gen_ai_client_token_usage_sum[{}s]))",
    "of input and output": "sum by (user_namespace) "
    '(increase(gen_ai_client_token_usage_sum{{gen_ai_token_type=~"input|output"}}[{}s]))',
}


def said_by_query(stand: Stand, promql: str, start: float, end: float) -> dict[str, float]:
    """What PromQL says of a period, by who is billed."""
    found = usage.query(stand.kubectl, promql.format(round(end - start)), at=end)
    return {item["metric"].get("user_namespace", ""): float(item["value"][1]) for item in found}


def comparison(stand: Stand, found: Accounted) -> str:
    """A table of what was served, what the report says and what the usual queries say, by who is billed."""
    start, end = (datetime.datetime.fromisoformat(found.said[name]).timestamp() for name in ("start", "end"))
    served, reported, lost = by_namespace(found.served), by_namespace(found.counted), by_namespace(found.lost)
    others = [said_by_query(stand, promql, start, end) for promql in QUERIES.values()]
    names = [text for name in QUERIES for text in (name, "error")]
    lines: list[tuple[str, ...]] = [("namespace", "ledger", "report", "missing", "lost with a pod", *names)]
    for namespaces in [*([name] for name in sorted(served)), sorted(served)]:
        true, billed, gone = (sum(item.get(name, 0) for name in namespaces) for item in (served, reported, lost))
        estimates = [sum(item.get(name, 0.0) for name in namespaces) for item in others]
        errors = [text for it in estimates for text in (f"{it:.1f}", f"{100 * (it / true - 1):+.1f} %")]
        name = namespaces[0] if len(namespaces) == 1 else "all"
        lines.append((name, str(true), str(billed), str(true - billed), str(gone), *errors))
    return usage.aligned(lines, texts=1)
