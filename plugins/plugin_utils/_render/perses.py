# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Dashboards as a PersesDashboard of Perses's operator. Pure: no input or output, no Ansible."""

from __future__ import annotations

from typing import Any

from ...module_utils import _names
from .dashboard_model import (
    AMOUNT,
    BARS,
    COUNT,
    LINES,
    NUMBER,
    SECONDS,
    SHARE,
    TOKENS,
    Dashboard,
    Panel,
    PanelRow,
    Query,
    Variable,
)
from .layout import place_panels

GROUP = "perses.dev"
# The present version first. The older one has the dashboard right below spec.
VERSIONS = ("perses.dev/v1alpha2", "perses.dev/v1alpha1")
KINDS = {LINES: "TimeSeriesChart", NUMBER: "StatChart", BARS: "BarChart"}
UNITS = {TOKENS: "decimal", SHARE: "percent-decimal", SECONDS: "seconds", COUNT: "decimal", AMOUNT: "decimal"}


def perses_model(dashboard: Dashboard) -> dict[str, Any]:
    """What Perses calls the specification of a dashboard."""
    panels = [(f"panel{number}", panel) for number, panel in enumerate(p for row in dashboard.rows for p in row.panels)]
    names = iter(name for name, dummy in panels)
    return {
        "display": {"name": dashboard.title, "description": dashboard.description},
        "duration": "24h",
        "refreshInterval": "1m",
        "variables": [_variable(variable) for variable in dashboard.variables],
        "panels": {name: _panel(panel) for name, panel in panels},
        "layouts": [_layout(row, [next(names) for dummy in row.panels]) for row in dashboard.rows],
    }


def perses_dashboard(dashboard: Dashboard, name: str, namespace: str, version: str) -> dict[str, Any]:
    """A PersesDashboard.

    Args:
        dashboard: the dashboard.
        name: what its name is made of.
        namespace: the namespace, which is the project in Perses.
        version: one of VERSIONS.
    """
    model = perses_model(dashboard)
    return {
        "apiVersion": version,
        "kind": "PersesDashboard",
        "metadata": {
            "name": _names.dashboard_name(name, dashboard.key),
            "namespace": namespace,
            "labels": {_names.MANAGED_BY_LABEL: _names.MANAGED_BY, _names.DASHBOARD_LABEL: dashboard.key},
        },
        "spec": {"config": model} if version == VERSIONS[0] else model,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    plugin = {"expr": variable.expression, "labelName": variable.label}
    return {
        "kind": "ListVariable",
        "spec": {
            "name": variable.name,
            "display": {"name": variable.title},
            "allowMultiple": variable.takes_all,
            "allowAllValue": variable.takes_all,
            **({"customAllValue": ".*", "defaultValue": ["$__all"]} if variable.takes_all else {}),
            "sort": "alphabetical-asc",
            "plugin": {"kind": "PrometheusPromQLVariable", "spec": plugin},
        },
    }


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "kind": "Panel",
        "spec": {
            "display": {"name": panel.title, "description": panel.description},
            "plugin": {"kind": KINDS[panel.kind], "spec": _drawing(panel)},
            "queries": list(map(_query, panel.queries)),
        },
    }


def _query(query: Query) -> dict[str, Any]:
    spec = {"query": query.expression, "seriesNameFormat": query.legend or f"{{{{{query.by}}}}}"}
    return {"kind": "TimeSeriesQuery", "spec": {"plugin": {"kind": "PrometheusTimeSeriesQuery", "spec": spec}}}


def _drawing(panel: Panel) -> dict[str, Any]:
    exact = {"decimalPlaces": 2} if panel.unit == AMOUNT else {}
    unit = {"unit": UNITS[panel.unit], **exact, **({"shortValues": True} if panel.unit == TOKENS else {})}
    if panel.kind == LINES:
        legend = {"position": "bottom", "mode": "list", "size": "small"}
        return {"legend": legend, "yAxis": {"format": unit, "min": 0}, "visual": {"areaOpacity": 0.1}}
    return {"calculation": "last-number", "format": unit}


def _layout(row: PanelRow, names: list[str]) -> dict[str, Any]:
    placed = zip(names, place_panels(row), strict=True)
    return {
        "kind": "Grid",
        "spec": {
            "display": {"title": row.title, "collapse": {"open": True}},
            "items": [
                {
                    "x": place.x,
                    "y": place.y,
                    "width": place.width,
                    "height": place.height,
                    "content": {"$ref": f"#/spec/panels/{name}"},
                }
                for name, (dummy, place) in placed
            ],
        },
    }
