# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance windows, scope, and rollouts that fail: on real workloads, with faults that really happen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.cluster import CONTROLLER
from harness.stand import Stand
from standlib import platform, tenants, traffic
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
METERED = f"{platform.PLATFORM_MAPPING},x-user-group:department"
A, B = "team-a/gateway-a", "team-b/gateway-b"


def grown(stand: Stand, before: dict[str, int]) -> dict[str, int]:
    """By how much the revision of each team's proxy went up."""
    return {name.removeprefix("envoy-")[:6]: after - before[name] for name, after in stand.revisions().items()}


# --- restart: false ---------------------------------------------------------------------------------------------------


def test_without_restart_all_is_prepared_and_what_is_stale_is_listed(fresh: Stand) -> None:
    before = fresh.revisions()
    run = fresh.site(labels_restart=False)
    assert run.code == 0, run.output
    assert fresh.flag() == METERED
    assert grown(fresh, before) == {"team-a": 0, "team-b": 0}
    assert "LEFT STALE: envoy-gateway-system/envoy-team-a-gateway-a-" in run.text


def test_without_restart_the_flag_is_left_alone_where_the_gateway_would_roll_the_proxies(self_rolling: Stand) -> None:
    result = self_rolling.module("merge_metrics_attributes", restart=False)
    assert "this generation of the gateway then rolls" in result["msg"]
    assert self_rolling.flag() == platform.PLATFORM_MAPPING


def test_check_mode_says_which_proxies_the_gateway_will_roll(self_rolling: Stand) -> None:
    result = self_rolling.module("proxy_rollout", mapping=METERED, _ansible_check_mode=True)
    assert len(result["waited"]) == 2
    assert result["restarted"] == []


# --- one gateway first ------------------------------------------------------------------------------------------------


@pytest.fixture
def no_room(fresh: Stand) -> Iterator[Stand]:
    """The controller has the new mapping, and a quota keeps new pods from being made."""
    fresh.set_flag(METERED)
    # Old pods that are still draining are counted by the quota as long as they are there.
    pods = [item for item in fresh.get("pods", NAMESPACE) if "deletionTimestamp" not in item["metadata"]]
    metadata = {"name": "no-room", "namespace": NAMESPACE}
    spec = {"hard": {"pods": str(len(pods))}}
    fresh.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec})
    wait_until(
        "the quota to count", lambda: fresh.get("resourcequotas", NAMESPACE)[0].get("status", {}).get("used"), 30
    )
    yield fresh
    fresh.delete("resourcequota", NAMESPACE, metadata["name"])
    # A workload that ran into the quota tries again only after a while, or when it is changed.
    fresh.annotate_proxies("tests/room", str(traffic.now()))


def test_a_proxy_that_does_not_become_ready_stops_the_rollout_before_the_next_gateway(no_room: Stand) -> None:
    before = no_room.revisions()
    result = no_room.module("proxy_rollout", first=B, wait_timeout=15)
    assert "of gateway team-b/gateway-b was not settled within 15 s" in result["msg"]
    assert "exceeded quota: no-room" in result["msg"]
    assert grown(no_room, before) == {"team-a": 0, "team-b": 1}


def test_a_gateway_to_begin_with_that_is_not_there_is_refused(stand: Stand) -> None:
    assert "The Gateway team-c/x has no proxy" in stand.module("proxy_rollout", first="team-c/x")["msg"]


# --- a controller that does not roll out ------------------------------------------------------------------------------


@pytest.fixture
def broken_image(fresh: Stand) -> Iterator[Stand]:
    """Somebody has given the controller an image that cannot be pulled; its old pod goes on serving."""
    container = fresh.controller()["spec"]["template"]["spec"]["containers"][0]

    def set_image(image: str) -> None:
        body = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "image": image}]}}}}
        fresh.patch("deployment", NAMESPACE, CONTROLLER, body, how="strategic")

    set_image("docker.io/envoyproxy/no-such-image:v0")
    yield fresh
    set_image(container["image"])
    fresh.wait_for_controller()


