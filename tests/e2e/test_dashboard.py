# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboards on the cluster: their queries against the real Prometheus with real traffic, and each platform's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from harness.accuracy import served_since, wait_for_scrapes
from harness.stand import Stand
from standlib import binaries, platform, tenants, traffic, usage
from standlib.progress import StandError, wait_until
from standlib.settings import STAND, VERSIONS

NAME = "ai-gateway-token-usage"

NEW = {tenants.NEWCOMER.billed_namespace, tenants.NEWCOMER.department}
CRD = STAND / "manifests" / "00-monitordashboard-crd.yaml"


def dashboard(stand: Stand, name: str = NAME) -> dict[str, Any]:
    (found,) = stand.get("monitordashboards", "cpaas-system", name=name)
    return found


def queries(stand: Stand, name: str = NAME) -> dict[str, list[str]]:
    """By a panel's title, its queries."""
    panels = dashboard(stand, name)["spec"]["body"]["panels"]
    return {panel["title"]: [target["expr"] for target in panel.get("targets", ())] for panel in panels}


def chosen(expression: str, **values: str) -> str:
    """A query with its variables set, as the platform does: to one value, to several as (a|b), or to all."""
    return re.sub(r"\$(namespace|model|department)", lambda match: values.get(match.group(1), ".*"), expression)


def results(stand: Stand, panel: str, **values: str) -> list[dict[str, Any]]:
    """What a panel's query yields."""
    (expressions,) = [found for title, found in queries(stand).items() if title.startswith(panel)]
    return usage.query(stand.kubectl, chosen(expressions[0], **values))


def number(stand: Stand, panel: str, **values: str) -> float:
    """The one number of a panel."""
    (expression,) = queries(stand)[panel]
    (found,) = usage.query(stand.kubectl, chosen(expression, **values))
    return float(found["value"][1])


@pytest.fixture
def used(metered: Stand) -> Stand:
    """A metered stand whose dashboard has something to show."""
    metered.send()
    wait_until("samples with traffic", lambda: len(results(metered, "Top 5")) == 2, 90, 2)
    return metered


@pytest.mark.parametrize(
    ("panel", "label", "expected"),
    [
        ("Tokens per namespace, last hour", "user_namespace", {"team-a", "team-b"}),
        ("Top 5 models", "gen_ai_request_model", {"chat-small", "chat-large"}),
        ("Output share per", "user_namespace", {"team-a", "team-b"}),
        ("Tokens per department", "department", {"research"}),
        ("Time to first token", "gen_ai_request_model", {"chat-small", "chat-large"}),
    ],
)
def test_a_panel_shows_everybody_that_it_is_about(used: Stand, panel: str, label: str, expected: set[str]) -> None:
    used.send()
    wait_until(
        f"the panel to show {expected}",
        # Tokens that can be billed to nobody are there without the label; the newcomer may have been here before.
        lambda: {item["metric"].get(label) for item in results(used, panel)} - {None, "(none)", *NEW} == expected,
        90,
        2,
    )


