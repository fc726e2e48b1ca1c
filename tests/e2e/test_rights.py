# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Least privilege: the shipped roles have what playbooks ask the API server for, and nothing that none of them does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.faults import FaultyApiServer
from harness.runs import ROOT
from harness.stand import Stand
from standlib import platform, tenants
from standlib.progress import wait_until

Right = tuple[str, str, str]
# What the API server allows everybody, or what is about no object.
EVERYBODYS = {("create", "authorization.k8s.io", "selfsubjectaccessreviews")}
# What only happens on other clusters than the stand, or in other tests.
ELSEWHERE: dict[Right, str] = {
    ("patch", "apps", "daemonsets"): "a proxy that is a DaemonSet: test_maintenance.py",
    ("get", "apps", "daemonsets"): "the same",
    ("get", "", "pods"): "a pod by name, after a restart that somebody else has done",
    ("get", "", "namespaces"): "the entrance's namespace: test_isolation.py",
    ("list", "", "namespaces"): "a Prometheus that selects namespaces by their labels: test_scrape.py",
    ("get", "", "services/proxy"): "scrape_api.service: test_backends.py",
    ("list", "", "services"): "a ServiceMonitor: test_scrape.py",
    ("list", "apps", "replicasets"): "a proxy that has ended: test_usage.py",
    ("get", "aigateway.envoyproxy.io", "aigatewayroutes"): "read as a list",
    ("get", "aigateway.envoyproxy.io", "gatewayconfigs"): "read as a list",
    ("list", "aigateway.envoyproxy.io", "gatewayconfigs"): "a route without costs: test_cautions.py",
    ("list", "aigateway.envoyproxy.io", "aiservicebackends"): "a header that no SecurityPolicy sets: test_cautions.py",
    ("get", "monitoring.coreos.com", "prometheusagents"): "an agent: test_backends.py",
    ("get", "monitoring.coreos.com", "prometheuses"): "one that is named",
    ("get", "monitoring.coreos.com", "scrapeconfigs"): "one that has gone: proof.py",
    ("get", "monitoring.coreos.com", "servicemonitors"): "one that has gone: proof.py",
    ("delete", "monitoring.coreos.com", "servicemonitors"): "scrape_prune: all: test_scrape.py",
    ("update", "monitoring.coreos.com", "podmonitors"): "one of ours that was edited: test_check.py",
    ("patch", "ait.alauda.io", "monitordashboards"): "one of ours that was edited: test_dashboard.py",
    ("update", "ait.alauda.io", "monitordashboards"): "the same, by older releases",
}


def rules_of(file: str) -> list[dict[str, Any]]:
    (document,) = [item for item in yaml.safe_load_all((ROOT / "docs" / file).read_text()) if item]
    return [rule for role in document.get("items", [document]) for rule in role["rules"]]


