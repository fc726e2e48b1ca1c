# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong input and missing prerequisites: told in full, before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.runs import ROOT
from harness.stand import Stand
from standlib import binaries
from standlib.progress import StandError, wait_until

WRONG_INPUT = {
    "a header that is no field name": ("x user:y", "It is not a valid HTTP field name", "Correct the header name"),
    "a pair without a label": ("x-team:", "Every element must be header:label", "Correct that element"),
    "an upper-case header": ("X-Team:team", "this pair would never match", "Write x-team:team"),
    "two headers for one label": ("x-a:team,x-b:team", "either, at random", "Give each header a label of its own"),
    "a label that Prometheus renames": ("x-team:job", "rename yours to exported_job", "Choose another label"),
    "a label with a hyphen": ("x-team:my-team", "under another name", "Write x-team:my_team"),
    "a per-user pair without consent": ("x-user-id:user_id", "one series for each user", "labels_allow_per_user: true"),
}


@pytest.mark.parametrize(("pairs", "why", "command"), WRONG_INPUT.values(), ids=WRONG_INPUT.keys())
def test_a_wrong_pair_is_refused_before_anything_is_changed(stand: Stand, pairs: str, why: str, command: str) -> None:
    before = stand.state()
    run = stand.site(labels_pairs=pairs)
    assert run.code != 0
    assert why in run.text
    assert command in run.text
    assert "Traceback" not in run.output
    assert stand.state() == before


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"scrape_interval": "5"}, "It is not a valid Prometheus duration"),
        ({"scrape_prune": "everything"}, "scrape_prune is 'everything', which is not one of: none, ours, all"),
    ],
    ids=["an interval without a unit", "an unknown way to prune"],
)
def test_wrong_input_to_the_scrape_is_refused_before_the_labels_are_changed(
    fresh: Stand, variables: dict[str, str], why: str
) -> None:
    before = fresh.state()
    run = fresh.site(**variables)
    assert run.code != 0
    assert why in run.text
    assert fresh.state() == before


def test_a_per_user_pair_is_added_with_consent(stand: Stand) -> None:
    result = stand.module(
        "merge_metrics_attributes", pairs="x-user-id:user_id", allow_per_user=True, _ansible_check_mode=True
    )
    assert "x-user-id:user_id" in result["added"]


def test_how_many_series_a_per_user_pair_would_make_is_told_beside_the_retention(metered: Stand) -> None:
    metered.send()

    def told() -> str:
        return metered.module("gateway_info", pairs="x-user-id:user_id")["problems"][-1]

    wait_until("samples of both models to be stored", lambda: "(2 models x" in told(), 60)
    assert re.search(
        r"x-user-id:user_id would make up to \d+ series for each user \(2 models x \d token types x", told()
    )
    assert re.search(r"has \d+ series of the metric and keeps them 7d", told())


def test_an_unknown_prometheus_is_refused_naming_those_there_are(stand: Stand) -> None:
    run = stand.site(scrape_prometheus="cpaas-system/other")
    assert run.code != 0
    assert "Prometheus cpaas-system/other does not exist. Found: cpaas-system/kube-prometheus-0" in run.text


@pytest.fixture
def second_prometheus(stand: Stand) -> Iterator[str]:
    name = "second"
    stand.apply(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": {"name": name, "namespace": "cpaas-system"},
            "spec": {"replicas": 0, "podMonitorSelector": {}},
        }
    )
    yield name
    stand.delete("prometheus", "cpaas-system", name)


def test_several_prometheuses_of_which_none_scrapes_yet_are_listed(unscraped: Stand, second_prometheus: str) -> None:
    run = unscraped.site()
    assert run.code != 0
    assert f"Several Prometheuses could scrape: cpaas-system/kube-prometheus-0, cpaas-system/{second_prometheus}" in (
        run.text
    )


def test_an_unreachable_cluster_is_named(stand: Stand) -> None:
    environment = stand.environment(K8S_AUTH_HOST="https://127.0.0.1:1", K8S_AUTH_API_KEY="no-secret-at-all")
    del environment["K8S_AUTH_KUBECONFIG"]
    run = stand.site(environment=environment)
    assert run.code != 0
    assert "The cluster does not answer" in run.text
    assert "host='127.0.0.1', port=1" in run.text
    assert "kubectl cluster-info" in run.text
    assert "no-secret-at-all" not in run.output


