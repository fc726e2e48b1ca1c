# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is drift, and what is not."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.aigateway.metering.plugins.filter.as_drifts import as_drifts
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import controller as _controller
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.exposition import TokenSum
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.label_state import LabelState
from ansible_collections.aigateway.metering.plugins.module_utils._modules import drift_findings
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import live_targets, plan
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import monitor as _monitor
from ansible_collections.aigateway.metering.tests.unit.objects import (
    OURS,
    controller_deployment,
    extproc,
    monitoring,
    pairs,
    pod_monitor,
    prometheus,
    sidecar,
    target,
)


def controller(mapping="", *, base="", record="", removed="", manager=""):
    """The controller with what earlier runs recorded on it."""
    annotations = {"aigateway.metering/mapping": record, "aigateway.metering/removed-pairs": removed}
    writers = [manager] if manager else []
    document = controller_deployment(mapping, base=base, annotations=annotations, writers=writers)
    return _controller.find_controller([document])


def emitting(mapping, name="p"):
    return sidecar(name, containers=[extproc(mapping)])


def kinds(drifts):
    return [drift.kind for drift in drifts]


def of_mapping(at_controller, *sidecars, wanted=""):
    return drift_findings.of_mapping(at_controller, sidecars, pairs(wanted))


# --- the mapping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_controller", "emitted", "wanted", "expected"),
    [
        pytest.param(controller("x-a:a"), "x-a:a", "x-a:a", [], id="all as it should be"),
        pytest.param(controller(base="x-a:a"), "x-a:a", "x-a:a", [], id="the base flag has it"),
        pytest.param(controller(""), "", "x-a:a", ["missing"], id="a wanted pair is nowhere"),
        pytest.param(controller("x-a:a"), "", "x-a:a", ["stale"], id="a sidecar without it"),
        pytest.param(controller(""), "x-a:a", "", ["flag", "stale"], id="only a sidecar still has it"),
        pytest.param(controller("", record="x-a:a"), "", "", ["vanished"], id="recorded, and nowhere now"),
        pytest.param(controller("", removed="x-a:a"), "x-a:a", "", ["stale"], id="removed on purpose"),
        pytest.param(controller("", removed="x-a:a"), "", "x-a:a", ["missing"], id="removed, and wanted again"),
    ],
)
def test_the_flag_is_held_against_wishes_record_and_sidecars(at_controller, emitted, wanted, expected):
    assert kinds(of_mapping(at_controller, emitting(emitted), wanted=wanted)) == expected


def test_every_stale_pod_is_named():
    found = of_mapping(controller("x-a:a"), emitting("", "p"), emitting("x-a:a", "q"), emitting("x-b:a", "r"))
    assert [drift.where for drift in found if drift.kind == "stale"] == ["gateways/p", "gateways/r"]


def test_who_wrote_the_flag_last_is_named_with_a_vanished_pair():
    (found,) = of_mapping(controller("", record="x-a:a", manager="helm"))
    assert "helm wrote the flag last" in found.found


def test_a_vanished_pair_comes_with_the_command_that_brings_it_back():
    (found,) = of_mapping(controller("x-b:b", record="x-a:a,x-b:b"), emitting("x-b:b"), wanted="x-b:b")
    assert found.command.endswith("-e labels_pairs=x-b:b,x-a:a")


# --- the scrape -------------------------------------------------------------------------------------------------------


def of_scrape(*monitors, **options):
    return drift_findings.of_scrape(plan.plan_scrape(monitoring(*monitors), prometheus(), [sidecar("p")], **options))


def ours(**changed):
    monitor = _monitor.desired_monitor(prometheus(), [sidecar("p")], "ai-gateway-metrics", "30s")
    return monitor | {"spec": monitor["spec"] | changed}


