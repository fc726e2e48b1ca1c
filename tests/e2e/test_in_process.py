# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module both ways on a real cluster: in the worker of its task, and in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.runs import BIN, ROOT, Run
from harness.stand import Stand

pytestmark = pytest.mark.stand

PERIOD = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-02T00:00:00+00:00"}
RULES = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "x", "namespace": "default"},
    "data": {"a": "b"},
}
# Of each module a call that changes nothing: by itself, or in check mode.
CALLS: dict[str, dict[str, Any]] = {
    "gateway_info": {"pairs": "x-user-id:user_id"},
    "drift_info": {"interval": "5s"},
    "merge_metrics_attributes": {"pairs": "x-one-more:one_more"},
    "proxy_rollout": {"mapping": "x-one-more:one_more,x-user-namespace:user_namespace"},
    "podmonitor_dedupe": {"interval": "7s"},
    "prom_scrape_check": {"timeout": "60"},
    "token_usage_info": PERIOD,
    "owned_objects": {"definitions": [RULES]},
    "verify_token_usage": {"address": "http://127.0.0.1:1", "model": "m", "tokens": "a,b"},
}
WRONG: dict[str, dict[str, Any]] = {
    "merge_metrics_attributes": {"pairs": "not a pair"},
    "podmonitor_dedupe": {"interval": "30s1m"},
    "token_usage_info": {**PERIOD, "by": "nothing"},
    "gateway_info": {"pears": "x"},
    "prom_scrape_check": {"timeout": "soon"},
}


def tasks_of(calls: dict[str, dict[str, Any]], **keywords: Any) -> list[dict[str, Any]]:
    """Each module called both ways; what they return is in `results`."""
    found: list[dict[str, Any]] = []
    for module, options in calls.items():
        for way in (True, False):
            found += [
                {
                    f"aigateway.metering.{module}": options,
                    "vars": {"metering_in_process": way},
                    "register": "one",
                    "ignore_errors": True,
                    **keywords,
                },
                {
                    "ansible.builtin.set_fact": {
                        "results": "{{ results | default([]) + [[ansible_loop_name, one]] }}".replace(
                            "ansible_loop_name", json.dumps(module)
                        )
                    }
                },
            ]
    return [
        *found,
        {
            "ansible.builtin.copy": {
                "content": "{{ results | to_json }}",
                "dest": "{{ into }}/{{ inventory_hostname }}.json",
                "mode": "0600",
            },
            "check_mode": False,
            "diff": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        },
    ]


def run(stand: Stand, into: Path, play: dict[str, Any], *words: str, environment: dict[str, str] | None = None) -> Run:
    """Run a play; the results of each host are written into a directory."""
    path = into / "play.yml"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, **play}]))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), str(path), "-e", json.dumps({"into": str(into)}), *words],
        cwd=ROOT,
        env=environment or stand.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr)


