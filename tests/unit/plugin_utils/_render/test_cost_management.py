# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Alauda Cost Management is told to collect."""

from __future__ import annotations

import promql_parser
import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.aigateway.metering.plugins.filter.cost_management import cost_management
from ansible_collections.aigateway.metering.plugins.filter.usage_rules import usage_rules
from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._modules import owned_objects
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import scrapers
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import cost_management as _cost_management

FORMS = {
    "underscored": ["gen_ai_client_token_usage_sum"],
    "dotted": ["gen_ai.client.token.usage_token_sum"],
    "both": ["gen_ai_client_token_usage_sum", "gen_ai.client.token.usage_token_sum"],
    "native": ["gen_ai_client_token_usage"],
    "native beside classic": ["gen_ai_client_token_usage", "gen_ai_client_token_usage_sum"],
    "escaped": ["U__gen__ai_2e_client_2e_token_2e_usage__token_sum"],
    "nothing stored yet": [],
}
every_form = pytest.mark.parametrize("metrics", FORMS.values(), ids=FORMS)
CARRIED = {"carries_data": True, "expected": False, "reason": ""}


def gateway(metrics):
    return {
        "names": metrics,
        "rules": {"namespace": "monitoring", "labels": {"prometheus": "main"}},
        "ports": [1064],
        "labels": {
            "user_namespace": CARRIED,
            "department": {**CARRIED, "carries_data": False, "expected": True},
            "client_id": {**CARRIED, "carries_data": False, "reason": "set by nobody"},
        },
    }


# --- Cost Management --------------------------------------------------------------------------------------------------


@every_form
def test_every_query_of_the_collection_is_promql(metrics):
    for item in _cost_management.collection(metrics, [1064]):
        promql_parser.parse(item["usage"]["query"])


@every_form
def test_the_collection_has_an_item_for_input_and_one_for_output_and_none_for_their_parts(metrics):
    items = _cost_management.collection(metrics, [1064])
    assert [item["item"] for item in items] == list(_cost_management.ITEMS.values())
    for kind, item in zip(("input", "output"), items, strict=True):
        assert f'="{kind}"' in item["usage"]["query"]
        assert item["usage"]["mappers"]["cluster"] == ""


def test_the_name_is_mapped_from_the_label_that_the_query_leaves():
    for metrics, label in ((FORMS["dotted"], "gen_ai.request.model"), (FORMS["both"], "gen_ai_request_model")):
        usage = _cost_management.collection(metrics, [1064])[0]["usage"]
        assert usage["mappers"]["name"] == label
        assert f"sum by (user_namespace, {label if '.' not in label else chr(34) + label + chr(34)})" in usage["query"]


def test_every_item_that_is_collected_is_shown():
    (shown,) = _cost_management.display(1000)
    assert [method["item"] for method in shown["methods"]] == [
        item["item"] for item in _cost_management.collection([], [1064])
    ]
    assert {method["divisor"] for method in shown["methods"]} == {1000}


def test_the_configurations_are_where_cost_management_looks_and_are_yaml():
    found = cost_management(gateway([]))
    for program, place in (("slark-agent", _names.CHARGEBACK_CONFIG), ("slark-server", _names.CHARGEBACK_DISPLAY)):
        metadata = found[program]["metadata"]
        assert (metadata["namespace"], metadata["name"]) == place
        assert isinstance(yaml.safe_load(found[program]["data"]["config"]), list)


@pytest.mark.parametrize("divisor", [0, -1])
def test_a_divisor_that_prices_nothing_is_refused(divisor):
    with pytest.raises(AnsibleFilterError, match="chargeback_divisor is"):
        cost_management(gateway([]), divisor)


# --- rules ------------------------------------------------------------------------------------------------------------


def expressions(metrics):
    return [rule["expr"] for group in usage_rules(gateway(metrics), "r")["spec"]["groups"] for rule in group["rules"]]


@every_form
def test_every_expression_is_promql(metrics):
    for expression in expressions(metrics):
        promql_parser.parse(expression)


def test_the_rule_is_where_prometheus_takes_it_from_and_is_ours():
    metadata = usage_rules(gateway([]), "r")["metadata"]
    assert metadata["namespace"] == "monitoring"
    assert metadata["labels"] == {"prometheus": "main", _names.MANAGED_BY_LABEL: _names.MANAGED_BY}


def test_a_label_is_watched_where_it_carries_data_or_only_traffic_is_missing():
    rules = usage_rules(gateway([]), "r")["spec"]["groups"][1]["rules"]
    watched = [rule["labels"]["label"] for rule in rules if rule["alert"] == "AIGatewayLabelVanished"]
    assert watched == ["department", "user_namespace"]


