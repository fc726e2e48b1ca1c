# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of the collection's playbooks and modules against a cluster."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from standlib import settings

from ansible_collections.aigateway.metering.plugins.plugin_utils._in_process import Call, run_in_process

from .cluster import Cluster
from .loaded import LoadedAnsible

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
# In the environment: modules and playbooks run in processes of their own.
APART = "METERING_TESTS_APART"
# A shorter interval than the default 30s only makes the tests shorter.
QUICK = {"scrape_interval": "5s"}


@dataclass(frozen=True)
class Run:
    """A run of a playbook."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        recap = re.search(r"changed=(\d+)", self.output)
        assert recap, self.output
        return int(recap.group(1))

    @property
    def text(self) -> str:
        """The output with its line breaks and JSON escapes undone, to look for sentences in."""
        return re.sub(r"\s+", " ", self.output.replace("\\n", " ").replace('\\"', '"'))


def command_line(playbook: str, words: Sequence[str], variables: dict[str, Any]) -> list[str]:
    """What stands behind `ansible-playbook`: for a playbook of ours, by its name, or for the file of another."""
    return [
        playbook if playbook.endswith(".yml") else f"playbooks/{playbook}.yml",
        *words,
        "--extra-vars",
        json.dumps({**QUICK, **variables}),
    ]


class Runs(Cluster):
    """A cluster against which playbooks and modules run."""

    _ansible: LoadedAnsible | None = None

    def environment(self, **extra: str) -> dict[str, str]:
        return {
            **os.environ,
            "K8S_AUTH_KUBECONFIG": str(settings.kubeconfig(self.name)),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "PYTHONPATH": str(ROOT / ".collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            **extra,
        }

    def start(
        self, playbook: str, *words: str, environment: dict[str, str] | None = None, **variables: Any
    ) -> subprocess.Popen[str]:
        """Start one of the collection's playbooks in a process group of its own."""
        return subprocess.Popen(
            [str(BIN / "ansible-playbook"), *command_line(playbook, words, variables)],
            cwd=ROOT,
            env=environment or self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(self, playbook: str, *words: str, environment: dict[str, str] | None = None, **variables: Any) -> Run:
        """Run one of the collection's playbooks to its end."""
        own = environment or self.environment()
        if APART not in os.environ:
            if self._ansible is None:
                self._ansible = LoadedAnsible(self.environment(), ROOT)
            if self._ansible.can_run(own):
                return Run(*self._ansible.run(command_line(playbook, words, variables), own))
        process = self.start(playbook, *words, environment=environment, **variables)
        output, dummy = process.communicate()
        return Run(process.returncode, output)

    def site(self, *words: str, environment: dict[str, str] | None = None, **variables: Any) -> Run:
        return self.play("site", *words, environment=environment, **variables)

    def module(self, module: str, environment: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        """Run one module, and return what it returns, failed or not: in this process, or in one of its own."""
        if APART not in os.environ:
            action = importlib.import_module(f"ansible_collections.aigateway.metering.plugins.action.{module}")
            given = {name: value for name, value in options.items() if name != "_ansible_check_mode"}
            check_mode = options.get("_ansible_check_mode", False)
            call = Call(module, given, check_mode, environment=environment or self.environment(), directory=str(ROOT))
            result = run_in_process(action.ActionModule.worker, call, lambda dummy: None)
            if result is not None:
                return result
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("run_module.py")), module],
            input=json.dumps(options),
            env=environment or self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def account(self, tmp_path: Path, rules: list[dict[str, Any]], namespaces: Iterable[str] = ()) -> dict[str, str]:
        """The environment of a run as a ServiceAccount with these rules and no others.

        With namespaces it has a Role in each of them, and no ClusterRole.
        """
        places = [{"namespace": namespace} for namespace in namespaces]
        name, kind = ("roles-only", "Role") if places else ("limited", "ClusterRole")
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "upstream"}
        api = "rbac.authorization.k8s.io"
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "upstream"}})
        for place in places or [{}]:
            about: dict[str, Any] = {"apiVersion": f"{api}/v1", "metadata": {"name": name, **place}}
            bound = {"roleRef": {"apiGroup": api, "kind": kind, "name": name}, "subjects": [subject]}
            self.apply({**about, "kind": kind, "rules": rules})
            self.apply({**about, "kind": f"{kind}Binding", **bound})
        token = self.kubectl.run(self.step, "create", "token", name, "--namespace", "upstream").strip()
        config = yaml.safe_load(settings.kubeconfig(self.name).read_text())
        config["users"] = [{"name": name, "user": {"token": token}}]
        config["contexts"] = [{"name": name, "context": {"cluster": config["clusters"][0]["name"], "user": name}}]
        config["current-context"] = name
        tmp_path.mkdir(exist_ok=True)
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        return self.environment(K8S_AUTH_KUBECONFIG=str(path))


def kill(process: subprocess.Popen[str]) -> None:
    """End a run as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