@pytest.mark.parametrize(
    ("on_failure", "flag", "said"),
    [
        ("rollback", platform.PLATFORM_MAPPING, "The previous flag was put back."),
        ("keep", METERED, "The new flag was kept (on_failure: keep)."),
    ],
)
def test_a_controller_that_does_not_roll_out_is_told_with_what_became_of_the_flag(
    broken_image: Stand, on_failure: str, flag: str, said: str
) -> None:
    result = broken_image.module("merge_metrics_attributes", wait_timeout=8, on_failure=on_failure)
    assert "did not roll out within 8 s" in result["msg"]
    assert "Pull" in result["msg"]
    assert said in result["msg"]
    assert broken_image.flag() == flag


@pytest.fixture
def reverting_operator(fresh: Stand) -> Iterator[Stand]:
    """An operator that owns the Deployment, and sets its flag back as soon as somebody changes it."""

    def revert() -> None:
        wait_until("the flag to change", lambda: fresh.flag() != platform.PLATFORM_MAPPING, 60, 0.1)
        fresh.set_flag(platform.PLATFORM_MAPPING, manager="acme-operator")

    with ThreadPoolExecutor(1) as pool:
        reverted = pool.submit(revert)
        yield fresh
        reverted.result()


def test_an_operator_that_reverts_the_flag_is_named(reverting_operator: Stand) -> None:
    result = reverting_operator.module("merge_metrics_attributes")
    assert "The pairs x-user-group:department were written into the flag" in result["msg"]
    assert "acme-operator has set it to" in result["msg"]


# --- scope ------------------------------------------------------------------------------------------------------------


def test_only_what_is_in_scope_is_restarted_and_scraped(fresh: Stand) -> None:
    before = fresh.revisions()
    run = fresh.site(metering_gateways=B)
    assert run.code == 0, run.output
    assert grown(fresh, before) == {"team-a": 0, "team-b": 1}
    assert fresh.monitors() == {f"{NAMESPACE}/ai-gateway-metrics-team-b-gateway-b"}
    assert "1 targets, each scraped once and up" in run.text
    check = fresh.play("check", metering_gateways=B)
    assert check.code == 0, check.output


def test_no_pair_of_a_gateway_beyond_the_scope_is_lost(fresh: Stand) -> None:
    fresh.set_flag("x-user-namespace:user_namespace")
    run = fresh.site(metering_gateways=B)
    assert run.code == 0, run.output
    assert set(platform.PLATFORM_MAPPING.split(",")) <= set(fresh.flag().split(","))


def test_a_gateway_that_is_not_there_is_refused_before_anything_is_changed(fresh: Stand) -> None:
    before = fresh.state()
    run = fresh.site(metering_gateways="team-a/gateway-a,team-c/none")
    assert run.code != 0
    assert "belongs to the Gateway team-c/none" in run.text
    assert fresh.state() == before


# --- traffic and progress ---------------------------------------------------------------------------------------------


def test_no_request_fails_while_a_gateway_with_two_replicas_is_rolled(default_drain: Stand) -> None:
    requests = traffic.mix(1, [caller for caller in tenants.CALLERS if caller.gateway == "gateway-a"])
    before = default_drain.revisions()
    with traffic.SteadyTraffic(default_drain.gateways(), requests) as steady:
        run = default_drain.site()
    assert run.code == 0, run.output
    assert grown(default_drain, before)["team-a"] == 1
    print(f"during site.yml: {sum(steady.statuses.values())} requests, {steady.failed} failed: {dict(steady.statuses)}")
    assert steady.failed == 0, steady.statuses


def test_what_is_being_waited_for_is_shown_while_it_is(fresh: Stand) -> None:
    run = fresh.site()
    assert "of gateway team-a/gateway-a (1 of 2): waiting for" in run.output
    assert "s of at most 300 s)" in run.output
