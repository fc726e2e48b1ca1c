# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the live targets prove."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._scrape import live_targets
from ansible_collections.aigateway.metering.plugins.module_utils._scrape.sources import Monitoring
from ansible_collections.aigateway.metering.tests.unit.objects import extproc, prometheus, sidecar, target

P, Q = sidecar("p", ip="10.0.0.1"), sidecar("q", ip="10.0.0.2")
A, B = "podMonitor/gateways/a/0", "podMonitor/gateways/b/0"


def test_every_sidecar_scraped_once_and_up_is_right():
    verdict = live_targets.judge_targets([target("10.0.0.1:1064", A), target("10.0.0.2:1064", A)], [P, Q])
    assert (verdict.is_right, verdict.problems()) == (True, [])


def test_targets_are_counted_by_scrape_pool():
    verdict = live_targets.judge_targets([target("10.0.0.1:1064", A), target("10.0.0.2:1064", B)], [P, Q])
    assert verdict.pools == {A: 1, B: 1}


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param([], id="no target at all"),
        pytest.param([target("10.0.0.2:1064")], id="another pod's"),
        pytest.param([target("10.0.0.1:19001")], id="another port of the pod"),
        pytest.param([target("10.0.0.11:1064")], id="an address that ends alike"),
    ],
)
class TestASidecarWithoutATarget:
    def test_is_missing(self, targets):
        assert live_targets.judge_targets(targets, [P]).missing == ("gateways/p",)

    def test_is_not_right(self, targets):
        assert not live_targets.judge_targets(targets, [P]).is_right

    def test_is_said_to_be_scraped_by_nobody(self, targets):
        assert live_targets.judge_targets(targets, [P]).problems() == ["gateways/p is not scraped"]


