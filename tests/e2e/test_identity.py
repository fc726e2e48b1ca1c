# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand promises: who is billed, and that Prometheus's counters equal the ledger."""

from __future__ import annotations

from collections.abc import Callable

from harness.stand import Stand
from standlib import tenants, traffic, usage
from standlib.progress import wait_until

Callers = Callable[[str], tenants.Caller]


def growth_of(stand: Stand, requests: list[traffic.Request]) -> tuple[traffic.Totals, traffic.Totals]:
    """(what Prometheus counted, what the ledger knows) of some requests."""
    before = usage.stored_totals(stand.kubectl)
    since = traffic.now()
    statuses = traffic.send_all(stand.gateways(), requests)
    assert set(statuses) == {200}, statuses
    served = traffic.ledger_totals(traffic.ledger(stand.kubectl, since))

    def counted() -> traffic.Totals:
        return usage.growth(before, usage.stored_totals(stand.kubectl))

    wait_until("Prometheus to have scraped the requests", lambda: sum(counted().values()) >= sum(served.values()), 90)
    return counted(), served


def test_prometheus_counts_what_the_upstream_served_to_the_token(metered: Stand) -> None:
    counted, served = growth_of(metered, traffic.mix(2))
    assert counted == served, usage.table(counted, served)


def test_a_forged_namespace_is_billed_to_the_tokens_namespace(metered: Stand, caller: Callers) -> None:
    counted, dummy = growth_of(metered, traffic.mix(1, [caller("mallory")]))
    assert {(namespace, department) for namespace, department, dummy, dummy in counted} == {("team-a", "research")}


def test_a_request_without_a_token_is_refused(stand: Stand, caller: Callers) -> None:
    gateways = stand.gateways()
    (request, *dummy) = traffic.mix(1, [caller("alice")])
    assert gateways.send(request, token="") == 401
