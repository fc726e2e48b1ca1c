# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lets a run go on but is told: each made on the real gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from harness.runs import ROOT
from harness.stand import Stand
from standlib import platform
from standlib.progress import wait_until


def cautions(stand: Stand) -> str:
    result = stand.module("gateway_info")
    assert result["problems"] == []
    return " ".join(result["cautions"])


def route(name: str, namespace: str, gateway: str, costs: list[dict[str, str]]) -> dict:
    return {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": gateway, "kind": "Gateway", "group": "gateway.networking.k8s.io"}],
            "rules": [
                {
                    "matches": [{"headers": [{"type": "Exact", "name": "x-ai-eg-model", "value": name}]}],
                    "backendRefs": [{"name": "upstream"}],
                }
            ],
            "llmRequestCosts": costs,
        },
    }


COSTS = [{"metadataKey": "llm_total_token", "type": "TotalToken"}]


@pytest.fixture
def without_costs(stand: Stand) -> Iterator[Stand]:
    stand.apply(route("without-costs", "team-b", "gateway-b", []))
    yield stand
    stand.delete("aigatewayroute", "team-b", "without-costs")


@pytest.fixture
def in_control_plane(stand: Stand) -> Iterator[Stand]:
    stand.apply(route("misplaced", platform.GATEWAY_NAMESPACE, "misplaced", COSTS))
    yield stand
    stand.delete("aigatewayroute", platform.GATEWAY_NAMESPACE, "misplaced")


def test_a_route_without_request_costs_is_told(without_costs: Stand) -> None:
    assert "AIGatewayRoute team-b/without-costs has no llmRequestCosts" in cautions(without_costs)


def test_a_gateway_in_the_control_plane_namespace_is_told(in_control_plane: Stand) -> None:
    assert "Gateway envoy-gateway-system/misplaced is in Envoy Gateway's own namespace" in cautions(in_control_plane)


def test_a_mapped_header_that_no_policy_sets_is_told(stand: Stand) -> None:
    assert "No policy or route was found to set the header of x-user-name:user, x-access-meta:client_id" in cautions(
        stand
    )


def test_the_platforms_own_per_user_pair_is_told_and_stays(metered: Stand) -> None:
    assert "The mapping has x-user-name:user, which makes one series for each user" in cautions(metered)
    assert "x-user-name:user" in metered.flag()


def test_no_traffic_yet_is_told(fresh: Stand) -> None:
    run = fresh.site()  # rolls the proxies, whose new sidecars have counted nothing
    assert run.code == 0, run.output
    assert "No sidecar has counted a token yet" in cautions(fresh)


@pytest.fixture
def without_hooks(stand: Stand) -> Iterator[Stand]:
    """Envoy Gateway's configuration without the AI gateway's hooks; afterwards as it was, and in force."""
    words = ["configmap", "envoy-gateway-config", "--namespace", platform.GATEWAY_NAMESPACE]
    (found,) = stand.get(*words[:1], platform.GATEWAY_NAMESPACE, name=words[1])

    def set_configuration(text: str) -> None:
        body = json.dumps({"data": {"envoy-gateway.yaml": text}})
        stand.kubectl.run(stand.step, "patch", *words, "-p", body)

    whole = found["data"]["envoy-gateway.yaml"]
    bare = yaml.safe_load(whole)
    del bare["extensionManager"]["hooks"]
    set_configuration(yaml.safe_dump(bare))
    yield stand
    set_configuration(whole)
    wait_until("requests to be answered again", stand.answers, 60)


def test_envoy_gateway_without_the_hooks_of_the_ai_gateway_is_told(without_hooks: Stand) -> None:
    assert "has no extensionManager hooks for the AI gateway" in cautions(without_hooks)


def test_envoy_gateway_with_its_hooks_is_not_told_of(stand: Stand) -> None:
    assert "extensionManager" not in cautions(stand)


def test_what_may_not_be_read_and_is_not_needed_is_a_caution(metered: Stand, tmp_path: Path) -> None:
    documents = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    (rules,) = [document["rules"] for document in documents if document["kind"] == "ClusterRole"]
    hidden = {"gateway.envoyproxy.io", "gateway.networking.k8s.io"}
    left = [rule for rule in rules if not hidden & set(rule["apiGroups"]) and rule["resources"] != ["configmaps"]]
    environment = metered.account(tmp_path, left)
    result = metered.module("gateway_info", environment=environment, check_permissions=False)
    assert result.get("problems") == [], result
    told = " ".join(result["cautions"])
    assert "It is not known if SecurityPolicy" in told or "securitypolic" in told.lower(), told
    assert "It is not known if Envoy Gateway calls the AI gateway" in told


def test_what_was_found_before_a_look_ends_is_told(metered: Stand, tmp_path: Path) -> None:
    environment = metered.account(tmp_path, [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}])
    result = metered.module("gateway_info", environment=environment, pairs="x user:y")
    assert "not a valid HTTP field name" in result["msg"]
    assert "does not allow this account" in result["msg"]
