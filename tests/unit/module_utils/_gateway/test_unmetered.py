# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy that serves an AI Gateway without its sidecar is named."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import cautions, unmetered
from ansible_collections.aigateway.metering.tests.unit.objects import container, deployment, pod, route

BARE: dict[str, Any] = {"containers": []}
EXPECTED = {"team-a/chat"}


def ready(item, status="True", sidecar=None):
    item["status"]["conditions"] = [{"type": "Ready", "status": status}]
    if sidecar is not None:
        item["status"]["initContainerStatuses"] = [{"name": "ai-gateway-extproc", "ready": sidecar}]
    return item


@pytest.mark.parametrize(
    ("item", "found"),
    [
        pytest.param(ready(pod(**BARE)), True, id="no sidecar"),
        pytest.param(pod(**BARE), True, id="no sidecar, and no conditions to judge"),
        pytest.param(ready(pod()), False, id="a sidecar"),
        pytest.param(ready(pod(), sidecar=True), False, id="a sidecar that is ready"),
        pytest.param(ready(pod(), sidecar=False), True, id="a sidecar that is not ready"),
        pytest.param(ready(pod(**BARE), "False"), False, id="not ready: no request reaches it"),
        pytest.param(pod(**BARE, deleting=True), False, id="about to end"),
        pytest.param(pod(**BARE, phase="Pending"), False, id="not running"),
        pytest.param(ready(pod(**BARE, gateway="team-b/plain")), False, id="of a plain Envoy gateway"),
        pytest.param(ready(pod(**BARE, gateway="")), False, id="of no Gateway"),
    ],
)
def test_a_proxy_that_serves_without_a_sidecar_is_found(item, found):
    assert bool(unmetered.unmetered_pods([item], EXPECTED)) is found


def test_only_gateways_in_scope_are_looked_at():
    assert unmetered.unmetered_pods([ready(pod(**BARE))], EXPECTED, ["team-b/other"]) == []


def test_a_proxy_in_the_gateways_namespace_is_told_with_the_setting():
    (found,) = unmetered.unmetered_pods([ready(pod("p", "team-a", **BARE))], EXPECTED)
    assert "deploys it in the Gateway's namespace" in found.why
    assert "GatewayNamespace" in found.advice


def test_a_proxy_elsewhere_is_told_with_the_command_that_makes_it_anew():
    (found,) = unmetered.unmetered_pods([ready(pod("p", **BARE))], EXPECTED)
    assert found.command == "kubectl -n gateways delete pod p"
    (said,) = cautions.unmetered_proxies([found])
    assert said.startswith("gateways/p of gateway team-a/chat is unmetered: it runs without the container")
    assert " Next: " in said


def test_what_is_expected_follows_from_the_routes():
    assert unmetered.gateways_of([route(parents=[{"name": "chat"}])]) == EXPECTED


@pytest.mark.parametrize(
    ("statistics", "uses"),
    [
        ("", False),
        ("# TYPE envoy_x counter\n", False),
        ('# TYPE x counter\nx{envoy_cluster_name="ai-gateway-extproc-uds"} 0\n', True),
    ],
)
def test_a_proxy_whose_statistics_have_no_external_processor_uses_no_sidecar(statistics, uses):
    assert unmetered.uses_sidecar(statistics) is uses


def test_the_workloads_to_be_metered_are_those_of_expected_gateways():
    plain = deployment("plain", labels={})
    assert unmetered.workloads_of([("Deployment", deployment("ai")), ("Deployment", plain)], EXPECTED) == [
        "gateways/ai"
    ]


def test_another_container_is_no_sidecar():
    item = ready(pod(containers=[container("extproc-of-others")]))
    assert unmetered.unmetered_pods([item], EXPECTED) != []
