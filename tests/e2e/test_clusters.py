# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several hosts in an inventory, each of which stands for a cluster: each playbook reaches the one that a host says."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.inventory import play_hosts, recap
from harness.stand import Stand
from standlib import settings

NOWHERE = "https://127.0.0.1:9"


def access(stand: Stand, directory: Path) -> dict[str, str]:
    """The cluster's address, its authority as a file, and a token of an administrator."""
    config = yaml.safe_load(settings.kubeconfig(stand.name).read_text())["clusters"][0]["cluster"]
    authority = directory / "ca.crt"
    authority.write_bytes(base64.b64decode(config["certificate-authority-data"]))
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    account = stand.account(directory / "account", everything)
    token = yaml.safe_load(Path(account["K8S_AUTH_KUBECONFIG"]).read_text())["users"][0]["user"]["token"]
    return {"metering_host": config["server"], "metering_ca_cert": str(authority), "metering_api_key": token}


@pytest.fixture
def clusters(metered: Stand, tmp_path: Path) -> tuple[Stand, dict[str, dict[str, str]]]:
    """A cluster by three ways to reach it, and one that nobody reaches."""
    config = tmp_path / "config"
    shutil.copy(settings.kubeconfig(metered.name), config)
    context = yaml.safe_load(config.read_text())["current-context"]
    return metered, {
        "file": {"metering_kubeconfig": str(config)},
        "context": {"metering_kubeconfig": str(config), "metering_context": context, "metering_host": ""},
        "token": access(metered, tmp_path),
        "nowhere": {"metering_host": NOWHERE, "metering_api_key": "a-secret-word", "metering_validate_certs": "no"},
    }


@pytest.mark.parametrize(
    ("playbook", "words", "variables"),
    [
        ("site", (), {}),
        ("site", ("--check", "--diff", "--forks", "2"), {}),
        ("check", (), {}),
        ("report", (), {"report_period": "this_month"}),
        ("chargeback", ("--check",), {}),
        ("remove", ("--check",), {}),
    ],
    ids=["site", "site --check", "check", "report", "chargeback", "remove"],
)
def test_each_host_has_its_cluster_and_one_that_is_not_reached_keeps_nobody_up(
    clusters: tuple[Stand, dict[str, dict[str, str]]],
    tmp_path: Path,
    playbook: str,
    words: tuple[str, ...],
    variables: dict[str, Any],
) -> None:
    stand, hosts = clusters
    run = play_hosts(stand, hosts, tmp_path, playbook, *words, "-vvv", **variables)
    assert run.code != 0
    assert recap(run) == {"file": "ok", "context": "ok", "token": "ok", "nowhere": "failed"}, run.output
    assert NOWHERE in run.text
    for secret in ("a-secret-word", hosts["token"]["metering_api_key"]):
        assert secret not in run.output


def test_what_is_rendered_is_each_clusters_own(
    clusters: tuple[Stand, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    stand, hosts = clusters
    del hosts["nowhere"]
    run = play_hosts(stand, hosts, tmp_path, "render", render_dir=str(tmp_path) + "/{{ inventory_hostname }}")
    assert run.code == 0, run.output
    found = {name: (tmp_path / name / "podmonitor.yaml").read_text() for name in hosts}
    assert len(set(found.values())) == 1


def test_a_task_of_ones_own_goes_before_the_variables_of_the_host(stand: Stand, tmp_path: Path) -> None:
    own = tmp_path / "play.yml"
    module = {"kubeconfig": str(settings.kubeconfig(stand.name)), "check_permissions": False}
    task = {"aigateway.metering.gateway_info": module, "register": "found"}
    own.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    run = stand.play(_from_playbooks(own), metering_kubeconfig="/nowhere")
    assert run.code == 0, run.output


def _from_playbooks(path: Path) -> str:
    """A path as the name of one of the collection's playbooks."""
    return "../" * 8 + str(path.relative_to("/")).removesuffix(".yml")
