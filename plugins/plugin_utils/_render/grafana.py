# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Dashboards as Grafana's JSON, in a ConfigMap for Grafana's sidecar, and as a GrafanaDashboard of its operator.

The JSON is the classic model (schemaVersion 39), which every Grafana from version 10 on imports. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
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
    WHY_EMPTY,
    Dashboard,
    Panel,
    PanelRow,
    Variable,
)
from .layout import GridPlace, place_rows

OPERATOR_API = "grafana.integreatly.org/v1beta1"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
TYPES = {LINES: "timeseries", NUMBER: "stat", BARS: "bargauge"}
UNITS = {TOKENS: "short", SHARE: "percentunit", SECONDS: "s", COUNT: "none", AMOUNT: "none"}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def variable_pattern(variable: Variable) -> str:
    """A pattern that takes a label's values out of the text of query_result()."""
    return f'/{re.escape(variable.label)}="([^"]*)"/'


def grafana_model(dashboard: Dashboard, name: str) -> dict[str, Any]:
    """The JSON that Grafana imports.

    Args:
        dashboard: the dashboard.
        name: what its name is made of.
    """
    return {
        "uid": _uid(_names.dashboard_name(name, dashboard.key)),
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["ai-gateway", "metering"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_source_variable(), *map(_variable, dashboard.variables)]},
        "panels": [
            _row(item, place, number) if isinstance(item, PanelRow) else _panel(item, place, number)
            for number, (item, place) in enumerate(place_rows(dashboard), start=1)
        ],
    }


def _uid(name: str) -> str:
    """What Grafana's addresses have, of 40 characters at most; the same for the same name, so that links go on."""
    return name if len(name) <= 40 else hashlib.sha256(name.encode()).hexdigest()[:40]


def config_map(dashboard: Dashboard, name: str, namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A ConfigMap that Grafana's sidecar loads.

    Args:
        dashboard: the dashboard.
        name: what its name is made of.
        namespace: where the sidecar looks.
        labels: those by which it selects.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(dashboard, name, namespace, labels),
        "data": {f"{_names.dashboard_name(name, dashboard.key)}.json": _text(dashboard, name)},
    }


def grafana_dashboard(
    dashboard: Dashboard, name: str, namespace: str, selector: Mapping[str, str], folder: str
) -> dict[str, Any]:
    """A GrafanaDashboard of Grafana's operator.

    Args:
        dashboard: the dashboard.
        name: what its name is made of.
        namespace: where it stands.
        selector: the labels of the Grafanas that are to show it.
        folder: the folder in which they show it.
    """
    return {
        "apiVersion": OPERATOR_API,
        "kind": "GrafanaDashboard",
        "metadata": _metadata(dashboard, name, namespace, {}),
        "spec": {
            "allowCrossNamespaceImport": True,
            "folder": folder,
            "instanceSelector": {"matchLabels": dict(selector)},
            "json": _text(dashboard, name),
        },
    }


def _metadata(dashboard: Dashboard, name: str, namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    ours = {_names.MANAGED_BY_LABEL: _names.MANAGED_BY, _names.DASHBOARD_LABEL: dashboard.key}
    return {"name": _names.dashboard_name(name, dashboard.key), "namespace": namespace, "labels": {**labels, **ours}}


def _text(dashboard: Dashboard, name: str) -> str:
    return json.dumps(grafana_model(dashboard, name), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"query_result({variable.expression})"
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 3},
        "regex": variable_pattern(variable),
        "includeAll": variable.takes_all,
        "multi": variable.takes_all,
        **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if variable.takes_all else {}),
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }


def _place(place: GridPlace) -> dict[str, int]:
    return {"x": place.x, "y": place.y, "w": place.width, "h": place.height}


def _row(row: PanelRow, place: GridPlace, number: int) -> dict[str, Any]:
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": _place(place), "panels": []}


def _panel(panel: Panel, place: GridPlace, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": TYPES[panel.kind],
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": _place(place),
        "targets": [
            {
                "refId": letter,
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or f"{{{{{query.by}}}}}",
                "instant": panel.is_instant,
                "range": not panel.is_instant,
                "editorMode": "code",
            }
            for letter, query in zip(LETTERS, panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    """How values are written; where there is none, why."""
    found: dict[str, Any] = {
        "unit": UNITS[panel.unit],
        "min": 0,
        **({"decimals": 2} if panel.unit == AMOUNT else {}),
        "noValue": WHY_EMPTY if panel.kind == LINES else "none",
    }
    if panel.kind == LINES:
        return {**found, "custom": {"drawStyle": "line", "fillOpacity": 10, "showPoints": "auto", "spanNulls": False}}
    return {**found, "color": {"mode": "fixed", "fixedColor": "blue"}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == LINES:
        legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    calculated = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if panel.kind == NUMBER:
        return {**calculated, "colorMode": "none", "graphMode": "none", "textMode": "value"}
    return {**calculated, "orientation": "horizontal", "displayMode": "basic", "valueMode": "text"}