# What others than Prometheus answer: vmagent (lib/promscrape/targetstatus.go), and Thanos Querier, which adds the
# labels of the Prometheus that has the target (pkg/targets/targetspb).
SHAPES: dict[str, dict[str, Any]] = {
    "vmagent": {
        "scrapePool": "podScrape/gateways/monitor/0",
        "labels": {"instance": "10.0.0.1:1064", "job": "gateways/monitor", "namespace": "gateways", "pod": "p"},
        "lastSamplesScraped": 12,
    },
    "Thanos Querier": {
        "scrapePool": "podMonitor/gateways/monitor/0",
        "labels": {"instance": "10.0.0.1:1064", "job": "gateways/monitor", "prometheus": "monitoring/main"},
        "globalUrl": "http://10.0.0.1:1064/metrics",
    },
}
COMMON: dict[str, Any] = {
    "discoveredLabels": {},
    "scrapeUrl": "http://10.0.0.1:1064/metrics",
    "lastError": "",
    "health": "up",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_one_target_of_another_backend_is_right(shape):
    assert live_targets.judge_targets([COMMON | SHAPES[shape]], [P]).is_right


@pytest.mark.parametrize("shape", SHAPES)
def test_two_targets_of_another_backend_are_doubled(shape):
    one = COMMON | SHAPES[shape]
    other = one | {"labels": {**SHAPES[shape]["labels"], "job": "by-hand"}}
    assert list(live_targets.judge_targets([one, other], [P]).doubled) == ["gateways/p"]


def at(pool, endpoint):
    """A target of the pod in a pool, with a label that tells it from others."""
    return target("10.0.0.1:1064", pool, endpoint=endpoint)


def test_two_targets_with_the_same_labels_write_into_one_series_and_are_no_duplicate():
    same = [{**target("10.0.0.1:1064", pool), "labels": {"job": "one"}} for pool in (A, B)]
    assert live_targets.judge_targets(same, [P]).is_right


def test_a_target_whose_token_samples_are_dropped_does_not_count():
    rules = {B: [{"source_labels": ["__name__"], "regex": "gen_ai.*", "action": "drop"}]}
    found = live_targets.judge_targets([at(A, "1"), at(B, "2")], [P], rules)
    assert (found.is_right, found.pools) == (True, {A: 1})


@pytest.mark.parametrize(
    "pools",
    [pytest.param((A, B), id="across pools"), pytest.param((A, A), id="within a pool")],
)
class TestASidecarWithTwoTargets:
    def test_is_doubled_with_their_pools(self, pools):
        found = live_targets.judge_targets([*map(at, reversed(pools), "12")], [P])
        assert found.doubled == {"gateways/p": pools}

    def test_is_not_right(self, pools):
        assert not live_targets.judge_targets([*map(at, pools, "12")], [P]).is_right

    def test_is_said_with_their_pools(self, pools):
        found = live_targets.judge_targets([*map(at, pools, "12")], [P])
        assert found.problems() == [f"gateways/p is scraped 2 times, by {', '.join(pools)}"]


@pytest.mark.parametrize(
    ("health", "error", "said"),
    [
        pytest.param("down", "connection refused", "down, connection refused", id="down"),
        pytest.param("unknown", "", "unknown, not scraped yet", id="not scraped yet"),
    ],
)
def test_a_target_that_is_not_up_is_said_with_its_last_error(health, error, said):
    verdict = live_targets.judge_targets([target(health=health, error=error)], [P])
    assert verdict.problems() == [f"gateways/p is not up: {said}"]


def test_a_target_that_is_not_up_is_not_right():
    assert not live_targets.judge_targets([target(health="down", error="x")], [P]).is_right


def test_one_of_two_targets_that_is_down_is_not_hidden_by_the_other():
    found = live_targets.judge_targets([target(pool=A), target(pool=B, health="down", error="timeout")], [P])
    assert found.down == {"gateways/p": "down, timeout"}


def test_targets_of_other_pods_are_neither_counted_nor_judged():
    found = live_targets.judge_targets([target(pool=A), target("10.9.9.9:1064", B, "down", "gone")], [P])
    assert (found.is_right, found.pools) == (True, {A: 1})


def test_a_hand_written_job_counts_by_its_address():
    assert live_targets.judge_targets([target(pool="my-static-job")], [P]).is_right


def test_a_target_on_another_path_of_the_port_is_no_second_scrape():
    elsewhere = target(pool=B) | {"scrapeUrl": "http://10.0.0.1:1064/health"}
    assert live_targets.judge_targets([target(pool=A), elsewhere], [P]).is_right


def test_the_port_is_the_sidecars_own():
    moved = sidecar("p", ip="10.0.0.1", containers=[extproc(port=1065)])
    assert live_targets.judge_targets([target("10.0.0.1:1065")], [moved]).is_right


def test_an_ipv6_address_stands_in_brackets():
    assert live_targets.judge_targets([target("[fd00::1]:1064")], [sidecar("p", ip="fd00::1")]).is_right


def test_a_pod_without_an_address_is_missing():
    assert live_targets.judge_targets([target()], [sidecar("p", ip="")]).missing == ("gateways/p",)


@pytest.mark.parametrize(
    ("interval", "drain", "found"),
    [
        pytest.param("30s", "10s", [(30.0, 10.0)], id="scraped more rarely than it drains"),
        pytest.param("5s", "10s", [], id="drained for longer than a scrape takes"),
        pytest.param("30s", "", [], id="a drain that is not known"),
        pytest.param("", "10s", [], id="an interval that is not known"),
    ],
)
def test_how_much_a_restart_may_lose(interval, drain, found):
    command = ["envoy-gateway", "envoy", "shutdown", *([f"--min-drain-duration={drain}"] if drain else [])]
    manager = {"name": "shutdown-manager", "lifecycle": {"preStop": {"exec": {"command": command}}}}
    drained = sidecar("p", ip="10.0.0.1")
    drained.pod["spec"]["containers"] = [*drained.pod["spec"].get("containers", ()), manager]
    verdict = live_targets.judge_targets([{**target("10.0.0.1:1064", A), "scrapeInterval": interval}], [drained])
    assert list(live_targets.tails(verdict, [drained]).values()) == found


ODD = [
    "http://exporter:9100:9100/metrics",
    "http://[::1/metrics",
    "http://host:port/metrics",
    "http://10.0.0.9:99999999/metrics",
    "http://10.0.0.9:/metrics",
    "://",
    "",
    None,
    7,
]


@pytest.mark.parametrize("address", ODD)
def test_what_is_not_ours_breaks_nothing_however_it_is_written(address):
    odd = {**target("10.0.0.9:9100"), "scrapeUrl": address, "scrapePool": None, "labels": None}
    bare = {"scrapeUrl": address}
    found = live_targets.judge_targets([odd, bare, target("10.0.0.1:1064", A)], [P])
    assert (found.is_right, found.pools) == (True, {A: 1})
    assert not live_targets.may_matter(odd, [P])


@pytest.mark.parametrize("address", [*ODD, "http://10.0.0.1:1064/metrics"])
def test_an_odd_target_is_no_job_that_breaks_the_others(address):
    scraper = prometheus()
    odd = {**target("10.0.0.9:9100"), "scrapeUrl": address, "scrapePool": "odd", "labels": None}
    rules = {"odd": [{"regex": None, "source_labels": None, "action": None}]}
    found = live_targets.jobs_of_targets([odd], [P], scraper, rules, Monitoring([scraper], {}))
    assert len(found) == (address == "http://10.0.0.1:1064/metrics")


@pytest.mark.parametrize(
    ("namespaces", "found"),
    [
        pytest.param([], [], id="its object was read, which tells more"),
        pytest.param(["gateways"], [], id="as well where its namespace is one of those that are read"),
        pytest.param(["other"], [A], id="its object was not read"),
    ],
)
def test_a_pool_of_an_object_that_was_not_read_is_known_by_its_targets(namespaces, found):
    scraper = prometheus()
    there = Monitoring([scraper], {}, namespaces=namespaces)
    jobs = live_targets.jobs_of_targets([target("10.0.0.1:1064", A)], [P], scraper, {}, there)
    assert [job.name for job in jobs] == found
