# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables as surveys and `-e` give them: one place converts, and nothing decides by the truth of a text."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re

import pytest
import yaml
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.aigateway.metering.plugins.lookup.options import LookupModule, specification

ROOT = pathlib.Path(__file__).parents[3]


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


# -- every variable of every role, as a survey gives it ----------------------------------------------------------------

ROLES = sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
EVERY = [(role, name, option) for role in ROLES for name, option in specification(role).items()]
GOOD = {"bool": ("true", True), "int": (" 7 ", 7), "float": ("0.5", 0.5), "dict": ("a: b", {"a": "b"})}
BAD = {"bool": "maybe", "int": "7.5", "float": "half", "dict": "no map"}
every_variable = pytest.mark.parametrize(
    ("role", "name", "option"), EVERY, ids=[f"{role} {name}" for role, name, dummy in EVERY]
)


def with_required(role, **variables):
    """The variables, and a value for each that a role requires."""
    return {name: "x" for name, option in specification(role).items() if option.get("required")} | variables


@pytest.mark.parametrize("nothing", ["", "  ", None, [""]], ids=repr)
@every_variable
def test_an_unanswered_question_is_not_set(role, name, option, nothing):
    if option.get("required"):
        with pytest.raises(AnsibleLookupError, match=f"{name} is not set"):
            options(role, **with_required(role, **{name: nothing}))
    else:
        expected: object = {"list": [], "dict": {}, "str": ""}.get(option["type"])
        assert options(role, **with_required(role, **{name: nothing}))[name] == option.get("default", expected)


@every_variable
def test_a_text_becomes_what_it_says(role, name, option):
    kind = option["type"]
    chosen = option.get("choices", ["a/b", "c/d"])
    if kind == "list":
        items = ["0.1", "2"] if option["elements"] == "float" else list(filter(None, chosen))[:2]
        for text in (", ".join(items), "\r\n".join(items), json.dumps(items), "- " + "\n- ".join(items)):
            found = options(role, **with_required(role, **{name: text}))[name]
            wanted = [0.1, 2.0] if option["elements"] == "float" else items
            assert [str(it).removeprefix(f"{os.getcwd()}/") for it in found] == list(map(str, wanted))
        return
    word = next(filter(None, chosen))
    text, wanted = GOOD.get(kind, (word, word))
    found = options(role, **with_required(role, **{name: text}))[name]
    assert found == (f"{os.getcwd()}/{wanted}" if kind == "path" else wanted)


@every_variable
def test_what_is_no_such_thing_is_told_by_its_name(role, name, option):
    wrong: object
    if "choices" in option:
        wrong = "no-choice"
    elif option["type"] in BAD:
        wrong = BAD[option["type"]]
    elif option["type"] == "list":
        wrong = {"a": "map"} if option["elements"] != "float" else "much"
    elif option["type"] == "raw":
        return
    else:
        wrong = ["a", "list"]
    with pytest.raises(AnsibleLookupError) as caught:
        options(role, **with_required(role, **{name: wrong}))
    told = str(caught.value)
    assert f"{name} is " in told
    assert "Nothing was changed. Correct it. Next: ansible-doc -t role aigateway.metering." in told
    assert ("no map" in told) == (option["type"] == "dict" and not option.get("no_log"))


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(AnsibleLookupError, match=r"labels_restart.*labels_method"):
        options("labels", labels_restart="maybe", labels_method="magic")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"cluster": "a", "zone": "b"}', {"cluster": "a", "zone": "b"}),
        ("cluster: a\nzone: b", {"cluster": "a", "zone": "b"}),
        ("{cluster: a, zone: b}", {"cluster": "a", "zone": "b"}),
        ("cluster=a,zone=b", {"cluster": "a", "zone": "b"}),
        ("cluster = a\nzone=b=c", {"cluster": "a", "zone": "b=c"}),
        ("version: 1.10\nshown: on", {"version": "1.10", "shown": "on"}),
    ],
)
def test_a_map_is_taken_as_json_as_yaml_and_as_words(text, wanted):
    assert options("report", report_matchers=text)["report_matchers"] == wanted


def test_a_day_that_yaml_has_read_stays_a_text():
    assert options("report", report_from=datetime.date(2026, 11, 1))["report_from"] == "2026-11-01"


