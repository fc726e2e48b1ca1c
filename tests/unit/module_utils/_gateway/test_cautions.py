# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is warned of before a run, and what is not."""

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import cautions, unmetered
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.header_setters import Setter, Setters
from ansible_collections.aigateway.metering.tests.unit.objects import pairs, route

# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("references", "gateways"),
    [
        pytest.param({"parents": [{"name": "g"}]}, {"team-a/g"}, id="parentRefs in the route's namespace"),
        pytest.param({"parents": [{"name": "g", "namespace": "other"}]}, {"other/g"}, id="parentRefs in another"),
        pytest.param({"targets": [{"name": "g"}]}, {"team-a/g"}, id="targetRefs of old generations"),
        pytest.param({"parents": [{"name": "g"}], "targets": [{"name": "h"}]}, {"team-a/g", "team-a/h"}, id="both"),
        pytest.param({"parents": []}, set(), id="none"),
    ],
)
def test_a_route_names_its_gateways(references, gateways):
    assert unmetered.gateways_of([route(**references)]) == gateways


# --- cautions: each where it is due, and only there -------------------------------------------------------------------


def test_a_gateway_in_envoy_gateways_own_namespace_is_a_caution():
    (said,) = cautions.in_control_plane([route(namespace="system"), route("other", "system")], "system")
    assert said.startswith("Gateway system/gateway is in Envoy Gateway's own namespace")


@pytest.mark.parametrize("namespace", ["team-a", "system-2"])
def test_a_gateway_elsewhere_is_none(namespace):
    assert cautions.in_control_plane([route(namespace=namespace)], "system") == []


def test_routes_without_costs_are_a_caution_by_name():
    (said,) = cautions.without_costs([route("b", costs=False), route("a", costs=False), route("c")], [])
    assert said.startswith("AIGatewayRoute team-a/a, team-a/b has no llmRequestCosts")


@pytest.mark.parametrize(
    ("routes", "configs"),
    [
        pytest.param([route()], [], id="the route has costs"),
        pytest.param([], [], id="there is no route"),
        pytest.param(
            [route(costs=False)],
            [{"spec": {"globalLLMRequestCosts": [{"metadataKey": "total"}]}}],
            id="there are costs for all",
        ),
    ],
)
def test_configured_costs_are_none(routes, configs):
    assert cautions.without_costs(routes, configs) == []


@pytest.mark.parametrize("config", [{"spec": {}}, {}], ids=["empty spec", "no spec"])
def test_a_gateway_config_without_costs_does_not_hide_that_the_route_has_none(config):
    assert len(cautions.without_costs([route(costs=False)], [config])) == 1


HOOKED = {
    "extensionManager": {
        "hooks": {"xdsTranslator": {"post": ["Translation", "Cluster", "Route"]}},
        "service": {"fqdn": {"hostname": "ai-gateway-controller.ns.svc", "port": 1063}},
    }
}


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param({}, id="empty"),
        pytest.param({"extensionManager": None}, id="no extension manager"),
        pytest.param({"extensionManager": {"service": HOOKED["extensionManager"]["service"]}}, id="no hooks"),
        pytest.param({"extensionManager": {"hooks": HOOKED["extensionManager"]["hooks"]}}, id="no service"),
        pytest.param(
            {"extensionManager": HOOKED["extensionManager"] | {"hooks": {"xdsTranslator": {"post": ["Route"]}}}},
            id="not the hook that matters",
        ),
    ],
)
def test_missing_hooks_are_a_caution_with_their_place(configuration):
    (said,) = cautions.without_hooks(configuration, "configmap ns/config")
    assert said.startswith("The configuration of Envoy Gateway (configmap ns/config) has no extensionManager hooks")


@pytest.mark.parametrize(
    "configuration", [pytest.param(HOOKED, id="hooks"), pytest.param(None, id="no configuration to judge")]
)
def test_hooks_or_nothing_to_judge_are_none(configuration):
    assert cautions.without_hooks(configuration, "configmap ns/config") == []


def test_headers_that_no_policy_sets_are_a_caution_by_pair():
    (said,) = cautions.unset_headers(pairs("x-a:a,x-b:b,x-c:c"), Setters({"x-b": [Setter("ns/jwt", ("b",))]}))
    assert said.startswith("No policy or route was found to set the header of x-a:a, x-c:c.")


def test_headers_that_a_policy_sets_are_none():
    assert cautions.unset_headers(pairs("x-b:b"), Setters({"x-b": [Setter("ns/jwt", ("b",))]})) == []


def test_per_user_pairs_that_are_there_are_a_caution_by_pair():
    (said,) = cautions.per_user(pairs("x-a:a,x-user-id:who,x-b:email"))
    assert said.startswith("The mapping has x-user-id:who, x-b:email, which makes one series for each user")


def test_other_pairs_are_none():
    assert cautions.per_user(pairs("x-user-namespace:user_namespace,x-user-group:department")) == []


@pytest.mark.parametrize("samples", [{}, {"ns/p": []}, {"ns/p": [], "ns/q": []}])
def test_no_sample_at_any_sidecar_is_a_caution(samples):
    assert len(cautions.no_traffic(samples)) == 1


def test_a_sample_at_one_sidecar_is_none():
    assert cautions.no_traffic({"ns/p": [], "ns/q": ["sample"]}) == []


def test_array_claims_are_a_caution_for_each_label():
    said = cautions.array_claims({"department": ['["a"]', '["b"]'], "team": ['["c"]']})
    assert [text.split(" Each")[0] for text in said] == [
        'The label department carries encoded array claims such as ["a"].',
        'The label team carries encoded array claims such as ["c"].',
    ]


def test_no_array_claims_are_none():
    assert cautions.array_claims({}) == []


@pytest.mark.parametrize(
    "said",
    [
        cautions.in_control_plane([route(namespace="system")], "system"),
        cautions.without_costs([route(costs=False)], []),
        cautions.without_hooks({}, "here"),
        cautions.unset_headers(pairs("x-a:a"), Setters()),
        cautions.per_user(pairs("x-user-id:user_id")),
        cautions.no_traffic({}),
        cautions.array_claims({"a": ['["b"]']}),
    ],
    ids=["control plane", "costs", "hooks", "headers", "per user", "traffic", "arrays"],
)
def test_every_caution_says_what_to_do_next(said):
    assert " Next: " in said[0]


def test_a_long_value_makes_no_long_caution():
    (said,) = cautions.array_claims({"department": ["x" * 5000]})
    assert len(said) < 500
