# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard on the cluster, its queries run against the real Prometheus with real traffic behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from harness.stand import Stand
from standlib import platform, tenants, usage
from standlib.progress import StandError, wait_until
from standlib.settings import STAND

NEW = {tenants.NEWCOMER.billed_namespace, tenants.NEWCOMER.department}
CRD = STAND / "manifests" / "00-monitordashboard-crd.yaml"


def dashboard(stand: Stand) -> dict[str, Any]:
    (found,) = stand.all("monitordashboards")
    return found


def results(stand: Stand, panel: str) -> list[dict[str, Any]]:
    """What a panel's query yields with every variable at "all"."""
    panels = dashboard(stand)["spec"]["body"]["panels"]
    (expression,) = [item["targets"][0]["expr"] for item in panels if item["title"].startswith(panel)]
    return usage.query(stand.kubectl, re.sub(r"\$(namespace|model|department)", ".*", expression))


@pytest.fixture
def used(metered: Stand) -> Stand:
    """A metered stand whose dashboard has something to show: increase() needs two samples of a series."""
    metered.send()
    wait_until("two samples with traffic in between", lambda: len(results(metered, "Top 5")) == 2, 90, 2)
    metered.send()
    return metered


@pytest.mark.parametrize(
    ("panel", "label", "expected"),
    [
        ("Tokens per namespace", "user_namespace", {"team-a", "team-b"}),
        ("Top 5 models", "gen_ai_request_model", {"chat-small", "chat-large"}),
        ("Output share", "user_namespace", {"team-a", "team-b"}),
        ("Tokens per department", "department", {"research"}),
    ],
)
def test_a_panel_shows_everybody_that_it_is_about(used: Stand, panel: str, label: str, expected: set[str]) -> None:
    wait_until(
        f"the panel to show {expected}",
        # Tokens that can be billed to nobody are there without the label; the newcomer may have been here before.
        lambda: {item["metric"].get(label) for item in results(used, panel)} - {None, *NEW} == expected,
        90,
        2,
    )


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
    assert "dashboard: skipped, the cluster has no MonitorDashboard kind" in run.text


def test_the_stands_schema_refuses_a_body_that_the_platform_would_show_empty(metered: Stand) -> None:
    wrong = dashboard(metered)
    wrong["spec"]["body"]["panels"][0]["type"] = "heatmap"
    wrong["metadata"] = {"name": "wrong", "namespace": wrong["metadata"]["namespace"]}
    with pytest.raises(StandError, match='Unsupported value: "heatmap"'):
        metered.apply(wrong)


def test_a_dashboard_of_that_name_that_is_not_ours_is_not_overwritten(metered: Stand) -> None:
    labels = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}
    metered.patch("monitordashboard", "cpaas-system", "ai-gateway-token-usage", labels)
    try:
        run = metered.site()
        assert run.code != 0
        assert "MonitorDashboard cpaas-system/ai-gateway-token-usage is there, and is not ours" in run.text
        assert "dashboard: not created" in run.text
        assert dashboard(metered)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "somebody"
    finally:
        metered.delete("monitordashboard", "cpaas-system", "ai-gateway-token-usage")