@pytest.mark.parametrize(("answer", "found"), [("", "helm"), ("  ", "helm"), ("patch", "patch")])
def test_an_answer_of_a_survey_goes_before_the_inventory_and_none_hides_it(answer, found):
    assert options("labels", labels_method="helm", survey_labels_method=answer)["labels_method"] == found


def test_what_is_asked_may_be_required():
    assert options("render", survey_render_dir="/x")["render_dir"] == "/x"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("*-eng=eng,dept-*=*", {"*-eng": "eng", "dept-*": "*"}),
        ("url=https://h:443,token=a", {"url": "https://h:443", "token": "a"}),
        ("token=abc,headers=X: t", {"token": "abc", "headers": "X: t"}),
    ],
)
def test_names_and_values_are_not_taken_for_yaml(text, wanted):
    assert options("report", report_matchers=text)["report_matchers"] == wanted


@pytest.mark.parametrize("text", ["a,b: c", "url: h,username=u,password=a-secret-word:"])
def test_what_is_half_of_each_is_refused_and_not_shown(text):
    with pytest.raises(AnsibleLookupError) as told:
        options("scrape", scrape_api=text)
    assert "a-secret-word" not in str(told.value)


def test_a_path_begins_where_the_command_was_given():
    found = options("check", check_report="drifts.json")
    assert found["check_report"] == f"{os.getcwd()}/drifts.json"


def test_a_path_from_a_root_stays():
    assert options("check", check_report="/tmp/drifts.json")["check_report"] == "/tmp/drifts.json"


def test_a_path_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert options("check", check_report="~/drifts.json")["check_report"] == "/home/somebody/drifts.json"


def test_a_word_that_is_chosen_twice_is_chosen_once():
    assert options("report", report_by="model,namespace,model")["report_by"] == ["model", "namespace"]


def test_a_secret_is_in_no_error():
    with pytest.raises(AnsibleLookupError) as caught:
        options("scrape", scrape_api="token a-secret-word")
    assert "scrape_api" in str(caught.value)
    assert "a-secret-word" not in str(caught.value)


@pytest.mark.parametrize("roles", [ROLES, ROLES[::-1]], ids=["in their order", "backwards"])
def test_whichever_roles_are_read_together_nothing_is_none(roles):
    """ansible-core 2.19.0 refuses a none where a module wants a text."""
    loader = DataLoader()
    required = {name: "x" for role in roles for name, option in specification(role).items() if option.get("required")}
    found = LookupModule(loader=loader, templar=Templar(loader, variables=required)).run(roles, required)[0]
    assert [name for name, value in found.items() if value is None] == []


def test_a_variable_of_several_roles_has_one_default():
    defaults: dict[str, set[str]] = {}
    for role in ROLES:
        for name, option in specification(role).items():
            if "default" in option:
                defaults.setdefault(name, set()).add(repr(option["default"]))
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}


FILES = sorted([*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "roles").glob("*/vars/*.yml")])
FILES += sorted((ROOT / "playbooks").glob("*.yml"))
CONDITIONS = {"when", "that", "until", "failed_when", "changed_when"}


def expressions(value, key=""):
    """Every expression of a file: what stands in braces, and conditions."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from expressions(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner, key)
    elif isinstance(value, str):
        yield from [value] if key in CONDITIONS else re.findall(r"{{.*?}}|{%.*?%}", value, re.DOTALL)


def names_read(text):
    """The variables that a file of tasks reads."""
    found = (re.sub(r"'[^']*'|\"[^\"]*\"", "", expression) for expression in expressions(yaml.safe_load(text)))
    return {word for expression in found for word in re.findall(r"(?<![\w.'])[a-z_]\w*(?!\w|\s*=[^=])", expression)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_task_reads_a_variable_that_was_not_converted(path):
    names = {name for dummy, name, option in EVERY}
    assert names & names_read(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "text",
    [
        "a: '{{ labels_restart }}'",
        "a: >-\n  {{ x\n  or scrape_interval }}",
        "when:\n  - labels_restart",
        "that: not labels_restart",
    ],
)
def test_a_variable_that_is_read_as_it_is_given_would_be_seen(text):
    assert names_read(text) & {"labels_restart", "scrape_interval"}
