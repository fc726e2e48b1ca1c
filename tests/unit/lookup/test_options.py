# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables as surveys and `-e` give them: one place converts, and nothing decides by the truth of a text."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.aigateway.metering.plugins.lookup.options import LookupModule

ROOT = pathlib.Path(__file__).parents[3]
CONVERTED = {"bool", "int", "float", "list"}


def options(role, **variables):
    loader = DataLoader()
    return LookupModule(loader=loader, templar=Templar(loader, variables=variables)).run([role], variables)[0]


@pytest.mark.parametrize("text", ["false", "no", "False", "0", False, 0])
def test_a_text_that_says_no_is_none(text):
    found = options("chargeback", chargeback_rules=text, chargeback_cost_management=text)
    assert (found["chargeback_rules"], found["chargeback_cost_management"]) == (False, False)


def test_numbers_and_lists_are_what_their_text_says():
    found = options(
        "chargeback", chargeback_rules_series="500", chargeback_rules_nobody="0.1", metering_gateways="a/b,c/d"
    )
    assert (found["chargeback_rules_series"], found["chargeback_rules_nobody"]) == (500, 0.1)
    assert found["metering_gateways"] == ["a/b", "c/d"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("chargeback_rules", "maybe"), ("chargeback_divisor", "a million"), ("chargeback_rules_nobody", "few")],
)
def test_what_cannot_be_converted_is_told_by_its_name(name, text):
    with pytest.raises(AnsibleLookupError, match=f"{name}.*Next: "):
        options("chargeback", **{name: text})


def test_the_default_stands_for_what_is_not_given():
    assert options("chargeback")["chargeback_divisor"] == 1_000_000


def typed_variables():
    found = set()
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found |= {name for name, own in (entry.get("options") or {}).items() if own["type"] in CONVERTED}
    return found


FILES = sorted([*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "playbooks").glob("*.yml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_task_decides_by_a_variable_that_was_not_converted(path):
    """It may hand one on to a module of ours, which converts, or take it from what the lookup has converted."""
    handed_on = re.compile(r"\s*-?\s*\w+: (\"\{\{ \w+( \| default\([^|]*\))? \}\}\"|true|false)$")
    wrong = [
        line.strip()
        for line in path.read_text(encoding="utf-8").splitlines()
        for name in typed_variables()
        if re.search(rf"(?<![\w.'])({name})(?!\w)", line) and not handed_on.match(line)
    ]
    assert wrong == []
