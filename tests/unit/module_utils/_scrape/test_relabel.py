# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relabeling, rule by rule; tests/e2e/test_double_scrape.py holds it against a real Prometheus."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._scrape import relabel

LABELS = {"job": "a", "pod": "p-1", "__meta_x": "y"}


@pytest.mark.parametrize(
    ("rule", "after"),
    [
        pytest.param({"targetLabel": "job", "replacement": "b"}, LABELS | {"job": "b"}, id="a fixed value"),
        pytest.param({"sourceLabels": ["pod"], "targetLabel": "job"}, LABELS | {"job": "p-1"}, id="a copy"),
        pytest.param(
            {"sourceLabels": ["pod", "job"], "targetLabel": "both"}, LABELS | {"both": "p-1;a"}, id="several, joined"
        ),
        pytest.param(
            {"sourceLabels": ["pod", "job"], "separator": "/", "targetLabel": "both"},
            LABELS | {"both": "p-1/a"},
            id="another separator",
        ),
        pytest.param({"action": "drop", "regex": ["x", "p-1"], "sourceLabels": ["pod"]}, None, id="a list of regexes"),
        pytest.param({"action": "drop", "sourceLabels": ["pod"], "if": '{job="other"}'}, LABELS, id="on a condition"),
        pytest.param({"action": "drop_metrics", "regex": "x"}, LABELS, id="a metric of another name"),
        pytest.param(
            {"sourceLabels": ["pod"], "regex": "(.+)-(\\d)", "targetLabel": "job", "replacement": "${2}-$1"},
            LABELS | {"job": "1-p"},
            id="groups",
        ),
        pytest.param(
            {"sourceLabels": ["pod"], "regex": "(?P<name>.+)-1", "targetLabel": "job", "replacement": "${name}"},
            LABELS | {"job": "p"},
            id="named groups",
        ),
        pytest.param({"targetLabel": "x", "replacement": "$$1"}, LABELS | {"x": "$1"}, id="a dollar sign"),
        pytest.param({"sourceLabels": ["pod"], "regex": "p", "targetLabel": "job"}, LABELS, id="anchored"),
        pytest.param(
            {"sourceLabels": ["absent"], "targetLabel": "job"}, {"pod": "p-1", "__meta_x": "y"}, id="empty removes it"
        ),
        pytest.param(
            {"action": "LabelMap", "regex": "__meta_(.+)"}, LABELS | {"x": "y"}, id="labelmap, as monitors write it"
        ),
        pytest.param({"action": "labeldrop", "regex": "j.*"}, {"pod": "p-1", "__meta_x": "y"}, id="labeldrop"),
        pytest.param({"action": "labelkeep", "regex": "job"}, {"job": "a"}, id="labelkeep"),
        pytest.param(
            {"action": "uppercase", "source_labels": ["pod"], "target_label": "job"},
            LABELS | {"job": "P-1"},
            id="uppercase",
        ),
        pytest.param({"action": "lowercase", "source_labels": ["job"], "target_label": "job"}, LABELS, id="lowercase"),
        pytest.param({"action": "keep", "sourceLabels": ["job"], "regex": "a|b"}, LABELS, id="keep"),
        pytest.param({"action": "keep", "sourceLabels": ["job"], "regex": "b"}, None, id="keep: another"),
        pytest.param({"action": "drop", "sourceLabels": ["job"], "regex": "a"}, None, id="drop"),
        pytest.param({"action": "drop", "sourceLabels": ["job"], "regex": "b"}, LABELS, id="drop: another"),
        pytest.param({"action": "keepequal", "sourceLabels": ["job"], "targetLabel": "pod"}, None, id="keepequal"),
        pytest.param({"action": "dropequal", "sourceLabels": ["job"], "targetLabel": "pod"}, LABELS, id="dropequal"),
        pytest.param(
            {"action": "drop", "sourceLabels": ["job"], "regex": "(?-s:a"}, LABELS, id="an unknown expression"
        ),
        pytest.param({"action": "graphite", "sourceLabels": ["job"]}, LABELS, id="an unknown action"),
    ],
)
def test_a_rule_does_what_prometheus_does(rule, after):
    assert relabel.apply_rules([rule], LABELS) == after


def test_a_hash_is_the_one_that_prometheus_makes():
    """The value is that of its own test (model/relabel/relabel_test.go)."""
    rule: dict[str, Any] = {"action": "hashmod", "sourceLabels": ["c"], "targetLabel": "d", "modulus": 1000}
    assert relabel.apply_rules([rule], {"c": "baz"}) == {"c": "baz", "d": "976"}


def test_rules_are_applied_one_after_another():
    keep = {"action": "keep", "sourceLabels": ["job"], "regex": "b"}
    rules: list[dict[str, Any]] = [{"targetLabel": "job", "replacement": "b"}, keep]
    assert relabel.apply_rules(rules, LABELS) == LABELS | {"job": "b"}


def test_of_what_reads_unknown_labels_nothing_can_be_told():
    known, unknown = {"sourceLabels": ["job"]}, {"sourceLabels": ["job", "gen_ai_token_type"]}
    assert len(relabel.rules_about([known, unknown], {"job"})) == 1


def test_the_operators_leave_an_empty_regex_out():
    rule = {"sourceLabels": ["pod"], "targetLabel": "job", "regex": ""}
    written = relabel.of_monitors([rule])
    assert relabel.apply_rules(written, LABELS) == LABELS | {"job": "p-1"}
    assert relabel.apply_rules([rule], LABELS) == LABELS


def test_of_several_names_that_become_one_the_last_is_kept():
    rules = [{"action": "labelmap", "regex": "(?:first|second)_(.+)"}]
    labels = {"second_name": "b", "first_name": "a"}
    assert relabel.apply_rules(rules, labels) == {**labels, "name": "b"}


@pytest.mark.parametrize(("action", "value", "wanted"), [("uppercase", "straße", "STRAßE"), ("lowercase", "İX", "ix")])
def test_a_letter_becomes_one_letter(action, value, wanted):
    rules = [{"action": action, "source_labels": ["a"], "target_label": "b"}]
    assert relabel.apply_rules(rules, {"a": value}) == {"a": value, "b": wanted}
