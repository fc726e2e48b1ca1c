# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Departments out of arrays of groups: by patterns, in rows alone, and no token is lost or counted twice."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import budgets, report
from ansible_collections.aigateway.metering.plugins.plugin_utils._report.departments import map_departments


def array(*groups):
    """As Envoy writes an array claim into a header."""
    return base64.b64encode(json.dumps(groups).encode()).decode()


def usage(*departments):
    rows = [
        {
            "namespace": "team-a",
            "department": name,
            "tokens": {"input": 10},
            "beside": {},
            "total": 10 + number,
            "requests": 1,
        }
        for number, name in enumerate(departments)
    ]
    totals = {"total": sum(row["total"] for row in rows), "requests": len(rows), "tokens": {"input": 10 * len(rows)}}
    period = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}
    return {**period, **totals, "by": ["namespace", "department"], "rows": rows, "days": [], "doubts": []}


def departments(rules, *given_to):
    return [row["department"] for row in map_departments(usage(*given_to), rules)["rows"]]


@pytest.mark.parametrize(
    ("rules", "groups", "wanted"),
    [
        ({"sales-emea": "sales"}, ["staff", "sales-emea"], "sales"),
        ({"dept-*": "*"}, ["staff", "dept-research"], "research"),
        ({"/departments/*": "dept *"}, ["/departments/ops"], "dept ops"),
        ({"sales-*": "sales", "*": "others"}, ["staff"], "others"),
        # The order of the patterns decides, and among groups of one pattern their own order.
        ({"b": "second", "a": "first"}, ["a", "b"], "second"),
        ({"dept-*": "*"}, ["dept-b", "dept-a"], "b"),
    ],
)
def test_the_first_pattern_that_matches_a_group_counts(rules, groups, wanted):
    assert departments(rules, array(*groups)) == [wanted]


def test_what_no_pattern_matches_and_what_is_no_array_stays():
    other = array("staff")
    assert sorted(departments({"sales-*": "sales"}, other, "sales-emea", "")) == sorted([other, "sales-emea", ""])


def test_rows_that_become_one_department_are_added_up():
    found = map_departments(usage(array("a"), array("b"), "sales"), {"*": "sales"})
    (row,) = found["rows"]
    assert (row["total"], row["requests"], row["tokens"]) == (33, 3, {"input": 30})


def test_a_report_that_is_not_by_department_is_left_alone():
    own = {**usage("x"), "by": ["namespace"]}
    assert map_departments(own, {"*": "y"}) == own


@given(
    st.lists(st.lists(st.text(max_size=4), max_size=3), max_size=5),
    st.dictionaries(st.text("a*", min_size=1), st.just("x")),
)
def test_no_token_is_lost(groups, rules):
    before = usage(*(array(*own) for own in groups))
    after = map_departments(before, rules)
    assert sum(row["total"] for row in after["rows"]) == before["total"]
    assert map_departments(after, rules) == after


@pytest.mark.parametrize("rules", [{"a": ""}, {"a": 7}, {"": "x"}, {"*-a": "*"}, {"*a*": "*"}])
def test_a_rule_that_cannot_be_used_is_told(rules):
    with pytest.raises(MeteringError, match="report_department_from"):
        map_departments(usage("x"), rules)


def test_budgets_of_departments_count_what_was_mapped():
    found = report.build_report(map_departments(usage(array("dept-a"), array("dept-b")), {"dept-*": "*"}))
    wanted = budgets.parse_budgets({"budgets": [{"department": "b", "tokens": "100"}]})
    (status,) = budgets.budget_statuses(found, wanted)
    assert status.used == 11
