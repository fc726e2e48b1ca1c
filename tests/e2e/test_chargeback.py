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

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.token_metric import forms
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.token_types import TYPES
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.usage_queries import UsageQueries

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
    assert "check_chargeback is 'perhaps', which is not true or false" in run.text


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


def test_an_account_without_them_is_told_all_that_it_lacks_and_the_file(cost_management: Stand, tmp_path: Any) -> None:
    forget(cost_management)
    (always,) = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    run = cost_management.play("chargeback", environment=cost_management.account(tmp_path, always["rules"]))
    assert run.code != 0
    for lacking in (
        "create prometheusrules.monitoring.coreos.com in cpaas-system",
        "create configmaps in cpaas-system",
        "create configmaps in kube-public",
        "delete pods in cpaas-system",
    ):
        assert lacking in run.text, run.output
    assert "docs/rbac-chargeback.yml" in run.text
    assert cost_management.get("prometheusrules", MONITORING) == []


# --- budgets and prices -----------------------------------------------------------------------------------------------

BUDGETS = """
budgets:
  - {namespace: team-a, tokens: 1}
  - {namespace: "team-*", amount: 0.000001}
  - {namespace: team-b, tokens: 1_000_000_000_000}
"""
PRICES = """
currency: EUR
prices:
  - {model: chat-large, per_million: {input: 2.50, cached_input: 1.25, output: 10.00}}
  - {model: "chat-*", per_million: {input: 0.15, output: 0.60}}
"""
# By model and type, a part by how it differs from its whole.
RATES = {
    "chat-large": {"input": 2.5, "cached_input": -1.25, "output": 10},
    "chat-small": {"input": 0.15, "output": 0.6},
}


def hurry(stand: Stand) -> None:
    """Have the rules evaluated all the time, and not once an hour: hours then count again and again."""
    (rule,) = stand.get("prometheusrules", MONITORING, name=RULE)
    groups = [{**group, "interval": "2s"} for group in rule["spec"]["groups"]]
    stand.patch("prometheusrule", MONITORING, RULE, {"spec": {"groups": groups}})


@pytest.fixture
def budgeted(metered: Stand, tmp_path: Any) -> Iterator[Stand]:
    """A metered stand with budgets that are spent, and prices."""
    forget(metered)
    given = {"chargeback_budgets": BUDGETS, "chargeback_prices": PRICES}
    for name, text in given.items():
        (tmp_path / name).write_text(text)
    metered.send()
    wait_until("the models to be stored", lambda: len(usage.query(metered.kubectl, MODELS)) == 2, 60)
    run = metered.play("chargeback", **SHORT, **{name: str(tmp_path / name) for name in given})
    assert run.code == 0, run.output
    hurry(metered)
    yield metered
    forget(metered)
    # Dashboards are made by what is recorded.
    wait_until("the records to go", lambda: not usage.query(metered.kubectl, _names.MONTHS_RECORD), 60)
    assert metered.site().code == 0


def recorded(stand: Stand) -> int:
    records = "aigateway_metering:namespace_(tokens|cost):(month|budget)"
    return len(usage.query(stand.kubectl, f'group by (__name__) ({{__name__=~"{records}"}})'))


MODELS = "group by (gen_ai_request_model) (gen_ai_client_token_usage_sum)"


def test_an_alert_on_a_budget_fires_with_the_namespace_that_it_is_routed_by(budgeted: Stand) -> None:
    def fired() -> set[tuple[str, ...]]:
        found = budgeted.kubectl.raw(f"{usage.PROMETHEUS}/alerts")["data"]["alerts"]
        told = [item["labels"] for item in found if item["labels"]["alertname"] == "AIGatewayBudgetUsed"]
        return {(labels["namespace"], labels["unit"], labels["share"]) for labels in told if "100" in labels["share"]}

    wanted = {("team-a", "tokens", "100 %"), ("team-a", "cost", "100 %"), ("team-b", "cost", "100 %")}
    wait_until("the alerts to fire", lambda: fired() == wanted, 120, 2)


def test_what_is_recorded_of_a_month_is_on_the_dashboards(budgeted: Stand) -> None:
    wait_until("the month to be recorded", lambda: recorded(budgeted) == 4, 120, 2)
    run = budgeted.site()
    assert run.code == 0, run.output
    for name, of_month in ((RULE, 4), (f"{RULE}-team", 6)):
        (board,) = budgeted.get("monitordashboards", MONITORING, name=name)
        queries = [
            target["expr"].replace("$namespace", "team-a")
            for panel in board["spec"]["body"]["panels"]
            for target in panel.get("targets", ())
            if "aigateway_metering:" in target["expr"]
        ]
        assert len(queries) == of_month
        assert all(usage.query(budgeted.kubectl, query) for query in queries)
    again = budgeted.site()
    assert (again.code, again.changed) == (0, 0), again.output


def test_what_a_month_costs_is_what_its_tokens_cost(budgeted: Stand) -> None:
    """By the rules as they are, over what is stored now."""
    (rule,) = budgeted.get("prometheusrules", MONITORING, name=RULE)
    expressions = {item.get("record"): item["expr"] for group in rule["spec"]["groups"] for item in group["rules"]}
    cost = expressions["aigateway_metering:cost:growth1h"].partition(" * on () group_left (month)")[0]
    found = usage.query(budgeted.kubectl, f"sum by (user_namespace) ({cost})")
    (counted,) = (float(item["value"][1]) for item in found if item["metric"].get("user_namespace") == "team-a")
    tokens = UsageQueries(forms(["gen_ai_client_token_usage_sum"]), [1064], look_back="1d").tokens("1h", TYPES)
    by = "gen_ai_request_model, gen_ai_token_type, user_namespace"
    wanted = 0.0
    for item in usage.query(budgeted.kubectl, f"sum by ({by}) ({tokens})"):
        labels = item["metric"]
        if labels.get("user_namespace") == "team-a":
            rate = RATES[labels["gen_ai_request_model"]].get(labels["gen_ai_token_type"], 0)
            wanted += float(item["value"][1]) * rate / 1_000_000
    assert counted == pytest.approx(wanted, rel=0.05)


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
