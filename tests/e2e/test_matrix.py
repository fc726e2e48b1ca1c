# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The built collection, installed from files and run from elsewhere, with the versions that we claim to run with."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.installed import Environment, Versions
from harness.runs import QUICK, ROOT
from harness.stand import Stand
from standlib import settings, tenants

OURS = Versions("2.19.14", "3.11", "6.2.0", "37.0.2")
MATRIX = [
    pytest.param(OURS, id="ours"),
    pytest.param(Versions("2.19.0", "3.11", "6.0.0", "29.0.0"), id="oldest", marks=pytest.mark.long),
    pytest.param(Versions("2.19.14", "3.11", "6.6.0", "37.0.2"), id="newest on 3.11", marks=pytest.mark.long),
    pytest.param(Versions("2.20.10", "3.13", "6.2.0", "37.0.2"), id="2.20", marks=pytest.mark.long),
    pytest.param(Versions("2.21.5", "3.13", "6.6.0", "37.0.2"), id="newest", marks=pytest.mark.long),
]


class User:
    """Somebody who has installed the collection, and a cluster."""

    def __init__(self, stand: Stand, environment: Environment) -> None:
        self.stand, self.environment = stand, environment

    def play(self, playbook: str, *words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return self.environment.run(
            "ansible-playbook",
            playbook,
            *words,
            "--extra-vars",
            json.dumps({**QUICK, **variables}),
            K8S_AUTH_KUBECONFIG=str(settings.kubeconfig(self.stand.name)),
        )


def changed(done: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"changed=(\d+)", done.stdout)
    assert found, done.stdout
    return int(found.group(1))


@pytest.fixture
def user(metered: Stand, tmp_path: Path, request: pytest.FixtureRequest) -> User:
    return User(metered, Environment(request.param, tmp_path))


BOOTSTRAP = [
    {
        "name": "Bootstrap a cluster",
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"scrape_interval": "5s", "report_period": "this_month"},
        "tasks": [
            {"ansible.builtin.include_role": {"name": f"aigateway.metering.{role}"}}
            for role in ("preflight", "labels", "scrape", "dashboard", "check", "report")
        ],
    },
    {"name": "The whole of it, imported", "ansible.builtin.import_playbook": "aigateway.metering.check"},
]


@pytest.mark.parametrize("user", MATRIX, indirect=True)
def test_every_playbook_runs_where_it_is_installed(user: User, tmp_path: Path) -> None:
    gateways = user.stand.gateways()
    verify = {
        "verify_address": gateways.address("gateway-a"),
        "verify_model": "chat-small",
        "verify_tokens": gateways.token(tenants.CALLERS[0]),
    }
    bootstrap = tmp_path / "bootstrap.yml"
    bootstrap.write_text(yaml.safe_dump(BOOTSTRAP, sort_keys=False))
    runs = {
        "site": user.play("aigateway.metering.site"),
        "check": user.play("aigateway.metering.check"),
        "report": user.play("aigateway.metering.report", report_period="this_month", report_directory="report"),
        "verify": user.play("aigateway.metering.verify", **verify),
        "render": user.play("aigateway.metering.render", render_dir="rendered"),
        "chargeback": user.play("aigateway.metering.chargeback", "--check"),
        "remove": user.play("aigateway.metering.remove", "--check"),
        "bootstrap": user.play(str(bootstrap)),
        "apart": user.play("aigateway.metering.site", metering_in_process=False),
    }
    for name, done in runs.items():
        assert done.returncode == 0, f"{name}: {done.stdout}"
        assert "DEPRECAT" not in done.stdout, f"{name}: {done.stdout}"
        assert str(ROOT) not in done.stdout, name
    assert [name for name in ("site", "check", "apart", "bootstrap") if changed(runs[name])] == []
    elsewhere = tmp_path / "elsewhere"
    assert {path.name for path in elsewhere.iterdir()} == {"report", "rendered"}
    assert (elsewhere / "report" / "localhost.json").exists()
    assert (elsewhere / "rendered" / "by-hand.txt").exists()


@pytest.mark.parametrize("user", MATRIX[:1], indirect=True)
def test_the_documentation_is_shown_where_kubernetes_core_is_not_installed(user: User, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "ansible_collections" / "aigateway"
    alone.mkdir(parents=True)
    (user.environment.collections / "ansible_collections/aigateway/metering").rename(alone / "metering")
    done = user.environment.run(
        "ansible-doc", "aigateway.metering.gateway_info", ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "alone")
    )
    assert done.returncode == 0, done.stdout
    assert "K8S_AUTH_KUBECONFIG" in done.stdout


@pytest.mark.parametrize("words", [("site",), ("check",), ("site", "--syntax-check")], ids=" ".join)
@pytest.mark.long
def test_an_ansible_that_is_too_old_is_refused(metered: Stand, tmp_path: Path, words: tuple[str, ...]) -> None:
    user = User(metered, Environment(Versions("2.18.19", "3.11", "6.2.0", "37.0.2"), tmp_path))
    before = metered.state()
    done = user.play(f"aigateway.metering.{words[0]}", *words[1:])
    assert done.returncode != 0
    assert "needs ansible-core 2.19 or newer, and this is 2.18.19" in done.stdout
    assert metered.state() == before