@pytest.mark.parametrize(
    ("monitors", "expected"),
    [
        pytest.param([], [("monitor", "gateways/ai-gateway-metrics")], id="none"),
        pytest.param([pod_monitor()], [], id="one of somebody"),
        pytest.param([ours()], [], id="ours"),
        pytest.param([ours(selector={})], [("monitor", "gateways/ai-gateway-metrics")], id="ours, edited"),
        pytest.param([ours(), pod_monitor("b")], [("duplicate", "PodMonitor gateways/b")], id="ours and a younger one"),
        pytest.param(
            [pod_monitor("a"), pod_monitor("b", created="2026-02-01T00:00:00Z")],
            [("duplicate", "PodMonitor gateways/b")],
            id="two of somebody",
        ),
    ],
)
def test_monitors_are_held_against_one_for_each_sidecar(monitors, expected):
    assert [(drift.kind, drift.where) for drift in of_scrape(*monitors)] == expected


def test_a_duplicate_that_is_not_ours_comes_with_its_removal():
    (found,) = of_scrape(pod_monitor("a"), pod_monitor("b", created="2026-02-01T00:00:00Z"))
    assert found.command == "kubectl -n gateways delete podmonitor b"


def test_a_duplicate_of_ours_comes_with_the_playbook():
    (found,) = of_scrape(pod_monitor("a"), pod_monitor("b", labels=OURS, created="2026-02-01T00:00:00Z"))
    assert found.command == "ansible-playbook aigateway.metering.site"


# --- the live targets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        pytest.param([target()], [], id="once and up"),
        pytest.param([], ["unscraped"], id="none"),
        pytest.param([target(), target(pool="other")], ["scraped twice"], id="two"),
        pytest.param([target(health="down", error="refused")], ["target down"], id="down"),
    ],
)
def test_live_targets_are_held_against_once_and_up(targets, expected):
    assert (
        kinds(drift_findings.of_targets({"monitoring/p-0": live_targets.judge_targets(targets, [sidecar("p")])}))
        == expected
    )


def test_a_target_that_is_down_comes_with_its_last_error():
    verdict = live_targets.judge_targets([target(health="down", error="refused")], [sidecar("p")])
    (found,) = drift_findings.of_targets({"monitoring/p-0": verdict})
    assert found.found == "Prometheus monitoring/p-0 reports its target as down, refused."


# --- samples without a namespace --------------------------------------------------------------------------------------


def sample(tokens, kind="input", **labels):
    return TokenSum({"gen_ai_token_type": kind, **labels}, tokens)


STATES = {"user_namespace": LabelState(False, False, "no SecurityPolicy sets x-user-namespace")}


def test_tokens_without_a_namespace_are_summed_for_each_pod():
    found = drift_findings.of_labels(STATES, {"ns/p": [sample(2), sample(3, "output"), sample(9, user_namespace="a")]})
    assert [(drift.where, drift.found.split(" since")[0]) for drift in found] == [("ns/p", "5 tokens")]


def test_parts_of_the_total_are_not_summed_again():
    assert drift_findings.of_labels(STATES, {"ns/p": [sample(2, "cached_input"), sample(3, "reasoning")]}) == []


def test_why_there_is_no_namespace_is_said():
    (found,) = drift_findings.of_labels(STATES, {"ns/p": [sample(2)]})
    assert "no SecurityPolicy sets x-user-namespace" in found.found


def test_a_drift_is_told_in_one_line_as_well():
    drift = drift_findings.Drift("stale", "ns/p", "Found.", "Why.", "command")
    assert drift.as_result() == dataclasses.asdict(drift) | {"text": "stale ns/p: Found. Why. Next: command"}


def test_what_a_role_has_found_has_the_form_of_the_others():
    found = {"kind": "dashboard", "where": "MonitorDashboard a/b", "found": "It was edited.", "why": "It may lie."}
    (drift,) = as_drifts([{**found, "command": "ansible-playbook x"}])
    assert drift == {
        **found,
        "advice": "",
        "command": "ansible-playbook x",
        "text": "dashboard MonitorDashboard a/b: It was edited. It may lie. Next: ansible-playbook x",
    }
