# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each alert carries for whoever routes it and whoever is called: a namespace, and a place in the runbook."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from ansible_collections.aigateway.metering.plugins.plugin_utils._render import prometheus_rule
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.budget_rules import COST, MonthBudget
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.price_rules import Rate, RatedPrices

ROOT = Path(__file__).resolve().parents[4]
RUNBOOK = "https://docs.example.org/alerts"


def all_alerts(runbook=RUNBOOK):
    budgets = [MonthBudget("namespace", "team-a", Decimal(1000)), MonthBudget("department", "sales", Decimal(5), COST)]
    rule = prometheus_rule.prometheus_rule(
        ["gen_ai_client_token_usage_sum"],
        name="r",
        place={"namespace": "monitoring", "labels": {}},
        ports=[1064],
        identity=["user_namespace", "department"],
        interval="1m",
        bounds=prometheus_rule.Bounds("15m", "15m", 100, 0.05),
        workloads=["gateways/envoy"],
        budgets=budgets,
        shares=[Decimal("0.8")],
        prices=RatedPrices("EUR", (Rate("chat", "", "input", Decimal(1), None, None),), False),
        runbook=runbook,
    )
    return [it for group in rule["spec"]["groups"] for it in group["rules"] if "alert" in it]


ALERTS = all_alerts()
each = pytest.mark.parametrize("alert", ALERTS, ids=[f"{it['alert']} {number}" for number, it in enumerate(ALERTS)])


@each
def test_each_alert_has_its_section_in_the_runbook(alert):
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (AIGateway\w+)$", page, re.MULTILINE)
    assert alert["alert"] in sections
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK}#{alert['alert'].lower()}"


def test_the_runbook_has_no_section_of_an_alert_that_is_gone():
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (AIGateway\w+)$", page, re.MULTILINE)) == {it["alert"] for it in ALERTS}


@each
def test_each_alert_can_be_routed_by_a_namespace(alert):
    of_its_pod = "{{ $labels.namespace }}" in alert["annotations"]["summary"]
    namespace = alert["labels"].get("namespace")
    assert of_its_pod if namespace is None else namespace in {"monitoring", "{{ $labels.user_namespace }}"}


def test_without_a_page_there_is_no_link():
    assert {"runbook_url" in it["annotations"] for it in all_alerts(runbook="")} == {False}


def test_the_page_is_by_default_that_of_the_repository():
    repository = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"]
    defaults = yaml.safe_load((ROOT / "roles/chargeback/defaults/main.yml").read_text(encoding="utf-8"))
    assert defaults["chargeback_runbook"] == f"{repository}/blob/main/docs/alerts.md"
