# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller that Helm installed, and clusters that only GitOps may change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.runs import Run
from harness.stand import Stand
from standlib import binaries, platform, settings
from standlib.progress import wait_until

NAMESPACE = platform.GATEWAY_NAMESPACE
METERED = f"{platform.PLATFORM_MAPPING},x-user-group:department"


def with_tools(stand: Stand) -> dict[str, str]:
    """The environment of a run that finds helm."""
    return stand.environment(PATH=f"{Path(binaries.tool('helm')).parent}:{os.environ['PATH']}")


def helm_values(stand: Stand) -> dict[str, Any]:
    command = [binaries.tool("helm"), "get", "values", "ai-gateway", "-o", "json", "--namespace", NAMESPACE]
    return json.loads(stand.step.run([*command, "--kubeconfig", settings.kubeconfig(stand.name)]))


@pytest.fixture(scope="module")
def chart(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The chart that the stand's controller was installed from."""
    return str(platform.ai_gateway_chart(stand.step, tmp_path_factory.mktemp("chart")))


@pytest.fixture
def released(fresh: Stand) -> Iterator[Stand]:
    """The platform's state, and the release's values put back afterwards."""
    yield fresh
    platform.install_ai_gateway(fresh.step, fresh.name)
    fresh.wait_for_controller()


def by_helm(stand: Stand, chart: str) -> Run:
    variables = {"labels_method": "helm", "labels_helm_chart": chart}
    return stand.site(environment=with_tools(stand), **variables)


def test_by_helm_the_release_has_the_mapping_and_a_second_run_changes_nothing(released: Stand, chart: str) -> None:
    first = by_helm(released, chart)
    assert first.code == 0, first.output
    assert helm_values(released)["controller"]["metricsRequestHeaderAttributes"] == METERED
    assert (released.flag(), set(released.mappings().values())) == (METERED, {METERED})
    assert "belongs to the Helm release" not in first.text
    second = by_helm(released, chart)
    assert (second.code, second.changed) == (0, 0), second.output


def test_by_helm_no_other_value_of_the_release_is_lost(released: Stand, chart: str) -> None:
    before = helm_values(released)
    run = by_helm(released, chart)
    assert run.code == 0, run.output
    assert helm_values(released) == before | {
        "controller": before["controller"] | {"metricsRequestHeaderAttributes": METERED}
    }


def test_a_release_that_was_patched_before_gets_the_mapping_by_helm(released: Stand, chart: str) -> None:
    released.module("merge_metrics_attributes")
    run = by_helm(released, chart)
    assert run.code == 0, run.output
    assert helm_values(released)["controller"]["metricsRequestHeaderAttributes"] == METERED


def test_by_helm_without_a_chart_is_refused(fresh: Stand) -> None:
    before = fresh.state()
    run = fresh.site(labels_method="helm", environment=with_tools(fresh))
    assert run.code != 0
    assert "labels_method is helm, but labels_helm_chart is not set" in run.text
    assert fresh.state() == before


def test_a_patched_release_is_warned_of_with_the_values_to_carry_over(fresh: Stand) -> None:
    result = fresh.module("merge_metrics_attributes")
    warned = json.dumps(result["warnings"])
    assert "belongs to the Helm release envoy-gateway-system/ai-gateway" in warned
    assert f"Set controller.metricsRequestHeaderAttributes to {METERED}" in warned


# --- GitOps -----------------------------------------------------------------------------------------------------------


def test_rendering_changes_nothing_and_what_it_renders_makes_the_audit_green(fresh: Stand, tmp_path: Path) -> None:
    before = fresh.state()
    run = fresh.play("render", render_dir=str(tmp_path))
    assert run.code == 0, run.output
    assert fresh.state() == before
    for name in ("podmonitor.yaml", "monitordashboard.json", "monitordashboard-team.json"):
        fresh.kubectl.apply(fresh.step, tmp_path / name)
    values = yaml.safe_load((tmp_path / "ai-gateway-values.yaml").read_text())
    fresh.set_flag(values["controller"]["metricsRequestHeaderAttributes"])
    upgrade, *commands = (tmp_path / "by-hand.txt").read_text().splitlines()
    assert upgrade.startswith("Upgrade the chart of envoy-gateway-system/ai-gateway-controller")
    for command in commands:
        program, *words = command.split()
        if program == "kubectl":
            fresh.kubectl.run(fresh.step, *words)
            fresh.kubectl.run(fresh.step, "rollout", "status", words[-1], "--namespace", words[1], "--timeout=180s")
    assert commands[-1] == "ansible-playbook aigateway.metering.check"
    wait_until("the audit to be green", lambda: fresh.play("check").code == 0, 60)


def test_a_duplicate_is_left_to_do_by_hand(metered: Stand, tmp_path: Path) -> None:
    metered.apply(metered.pod_monitor("by-hand"))
    try:
        run = metered.play("render", render_dir=str(tmp_path))
    finally:
        metered.delete("podmonitor", NAMESPACE, "by-hand")
    assert run.code == 0, run.output
    assert f"kubectl -n {NAMESPACE} delete podmonitor by-hand" in (tmp_path / "by-hand.txt").read_text()


def test_what_is_rendered_again_is_the_same(metered: Stand, tmp_path: Path) -> None:
    rendered = []
    for name in ("once", "again"):
        directory = tmp_path / name
        assert metered.play("render", render_dir=str(directory)).code == 0
        rendered.append({path.name: path.read_text() for path in directory.iterdir()})
    assert rendered[0] == rendered[1]


def test_rendering_without_a_directory_is_refused(stand: Stand) -> None:
    run = stand.play("render")
    assert run.code != 0
    assert "render_dir is not set" in run.text
