# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether two things double the tokens, predicted from objects; tests/e2e/test_double_scrape.py proves it."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._scrape import plan as _plan
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import scrapers
from ansible_collections.aigateway.metering.tests import double_scrape
from ansible_collections.aigateway.metering.tests.unit.objects import (
    PROXY,
    container,
    extproc,
    gateway_labels,
    monitoring,
    sidecar,
)

SIDECARS = [
    sidecar(
        name,
        double_scrape.NAMESPACE,
        gateway=gateway,
        ip=f"10.0.0.{number}",
        init=[extproc()],
        containers=[container("envoy", ports={"http-80": 10080, "metrics": 19001})],
    )
    for number, (name, gateway) in enumerate(
        [("a-1", "team-a/gateway-a"), ("a-2", "team-a/gateway-a"), ("b-1", "team-b/gateway-b")]
    )
]
SERVICES = [
    {
        "metadata": {"name": gateway, "namespace": double_scrape.NAMESPACE, "labels": PROXY | gateway_labels(gateway)},
        "spec": {
            "selector": PROXY | gateway_labels(gateway),
            "ports": [{"name": "http-80", "port": 80, "targetPort": 10080}],
        },
    }
    for gateway in ("team-a/gateway-a", "team-b/gateway-b")
]
NAMESPACES = {
    name: {"kubernetes.io/metadata.name": name} for name in (double_scrape.NAMESPACE, double_scrape.ELSEWHERE)
}
SCRAPERS = [scrapers.Scraper(item, NAMESPACES, item["kind"]) for item in double_scrape.SCRAPERS]


def planned(*monitors, **options):
    there = monitoring(*monitors, scrapers=SCRAPERS, services=SERVICES)
    return _plan.plan_scrape(there, SCRAPERS[0], SIDECARS, **options)


@pytest.mark.parametrize("case", double_scrape.CASES, ids=lambda case: case.rule)
def test_what_doubles_the_tokens_is_told_from_what_does_not(case):
    assert bool(planned(double_scrape.FIRST, case.document).doubly_covered) is case.doubles


@pytest.mark.parametrize("case", double_scrape.CASES, ids=lambda case: case.rule)
def test_what_doubles_the_tokens_is_not_left_unsaid(case):
    plan = planned(double_scrape.FIRST, case.document)
    assert bool(plan.left) is case.doubles


@pytest.mark.parametrize("case", double_scrape.CASES, ids=lambda case: case.rule)
def test_whatever_stands_beside_it_no_endpoint_of_ours_is_added(case):
    assert planned(double_scrape.FIRST, case.document).create is None


@pytest.mark.parametrize("case", double_scrape.CASES, ids=lambda case: case.rule)
def test_nobody_is_uncovered_by_pruning_and_nothing_stays_doubled_that_may_go(case):
    plan = planned(double_scrape.FIRST, case.document, prune="all")
    gone = {source.name for source in plan.remove}
    stay = [
        item
        for item in (double_scrape.FIRST, case.document)
        if f"{double_scrape.NAMESPACE}/{item['metadata']['name']}" not in gone
    ]
    after = planned(*stay)
    assert (after.uncovered, bool(after.doubly_covered)) == ((), bool(plan.left))
