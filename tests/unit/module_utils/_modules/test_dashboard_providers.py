# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What shows dashboards in a cluster is found, with where its dashboards go and what it selects them by."""

from __future__ import annotations

import types
from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError, RefusedError
from ansible_collections.aigateway.metering.plugins.module_utils._modules import dashboard_providers, gateway_info

OLD_PERSES = "perses.dev/v1alpha1"
NEW_PERSES = "perses.dev/v1alpha2"
OPERATOR = "grafana.integreatly.org/v1beta1"
MONITOR = "ait.alauda.io/v1alpha2"


class Cluster:
    """A cluster that serves some kinds, and has some objects and some permissions."""

    def __init__(self, *served: str, objects: dict[str, list[dict[str, Any]]] | None = None, lacking: Any = ()) -> None:
        self.served, self.objects, self._lacking = served, objects or {}, set(lacking)

    def serves(self, api: str, kind: str) -> bool:
        return f"{api} {kind}" in self.served

    def list(self, api: str, kind: str, *, labels: str = "") -> Any:
        del api, labels
        return self.objects.get(kind, [])

    def get(self, api: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        del api
        own = self.objects.get(kind, [])
        return next((it for it in own if it["metadata"] == {"namespace": namespace, "name": name}), None)

    def lacking(self, permissions: Any) -> Any:
        return [item for item in permissions if item[2] in self._lacking]


def found(*served: str, namespace: str = "", providers: Any = ("auto",), **objects: Any) -> dict[str, tuple[str, dict]]:
    cluster: Any = Cluster(*served, objects=objects)
    wishes = {"name": "usage", "namespace": namespace, "providers": list(providers)}
    return {
        it.provider: (it.namespace, dict(it.labels)) for it in dashboard_providers.find_providers(cluster, wishes, {})
    }


def grafana(namespace: str = "monitoring", name: str = "grafana-sc-dashboard", **environment: str) -> dict[str, Any]:
    env = [{"name": key, "value": value} for key, value in environment.items()]
    return {
        "metadata": {"namespace": namespace, "name": "grafana-0"},
        "spec": {"containers": [{"name": "grafana"}, {"name": name, "env": env}]},
    }


def instance(namespace: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "it", "labels": labels}}


def test_where_nothing_shows_dashboards_nothing_is_found():
    assert found() == {}


def test_alaudas_kind_has_its_namespace():
    assert found(f"{MONITOR} monitordashboards") == {"monitor": ("cpaas-system", {})}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(grafana(LABEL="grafana_dashboard", LABEL_VALUE="1"), ("monitoring", "1"), id="its own namespace"),
        pytest.param(grafana(LABEL="grafana_dashboard"), ("monitoring", "1"), id="any value"),
        pytest.param(grafana(LABEL="grafana_dashboard", NAMESPACE="ALL"), ("monitoring", "1"), id="all namespaces"),
        pytest.param(grafana(LABEL="grafana_dashboard", NAMESPACE="a,b"), ("a", "1"), id="some namespaces"),
        pytest.param(
            grafana(LABEL="grafana_dashboard", NAMESPACE="a, monitoring"), ("monitoring", "1"), id="some, its own too"
        ),
        pytest.param(grafana(LABEL="grafana_dashboard", LABEL_VALUE="yes"), ("monitoring", "yes"), id="another value"),
    ],
)
def test_grafanas_sidecar_tells_where_it_looks_and_what_it_selects_by(pod, expected):
    namespace, value = expected
    assert found(pods=[pod]) == {"grafana": (namespace, {"grafana_dashboard": value})}


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(grafana(), id="a sidecar without a label"),
        pytest.param(grafana(name="grafana-sc-datasources", LABEL="grafana_datasource"), id="that of data sources"),
    ],
)
def test_a_grafana_that_loads_no_dashboards_is_not_found(pod):
    assert found(pods=[pod]) == {}


def test_grafanas_operator_puts_them_beside_the_first_grafana_and_selects_by_its_labels():
    served = f"{OPERATOR} grafanadashboards"
    grafanas = [instance("b"), instance("a", dashboards="grafana", app="x")]
    assert found(served, grafanas=grafanas) == {"grafana_operator": ("a", {"dashboards": "grafana"})}
    assert found(served, grafanas=[instance("b", app="x")]) == {"grafana_operator": ("b", {"app": "x"})}


