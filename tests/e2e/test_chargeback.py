# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules and alerts on the stand's operator and Prometheus, and what Cost Management is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from harness.runs import ROOT
from harness.stand import Stand
from standlib import images, platform, tenants, traffic, usage
from standlib.progress import wait_until

MONITORING = platform.MONITORING_NAMESPACE
RULE = "ai-gateway-token-usage"
COLLECTION = ("cpaas-system", "slark-agent-aigateway-config")
DISPLAY = ("kube-public", "slark-display-config-for-aigateway")
# Short, so that what fires does so while somebody waits.
SHORT = {
    "chargeback_rules_interval": "2s",
    "chargeback_rules_for": "0s",
    "chargeback_rules_window": "30s",
    "chargeback_rules_series": 1,
}


def program(name: str) -> dict[str, Any]:
    """Something with the labels of one of Cost Management's programs."""
    labels = {"service_name": name}
    container = {
        "name": "program",
        "image": images.PYTHON,
        "command": ["python3", "-c", "import signal; signal.pause()"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": MONITORING},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
            },
        },
    }


def forget(stand: Stand) -> None:
    """As if chargeback had never been run."""
    stand.delete("prometheusrule", MONITORING, RULE)
    for namespace, name in (COLLECTION, DISPLAY):
        stand.delete("configmap", namespace, name)


@pytest.fixture
def cost_management(metered: Stand) -> Iterator[Stand]:
    """A metered stand on which stand-ins of Cost Management's two programs run."""
    forget(metered)
    for name in ("slark-agent", "slark-server"):
        metered.apply(program(name))
    metered.kubectl.rollout(metered.step, MONITORING, "deployment/slark-agent", "deployment/slark-server")
    yield metered
    for name in ("slark-agent", "slark-server"):
        metered.delete("deployment", MONITORING, name)
    forget(metered)


def programs(stand: Stand) -> set[str]:
    """The running pods of Cost Management's programs."""
    found = stand.get("pods", MONITORING, labels="service_name in (slark-agent, slark-server)")
    return {pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]}


def config(stand: Stand, place: tuple[str, str]) -> list[dict[str, Any]]:
    namespace, name = place
    (found,) = stand.get("configmaps", namespace, name=name)
    return yaml.safe_load(found["data"]["config"])


def test_cost_management_is_told_once_and_restarted_once(cost_management: Stand) -> None:
    before = programs(cost_management)
    planned = cost_management.play("chargeback", "--check", "--diff")
    assert planned.code == 0, planned.output
    assert planned.changed == 1
    assert programs(cost_management) == before
    run = cost_management.play("chargeback")
    assert run.code == 0, run.output
    after = programs(cost_management)
    assert len(after) == 2
    assert not after & before
    again = cost_management.play("chargeback")
    assert (again.code, again.changed) == (0, 0), again.output
    assert programs(cost_management) == after


def test_a_run_that_was_killed_before_the_restart_is_finished_by_the_next(cost_management: Stand) -> None:
    run = cost_management.play("chargeback")
    assert run.code == 0, run.output
    # As a run leaves it that changes the configuration and is killed then.
    cost_management.patch("configmap", *COLLECTION, {"data": {"config": "[]"}})
    names = cost_management.module("gateway_info", check_permissions=False)["names"]
    told = config(cost_management, COLLECTION)
    assert told == []
    before = programs(cost_management)
    run = cost_management.play("chargeback")
    assert run.code == 0, run.output
    assert len(before & programs(cost_management)) == 1, "only the agent has to start again"
    assert names
    assert len(config(cost_management, COLLECTION)) == 2


def test_what_has_drifted_from_chargeback_is_found_by_the_audit(cost_management: Stand) -> None:
    missing = cost_management.play("check", check_chargeback=True)
    assert missing.code == 2
    assert f"chargeback PrometheusRule {MONITORING}/{RULE}, ConfigMap" in missing.text
    run = cost_management.play("chargeback")
    assert run.code == 0, run.output
    same = cost_management.play("check", check_chargeback=True)
    assert same.code == 0, same.output
    cost_management.patch("configmap", *COLLECTION, {"data": {"config": "[]"}})
    edited = cost_management.play("check", check_chargeback=True)
    assert edited.code == 2
    assert f"chargeback ConfigMap {'/'.join(COLLECTION)}, {MONITORING}/slark-agent" in edited.text


