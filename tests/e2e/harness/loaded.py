# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks out of a process that has Ansible loaded: most of a short run's time would be its imports.

As a program it waits for requests, a line each, and answers each with a line. For each it forks, and the child runs
Ansible's own main() as the command `ansible-playbook` does. Ansible reads its settings when it is loaded; so only
variables that it does not read may differ from run to run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Nothing of a collection: these are found by a loader of their own.
MODULES = (
    "ansible.cli.playbook",
    "ansible.executor.playbook_executor",
    "ansible.executor.process.worker",
    "ansible.executor.task_queue_manager",
    "ansible.plugins.callback.default",
    "ansible.plugins.strategy.linear",
    "kubernetes.client",
    "kubernetes.config",
    "kubernetes.dynamic",
)
# What the kubernetes client reads when it makes one.
OTHERS = "K8S_"


class LoadedAnsible:
    """The process, as the tests have it."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self._settings = _settings(environment)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def can_run(self, environment: dict[str, str]) -> bool:
        """Whether a run in this environment would find the settings that were loaded."""
        return _settings(environment) == self._settings and self._process.poll() is None

    def run(self, words: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
        """Run a playbook to its end: its exit code, and what it has printed."""
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as output:
            others = {name: value for name, value in environment.items() if name.startswith(OTHERS)}
            request = {"words": list(words), "environment": others, "output": output.name}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return code, output.read()


def _settings(environment: dict[str, str]) -> dict[str, str]:
    # pytest says there which test runs.
    return {name: value for name, value in environment.items() if not name.startswith((OTHERS, "PYTEST_"))}


def _serve() -> None:
    for name in MODULES:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
        dummy, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(request: dict[str, object]) -> None:
    """Be `ansible-playbook`, and end."""
    code = 1
    try:
        os.setsid()
        nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(str(request["output"]), os.O_WRONLY)
        for number, target in enumerate((nothing, output, output)):
            os.dup2(target, number)
        for name in [name for name in os.environ if name.startswith(OTHERS)]:
            del os.environ[name]
        environment, words = request["environment"], request["words"]
        assert isinstance(environment, dict)
        assert isinstance(words, list)
        os.environ.update(environment)
        sys.argv = ["ansible-playbook", *words]
        from ansible.cli.playbook import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
