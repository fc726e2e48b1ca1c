# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of an entrance, and which edits of them are seen."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._isolation.entrance import (
    DEFAULT_RESOURCE,
    RESTARTED_AT,
    Entrance,
    Upstream,
    as_found,
    every_object,
    leftovers,
    objects_of,
    resource_parts,
    template_patch,
)
from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes.objects import (
    is_contained,
    without_absent,
)


def entrance(**changed: Any) -> Entrance:
    settings: dict[str, Any] = {
        "name": "entrance",
        "namespace": "monitoring",
        "store": Upstream(pods={"app": "prometheus"}, port=9090, prefix="/prometheus"),
        "resource": DEFAULT_RESOURCE,
        "rbac_image": "rbac",
        "filter_image": "envoy",
        "label_image": "label",
        "secret": "entrance-tls",
    }
    return Entrance(**(settings | changed))


def of_kind(objects: Any, kind: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] == kind]


def containers(own: Entrance) -> list[dict[str, Any]]:
    (deployment,) = of_kind(objects_of(own), "Deployment")
    return deployment["spec"]["template"]["spec"]["containers"]


def test_the_label_proxy_listens_on_its_loopback_and_is_asked_by_the_other_alone():
    rbac, query_filter, label = containers(entrance())
    (configuration,) = of_kind(objects_of(entrance()), "ConfigMap")
    resources = json.loads(configuration["data"]["envoy.json"])["static_resources"]
    (listener,), (cluster,) = resources["listeners"], resources["clusters"]
    ((endpoint,),) = (item["lb_endpoints"] for item in cluster["load_assignment"]["endpoints"])
    assert "--upstream=http://127.0.0.1:8081/" in rbac["args"]
    assert listener["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": 8081}}
    assert endpoint["endpoint"]["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": 8080}}
    assert "-insecure-listen-address=127.0.0.1:8080" in label["args"]
    assert label["ports"] is None
    assert query_filter["ports"] is None


def test_both_proxies_read_the_namespace_from_the_same_header():
    (configuration,) = of_kind(objects_of(entrance()), "ConfigMap")
    asked = json.loads(configuration["data"]["config.json"])["authorization"]
    assert f"-header-name={asked['rewrites']['byHttpHeader']['name']}" in containers(entrance())[2]["args"]
    assert "byQueryParameter" not in asked["rewrites"]


def test_the_pods_of_one_prometheus_are_asked_with_its_prefix():
    found = of_kind(objects_of(entrance()), "Service")
    assert [item["metadata"]["name"] for item in found] == ["entrance-store", "entrance"]
    assert found[0]["spec"]["selector"] == {"app": "prometheus"}
    assert "-upstream=http://entrance-store.monitoring.svc:9090/prometheus" in containers(entrance())[2]["args"]


def test_an_address_is_asked_as_it_is_and_needs_no_service():
    own = entrance(store=Upstream("http://thanos-query.monitoring:9090"))
    assert "-upstream=http://thanos-query.monitoring:9090" in containers(own)[2]["args"]
    assert [item["metadata"]["name"] for item in of_kind(objects_of(own), "Service")] == ["entrance"]
    assert [item["metadata"]["name"] for item in leftovers(own)] == ["entrance-store"]


def test_our_resource_comes_with_a_role_and_another_does_not():
    roles = of_kind(objects_of(entrance()), "ClusterRole")
    assert [role["rules"] for role in roles] == [
        [{"apiGroups": ["aigateway.metering"], "resources": ["tokenusages"], "verbs": ["get", "create"]}]
    ]
    assert of_kind(objects_of(entrance(resource="pods")), "ClusterRole") == []
    assert [item["kind"] for item in leftovers(entrance(resource="pods"))] == ["ClusterRole"]


def test_a_certificate_of_ours_goes_where_another_one_is_named():
    assert leftovers(entrance()) == []
    assert [item["metadata"]["name"] for item in leftovers(entrance(secret="theirs"))] == ["entrance-tls"]


def test_only_the_one_that_asks_the_api_server_has_a_token():
    rbac, *others = containers(entrance())
    assert "token" in [mount["name"] for mount in rbac["volumeMounts"]]
    assert not [it for other in others for it in other["volumeMounts"] or () if it["name"] == "token"]