def test_whether_the_audit_looks_at_chargeback_is_yes_or_no(stand: Stand) -> None:
    run = stand.play("check", check_chargeback="perhaps")
    assert run.code != 0
    assert "argument 'check_chargeback' is of type str" in run.text


def test_the_collection_asks_for_input_and_output_apart_and_counts_nothing_twice(cost_management: Stand) -> None:
    run = cost_management.play("chargeback")
    assert run.code == 0, run.output
    items = config(cost_management, COLLECTION)
    assert [item["item"] for item in items] == ["AIGatewayTokenInput", "AIGatewayTokenOutput"]
    assert all(item["usage"]["mappers"]["cluster"] == "" for item in items)
    cost_management.send(2)

    def answers() -> bool:
        found = [usage.query(cost_management.kubectl, item["usage"]["query"]) for item in items]
        labels = {"user_namespace", items[0]["usage"]["mappers"]["name"]}
        return all(found) and all(set(series["metric"]) == labels for answer in found for series in answer)

    wait_until("the collection's queries to answer", answers, 60)
    (shown,) = config(cost_management, DISPLAY)
    assert [method["divisor"] for method in shown["methods"]] == [1_000_000, 1_000_000]


def test_a_configuration_of_somebody_else_is_refused_before_anything_is_changed(cost_management: Stand) -> None:
    namespace, name = DISPLAY
    metadata = {"name": name, "namespace": namespace}
    cost_management.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config": "[]"}})
    before = programs(cost_management)
    run = cost_management.play("chargeback")
    assert run.code != 0
    assert f"ConfigMap {namespace}/{name}: already in the cluster, and not ours." in run.text
    assert not cost_management.get("prometheusrules", MONITORING)
    assert programs(cost_management) == before


def test_removal_takes_back_what_is_ours(cost_management: Stand) -> None:
    run = cost_management.play("chargeback")
    assert run.code == 0, run.output
    for changed in (3, 0):
        said = cost_management.module("owned_objects", state="absent", definitions=ours(), readers=[])
        assert len(said["removed"]) == changed, said


def ours() -> list[dict[str, Any]]:
    """What the role removes."""
    tasks = yaml.safe_load((ROOT / "roles" / "chargeback" / "tasks" / "remove.yml").read_text())
    return tasks[0]["aigateway.metering.owned_objects"]["definitions"]


def test_where_cost_management_does_not_run_only_the_rules_are_applied(metered: Stand) -> None:
    forget(metered)
    run = metered.play("chargeback")
    assert run.code == 0, run.output
    assert "skipped, no pod of it runs in cpaas-system" in run.text
    assert [item["metadata"]["name"] for item in metered.get("prometheusrules", MONITORING)] == [RULE]
    forget(metered)


def test_the_shipped_roles_are_enough(cost_management: Stand, tmp_path: Any) -> None:
    (always,) = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    besides = yaml.safe_load((ROOT / "docs" / "rbac-chargeback.yml").read_text())["items"]
    rules = [rule for role in [always, *besides] for rule in role["rules"]]
    run = cost_management.play("chargeback", environment=cost_management.account(tmp_path, rules))
    assert run.code == 0, run.output


# --- each alert, seen firing ------------------------------------------------------------------------------------------


def firing(stand: Stand) -> set[str]:
    """The alerts that fire; the one for a label with that label."""
    found = stand.kubectl.raw(f"{usage.PROMETHEUS}/alerts")["data"]["alerts"]
    return {
        "/".join(filter(None, [item["labels"]["alertname"], item["labels"].get("label")]))
        for item in found
        if item["state"] == "firing"
    }