CHOICES: dict[str, dict[str, str]] = {
    "one": {"namespace": "team-a", "model": "chat-small", "department": "research"},
    "several": {"namespace": "(team-a|team-b)", "model": "(chat-small|chat-large)", "department": "(research|sales)"},
    "all": {},
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", [NAME, f"{NAME}-team"])
def test_prometheus_answers_every_query(used: Stand, name: str, choice: str) -> None:
    values = CHOICES[choice] | ({"namespace": "team-a"} if name.endswith("-team") else {})
    found = {
        title: usage.query(used.kubectl, chosen(expression, **values))
        for title, expressions in queries(used, name).items()
        for expression in expressions
    }
    empty = {title for title, answer in found.items() if not answer}
    # Nothing is older than the stand, and nothing is scraped twice or down.
    assert empty <= {"Tokens per namespace, the 30 days before"}


@pytest.mark.parametrize("values", [{}, {"namespace": "team-a"}, {"model": "chat-small"}], ids=["all", "team", "model"])
def test_the_tokens_that_a_panel_adds_are_those_of_the_ledger(used: Stand, values: dict[str, str]) -> None:
    wait_for_scrapes(used)
    before, begun = number(used, "Tokens", **values), traffic.now()
    used.send()
    wait_for_scrapes(used)
    served = sum(
        tokens
        for (namespace, dummy, model, kind), tokens in served_since(used, begun).items()
        if kind in ("input", "output")
        and namespace == values.get("namespace", namespace)
        and model == values.get("model", model)
    )
    # A counter that is older than a day is an estimate; on a younger stand nothing is.
    assert number(used, "Tokens", **values) - before == pytest.approx(served, rel=0.01)


# --- other platforms --------------------------------------------------------------------------------------------------

MODULES = {
    "github.com/perses/perses-operator": ("perses_operator", ("perses", "persesdashboards"), "perses.dev"),
    "github.com/grafana/grafana-operator/v5": (
        "grafana_operator",
        ("grafanas", "grafanadashboards"),
        "grafana.integreatly.org",
    ),
}
SIDECAR = {
    "name": "grafana-sc-dashboard",
    "image": "none",
    "env": [{"name": "LABEL", "value": "grafana_dashboard"}, {"name": "LABEL_VALUE", "value": "1"}],
}
INSTANCES: list[dict[str, Any]] = [
    {
        "apiVersion": "perses.dev/v1alpha2",
        "kind": "Perses",
        "metadata": {"name": "perses", "namespace": "upstream"},
        "spec": {},
    },
    {
        "apiVersion": "grafana.integreatly.org/v1beta1",
        "kind": "Grafana",
        "metadata": {"name": "grafana", "namespace": "upstream", "labels": {"dashboards": "grafana"}},
        "spec": {},
    },
    # It never starts: what is there to be found is its specification.
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "grafana", "namespace": "upstream", "labels": {"app.kubernetes.io/name": "grafana"}},
        "spec": {"nodeSelector": {"there": "none"}, "containers": [{"name": "grafana", "image": "none"}, SIDECAR]},
    },
]
ELSEWHERE = ("configmaps", "grafanadashboards", "persesdashboards")
OURS = "app.kubernetes.io/managed-by=aigateway.metering"


@pytest.fixture
def with_every_kind(stand: Stand) -> Iterator[Stand]:
    """The published kinds of both operators, and a Grafana with a sidecar, Grafana's operator's and Perses."""
    kinds = []
    for module, (version, names, group) in MODULES.items():
        folder = binaries.module_at(module, VERSIONS[version]) / "config" / "crd" / "bases"
        for name in names:
            # Server-side: an annotation with all of it would be too long.
            stand.kubectl.run(stand.step, "apply", "--server-side", "-f", str(folder / f"{group}_{name}.yaml"))
            kinds.append(f"{name}.{group}")
    wait_until("the kinds to be served", lambda: all(is_served(stand, kind) for kind in kinds), 30)
    for document in INSTANCES:
        stand.apply(document)
    yield stand
    for item in stand.get("configmaps", "upstream", labels=OURS):
        stand.delete("configmaps", "upstream", item["metadata"]["name"])
    stand.kubectl.run(stand.step, "delete", "pod", "grafana", "--namespace", "upstream", "--grace-period=1")
    stand.kubectl.run(stand.step, "delete", "crd", *kinds)


def is_served(stand: Stand, kind: str) -> bool:
    try:
        return stand.all(kind.partition(".")[0]) == []
    except StandError:
        return False


def elsewhere(stand: Stand) -> dict[str, dict[str, Any]]:
    """The dashboards for other platforms, by kind and name."""
    return {
        f"{kind} {item['metadata']['name']}": item
        for kind in ELSEWHERE
        for item in stand.get(kind, "upstream", labels=OURS)
    }


