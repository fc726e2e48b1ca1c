# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`check.yml`: green after `site.yml`, red for each drift made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Stand
from standlib import platform, tenants, traffic
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
METERED = f"{platform.PLATFORM_MAPPING},x-user-group:department"
OURS = "ai-gateway-metrics"


def kinds(stand: Stand) -> set[str]:
    """The kinds of drift that there are."""
    return {drift["kind"] for drift in stand.module("drift_info", interval="5s", timeout=0)["drifts"]}


def monitor(stand: Stand, **spec: object) -> None:
    stand.patch("podmonitor", NAMESPACE, OURS, {"spec": spec})


def edit_dashboard(stand: Stand) -> None:
    body = {"spec": {"body": {"title": "edited"}}}
    stand.patch("monitordashboard", "cpaas-system", "ai-gateway-token-usage", body)


def replace_monitor_by_one_that_fails(stand: Stand) -> None:
    """Scraping plain HTTP as HTTPS is an error that Prometheus tells in lastError."""
    stand.delete("podmonitor", NAMESPACE, OURS)
    stand.apply(stand.pod_monitor("by-hand", scheme="https", tlsConfig={"insecureSkipVerify": True}))


def replace_monitor_by_one_for_a_single_gateway(stand: Stand) -> None:
    stand.delete("podmonitor", NAMESPACE, OURS)
    narrow = stand.pod_monitor("by-hand")
    narrow["spec"]["selector"]["matchLabels"]["gateway.envoyproxy.io/owning-gateway-name"] = "gateway-a"
    stand.apply(narrow)


# What is done by hand, and the kind of drift that it is found as, without another run in between.
DRIFTS: dict[str, Callable[[Stand], None]] = {
    "flag": lambda stand: stand.set_flag(platform.PLATFORM_MAPPING),
    "stale": lambda stand: stand.set_flag(f"{METERED},x-team:team"),
    "monitor": lambda stand: monitor(stand, selector={"matchLabels": {"x": "y"}}),
    "unscraped": lambda stand: stand.delete("podmonitor", NAMESPACE, OURS),
    "duplicate": lambda stand: stand.apply(stand.pod_monitor("by-hand")),
    "scraped twice": lambda stand: stand.apply(stand.pod_monitor("by-hand")),
    "uncovered": replace_monitor_by_one_for_a_single_gateway,
    "target down": replace_monitor_by_one_that_fails,
}


@pytest.fixture
def mended(metered: Stand) -> Iterator[Stand]:
    """A metered stand that is put right again."""
    yield metered
    metered.delete("podmonitor", NAMESPACE, "by-hand")
    if metered.flag() != METERED:
        metered.set_flag(METERED)


@pytest.mark.parametrize("kind", DRIFTS)
def test_a_drift_is_found(mended: Stand, kind: str) -> None:
    DRIFTS[kind](mended)
    wait_until(f"the drift {kind} to be found", lambda: kind in kinds(mended), 90)


def test_a_pair_that_vanished_from_the_flag_and_from_every_sidecar_is_found(metered: Stand) -> None:
    """An upgrade of the chart without the value does that; the record on the Deployment survives it."""
    metered.set_flag(platform.PLATFORM_MAPPING)
    proxies = ["-l", "app.kubernetes.io/component=proxy", "--namespace", NAMESPACE]
    metered.kubectl.run(metered.step, "rollout", "restart", "deployment", *proxies)
    metered.kubectl.run(metered.step, "rollout", "status", "deployment", *proxies, "--timeout=180s")
    (drift,) = [item for item in metered.module("drift_info", timeout=0)["drifts"] if item["kind"] == "vanished"]
    assert drift["found"].startswith("The pair x-user-group:department has vanished from the flag")
    assert "kubectl-patch wrote the flag last" in drift["found"]


def test_tokens_that_can_be_billed_to_nobody_are_found(metered: Stand) -> None:
    nobody = tenants.Caller("nobody", "gateway-b", {"sub": "nobody"})
    assert metered.gateways().send(traffic.mix(1, [nobody])[0]) == 200
    wait_until("the unbilled tokens to be found", lambda: "unbilled" in kinds(metered), 30)
    # The counter lives as long as its sidecar: a new one for the other tests.
    metered.annotate_proxies("tests/renewed", str(traffic.now()))


def test_an_edited_dashboard_makes_the_playbook_fail_and_the_report_says_so(metered: Stand, tmp_path: Path) -> None:
    edit_dashboard(metered)
    report = tmp_path / "report.json"
    run = metered.play("check", check_report=str(report))
    assert run.code != 0
    assert "dashboard cpaas-system/ai-gateway-token-usage: The MonitorDashboard is missing, was edited" in run.text
    assert [drift["kind"] for drift in json.loads(report.read_text())["drifts"]] == ["dashboard"]


def test_what_keeps_the_audit_from_its_end_is_in_the_report(stand: Stand, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = stand.play("check", check_report=str(report), scrape_prometheus="cpaas-system/none")
    assert run.code != 0
    (drift,) = json.loads(report.read_text())["drifts"]
    assert (drift["kind"], "There is no Prometheus cpaas-system/none" in drift["found"]) == ("unknown", True)


def test_after_site_the_playbook_is_green(metered: Stand, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = metered.play("check", check_report=str(report))
    assert run.code == 0, run.output
    assert json.loads(report.read_text())["drifts"] == []


READING = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
]


@pytest.mark.parametrize("playbook", ["check", "render"])
def test_who_may_only_read_may_audit_and_render(metered: Stand, tmp_path: Path, playbook: str) -> None:
    environment = metered.account(tmp_path, READING)
    run = metered.play(playbook, environment=environment, render_dir=str(tmp_path / "rendered"))
    assert run.code == 0, run.output


def test_the_playbook_changes_nothing(mended: Stand) -> None:
    mended.set_flag(platform.PLATFORM_MAPPING)
    before = mended.state()
    assert mended.play("check").code != 0
    assert mended.state() == before
