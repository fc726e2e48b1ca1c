# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`remove.yml`: takes back what `site.yml` added, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from harness.cluster import CONTROLLER
from harness.runs import ROOT, kill
from harness.stand import Stand
from standlib import platform
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
OURS = f"{NAMESPACE}/ai-gateway-metrics"
METERED = f"{platform.PLATFORM_MAPPING},x-user-group:department"


def annotate(stand: Stand, name: str, value: str) -> None:
    words = [f"deployment/{CONTROLLER}", "--namespace", NAMESPACE, "--overwrite"]
    stand.kubectl.run(stand.step, "annotate", *words, f"aigateway.metering/{name}={value}")


def foreign_monitor() -> dict:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "foreign", "namespace": NAMESPACE},
        "spec": {"selector": {}, "podMetricsEndpoints": [{"port": "other"}]},
    }


def test_a_removal_that_is_killed_is_finished_by_the_next_and_a_third_changes_nothing(metered: Stand) -> None:
    metered.apply(foreign_monitor())
    process = metered.start("remove")
    wait_until("the flag to be written", lambda: metered.flag() == platform.PLATFORM_MAPPING, 60, 0.05)
    kill(process)
    assert set(metered.mappings().values()) == {METERED}
    second = metered.play("remove")
    assert second.code == 0, second.output
    assert metered.flag() == platform.PLATFORM_MAPPING
    assert set(metered.mappings().values()) == {platform.PLATFORM_MAPPING}
    assert (f"{NAMESPACE}/foreign" in metered.monitors(), OURS in metered.monitors()) == (True, False)
    assert metered.all("monitordashboards") == []
    third = metered.play("remove")
    assert (third.code, third.changed) == (0, 0), third.output


def test_a_stale_sidecar_does_not_bring_a_removed_pair_back(metered: Stand) -> None:
    metered.module("merge_metrics_attributes", state="absent")
    assert set(metered.mappings().values()) == {METERED}
    result = metered.module("merge_metrics_attributes", pairs="x-user-namespace:user_namespace")
    assert (result["recovered"], metered.flag()) == ([], platform.PLATFORM_MAPPING)


def test_a_removed_pair_that_is_wanted_again_comes_back(metered: Stand) -> None:
    metered.module("merge_metrics_attributes", state="absent")
    metered.module("merge_metrics_attributes")
    assert metered.flag() == METERED
    assert metered.records() == {
        "added-pairs": "x-user-group:department",
        "removed-pairs": "",
        "mapping": METERED,
    }


@pytest.fixture
def charged_back(metered: Stand) -> Iterator[Stand]:
    """A metered stand by whose namespaces Cost Management bills."""
    name = {"name": "slark-agent-aigateway-config", "namespace": "cpaas-system"}
    metered.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": {"config": "[]"}})
    yield metered
    metered.delete("configmap", name["namespace"], name["name"])


def test_the_billed_namespace_is_not_removed_while_chargeback_is_configured(charged_back: Stand) -> None:
    annotate(charged_back, "added-pairs", "x-user-namespace:user_namespace")
    before = charged_back.state()
    run = charged_back.play("remove")
    assert run.code != 0
    assert "chargeback is configured: configmap cpaas-system/slark-agent-aigateway-config" in run.text
    assert charged_back.state() == before
    annotate(charged_back, "added-pairs", "x-user-group:department")


def test_a_chargeback_of_ours_goes_with_the_pair_by_which_it_bills(charged_back: Stand) -> None:
    labels = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "aigateway.metering"}}}
    charged_back.patch("configmap", "cpaas-system", "slark-agent-aigateway-config", labels)
    annotate(charged_back, "added-pairs", "x-user-namespace:user_namespace")
    run = charged_back.play("remove", "--check")
    assert run.code == 0, run.output
    assert "rules and configurations removed: ConfigMap cpaas-system/slark-agent-aigateway-config" in run.text
    annotate(charged_back, "added-pairs", "x-user-group:department")


def test_for_some_gateways_only_their_monitor_goes(fresh: Stand) -> None:
    scope = {"metering_gateways": "team-b/gateway-b"}
    assert fresh.site(**scope).code == 0
    run = fresh.play("remove", **scope)
    assert run.code == 0, run.output
    assert (fresh.monitors(), fresh.flag(), len(fresh.all("monitordashboards"))) == (set(), METERED, 2)


def test_check_mode_says_what_would_go_and_removes_nothing(metered: Stand, tmp_path: Path) -> None:
    """With no more rights than docs/rbac.yml gives."""
    documents = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    (rules,) = [document["rules"] for document in documents]
    before = metered.state()
    run = metered.play("remove", "--check", "--diff", environment=metered.account(tmp_path, rules))
    assert run.code == 0, run.output
    assert "PodMonitors removed: envoy-gateway-system/ai-gateway-metrics" in run.text
    assert metered.state() == before