def rights_of(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        (verb, group, resource)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def right_of(method: str, path: str) -> Right | None:
    """What a request asks for; None for one about no object."""
    path = path.partition("?")[0]
    found = re.fullmatch(
        r"/(?:api/v1|apis/([^/]+)/[^/]+)(?:/namespaces/[^/]+(?=/[^/]+))?/([^/]+)(?:/([^/]+)(?:/([^/]+).*)?)?", path
    )
    if not found:
        return None
    group, resource, name, below = found.group(1) or "", *found.groups()[1:]
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    verb = verbs.get(method, "get" if name else "list")
    return verb, group, f"{resource}/{below}" if below else resource


def verified(stand: Stand) -> dict[str, Any]:
    """The variables of `verify.yml` for a caller."""
    gateways = stand.gateways()
    return {
        "verify_address": gateways.address("gateway-a"),
        "verify_model": "chat-small",
        "verify_tokens": gateways.token(tenants.CALLERS[0]),
    }


@pytest.fixture(scope="module")
def asked(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> set[Right]:
    """What all playbooks ask for, from a gateway as the platform ships it to its removal."""
    stand.reset()
    directory = str(tmp_path_factory.mktemp("rendered"))
    plays: list[tuple[str, dict[str, Any]]] = [
        ("site", {}),
        ("site", {"labels_pairs": "x-user-namespace:user_namespace,x-team:team"}),
        ("check", {}),
        ("report", {"report_period": "this_month"}),
        ("verify", verified(stand)),
        ("render", {"render_dir": directory}),
        ("remove", {}),
    ]
    found: set[Right] = set()
    with FaultyApiServer(stand) as server:
        server.spoil({})
        for playbook, variables in plays:
            run = stand.play(playbook, environment=server.environment(stand), **variables)
            assert run.code == 0, run.output
        found = {right for right in (right_of(*request) for request in server.seen) if right}
    return found - EVERYBODYS


def test_the_role_has_all_that_is_asked_for(asked: set[Right]) -> None:
    # Where the entrance was put in place with more rights, its removal looks for more; else it does without.
    more = {right for right in rights_of(rules_of("rbac-isolation.yml")) if right[0] == "list"}
    assert asked - rights_of(rules_of("rbac.yml")) - more == set()


def test_the_role_has_nothing_that_nobody_asks_for(stand: Stand, asked: set[Right]) -> None:
    served = {
        (group["name"], item["name"])
        for group in stand.kubectl.raw("/apis")["groups"]
        for version in group["versions"]
        for item in stand.kubectl.raw(f"/apis/{version['groupVersion']}")["resources"]
    }
    served |= {("", item["name"]) for item in stand.kubectl.raw("/api/v1")["resources"]}
    given = {right for right in rights_of(rules_of("rbac.yml")) if right[1:] in served}
    assert given - asked - set(ELSEWHERE) == set()
    # What is explained and not given is explained no more.
    assert set(ELSEWHERE) - rights_of(rules_of("rbac.yml")) == set()


def test_the_role_that_only_reads_is_the_other_without_what_writes() -> None:
    reading = {right for right in rights_of(rules_of("rbac.yml")) if right[0] in ("get", "list")}
    other = rights_of(rules_of("rbac-read.yml"))
    assert {right[0] for right in other} <= {"get", "list"}
    assert other ^ reading == {
        ("get", "monitoring.coreos.com", "prometheusrules"),
        ("list", "monitoring.coreos.com", "prometheusrules"),
    }


@pytest.mark.parametrize("playbook", ["check", "report", "render", "verify"])
def test_who_may_only_read_can_audit_report_render_and_verify(metered: Stand, tmp_path: Path, playbook: str) -> None:
    each: dict[str, dict[str, Any]] = {
        "check": {"check_chargeback": False},
        "report": {"report_period": "this_month"},
        "render": {"render_dir": str(tmp_path / "rendered")},
        "verify": verified(metered),
    }
    environment = metered.account(tmp_path / "account", rules_of("rbac-read.yml"))
    run = metered.play(playbook, environment=environment, **each[playbook])
    assert run.code == 0, run.output


# Where there is something to be read: the gateway and its proxies, Prometheus and the dashboards, the teams' routes.
NAMESPACES = [
    platform.GATEWAY_NAMESPACE,
    platform.MONITORING_NAMESPACE,
    *sorted({team.namespace for team in tenants.TEAMS}),
]


@pytest.fixture
def with_roles_only(stand: Stand, tmp_path: Path) -> dict[str, str]:
    """The environment of an account with a Role in each of these namespaces, and no ClusterRole."""
    rules = [*rules_of("rbac.yml"), *rules_of("rbac-chargeback.yml")]
    return stand.account(tmp_path / "account", rules, NAMESPACES)


def test_roles_in_namespaces_are_enough_for_a_whole_life(
    fresh: Stand, with_roles_only: dict[str, str], tmp_path: Path
) -> None:
    named = {"metering_namespaces": NAMESPACES}
    plays: list[tuple[str, dict[str, Any]]] = [
        ("site", {}),
        ("check", {"check_chargeback": False}),
        ("report", {"report_period": "this_month", "report_directory": str(tmp_path)}),
        ("render", {"render_dir": str(tmp_path / "rendered")}),
        ("verify", verified(fresh)),
        ("chargeback", {}),
        ("check", {}),
        ("remove", {}),
    ]
    for playbook, variables in plays:
        run = fresh.play(playbook, environment=with_roles_only, **named, **variables)
        assert run.code == 0, run.output
        assert f"Only the namespaces {', '.join(NAMESPACES)} are read" in run.text
    assert (fresh.flag(), fresh.monitors()) == (platform.PLATFORM_MAPPING, set())


def test_a_monitor_in_a_namespace_that_is_not_read_is_known_by_its_targets(
    metered: Stand, with_roles_only: dict[str, str]
) -> None:
    metered.unscrape()
    elsewhere = metered.pod_monitor("elsewhere")
    elsewhere["metadata"]["namespace"] = "upstream"
    elsewhere["spec"]["namespaceSelector"] = {"any": True}
    metered.apply(elsewhere)
    pool = "podMonitor/upstream/elsewhere/0"
    try:
        wait_until(
            "its targets alone", lambda: metered.module("prom_scrape_check", timeout=0).get("pools") == {pool: 3}, 120
        )
        run = metered.play("site", environment=with_roles_only, metering_namespaces=NAMESPACES)
        assert run.code == 0, run.output
        assert pool in run.text
        assert metered.monitors() == {"upstream/elsewhere"}
    finally:
        metered.delete("podmonitor", "upstream", "elsewhere")


@pytest.mark.parametrize(
    ("named", "told"),
    [
        pytest.param([*NAMESPACES, "team-x"], "metering_namespaces names team-x: ", id="one that is not there"),
        pytest.param([*NAMESPACES, "upstream"], "metering_namespaces names upstream: ", id="one without a Role"),
        pytest.param("", "or as a Role in each namespace of metering_namespaces", id="none"),
    ],
)
def test_what_the_roles_are_not_enough_for_is_told_before_anything_is_changed(
    metered: Stand, with_roles_only: dict[str, str], named: Any, told: str
) -> None:
    before = metered.lasting_state()
    run = metered.play("site", environment=with_roles_only, metering_namespaces=named)
    assert run.code != 0
    assert told in run.text
    assert metered.lasting_state() == before
