# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWX is given: playbooks to offer, surveys whose questions we read, tasks that its collection's modules take."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.awx import read_setup

from ansible_collections.aigateway.metering.plugins.lookup.options import specification
from ansible_collections.aigateway.metering.plugins.plugin_utils import _options

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / ".collections/ansible_collections/awx/awx/plugins/modules"
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
# Of a cluster, and of a run, these are read elsewhere than in a role.
OF_A_RUN = {"metering_hosts"}
# As AWX looks through the files of a project (awx/main/utils/ansible.py).
PLAYBOOK = re.compile(r"^\s*?-?\s*?(?:hosts|(ansible\.builtin\.)?import_playbook|include):\s*?.*?$")
NO_PLAYBOOKS = {"roles", "tasks", "group_vars", "host_vars"}


AWX = read_setup()


def variable_of(question: dict[str, Any]) -> str:
    """The variable that a question is about; where the inventory may have it, it has another name in the survey."""
    return str(question["variable"]).removeprefix("survey_")


QUESTIONS = [(template, item) for template in AWX["awx_job_templates"] for item in template["survey"]["spec"]]
each_question = pytest.mark.parametrize(
    "question",
    [question for dummy, question in QUESTIONS],
    ids=[f"{template['playbook']} {question['variable']}" for template, question in QUESTIONS],
)
TASKS = yaml.safe_load((ROOT / "playbooks/awx.yml").read_text(encoding="utf-8"))[0]["tasks"]


def documented(module: str) -> dict[str, Any]:
    text = (MODULES / f"{module}.py").read_text(encoding="utf-8")
    found = re.search(r"DOCUMENTATION = r?(?P<quotes>'{3}|\"{3})(.*?)(?P=quotes)", text, re.DOTALL)
    assert found
    return yaml.safe_load(found.group(2))["options"]


def offered() -> list[str]:
    """The files of this repository that AWX takes for playbooks."""
    names = subprocess.run(
        ["git", "ls-files", "*.yml", "*.yaml"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    paths = [Path(name) for name in names if (ROOT / name).exists()]
    return [
        str(path)
        for path in paths
        if not NO_PLAYBOOKS & set(path.parts)
        and not any(part.startswith(".") for part in path.parts)
        and any(PLAYBOOK.match(line) for line in (ROOT / path).read_text(encoding="utf-8").splitlines())
    ]


def test_awx_offers_our_playbooks_and_no_test():
    ours = [f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")]
    assert sorted(offered()) == sorted(ours)


def test_each_playbook_for_clusters_has_a_template():
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert {template["playbook"] for template in AWX["awx_job_templates"]} == playbooks - {"awx", "merge_reports"}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task["name"])
def test_the_modules_of_awx_take_what_they_are_given(task):
    (module,) = [name for name in task if name.startswith("awx.awx.")]
    options = documented(module.rpartition(".")[2])
    assert set(task[module]) <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= set(task[module])
    literal = {name: value for name, value in task[module].items() if "{{" not in str(value)}
    assert [name for name, value in literal.items() if value not in options[name].get("choices", [value])] == []


@each_question
def test_each_question_is_about_a_variable_that_is_read(question):
    known = OF_A_RUN.union(*(specification(role) for role in ROLES))
    assert variable_of(question) in known


@each_question
def test_each_question_is_one_that_awx_can_ask(question):
    assert question["type"] in {"text", "textarea", "password", "integer", "float", "multiplechoice", "multiselect"}
    assert ("choices" in question) == question["type"].startswith("multi")
    # An empty answer leaves what the inventory says; under the variable's own name it would hide that.
    assert question["default"] == ""
    assert question["variable"] == "metering_hosts" or question["variable"].startswith("survey_")


@each_question
def test_each_answer_that_is_offered_is_taken(question):
    options = {name: option for role in ROLES for name, option in specification(role).items()}
    option = options.get(variable_of(question))
    if option is None:
        return
    # What is required has no default in either.
    spec = {variable_of(question): {**option, "required": False}}
    for answer in [question["default"], *question.get("choices", [])]:
        _options.read_options(spec, {variable_of(question): answer}, "/")


def test_each_schedule_is_of_a_template():
    names = {template["name"] for template in AWX["awx_job_templates"]}
    assert [item for item in AWX["awx_schedules"] if item["template"] not in names] == []