@pytest.mark.parametrize(
    ("served", "api"), [((NEW_PERSES, OLD_PERSES), NEW_PERSES), ((OLD_PERSES,), OLD_PERSES)], ids=["both", "the older"]
)
def test_the_newest_version_of_perses_is_taken(served, api):
    cluster: Any = Cluster(*(f"{it} persesdashboards" for it in served), objects={"perses": [instance("perses")]})
    wishes = {"name": "usage", "namespace": "", "providers": ["auto"]}
    (provider,) = dashboard_providers.find_providers(cluster, wishes, {})
    assert (provider.api, provider.namespace) == (api, "perses")


def test_a_kind_of_which_no_instance_runs_is_left_out():
    assert found(f"{NEW_PERSES} persesdashboards", f"{OPERATOR} grafanadashboards") == {}


def test_a_platform_that_is_named_needs_a_namespace():
    with pytest.raises(MeteringError, match="Set dashboard_namespace"):
        found(f"{NEW_PERSES} persesdashboards", providers=["perses"])
    assert found(f"{NEW_PERSES} persesdashboards", providers=["perses"], namespace="x") == {"perses": ("x", {})}


def test_a_namespace_that_is_set_holds_for_each():
    pods = [grafana(LABEL="grafana_dashboard")]
    assert {place for place, dummy in found(f"{MONITOR} monitordashboards", namespace="x", pods=pods).values()} == {"x"}


def test_only_what_is_named_is_looked_for():
    pods = [grafana(LABEL="grafana_dashboard")]
    assert set(found(f"{MONITOR} monitordashboards", providers=["monitor"], pods=pods)) == {"monitor"}


# --- permissions ------------------------------------------------------------------------------------------------------


def looked(
    providers: list[str], lacking: Any = (), *, check: bool = True
) -> tuple[list[str], dict[str, str], list[str]]:
    pods = [grafana(LABEL="grafana_dashboard")]
    cluster: Any = Cluster(f"{MONITOR} monitordashboards", objects={"pods": pods}, lacking=lacking)
    wishes = {"name": "usage", "namespace": "", "providers": providers}
    module = types.SimpleNamespace(params={"dashboards": wishes, "check_permissions": check})
    problems = gateway_info.Problems()
    left, dummy, left_out = gateway_info.look_for_dashboards(module, cluster, problems)
    return [it.provider for it in left], left_out, problems.found


def test_what_was_found_by_itself_and_may_not_be_written_to_is_left_out_with_a_caution():
    left, left_out, problems = looked(["auto"], ["configmaps"])
    assert (left, problems) == (["monitor"], [])
    (caution,) = gateway_info.left_out_cautions(left_out)
    assert "The dashboards for grafana are left out" in caution
    assert "create configmaps in monitoring" in caution


def test_what_was_named_and_may_not_be_written_to_is_a_problem():
    left, left_out, (problem,) = looked(["monitor", "grafana"], ["configmaps"])
    assert (left, left_out) == (["monitor"], {})
    assert "create configmaps in monitoring" in problem


def test_who_only_reads_is_not_asked_for_permissions():
    assert looked(["auto"], ["configmaps"], check=False) == (["monitor", "grafana"], {}, [])


@pytest.mark.parametrize("named", [False, True])
def test_what_may_not_be_looked_for_is_left_out_but_where_it_is_named(named):
    class Closed(Cluster):
        def list(self, api: str, kind: str, *, labels: str = "") -> Any:
            del api, labels
            raise RefusedError(f"may not list {kind}.", "why", "next")

    cluster: Any = Closed(f"{MONITOR} monitordashboards", f"{NEW_PERSES} persesdashboards")
    wishes = {"name": "usage", "namespace": "", "providers": ["perses"] if named else ["auto"]}
    module = types.SimpleNamespace(params={"dashboards": wishes, "check_permissions": True})
    problems = gateway_info.Problems()
    left, dummy, left_out = gateway_info.look_for_dashboards(module, cluster, problems)
    expected = ([], set(), 1) if named else (["monitor"], {"grafana", "perses"}, 0)
    assert ([it.provider for it in left], set(left_out), len(problems.found)) == expected