def test_every_alert_says_what_to_do_next():
    for rule in usage_rules(gateway([]), "r")["spec"]["groups"][1]["rules"]:
        assert "Next: " in rule["annotations"]["description"]


@pytest.mark.parametrize("text", ["soon", "5", "0", "", "5m 3s", "-1m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(AnsibleFilterError, match="chargeback_rules_window"):
        usage_rules(gateway([]), "r", window=text)


@pytest.mark.parametrize("text", ["0s", "30s", "1h30m", "2w"])
def test_what_is_a_duration_is_taken(text):
    assert usage_rules(gateway([]), "r", hold=text)["spec"]["groups"][1]["rules"][0]["for"] == text


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        pytest.param({}, None, id="no rules at all"),
        pytest.param({"ruleSelector": {}}, ("own", {}), id="every rule of its own namespace"),
        pytest.param(
            {"ruleSelector": {"matchLabels": {"a": "b"}}, "ruleNamespaceSelector": {}},
            ("own", {"a": "b"}),
            id="labelled ones anywhere",
        ),
        pytest.param(
            {"ruleSelector": {}, "ruleNamespaceSelector": {"matchLabels": {"team": "x"}}},
            ("other", {}),
            id="those of another namespace only",
        ),
        pytest.param(
            {"ruleSelector": {}, "ruleNamespaceSelector": {"matchLabels": {"team": "y"}}}, None, id="of none there is"
        ),
    ],
)
def test_where_a_rule_has_to_be(spec, place):
    document = {"metadata": {"name": "p", "namespace": "own"}, "spec": spec}
    namespaces: dict[str, dict[str, str]] = {"own": {}, "other": {"team": "x"}}
    assert scrapers.Scraper(document, namespaces).rule_place() == place


def test_an_agent_evaluates_no_rule():
    document = {"metadata": {"name": "p", "namespace": "own"}, "spec": {"ruleSelector": {}}}
    assert scrapers.Scraper(document, {}, "PrometheusAgent").rule_place() is None


# --- what has to start again ------------------------------------------------------------------------------------------


def pod(created, **metadata):
    return {"metadata": {"name": created, "creationTimestamp": created, **metadata}}


def test_a_pod_is_outdated_where_it_began_before_the_last_change_of_what_it_reads():
    changes = [{"time": "2026-11-01T10:00:00Z"}, {"time": "2026-11-02T10:00:00Z"}, {}]
    read = {"metadata": {"creationTimestamp": "2026-11-01T10:00:00Z", "managedFields": changes}}
    pods = [
        pod("2026-11-02T09:59:59Z"),
        pod("2026-11-02T10:00:00Z"),
        pod("2026-11-02T10:00:01Z"),
        pod("2026-11-01T00:00:00Z", deletionTimestamp="2026-11-02T10:00:02Z"),
    ]
    assert owned_objects.outdated_objects(pods, read) == pods[:2]


@pytest.mark.parametrize("bounds", [{"nobody": float("nan")}, {"nobody": -1}, {"nobody": 1.5}, {"series": 0}])
def test_a_bound_of_which_an_alert_makes_no_use_is_refused(bounds):
    with pytest.raises(AnsibleFilterError, match=r"use\."):
        usage_rules(gateway([]), "r", **bounds)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "Definition 1 has no metadata, or the value is not a string"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, "has no metadata.namespace"),
        ({"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y"}}, "has no apiVersion"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "y"}}, "is a Secret"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": "x"}, "has no metadata"),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 5, "namespace": "y"}},
            "metadata.name, or the value is",
        ),
        ({"apiVersion": "v1", "kind": ["a"], "metadata": {"name": "x", "namespace": "y"}}, "has no kind"),
        ({"apiVersion": 1, "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y"}}, "has no apiVersion"),
    ],
)
def test_what_is_no_definition_is_refused(document, said):
    with pytest.raises(MeteringError, match=said):
        owned_objects.check_definition(1, document, all_of_a_kind=False)


@pytest.mark.parametrize("metadata", [{"name": ""}, {"namespace": "y"}, {"name": "", "namespace": "y"}])
def test_a_name_that_is_empty_does_not_stand_for_every_object(metadata):
    with pytest.raises(MeteringError, match="The object cannot be identified"):
        owned_objects.check_definition(
            1, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, all_of_a_kind=True
        )


def test_every_object_of_a_kind_is_a_definition_to_remove():
    owned_objects.check_definition(1, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, all_of_a_kind=True)