def test_a_changed_configuration_starts_the_pods_again():
    def annotations(own: Entrance) -> dict[str, str]:
        (deployment,) = of_kind(objects_of(own), "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert annotations(entrance()) != annotations(entrance(resource="pods"))
    assert annotations(entrance()) != annotations(entrance(certificate="another"))


def test_what_is_removed_is_all_that_can_be_there_and_what_it_is_found_by_last():
    removed = [(item["kind"], item["metadata"]["name"]) for item in every_object("entrance", "monitoring")]
    assert removed[-1][0] == "ConfigMap"
    assert objects_of(entrance())[0]["kind"] == "ConfigMap"
    made = [*objects_of(entrance()), *objects_of(entrance(store=Upstream("http://a")))]
    assert {(item["kind"], item["metadata"]["name"]) for item in made} < set(removed)


def edit(path: str, value: Any) -> Any:
    """A Deployment as the API server has it, with something edited."""
    (wanted,) = of_kind(objects_of(entrance()), "Deployment")
    found = copy.deepcopy(without_absent(wanted))
    *parents, last = path.split(".")
    place = found
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    if isinstance(place, list):
        place.append(value)
    else:
        place[last] = value
    return wanted, found


POD = "spec.template.spec"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{POD}.hostNetwork", True),
        (f"{POD}.hostPID", True),
        (f"{POD}.shareProcessNamespace", True),
        (f"{POD}.hostAliases", [{"ip": "192.0.2.1"}]),
        (f"{POD}.containers.2.volumeMounts", [{"name": "token"}]),
        (f"{POD}.containers.1.securityContext.privileged", True),
        (f"{POD}.initContainers", [{"name": "more"}]),
        (f"{POD}.containers.+", {"name": "more"}),
        (f"{POD}.containers.0.command", ["sh"]),
        (f"{POD}.containers.2.env", [{"name": "HTTP_PROXY", "value": "x"}]),
        (f"{POD}.containers.2.args.+", "-regex-match"),
        (f"{POD}.containers.1.image", "another"),
        (f"{POD}.volumes.+", {"name": "more"}),
        (f"{POD}.serviceAccountName", "another"),
    ],
)
def test_an_edit_that_could_open_it_is_seen(path, value):
    wanted, found = edit(path, value)
    assert not is_contained(wanted, found)


@pytest.mark.parametrize(
    ("path", "value"),
    [("spec.replicas", 3), (f"{POD}.nodeSelector", {"a": "b"}), (f"{POD}.containers.0.imagePullPolicy", "Always")],
)
def test_an_edit_that_is_nobodys_harm_is_kept(path, value):
    wanted, found = edit(path, value)
    assert is_contained(wanted, found)


def test_whatever_else_stands_in_its_configuration_is_taken_away():
    (wanted,) = of_kind(objects_of(entrance()), "ConfigMap")
    found = {**wanted, "data": {**wanted["data"], "open.json": "{}"}}
    own = as_found(wanted, found)
    assert own["data"]["open.json"] is None
    assert not is_contained(own, found)


def test_where_pods_run_is_a_persons_choice():
    (wanted,) = of_kind(objects_of(entrance()), "Deployment")
    found = copy.deepcopy(without_absent(wanted))
    found["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    found["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] = "2026-11-26T00:00:00Z"
    (patch,) = template_patch(as_found(wanted, found))
    assert patch["value"] == found["spec"]["template"]


def test_one_that_is_scaled_to_nothing_gets_a_pod():
    (wanted,) = of_kind(objects_of(entrance()), "Deployment")
    found = copy.deepcopy(without_absent(wanted))
    assert "replicas" not in as_found(wanted, {**found, "spec": {**found["spec"], "replicas": 2}})["spec"]
    assert as_found(wanted, {**found, "spec": {**found["spec"], "replicas": 0}})["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [("pods", ("pods", "")), ("tokenusages.aigateway.metering", ("tokenusages", "aigateway.metering"))],
)
def test_a_resource_may_have_a_group(text, parts):
    assert resource_parts(text) == parts


@pytest.mark.parametrize("text", ["", "Pods", "pods.", "a b", "pods/log", ".metering", "{{ pods }}"])
def test_what_is_no_resource_is_refused_before_anything_is_read(text):
    with pytest.raises(MeteringError, match="names no resource"):
        resource_parts(text)
