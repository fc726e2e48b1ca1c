# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`check.yml`: green after `site.yml`, red for each drift made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.stand import Stand
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


def replace_monitor_by_one_for_a_single_pod(stand: Stand) -> None:
    """One of two pods of a gateway: no labels of the gateway's tell the other from it."""
    stand.delete("podmonitor", NAMESPACE, OURS)
    pod = next(name for name in stand.mappings() if "gateway-a" in name)
    stand.kubectl.run(stand.step, "label", "pod", pod, "--namespace", NAMESPACE, "canary=yes", "--overwrite")
    narrow = stand.pod_monitor("by-hand")
    narrow["spec"]["selector"]["matchLabels"]["canary"] = "yes"
    stand.apply(narrow)


# What is done by hand, and the kind of drift that it is found as, without another run in between.
DRIFTS: dict[str, Callable[[Stand], None]] = {
    "flag": lambda stand: stand.set_flag(platform.PLATFORM_MAPPING),
    "stale": lambda stand: stand.set_flag(f"{METERED},x-team:team"),
    "monitor": lambda stand: monitor(stand, selector={"matchLabels": {"x": "y"}}),
    "unscraped": lambda stand: stand.delete("podmonitor", NAMESPACE, OURS),
    "duplicate": lambda stand: stand.apply(stand.pod_monitor("by-hand")),
    "scraped twice": lambda stand: stand.apply(stand.pod_monitor("by-hand")),
    "uncovered": replace_monitor_by_one_for_a_single_pod,
    "target down": replace_monitor_by_one_that_fails,
    "silent": lambda stand: refuse_sidecars(stand, "-I"),
    "dashboard": edit_dashboard,
}


def refuse_sidecars(stand: Stand, action: str) -> None:
    """Begin (-I) or end (-D) to refuse what the node itself, the API server among it, asks the sidecars."""
    rule = ["-p", "tcp", "--dport", "1064", "-j", "REJECT", "--reject-with", "tcp-reset"]
    stand.step.run(["docker", "exec", f"{stand.name}-control-plane", "iptables", action, "OUTPUT", *rule])


def audit(stand: Stand, tmp_path: Path, **variables: object) -> tuple[int, set[str]]:
    """The exit code of check.yml, and the kinds of drift in its report."""
    report = tmp_path / "report.json"
    run = stand.play("check", check_report=str(report), check_timeout=0, **variables)
    return run.code, {drift["kind"] for drift in json.loads(report.read_text())["drifts"]}


@pytest.fixture
def mended(metered: Stand) -> Iterator[Stand]:
    """A metered stand, from which what was put up by hand is taken away again."""
    yield metered
    metered.delete("podmonitor", NAMESPACE, "by-hand")
    if metered.flag() != METERED:
        metered.set_flag(METERED)


@pytest.fixture
def answering(mended: Stand) -> Iterator[Stand]:
    """One whose sidecars answer again."""
    yield mended
    refuse_sidecars(mended, "-D")


@pytest.mark.parametrize("kind", DRIFTS)
def test_a_drift_makes_the_playbook_fail_and_the_report_says_so(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    stand = request.getfixturevalue("answering" if kind == "silent" else "mended")
    DRIFTS[kind](stand)
    if kind != "dashboard":  # which no module reads
        wait_until(f"the drift {kind} to be found", lambda: kind in kinds(stand), 90)
    code, found = audit(stand, tmp_path)
    assert (code, kind in found) == (2, True), found


def test_a_wanted_pair_that_was_never_there_is_found(metered: Stand, tmp_path: Path) -> None:
    pairs = f"{METERED},x-team:team"
    assert audit(metered, tmp_path, labels_pairs=pairs, labels_allow_per_user=True) == (2, {"missing"})


def test_site_mends_all_that_is_ours_and_the_playbook_is_green_again(mended: Stand, tmp_path: Path) -> None:
    mended.set_flag(platform.PLATFORM_MAPPING)
    monitor(mended, selector={"matchLabels": {"x": "y"}})
    edit_dashboard(mended)
    # Else it is loaded when the run has put it right, and for a moment nothing is scraped then.
    wait_until("Prometheus to have loaded the edit", lambda: "unscraped" in kinds(mended), 90)
    code, found = audit(mended, tmp_path)
    assert (code, found >= {"flag", "monitor", "dashboard"}) == (2, True), found
    run = mended.site()
    assert run.code == 0, run.output
    assert audit(mended, tmp_path) == (0, set())


def test_a_pair_that_vanished_from_the_flag_and_from_every_sidecar_is_found(metered: Stand) -> None:
    """An upgrade of the chart without the value does that; the record on the Deployment survives it."""
    metered.set_flag(platform.PLATFORM_MAPPING)
    metered.restart_proxies()
    assert metered.play("check").code == 2
    (drift,) = [item for item in metered.module("drift_info", timeout=0)["drifts"] if item["kind"] == "vanished"]
    assert drift["found"].startswith("The pair x-user-group:department has vanished from the flag")
    assert "kubectl-patch wrote the flag last" in drift["found"]


def test_tokens_that_can_be_billed_to_nobody_are_found(metered: Stand) -> None:
    nobody = tenants.Caller("nobody", "gateway-b", {"sub": "nobody"})
    assert metered.gateways().send(traffic.mix(1, [nobody])[0]) == 200
    wait_until("the unbilled tokens to be found", lambda: "unbilled" in kinds(metered), 30)
    assert metered.play("check").code == 2
    # The counter lives as long as its sidecar: a new one for the other tests.
    metered.annotate_proxies("tests/renewed", str(traffic.now()))


def test_what_keeps_the_audit_from_its_end_is_in_the_report(stand: Stand, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = stand.play("check", check_report=str(report), scrape_prometheus="cpaas-system/none")
    assert run.code != 0
    (drift,) = json.loads(report.read_text())["drifts"]
    assert (drift["kind"], "Prometheus cpaas-system/none does not exist" in drift["found"]) == ("unknown", True)


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
