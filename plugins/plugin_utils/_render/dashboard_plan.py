# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Which dashboards a cluster is to have, which of them differ from what is there, and what can be imported by hand.

Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ...module_utils import _names
from ...module_utils._kubernetes.objects import is_contained, name_of
from ...module_utils._kubernetes.ownership import is_ours
from ...module_utils._prometheus.token_metric import forms
from .dashboard_model import DEPARTMENT, Dashboard, MonthRecords, dashboards
from .grafana import config_map, grafana_dashboard, grafana_model
from .monitor_dashboard import monitor_dashboard
from .perses import perses_dashboard, perses_model

# The folder in Grafana, which its operator makes.
GRAFANA_FOLDER = "AI gateway"
NOTHING_SHOWS = (
    "skipped, nothing in the cluster shows dashboards: no MonitorDashboard, GrafanaDashboard or PersesDashboard kind, "
    "and no Grafana with a sidecar; see dashboard_providers"
)


def plan_dashboards(gateway: Mapping[str, Any], *, name: str, folder: str) -> dict[str, Any]:
    """What a run has to do about dashboards.

    Args:
        gateway: the result of gateway_info.
        name: what the dashboards' names are made of.
        folder: the folder in which they are shown.

    Returns:
        `manifests`: all that is to be there; `differing`: those of them that are missing or otherwise; `foreign`: those
        whose names others have taken, as texts; `where`: where they are, for a person.
    """
    manifests = [
        _manifest(provider, dashboard, name, folder)
        for provider in gateway["dashboard_providers"]
        for dashboard in _dashboards(gateway)
    ]
    there = {_identity(document): document for document in gateway["dashboards"]}
    return {
        "manifests": manifests,
        "differing": [item for item in manifests if not is_contained(item, there.get(_identity(item)))],
        "foreign": [
            f"{item['kind']} {name_of(item)}"
            for item in manifests
            if _identity(item) in there and not is_ours(there[_identity(item)])
        ],
        "where": _places(gateway, name),
    }


def dashboard_files(gateway: Mapping[str, Any], *, name: str, folder: str) -> list[dict[str, str]]:
    """The dashboards as files, each with its `name` and `text`: what would be applied, and what is imported by hand."""
    found: dict[str, Any] = {}
    for provider in gateway["dashboard_providers"]:
        for dashboard in _dashboards(gateway):
            file = _names.dashboard_name(provider["kind"].lower(), dashboard.key)
            found[file] = _manifest(provider, dashboard, name, folder)
    for dashboard in _dashboards(gateway):
        own = _names.dashboard_name(name, dashboard.key)
        found[_names.dashboard_name("grafana-import", dashboard.key)] = grafana_model(dashboard, name)
        found[_names.dashboard_name("perses-import", dashboard.key)] = {
            "kind": "Dashboard",
            "metadata": {"name": own},
            "spec": perses_model(dashboard),
        }
    # Not as YAML: Kubernetes reads the key `y` of a panel's place as true there.
    return [
        {"name": f"{file}.json", "text": json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"}
        for file, content in found.items()
    ]


def _dashboards(gateway: Mapping[str, Any]) -> tuple[Dashboard, ...]:
    return dashboards(
        forms(gateway["names"] or ()),
        department=_has_department(gateway),
        ports=gateway.get("ports") or (),
        recorded=records_of(gateway),
    )


def records_of(gateway: Mapping[str, Any]) -> MonthRecords:
    """What is recorded of a month. Of several currencies none is shown: they cannot be added."""
    found = gateway.get("recorded") or []
    currencies = {item["currency"] for item in found if item["currency"]}
    budgets = frozenset(unit for item in found for unit in item["budgets"].split(",") if unit)
    return MonthRecords(bool(found), currencies.pop() if len(currencies) == 1 else "", budgets)


def _has_department(gateway: Mapping[str, Any]) -> bool:
    """Whether the department is shown: it carries data, or only traffic is missing for it to.

    While sidecars have counted nothing since they started, a dashboard that is there stays as it is.
    """
    if gateway["department_stored"]:
        return True
    is_expected = ((gateway.get("labels") or {}).get(DEPARTMENT) or {}).get("expected", False)
    ours = [json.dumps(document) for document in gateway["dashboards"] if is_ours(document)]
    return bool(is_expected) and (not ours or any(f"${DEPARTMENT}" in text for text in ours))


def _places(gateway: Mapping[str, Any], name: str) -> str:
    """Where the dashboards are, for a person."""
    found = [_where(provider, name) for provider in gateway["dashboard_providers"]]
    left_out = gateway.get("dashboards_left_out") or []
    if left_out:
        found.append(f"left out for {', '.join(left_out)}, see the cautions")
    return "; ".join(found) or NOTHING_SHOWS


def _where(provider: Mapping[str, Any], name: str) -> str:
    """The dashboards of a provider for a person."""
    first, *others = (_names.dashboard_name(name, key) for key in _names.DASHBOARD_KEYS)
    return f"{provider['kind']} {provider['namespace']}/{first} and {' and '.join(others)}"


def _identity(document: Mapping[str, Any]) -> tuple[str, str]:
    return document["kind"], name_of(document)


def _manifest(provider: Mapping[str, Any], dashboard: Dashboard, name: str, folder: str) -> dict[str, Any]:
    namespace, labels = provider["namespace"], provider["labels"]
    renderers: dict[str, Callable[[], dict[str, Any]]] = {
        "monitor": lambda: monitor_dashboard(dashboard, name, namespace, folder),
        "grafana": lambda: config_map(dashboard, name, namespace, labels),
        "grafana_operator": lambda: grafana_dashboard(dashboard, name, namespace, labels, GRAFANA_FOLDER),
        "perses": lambda: perses_dashboard(dashboard, name, namespace, provider["api"]),
    }
    return renderers[provider["provider"]]()
