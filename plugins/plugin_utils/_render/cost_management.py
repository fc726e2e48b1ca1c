# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What Alauda Cost Management is told to collect and to show.

Sources: its documentation of collection and display configurations (billing-docs). It prices each item by itself, and
takes prices with two decimals at most: so input and output are items of their own, shown by the million.
Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...module_utils import _names
from ...module_utils._prometheus.promql import label
from ...module_utils._prometheus.token_metric import Form, deduplicated, forms, of_sidecars

KIND, CATEGORY = "AIGateway", "AIGatewayToken"
# Items by token type. Together they are every token once: the other types are parts of these two.
ITEMS = {"input": "AIGatewayTokenInput", "output": "AIGatewayTokenOutput"}
TITLES = {
    "input": {"en": "Input tokens", "zh": "输入令牌"},
    "output": {"en": "Output tokens", "zh": "输出令牌"},
}
STEP = "5m"


def _increase(stored: Sequence[Form], kind: str, ports: Collection[int]) -> str:
    """What was added to the tokens of a type, by namespace and model, however often they are scraped."""
    named = stored[0].model
    found = []
    for form in stored:
        for kinds in form.totals((kind,)):
            matchers = (*kinds, f'{_names.REQUIRED_PAIR[1]}!=""', of_sidecars(ports))
            found.append(form.with_model_as(named, deduplicated(form.over("increase", STEP, *matchers))))
    return f"sum by ({_names.REQUIRED_PAIR[1]}, {label(named)}) ({' or '.join(found)})"


def collection(metrics: Sequence[str], ports: Collection[int]) -> list[dict[str, Any]]:
    """The collection's configuration: what an agent asks its cluster's monitoring for.

    Args:
        metrics: the names under which token sums are stored; may be empty.
        ports: those at which sidecars serve their metrics.
    """
    stored = forms(metrics)
    namespace = _names.REQUIRED_PAIR[1]
    return [
        {
            "kind": KIND,
            "category": CATEGORY,
            "item": item,
            "period": "Hourly",
            "usage": {
                "query": _increase(stored, kind, ports),
                "step": STEP,
                # An empty cluster is the agent's own; without the key nothing is collected.
                "mappers": {"name": stored[0].model, "namespace": namespace, "cluster": "", "project": namespace},
            },
        }
        for kind, item in ITEMS.items()
    ]


def display(divisor: int) -> list[dict[str, Any]]:
    """The display's configuration: what the server shows and prices.

    Args:
        divisor: how many tokens a price is for.
    """
    unit = {1: "token", 1000: "1k tokens", 1_000_000: "1M tokens"}.get(divisor, f"{divisor} tokens")
    return [
        {
            "name": CATEGORY,
            "displayname": {"zh": "AI 网关令牌", "en": "AI gateway tokens"},
            "methods": [
                {
                    "name": item,
                    "displayname": dict(TITLES[kind]),
                    "item": item,
                    "unit": {"zh": unit, "en": unit},
                    "divisor": divisor,
                }
                for kind, item in ITEMS.items()
            ],
        }
    ]


def configmap(place: tuple[str, str], marker: str, config: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A ConfigMap as Cost Management finds it. JSON is YAML, and has one form only.

    Args:
        place: its namespace and name.
        marker: the label by which it is found.
        config: what it says.
    """
    namespace, name = place
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {_names.MANAGED_BY_LABEL: _names.MANAGED_BY, marker: "true"},
        },
        "data": {"config": json.dumps(config, indent=2, ensure_ascii=False) + "\n"},
    }


def configurations(metrics: Sequence[str], ports: Collection[int], divisor: int) -> dict[str, dict[str, Any]]:
    """Both ConfigMaps, by the name of the program that reads them.

    Args:
        metrics: the names under which token sums are stored; may be empty.
        ports: those at which sidecars serve their metrics.
        divisor: how many tokens a price is for.
    """
    return {
        "slark-agent": configmap(
            _names.CHARGEBACK_CONFIG, "cpaas.io/slark.collection.config", collection(metrics, ports)
        ),
        "slark-server": configmap(_names.CHARGEBACK_DISPLAY, "cpaas.io/slark.display.config", display(divisor)),
    }