def test_an_account_that_may_not_read_is_told_so(stand: Stand, tmp_path: Path) -> None:
    run = stand.site(environment=stand.account(tmp_path, []))
    assert run.code != 0
    assert "does not allow this account to get deployments" in run.text
    assert "docs/rbac.yml" in run.text


def test_an_account_that_may_only_read_is_told_all_that_it_lacks_before_anything_is_changed(
    stand: Stand, tmp_path: Path
) -> None:
    before = stand.state()
    run = stand.site(environment=stand.account(tmp_path, [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}]))
    assert run.code != 0
    for permission in ("patch deployments.apps in envoy-gateway-system", "create podmonitors.monitoring.coreos.com"):
        assert permission in run.text
    assert stand.state() == before


def test_an_account_that_may_only_read_is_told_what_a_removal_lacks_before_anything_is_removed(
    metered: Stand, tmp_path: Path
) -> None:
    before = metered.state()
    run = metered.play("remove", environment=metered.account(tmp_path, rules_that_only_read()))
    assert run.code != 0
    for permission in (
        "patch deployments.apps in envoy-gateway-system",
        "delete podmonitors.monitoring.coreos.com in envoy-gateway-system",
        "delete monitordashboards.ait.alauda.io in ",
    ):
        assert permission in run.text
    assert metered.state() == before


def test_a_dry_run_of_a_removal_warns_of_what_the_account_lacks(metered: Stand, tmp_path: Path) -> None:
    run = metered.play("remove", "--check", environment=metered.account(tmp_path, rules_that_only_read()))
    assert run.code == 0, run.output
    assert "lacks permissions: " in run.text
    assert "delete podmonitors.monitoring.coreos.com in envoy-gateway-system" in run.text


def rules_that_only_read() -> list[dict[str, Any]]:
    """The shipped role, as far as it reads: a removal also looks for what nobody else does."""
    documents = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    rules = next(document["rules"] for document in documents if document["kind"] == "ClusterRole")
    reading = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb in ("get", "list")]} for rule in rules]
    return [rule for rule in reading if rule["verbs"]]


def test_the_shipped_role_is_enough(stand: Stand, tmp_path: Path) -> None:
    documents = yaml.safe_load_all((ROOT / "docs" / "rbac.yml").read_text())
    (rules,) = [document["rules"] for document in documents if document["kind"] == "ClusterRole"]
    run = stand.site(environment=stand.account(tmp_path, rules))
    assert run.code == 0, run.output


# -- on a cluster without a gateway or without monitoring --------------------------------------------------------------


def problems(bare: Stand) -> str:
    result = bare.module("gateway_info")
    assert result["changed"] is False
    return " ".join(result["problems"])


def test_a_cluster_without_the_controller_is_refused(bare: Stand) -> None:
    assert "No AI gateway controller was found" in problems(bare)


def test_a_cluster_without_proxies_is_refused(bare: Stand) -> None:
    assert "No running proxy pod has the container ai-gateway-extproc" in problems(bare)


def test_a_cluster_without_the_pod_monitor_kind_is_refused(bare: Stand) -> None:
    assert "The cluster has no PodMonitor kind" in problems(bare)


def served_kinds(bare: Stand, path: str) -> set[str]:
    try:
        return {item["name"] for item in bare.kubectl.raw(path)["resources"]}
    except StandError:  # the group is not there yet
        return set()


@pytest.fixture
def with_monitoring_kinds(bare: Stand) -> Iterator[Stand]:
    """The bare cluster with the operator's kinds, and no object of them."""
    module = binaries.module_directory("github.com/prometheus-operator/prometheus-operator")
    kinds = ("podmonitors", "prometheuses")
    for kind in kinds:
        bare.kubectl.apply(bare.step, module / f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml")
    served = "/apis/monitoring.coreos.com/v1"
    wait_until(
        "the kinds to be served",
        lambda: set(kinds) <= served_kinds(bare, served),
        30,
    )
    yield bare
    for kind in kinds:
        bare.kubectl.run(bare.step, "delete", "crd", f"{kind}.monitoring.coreos.com")


def test_a_cluster_without_a_prometheus_that_selects_is_refused(with_monitoring_kinds: Stand) -> None:
    expected = "No Prometheus could select a PodMonitor: there is no Prometheus object"
    assert expected in problems(with_monitoring_kinds)


def test_the_playbook_lists_every_problem_at_once(bare: Stand) -> None:
    run = bare.site()
    assert run.code != 0
    for sentence in ("No AI gateway controller", "No running proxy pod", "no PodMonitor kind"):
        assert sentence in run.text
