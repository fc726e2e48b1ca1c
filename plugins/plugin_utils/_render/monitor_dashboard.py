# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Dashboards as Alauda's MonitorDashboard. Pure: no input or output, no Ansible.

Its body is Grafana's JSON, but for what the platform's documentation says: no data source, legends with a leading dot.
"""

from __future__ import annotations

from typing import Any

from ...module_utils import _names
from .dashboard_model import Dashboard, Panel, PanelRow, Variable
from .grafana import LETTERS, TYPES, UNITS, variable_pattern
from .layout import GridPlace, place_rows

API = "ait.alauda.io/v1alpha2"


def monitor_dashboard(dashboard: Dashboard, name: str, namespace: str, folder: str) -> dict[str, Any]:
    """A MonitorDashboard.

    Args:
        dashboard: the dashboard.
        name: what its name is made of.
        namespace: the namespace of the object.
        folder: where the platform shows it, such as `AML` for the Alauda AI view.
    """
    return {
        "apiVersion": API,
        "kind": "MonitorDashboard",
        "metadata": {
            "name": _names.dashboard_name(name, dashboard.key),
            "namespace": namespace,
            "labels": {
                _names.MANAGED_BY_LABEL: _names.MANAGED_BY,
                _names.DASHBOARD_LABEL: dashboard.key,
                "cpaas.io/dashboard.folder": folder,
                "cpaas.io/dashboard.is.home.dashboard": "false",
                "cpaas.io/dashboard.tag.overview": "true",
                "cpaas.io/published": "true",
            },
            "annotations": {
                "cpaas.io/dashboard.version": "3",
                "cpaas.io/description": dashboard.description,
                "cpaas.io/operator": _names.MANAGED_BY,
            },
        },
        "spec": {
            "body": {
                "title": dashboard.title,
                "titleZh": dashboard.title_zh,
                "tags": ["overview"],
                "time": {"from": "now-24h", "to": "now"},
                "refresh": "1m",
                "templating": {"list": list(map(_variable, dashboard.variables))},
                "panels": [
                    _row(item, place, number) if isinstance(item, PanelRow) else _panel(item, place, number)
                    for number, (item, place) in enumerate(place_rows(dashboard), start=1)
                ],
            }
        },
    }


def _variable(variable: Variable) -> dict[str, Any]:
    # label_values takes no dotted label, and one metric only.
    query = f"query_result({variable.expression})"
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "hide": 0,
        "includeAll": variable.takes_all,
        "multi": variable.takes_all,
        **({"allValue": ".*"} if variable.takes_all else {}),
        "current": {},
        "options": [],
        "regex": variable_pattern(variable),
        "sort": 1,
        "definition": query,
        "query": {"query": query, "refId": "StandardVariableQuery"},
    }


def _place(place: GridPlace) -> dict[str, int]:
    return {"h": place.height, "w": place.width, "x": place.x, "y": place.y}


def _row(row: PanelRow, place: GridPlace, number: int) -> dict[str, Any]:
    return {"id": number, "title": row.title, "type": "row", "gridPos": _place(place)}


def _panel(panel: Panel, place: GridPlace, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "type": TYPES[panel.kind],
        "gridPos": _place(place),
        "targets": [
            {
                "expr": query.expression,
                "instant": panel.is_instant,
                "range": not panel.is_instant,
                "legendFormat": query.legend or f"{{{{.{query.by}}}}}",
                "refId": letter,
            }
            for letter, query in zip(LETTERS, panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": {"unit": UNITS[panel.unit], "min": 0}, "overrides": []},
        "options": {},
    }
