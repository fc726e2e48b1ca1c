# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a removal would write is tried before the first of it: whatever the account lacks is named at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._errors import RefusedError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import controller as _controller
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import reader, writer
from ansible_collections.aigateway.metering.plugins.module_utils._modules import removal_info
from ansible_collections.aigateway.metering.tests.unit.module_utils._modules.test_gateway_info import (
    NEW,
    proxies,
    recorded,
)
from ansible_collections.aigateway.metering.tests.unit.objects import OURS, controller

Documents = dict[str, list[dict[str, Any]]]


def document(name: str, namespace: str = "gateways", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": {**OURS, **labels}}}


class Cluster:
    """Has some objects, and refuses some writes of them by their kind."""

    namespaces: Sequence[str] = ()

    def reads(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces

    def __init__(self, documents: Documents, refused: tuple[str, ...] = ()) -> None:
        self._documents, self._refused = documents, refused
        self.tried: list[str] = []

    def list(self, dummy: str, plural: str, labels: str = "", namespace: str = "") -> list[dict[str, Any]]:
        if {f"list {plural}", f"list {plural} in {namespace}"} & set(self._refused):
            raise RefusedError("no.", "no.", "no.")
        # The label that tells what is meant besides ours.
        wanted = [text.partition("=")[0] for text in labels.split(",") if not text.startswith(_names.MANAGED_BY_LABEL)]
        found = [
            item for item in self._documents.get(plural, []) if set(wanted) - {""} <= set(item["metadata"]["labels"])
        ]
        return found if plural != "pods" else self._documents.get("pods", [])

    def get(self, *dummy: str) -> None:
        return None

    def delete(self, dummy: str, plural: str, item: dict[str, Any]) -> dict[str, Any]:
        return self._write(f"delete {plural}", item)

    def patch(self, dummy: str, plural: str, item: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        return self._write(f"patch {plural}", item)

    def _write(self, what: str, item: dict[str, Any]) -> dict[str, Any]:
        self.tried.append(f"{what} {item['metadata']['name']}")
        if what in self._refused:
            raise RefusedError("no.", "no.", "no.")
        return item

    @staticmethod
    def rehearse(write: Any) -> Any:
        return write()


class Module:
    def __init__(self, *, check_mode: bool = False, **params: Any) -> None:
        self.check_mode, self.warnings = check_mode, list[str]()
        self.params = {"controller": "", "gateways": [], "monitor_name": "", "restart": True, **params}

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def gateway(monkeypatch):
    """A controller that a run has left with nothing to take back, without proxies."""
    left = recorded("")
    monkeypatch.setattr(reader, "read_controller", lambda *_: left)
    monkeypatch.setattr(reader, "read_proxies", lambda *_: [])
    # What is written is of no matter here.
    monkeypatch.setattr(writer, "refuse_what_would_wait_in_vain", lambda *_, **__: None)


def look(cluster: Cluster, module: Module | None = None) -> list[str]:
    either: Any = cluster
    return removal_info.run_module(module or Module(), either)["ours"]


EVERYTHING: Documents = {
    "podmonitors": [document("ours")],
    "monitordashboards": [document("usage", "cpaas-system")],
    "prometheusrules": [document("ai-gateway-token-usage", "cpaas-system")],
}


def test_all_that_is_ours_is_listed_and_tried():
    cluster = Cluster(EVERYTHING)
    assert look(cluster) == [
        "PodMonitor gateways/ours",
        "MonitorDashboard cpaas-system/usage",
        "PrometheusRule cpaas-system/ai-gateway-token-usage",
    ]
    assert cluster.tried == ["delete podmonitors ours", "delete monitordashboards usage"] + [
        "delete prometheusrules ai-gateway-token-usage"
    ]


def test_what_two_versions_of_an_api_show_is_tried_once():
    cluster = Cluster({"persesdashboards": [document("usage")]})
    assert look(cluster) == ["PersesDashboard gateways/usage"]
    assert cluster.tried == ["delete persesdashboards usage"]


def test_nothing_that_is_ours_is_nothing_to_try():
    cluster = Cluster({})
    assert (look(cluster), cluster.tried) == ([], [])


def test_all_that_is_lacking_is_named_at_once_with_the_files_that_give_it():
    with pytest.raises(RefusedError) as caught:
        look(Cluster(EVERYTHING, ("delete podmonitors", "delete prometheusrules")))
    told = str(caught.value)
    assert "delete podmonitors.monitoring.coreos.com in gateways" in told
    assert "delete prometheusrules.monitoring.coreos.com in cpaas-system" in told
    assert "docs/rbac-chargeback.yml and docs/rbac.yml" in told


def test_what_the_account_may_not_look_for_is_named_beside_what_it_may_not_remove():
    with pytest.raises(RefusedError) as caught:
        look(Cluster(EVERYTHING, ("list prometheusrules", "delete podmonitors")))
    assert "list prometheusrules.monitoring.coreos.com in every namespace" in str(caught.value)
    assert "delete podmonitors" in str(caught.value)


def test_where_only_some_namespaces_are_read_that_is_named_in_which_the_account_may_not_look():
    cluster = Cluster(EVERYTHING, ("list prometheusrules in team-a",))
    cluster.namespaces = ["monitoring", "team-a"]
    module = Module(check_mode=True)
    found = look(cluster, module)
    # What the others show is known all the same.
    assert "PrometheusRule cpaas-system/ai-gateway-token-usage" in found
    (warning,) = module.warnings
    assert "lacks permissions: list prometheusrules.monitoring.coreos.com in team-a." in warning


def test_in_check_mode_what_is_lacking_is_a_warning():
    module = Module(check_mode=True)
    assert look(Cluster(EVERYTHING, ("delete podmonitors",)), module) != []
    assert any("lacks permissions: delete podmonitors" in text for text in module.warnings)


def test_for_some_gateways_only_their_monitor_is_meant():
    cluster = Cluster({**EVERYTHING, "podmonitors": [document("ours"), document("ai-gateway-metrics-team-a-chat")]})
    assert look(cluster, Module(gateways=["team-a/chat"])) == ["PodMonitor gateways/ai-gateway-metrics-team-a-chat"]


@pytest.mark.parametrize(
    ("place", "restarts"),
    [(_names.CHARGEBACK_CONFIG, True), (_names.CHARGEBACK_DISPLAY, True), (("cpaas-system", "entrance"), False)],
)
def test_programs_begin_anew_only_where_what_they_have_read_goes(place, restarts):
    pods = [
        {"metadata": {"name": "slark-agent-1", "namespace": "cpaas-system", "labels": {"service_name": "slark-agent"}}}
    ]
    cluster = Cluster({"configmaps": [document(place[1], place[0])], "pods": pods})
    look(cluster)
    assert ("delete pods slark-agent-1" in cluster.tried) is restarts


def test_a_record_that_alone_would_change_is_tried(monkeypatch):
    remembered = controller(NEW)
    remembered.deployment["metadata"]["annotations"]["aigateway.metering/added-pairs"] = NEW
    remembered.deployment["metadata"]["resourceVersion"] = "1"
    monkeypatch.setattr(reader, "read_controller", lambda *_: _controller.find_controller([remembered.deployment]))
    cluster = Cluster({}, ("patch deployments",))
    with pytest.raises(RefusedError, match=r"patch deployments\.apps"):
        look(cluster)


@pytest.mark.parametrize(("restart", "tried"), [(True, 1), (False, 0)])
def test_proxies_that_still_have_the_pairs_are_tried_to_restart(monkeypatch, restart, tried):
    stale = proxies(NEW)
    for proxy in stale:
        proxy.workload["metadata"]["resourceVersion"] = "1"
    monkeypatch.setattr(reader, "read_proxies", lambda *_: stale)
    cluster = Cluster({})
    look(cluster, Module(restart=restart))
    assert len([text for text in cluster.tried if text.startswith("patch deployments")]) == tried
