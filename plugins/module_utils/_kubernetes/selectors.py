# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Kubernetes label selectors.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# A requirement in a selector's text form: `a=b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`, `a`, `!a`.
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<gone>[^\s!=,()]+)"
    r"|(?P<key>[^\s!=,()]+)\s*(?:(?P<sign>==?|!=)\s*(?P<value>[^\s,()]*)"
    r"|(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|\Z)"
)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A Kubernetes label selector. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    for key, wanted in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != wanted:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, operator, values = expression["key"], expression["operator"], expression.get("values") or ()
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds.get(operator, False):
            return False
    return True


def satisfying(selector: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Labels, as few as possible, that a selector selects; None where there are none."""
    if selector is None:
        return None
    labels = dict(selector.get("matchLabels") or {})
    expressions = selector.get("matchExpressions") or ()
    for key in dict.fromkeys(item["key"] for item in expressions if item["operator"] in ("In", "Exists")):
        own = {"matchExpressions": [item for item in expressions if item["key"] == key]}
        offered = [value for item in own["matchExpressions"] for value in item.get("values") or ()]
        fitting = [value for value in (*offered, "true", "metering") if matches(own, {key: value})]
        if fitting:
            labels.setdefault(key, fitting[0])
    return labels if matches(selector, labels) else None


def parse_selector(text: str) -> dict[str, Any]:
    """A selector out of its text form, as the API server takes it in a query."""
    expressions: list[dict[str, Any]] = []
    for found in _REQUIREMENT.finditer(text):
        key = found["gone"] or found["key"]
        if found["sign"]:
            operator, values = ("NotIn" if found["sign"] == "!=" else "In"), [found["value"]]
        elif found["set"]:
            operator, values = ("In" if found["set"] == "in" else "NotIn"), found["values"].replace(" ", "").split(",")
        else:
            operator, values = ("DoesNotExist" if found["absent"] else "Exists"), []
        expressions.append({"key": key, "operator": operator, "values": values})
    return {"matchExpressions": expressions}