@pytest.fixture(scope="module")
def alerting(stand: Stand) -> Iterator[Stand]:
    """A stand whose rules fire soon."""
    stand.reset()
    run = stand.site()
    assert run.code == 0, run.output
    stand.send()
    wait_until("the tokens to be stored", lambda: bool(usage.stored_totals(stand.kubectl)), 60)
    forget(stand)
    run = stand.play("chargeback", **SHORT)
    assert run.code == 0, run.output
    yield stand
    forget(stand)
    stand.delete("podmonitor", platform.GATEWAY_NAMESPACE, "broken")
    stand.reset()


# A series whose scrape has gone with its configuration lives on for five minutes.
def fires(stand: Stand, name: str, seconds: float = 330) -> bool:
    return wait_until(f"{name} to fire", lambda: name in firing(stand), seconds)


def test_the_operator_takes_the_rules_and_records_rates(alerting: Stand) -> None:
    def recorded() -> list[dict]:
        alerting.send()
        return usage.query(alerting.kubectl, "aigateway_metering:tokens:rate > 0")

    found = wait_until("a recorded rate", recorded, 90, 5)
    assert {"user_namespace", "gen_ai_request_model", "gen_ai_token_type"} <= set(found[0]["metric"])


def test_too_many_series_fire(alerting: Stand) -> None:
    assert fires(alerting, "AIGatewayTooManyTokenSeries")


def test_a_second_scrape_and_a_target_that_is_down_fire(alerting: Stand) -> None:
    alerting.apply(alerting.pod_monitor("broken", path="/there-is-no-such-path"))
    assert fires(alerting, "AIGatewaySidecarDown")
    assert fires(alerting, "AIGatewaySidecarScrapedTwice")
    alerting.delete("podmonitor", platform.GATEWAY_NAMESPACE, "broken")


def test_tokens_of_nobody_fire(alerting: Stand) -> None:
    nobody = tenants.Caller("alice", "gateway-a", {"sub": "nobody"})

    def sent() -> bool:
        assert set(traffic.send_all(alerting.gateways(), traffic.mix(1, [nobody]))) == {200}
        return "AIGatewayTokensOfNobody" in firing(alerting)

    wait_until("AIGatewayTokensOfNobody to fire", sent, 90, 3)


def test_a_label_that_has_vanished_fires_for_whoever_had_it(alerting: Stand) -> None:
    alerting.set_flag("x-user-namespace:user_namespace")
    alerting.restart_proxies()
    alerting.send()
    assert fires(alerting, "AIGatewayLabelVanished/department")
    assert "AIGatewayLabelVanished/user_namespace" not in firing(alerting)
    # The new sidecars had counted nothing at first: that is none of its business.
    assert "AIGatewayTokenMetricAbsent" not in firing(alerting)


def test_sidecars_that_are_scraped_no_more_fire(alerting: Stand) -> None:
    def scale(*replicas: int) -> None:
        for team, count in zip(tenants.TEAMS, replicas, strict=True):
            spec = {"provider": {"kubernetes": {"envoyDeployment": {"replicas": count}}}}
            alerting.patch("envoyproxy", team.namespace, team.gateway, {"spec": spec})

    scale(0, 0)
    try:
        assert fires(alerting, "AIGatewayTokenMetricAbsent")
    finally:
        scale(*(team.replicas for team in tenants.TEAMS))
        wanted = sum(team.replicas for team in tenants.TEAMS)
        wait_until("the proxies to be back", lambda: len(alerting.mappings()) == wanted, 120)
        proxies = [f"deployment/{name}" for name in alerting.revisions()]
        alerting.kubectl.rollout(alerting.step, platform.GATEWAY_NAMESPACE, *proxies)


def test_what_is_asked_for_is_told_where_it_is_wrong(stand: Stand) -> None:
    run = stand.play("chargeback", chargeback_rules_for="soon")
    assert run.code != 0
    assert "chargeback_rules_for is 'soon'" in run.text
    assert "Traceback" not in json.dumps(run.output)
