# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""The department of a caller whose claim is an array of groups: a label that was stored cannot be changed, a row can.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...module_utils import _names
from ...module_utils._errors import MeteringError
from ...module_utils._gateway.exposition import decoded_array
from ...module_utils._lists import words_of
from .merged import add_rows
from .prices import matches_pattern

DEPARTMENT = _names.DEPARTMENT_LABEL


def map_departments(usage: Mapping[str, Any], rules: Mapping[str, str]) -> dict[str, Any]:
    """The usage with the departments of arrays, by rules; rows that are then of one department are one.

    Args:
        usage: the result of token_usage_info.
        rules: patterns of groups, in their order, each with its department. The first that matches some group of an
            array counts. `*` in a department stands for what the `*` at the end of its pattern has matched.

    Raises:
        MeteringError: a rule cannot be used.
    """
    _check_rules(rules)
    if not rules or DEPARTMENT not in words_of(usage["by"]):
        return dict(usage)
    rows = [{**row, DEPARTMENT: _department_of(row[DEPARTMENT], rules)} for row in usage["rows"]]
    return {**usage, "rows": add_rows(rows, words_of(usage["by"]))}


def _check_rules(rules: Mapping[str, str]) -> None:
    for pattern, department in rules.items():
        fits = isinstance(department, str) and department.strip() and str(pattern).strip()
        if not fits or ("*" in department and (str(pattern).count("*"), str(pattern)[-1]) != (1, "*")):
            raise MeteringError(
                f"report_department_from has {str(pattern)!r}: {department!r}.",
                "A department is a text; a * in it stands for what the * at the end of its pattern has matched.",
                "Write it like dept-*: '*', or like sales-emea: sales.",
            )


def _department_of(value: str, rules: Mapping[str, str]) -> str:
    array = decoded_array(value)
    groups = [item for item in json.loads(array) if isinstance(item, str)] if array else []
    for pattern, department in rules.items():
        for group in groups:
            if matches_pattern(pattern, group):
                return department.replace("*", group[len(pattern) - 1 :])
    return value