@pytest.mark.usefixtures("with_every_kind")
def test_each_platform_has_its_dashboards_and_gives_them_back(metered: Stand) -> None:
    assert metered.site().code == 0
    found = elsewhere(metered)
    assert set(found) == {f"{kind} {NAME}{suffix}" for kind in ELSEWHERE for suffix in ("", "-team")}
    again = metered.site()
    assert (again.code, again.changed) == (0, 0), again.output
    # Somebody edits one: it is shown before it is overwritten.
    metered.patch("configmap", "upstream", NAME, {"data": {f"{NAME}.json": "{}"}})
    shown = metered.site("--check", "--diff")
    assert shown.changed == 1
    assert f"{NAME}.json" in shown.text
    assert metered.site().changed == 1
    assert elsewhere(metered)[f"configmaps {NAME}"]["data"] == found[f"configmaps {NAME}"]["data"]
    removed = metered.play("remove")
    assert removed.code == 0, removed.output
    assert elsewhere(metered) == {}


@pytest.mark.usefixtures("with_every_kind")
def test_a_dashboard_of_somebody_else_is_not_touched(metered: Stand) -> None:
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "upstream"}, "data": {}}
    assert metered.play("remove").code == 0
    metered.apply(theirs)
    try:
        run = metered.site()
        assert run.code != 0
        assert f"ConfigMap upstream/{NAME}: already in the cluster, and not ours" in run.text
        assert elsewhere(metered) == {}
        assert metered.play("remove").code == 0
        assert metered.get("configmaps", "upstream", name=NAME)
    finally:
        metered.delete("configmaps", "upstream", NAME)


@pytest.mark.usefixtures("with_every_kind")
def test_only_the_platforms_that_are_named_get_dashboards(metered: Stand) -> None:
    metered.site()
    for kind in ELSEWHERE:
        metered.delete(kind, "upstream", NAME)
    run = metered.site(dashboard_providers="monitor,perses")
    assert run.code == 0, run.output
    assert {name for name in elsewhere(metered) if not name.endswith("-team")} == {f"persesdashboards {NAME}"}


@pytest.fixture
def without_the_kind(stand: Stand) -> Iterator[Stand]:
    stand.kubectl.run(stand.step, "delete", "crd", "monitordashboards.ait.alauda.io", "--ignore-not-found")
    yield stand
    stand.kubectl.apply_text(stand.step, platform.render(CRD.name, {}))
    wait_until("the kind to be served again", lambda: serves_dashboards(stand), 30)


def serves_dashboards(stand: Stand) -> bool:
    try:
        return stand.all("monitordashboards") == []
    except StandError:
        return False


def test_where_the_kind_is_missing_it_is_skipped_and_the_summary_says_so(without_the_kind: Stand) -> None:
    run = without_the_kind.site()
    assert run.code == 0, run.output
    assert "dashboard: skipped, nothing in the cluster shows dashboards" in run.text


def test_the_stands_schema_refuses_a_body_that_the_platform_would_show_empty(metered: Stand) -> None:
    wrong = dashboard(metered)
    wrong["spec"]["body"]["panels"][1]["type"] = "heatmap"
    wrong["metadata"] = {"name": "wrong", "namespace": wrong["metadata"]["namespace"]}
    with pytest.raises(StandError, match='Unsupported value: "heatmap"'):
        metered.apply(wrong)


def test_a_dashboard_of_that_name_that_is_not_ours_is_not_overwritten(metered: Stand) -> None:
    labels = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}
    metered.patch("monitordashboard", "cpaas-system", "ai-gateway-token-usage", labels)
    try:
        run = metered.site()
        assert run.code != 0
        assert "MonitorDashboard cpaas-system/ai-gateway-token-usage: already in the cluster, and not ours" in run.text
        assert "dashboard: not created" in run.text
        assert dashboard(metered)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "somebody"
    finally:
        metered.delete("monitordashboard", "cpaas-system", "ai-gateway-token-usage")
