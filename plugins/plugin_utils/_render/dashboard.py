# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""One model of the dashboard's panels and variables, and its rendering as the platform's MonitorDashboard.

Totals are input + output: the other token types are parts of these two. Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...module_utils import _names
from ...module_utils._prometheus.promql import LEGACY_NAME, label, quoted
from ...module_utils._prometheus.token_metric import Form, forms

COLUMNS = 24
MODEL_VARIABLE = "$model"


@dataclass(frozen=True)
class Variable:
    """A drop-down whose values are those of a label."""

    name: str
    title: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One query with its drawing."""

    title: str
    description: str
    kind: str
    expression: str
    legend: str
    unit: str
    instant: bool = False


def _scalar(label: str) -> tuple[str, str]:
    """Matchers for series that carry a label with a plain value: neither none nor an encoded array."""
    return f'{label}!=""', f"{label}!~{quoted(_names.ENCODED_ARRAY_PATTERN)}"


def dashboard_model(stored: Sequence[Form], *, department: bool) -> tuple[list[Variable], list[Panel]]:
    """The variables and the panels.

    Args:
        stored: the forms in which the metric is stored.
        department: whether the department label carries data, or is about to.
    """
    # The name that the model's label has in results: series of the other form are given it.
    model_label = stored[0].model
    variables = [
        Variable("namespace", "Namespace", "user_namespace"),
        Variable("model", "Model", model_label),
    ]
    filters = ['user_namespace=~"$namespace"']
    if department:
        variables.append(Variable("department", "Department", "department"))
        filters.append('department=~"$department"')

    def increase(window: str, types: Sequence[str], *matchers: str) -> str:
        """The increase of some token types in every form, the model under one label."""
        found = []
        for form in stored:
            for kinds in form.totals(types):
                own = [*kinds, *matchers, *filters, f"{label(form.model)}=~{quoted(MODEL_VARIABLE)}"]
                found.append(form.with_model_as(model_label, form.over("increase", window, *own)))
        return " or ".join(found)

    total, output = _names.TOTAL_TOKEN_TYPES, ("output",)
    by_namespace = "sum by (user_namespace)"
    panels = [
        Panel(
            "Tokens per namespace, last hour",
            "Input and output tokens by billed namespace. An estimate for the eye, not a bill: increase() extrapolates "
            "and does not see the first request of a new series.",
            "timeseries",
            f"{by_namespace} ({increase('1h', total)})",
            "{{.user_namespace}}",
            "short",
        ),
        Panel(
            "Top 5 models, last 24 hours",
            "Input and output tokens by requested model.",
            "bargauge",
            f"topk(5, sum by ({label(model_label)}) ({increase('24h', total)}))",
            f"{{{{.{model_label}}}}}",
            "short",
            instant=True,
        ),
        Panel(
            "Output share per namespace, last hour",
            "The part of a namespace's tokens that is output, the expensive side.",
            "timeseries",
            f"{by_namespace} ({increase('1h', output)}) / {by_namespace} ({increase('1h', total)})",
            "{{.user_namespace}}",
            "percentunit",
        ),
    ]
    if department:
        panels.append(
            Panel(
                "Tokens per department, last hour",
                "Input and output tokens by the caller's department. Callers without one, or with an array for "
                "one, are left out.",
                "timeseries",
                f"sum by (department) ({increase('1h', total, *_scalar('department'))})",
                "{{.department}}",
                "short",
            )
        )
    return variables, panels


def _variable(variable: Variable, stored: Sequence[Form]) -> dict[str, Any]:
    """A MonitorDashboard's variable. `label_values` takes no dotted label; `query_result` with a pattern does."""
    metrics = stored[0].metrics
    if len(stored) == len(metrics) == 1 and LEGACY_NAME.match(metrics[0]):
        query, pattern = f"label_values({metrics[0]},{variable.label})", ""
    else:
        counts = []
        for form in stored:
            own = form.model if variable.name == "model" else variable.label
            counts.append(f"count by ({label(own)}) ({form.selector()})")
        query = f"query_result({' or '.join(counts)})"
        labels = {form.model for form in stored} if variable.name == "model" else {variable.label}
        pattern = f'/(?:{"|".join(re.escape(name) for name in sorted(labels))})"?="([^"]*)"/'
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "hide": 0,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {},
        "options": [],
        "regex": pattern,
        "sort": 1,
        "definition": query,
        "query": {"query": query, "refId": "StandardVariableQuery"},
    }


def _panel(panel: Panel, index: int) -> dict[str, Any]:
    width, height = COLUMNS // 2, 8
    return {
        "id": index + 1,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "gridPos": {"h": height, "w": width, "x": index % 2 * width, "y": index // 2 * height},
        "targets": [
            {
                "expr": panel.expression,
                "instant": panel.instant,
                "range": not panel.instant,
                "legendFormat": panel.legend,
                "refId": "A",
            }
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
    }


def monitor_dashboard(
    metrics: Sequence[str], *, department: bool, namespace: str, name: str, folder: str
) -> dict[str, Any]:
    """The dashboard as a MonitorDashboard (ait.alauda.io/v1alpha2).

    Args:
        metrics: the names under which token sums are stored; may be empty.
        department: whether the department label carries data, or is about to.
        namespace: the namespace of the object.
        name: its name.
        folder: where the platform shows it, such as `AML` for the Alauda AI view.
    """
    stored = forms(metrics)
    variables, panels = dashboard_model(stored, department=department)
    return {
        "apiVersion": "ait.alauda.io/v1alpha2",
        "kind": "MonitorDashboard",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                _names.MANAGED_BY_LABEL: _names.MANAGED_BY,
                "cpaas.io/dashboard.folder": folder,
                "cpaas.io/dashboard.is.home.dashboard": "false",
                "cpaas.io/dashboard.tag.overview": "true",
                "cpaas.io/published": "true",
            },
            "annotations": {
                "cpaas.io/dashboard.version": "3",
                "cpaas.io/description": "Tokens per billed namespace, model and department",
                "cpaas.io/operator": _names.MANAGED_BY,
            },
        },
        "spec": {
            "body": {
                "title": "AI gateway token usage",
                "titleZh": "AI 网关令牌用量",
                "tags": ["overview"],
                "time": {"from": "now-24h", "to": "now"},
                "refresh": "1m",
                "templating": {"list": [_variable(variable, stored) for variable in variables]},
                "panels": [_panel(panel, index) for index, panel in enumerate(panels)],
            }
        },
    }
