# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of AWX: ansible-runner with the answers of a survey, all of them texts. No secret is in what a job keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml
from harness.awx import read_setup
from harness.runs import QUICK, ROOT
from harness.stand import Stand
from standlib import settings, tenants

from ansible_collections.aigateway.metering.plugins.lookup.options import specification

TEMPLATES = {template["playbook"]: template for template in read_setup()["awx_job_templates"]}


@dataclass(frozen=True)
class Job:
    """What is left of a job."""

    status: str
    output: str
    kept: str
    """Everything that the runner has kept of it: events, output, facts."""
    artifacts: dict[str, Any]


def launch(
    stand: Stand, directory: Path, playbook: str, answers: dict[str, Any], words: str = "", *, verbosity: int = 0
) -> Job:
    """A job as AWX runs it: the answers to the survey of its template, and the defaults of what is not answered."""
    survey = {item["variable"]: item["default"] for item in TEMPLATES[playbook]["survey"]["spec"]}
    environment = stand.environment()
    (directory / "runner").mkdir()
    run = ansible_runner.run(
        private_data_dir=str(directory / "runner"),
        project_dir=str(ROOT),
        playbook=f"playbooks/{playbook}.yml",
        inventory="localhost ansible_connection=local",
        # What is asked has the name of its question, and what is not asked that of the variable.
        extravars={
            **QUICK,
            **survey,
            **{f"survey_{name}" if f"survey_{name}" in survey else name: text for name, text in answers.items()},
        },
        envvars={name: value for name, value in environment.items() if name.startswith(("K8S_", "ANSIBLE_", "PATH"))},
        cmdline=words or None,
        verbosity=verbosity,
        quiet=True,
    )
    kept = [path for path in (directory / "runner" / "artifacts").rglob("*") if path.is_file()]
    artifacts: dict[str, Any] = {}
    for event in run.events:
        artifacts |= event.get("event_data", {}).get("artifact_data") or {}
    return Job(
        run.status,
        run.stdout.read(),
        # The command line is the runner's own; its arguments are names of files.
        "\n".join(path.read_text(errors="replace") for path in kept),
        artifacts,
    )


def secrets_of(stand: Stand) -> list[str]:
    """What the kubeconfig has that nobody may see."""
    user = yaml.safe_load(settings.kubeconfig(stand.name).read_text())["users"][0]["user"]
    return [str(value) for value in user.values()]


GATEWAYS = "team-a/gateway-a\nteam-b/gateway-b\n"
ANSWERS: dict[str, dict[str, Any]] = {
    "site": {
        "metering_gateways": GATEWAYS,
        "labels_pairs": "x-user-namespace:user_namespace\r\nx-user-group:department",
        "labels_wait_timeout": "300",
        "labels_allow_per_user": "false",
        "scrape_prometheus": "cpaas-system/kube-prometheus-0 ",
        "scrape_require_samples": "no",
        "scrape_timeout": "180",
        "scrape_api": "",
        "dashboard_providers": "auto, monitor",
    },
    "check": {"check_chargeback": "false", "check_timeout": "60", "check_report": ""},
    "report": {
        "report_period": "this_month",
        "report_by": "namespace\nmodel\nprovider",
        "report_compare": "no",
        "report_matchers": '{"namespace": "envoy-gateway-system"}',
        "report_zone": "Europe/Berlin",
    },
    "chargeback": {"chargeback_rules_series": "5000", "chargeback_budget_shares": "0.5\n0.9"},
    "render": {"metering_gateways": ""},
    "remove": {"labels_restart": "true"},
    "verify": {"verify_model": "chat-small", "verify_timeout": "120", "verify_address_validate_certs": "true"},
}
ONLY_LOOKED_AT = {"chargeback", "remove"}


@pytest.mark.parametrize("playbook", ANSWERS)
def test_a_job_takes_the_answers_of_its_survey_and_keeps_no_secret(
    metered: Stand, tmp_path: Path, playbook: str
) -> None:
    secrets, answers, words = secrets_of(metered), dict(ANSWERS[playbook]), ""
    if playbook == "verify":
        gateways = metered.gateways()
        tokens = [gateways.token(caller) for caller in tenants.CALLERS[:2]]
        secrets += tokens
        answers |= {"verify_address": gateways.address("gateway-a"), "verify_tokens": ", ".join(tokens)}
    if playbook == "render":
        answers["render_dir"] = str(tmp_path / "rendered")
    if playbook in ONLY_LOOKED_AT:
        words = "--check --diff"
    job = launch(metered, tmp_path, playbook, answers, words, verbosity=3)
    assert job.status == "successful", job.output
    assert [secret for secret in secrets if secret in job.kept] == []


@pytest.mark.parametrize("playbook", ["site", "check", "report"])
def test_a_job_for_which_nothing_was_answered_takes_the_defaults(metered: Stand, tmp_path: Path, playbook: str) -> None:
    nothing = dict.fromkeys(specification("labels", "scrape", "dashboard", "check", "report"), "")
    # The stand was metered with these.
    nothing |= QUICK
    job = launch(metered, tmp_path, playbook, nothing)
    assert job.status == "successful", job.output


def test_what_is_wrong_is_told_by_the_name_of_its_question(metered: Stand, tmp_path: Path) -> None:
    before = metered.state()
    job = launch(metered, tmp_path, "site", {"labels_restart": "perhaps", "scrape_prune": "everything"})
    assert job.status == "failed"
    assert "labels_restart is 'perhaps', which is not true or false" in job.output
    assert "scrape_prune is 'everything', which is not one of: none, ours, all" in job.output
    assert metered.state() == before


@pytest.mark.parametrize("name", ["metering_validate_certs", "metering_in_cluster", "metering_in_process"])
def test_what_says_which_cluster_is_named_too(metered: Stand, tmp_path: Path, name: str) -> None:
    job = launch(metered, tmp_path, "check", {name: "perhaps"})
    assert job.status == "failed"
    assert f"{name} is 'perhaps', which is not true or false" in job.output


def test_namespaces_that_are_a_map_are_named(metered: Stand, tmp_path: Path) -> None:
    job = launch(metered, tmp_path, "check", {"metering_namespaces": {"team-a": "team-b"}})
    assert job.status == "failed"
    assert "metering_namespaces is a map." in job.output


@pytest.mark.parametrize("playbook", sorted(TEMPLATES))
def test_a_number_of_clusters_that_is_none_is_named(metered: Stand, tmp_path: Path, playbook: str) -> None:
    job = launch(metered, tmp_path, playbook, {"metering_serial": "some"})
    assert job.status == "failed"
    assert "metering_serial is 'some', which is neither a number of clusters nor a percentage" in job.output


def test_the_artifacts_have_the_summary_and_every_warning(metered: Stand, tmp_path: Path) -> None:
    job = launch(metered, tmp_path, "site", {})
    assert job.artifacts["metering_summary"]["localhost"][0].startswith("cluster: https://")
    cautions = job.artifacts["metering_cautions"]["localhost"]
    assert any("which makes one series for each user" in text for text in cautions)
    assert len(cautions) == len(set(cautions))


def test_the_artifacts_of_a_report_are_small(metered: Stand, tmp_path: Path) -> None:
    metered.send()
    job = launch(metered, tmp_path, "report", {"report_period": "this_month", "report_by": "namespace\npod"})
    usage = job.artifacts["metering_usage"]["localhost"]
    assert usage["total"] > 0
    assert len(usage["rows"]) <= 50
    assert len(json.dumps(job.artifacts)) < 20_000
