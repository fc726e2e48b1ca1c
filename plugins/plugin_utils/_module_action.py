# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Runs the module of an action's name, and shows while it runs what it waits for.

Where it would run on the controller with the controller's own Python, it runs in the worker that Ansible has forked for
the task. Nothing is packed and no Python is started, and what is heavy was imported before the fork: the strategies
load an action's class in the parent. Anywhere else it runs as any module does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils import _progress
from ._environment import directory_of_command
from ._in_process import Call, load_worker, run_in_process

__all__ = ["ModuleAction", "load_worker"]

POLL_SECONDS = 0.5
# Set to false, it makes every module run as modules usually do.
IN_PROCESS = "metering_in_process"
# Variables of a host or a group that say which cluster it stands for, and the options of kubernetes.core that they set.
OF_CLUSTER = {
    "metering_kubeconfig": "kubeconfig",
    "metering_context": "context",
    "metering_host": "host",
    "metering_api_key": "api_key",
    "metering_ca_cert": "ca_cert",
    "metering_validate_certs": "validate_certs",
    "metering_in_cluster": "in_cluster",
    "metering_namespaces": "namespaces",
}
TRUTHS = ("validate_certs", "in_cluster")
FILES = ("kubeconfig", "ca_cert")
LISTS = ("namespaces",)
KUBECONFIG = "K8S_AUTH_KUBECONFIG"
INTERPRETER = "ansible_python_interpreter"


def _injects_invocation() -> bool:
    """Whether results have the arguments of their module in them: since ansible-core 2.21 only on demand."""
    try:
        return bool(constants.config.get_config_value("INJECT_INVOCATION"))
    except AnsibleError:  # before, there was no such setting
        return True


def _as_truth(name: str, value: Any) -> bool:
    try:
        return bool(boolean(value, strict=True))
    except TypeError:
        raise AnsibleActionFail(
            f"{name} is {str(value)[:60]!r}, which is not true or false. Correct that variable."
        ) from None


class ModuleAction(ActionBase):
    """An action that runs the module of its name."""

    _supports_async = True
    _supports_check_mode = True
    _supports_diff = True
    worker: Any = None
    """What does the module's work, loaded with the class; None where it cannot run here."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        variables = dict(task_vars or {})
        self._task.args = {**self._cluster_of_host(variables), **self._task.args}
        is_local = self._connection.transport == "local" and not self._play_context.become
        if is_local:
            self._default_to_own_interpreter(variables)
        if is_local and self.worker is not None and not self._task.async_val and self._may_run_here(variables):
            done = self._run_here(self.worker)
            if done is not None:
                if not _injects_invocation():
                    done.pop("invocation", None)
                return result | done
        with self._told(is_local and not self._task.async_val) as environment:
            self._task.environment = [*(self._task.environment or []), environment]
            return result | self._execute_module(task_vars=variables, wrap_async=self._task.async_val)

    def _cluster_of_host(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The options by which a module reaches the cluster of its host; what a task says itself goes before."""
        found = {}
        for name, option in OF_CLUSTER.items():
            value = self._templar.template(variables.get(name))
            # A survey gives an empty text for what is not set.
            if value is None or value == "":
                continue
            if option in FILES and isinstance(value, str):
                # From where the command was given, and not from where the playbook is.
                value = os.path.join(directory_of_command(), os.path.expanduser(value))
            if option in LISTS and isinstance(value, Mapping):
                raise AnsibleActionFail(f"{name} is a map. Set it to a list, or to names with commas between them.")
            # The module would name its own option, which nobody has set.
            found[option] = _as_truth(name, value) if option in TRUTHS else value
        named = os.environ.get(KUBECONFIG, "")
        if named and "kubeconfig" not in found and not os.path.isabs(os.path.expanduser(named)):
            # Modules run where the playbook is.
            found["kubeconfig"] = os.path.join(directory_of_command(), named)
        return found

    def _default_to_own_interpreter(self, variables: dict[str, Any]) -> None:
        """Where none is set, take the Python that runs here: Ansible would look for one, without our libraries."""
        own = self._variables_of_target(variables)
        configured = str(constants.config.get_config_value("INTERPRETER_PYTHON"))
        if own.get(INTERPRETER) is None and configured.startswith("auto"):
            own[INTERPRETER] = sys.executable
        own.setdefault(INTERPRETER, configured)

    def _variables_of_target(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The variables of the host on which it runs, which may be another than the one it runs for."""
        if not self._task.delegate_to:
            return variables
        found = (variables.get("ansible_delegated_vars") or {}).get(self._task.delegate_to)
        return found if isinstance(found, dict) else variables

    def _may_run_here(self, variables: dict[str, Any]) -> bool:
        wanted = self._templar.template(variables.get(IN_PROCESS, True))
        # A survey gives an empty text for what is not set.
        if wanted != "" and not _as_truth(IN_PROCESS, wanted):
            return False
        interpreter = str(self._templar.template(self._variables_of_target(variables)[INTERPRETER]))
        # By their path: links to one Python may belong to different virtual environments.
        return os.path.abspath(os.path.expanduser(interpreter)) == os.path.abspath(sys.executable)

    def _run_here(self, worker: Any) -> dict[str, Any] | None:
        """The module's result; None where its arguments are not right."""
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        self._display.vvv(f"{self._task.action} runs in this process")
        call = Call(
            str(self._task.action),
            self._task.args,
            bool(self._task.check_mode),
            bool(self._task.diff),
            environment,
            self._loader.get_basedir(),
        )
        return run_in_process(worker, call, self._show_line)

    def _show_line(self, line: str) -> None:
        # Standard output may be JSON, or whatever else a callback makes of it.
        self._display.display(f"  {line}", stderr=True)

    @contextlib.contextmanager
    def _told(self, shares_files: bool) -> Iterator[dict[str, str]]:
        """What to add to the environment of a module that runs in a process of its own, to hear of its progress.

        Args:
            shares_files: whether it runs here, as us, and now.
        """
        if not shares_files:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="metering-") as directory:
            path = Path(directory) / "progress"
            path.touch()
            ended = threading.Event()
            thread = threading.Thread(target=self._show_lines_of, args=(path, ended), daemon=True)
            thread.start()
            try:
                yield {_progress.VARIABLE: str(path)}
            finally:
                ended.set()
                thread.join()

    def _show_lines_of(self, path: Path, ended: threading.Event) -> None:
        with path.open(encoding="utf-8") as file:
            last = False
            while True:
                for line in file:
                    self._show_line(line.rstrip())
                if last:
                    return
                last = ended.wait(POLL_SECONDS)