def pairs_in(into: Path, host: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """By module, what it returned here and apart, without what differs from moment to moment."""
    found = json.loads((into / f"{host}.json").read_text())
    return [
        (name, steady(here), steady(apart))
        for (name, here), (dummy, apart) in zip(found[::2], found[1::2], strict=False)
    ]


def steady(value: Any) -> Any:
    """A result without what is another one each time, or of Ansible's own."""
    if isinstance(value, dict):
        ignored = ("exception", "resourceVersion", "managedFields", "tokens_seen", "ansible_facts")
        return {key: steady(own) for key, own in value.items() if key not in ignored}
    if isinstance(value, str):
        # Series of proxies that have ended are not found any more after some minutes.
        return re.sub(r"has \d+ series", "has so many series", value)
    return [steady(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("calls", [CALLS, WRONG], ids=["right", "wrong"])
def test_each_module_returns_the_same_both_ways(metered: Stand, tmp_path: Path, calls: dict[str, Any]) -> None:
    done = run(
        metered, tmp_path, {"tasks": tasks_of(calls, check_mode=True, diff=True)}, "-i", "localhost,", "-c", "local"
    )
    assert done.code == 0, done.output
    pairs = pairs_in(tmp_path, "localhost")
    assert [name for name, *dummy in pairs] == list(calls)
    for name, here, apart in pairs:
        assert here == apart, name
        assert here["failed"] is (calls is WRONG), name


@pytest.mark.parametrize("variable", ["K8S_AUTH_KUBECONFIG", "KUBECONFIG"])
def test_the_environment_of_a_task_counts_both_ways(metered: Stand, tmp_path: Path, variable: str) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text("{}")
    environment = metered.environment()
    environment[variable] = environment.pop("K8S_AUTH_KUBECONFIG")
    play = {"tasks": tasks_of({"gateway_info": {}}, environment={variable: str(nowhere)})}
    run(metered, tmp_path, play, "-i", "localhost,", "-c", "local", environment=environment)
    ((dummy, here, apart),) = pairs_in(tmp_path, "localhost")
    assert here == apart
    assert "address or credentials could not be read" in here["msg"]


def test_each_item_of_a_loop_has_its_own_cluster(metered: Stand, tmp_path: Path) -> None:
    environment = metered.environment()
    here_too = environment.pop("K8S_AUTH_KUBECONFIG")
    elsewhere = {"host": "https://127.0.0.1:1", "api_key": "of-elsewhere", "validate_certs": False}
    items = [{"kubeconfig": here_too}, elsewhere, {"kubeconfig": here_too}]
    options = {
        name: f"{{{{ item.{name} | default(omit) }}}}" for name in ("kubeconfig", "host", "api_key", "validate_certs")
    }
    play = {"tasks": tasks_of({"gateway_info": options}, loop=items)}
    run(metered, tmp_path, play, "-i", "localhost,", "-c", "local", environment=environment)
    ((dummy, here, apart),) = pairs_in(tmp_path, "localhost")
    assert [item["failed"] for item in here["results"]] == [False, True, False]
    assert "127.0.0.1:1" in here["results"][1]["msg"] or "does not answer" in here["results"][1]["msg"]
    assert here == apart


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_many_hosts_at_once_with_defaults_of_the_group(metered: Stand, tmp_path: Path, strategy: str) -> None:
    """The inventory says of its hosts only that they are local."""
    inventory: dict[str, Any] = {
        "all": {"vars": {"ansible_connection": "local"}, "hosts": {f"host{n}": {} for n in range(4)}}
    }
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
    environment = metered.environment()
    kubeconfig = environment.pop("K8S_AUTH_KUBECONFIG")
    play = {
        "strategy": strategy,
        "module_defaults": {"group/aigateway.metering.metering": {"kubeconfig": kubeconfig}},
        "tasks": tasks_of({"gateway_info": {}, "merge_metrics_attributes": {}}, check_mode=True),
    }
    done = run(metered, tmp_path, play, "-i", str(tmp_path / "inventory.yml"), "--forks", "4", environment=environment)
    assert done.code == 0, done.output
    for host in inventory["all"]["hosts"]:
        for name, here, apart in pairs_in(tmp_path, host):
            assert (name, here) == (name, apart)
            assert not here["failed"], here


def test_a_variable_and_another_interpreter_make_it_run_apart(metered: Stand, tmp_path: Path) -> None:
    said = []
    for variables in ({}, {"metering_in_process": "no"}, {"ansible_python_interpreter": str(BIN / "python3")}):
        play: dict[str, Any] = {"tasks": [{"aigateway.metering.gateway_info": {}}]}
        words = ("-i", "localhost,", "-c", "local", "-vvv", "-e", json.dumps(variables))
        done = run(metered, tmp_path, play, *words)
        assert done.code == 0, done.output
        said.append("runs in this process" in done.output)
    assert said == [True, False, str(BIN / "python3") == str(BIN / "python")]


def test_no_client_key_is_left_behind(metered: Stand, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    play = {"tasks": [{"aigateway.metering.gateway_info": {}, "loop": [1, 2]}]}
    environment = metered.environment(TMPDIR=str(temporary))
    done = run(metered, tmp_path, play, "-i", "localhost,", "-c", "local", environment=environment)
    assert done.code == 0, done.output
    assert [
        path.name for path in temporary.rglob("*") if path.is_file() and "PRIVATE" in path.read_text("latin-1")
    ] == []
