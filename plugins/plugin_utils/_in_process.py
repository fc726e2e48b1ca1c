# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Runs a module of ours in the process that calls, with the result that it has in a process of its own."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils import _progress, _secrets


def load_worker(name: str) -> ModuleType | None:
    """What does the work of a module, with all that it needs; None where a library for it is not here.

    Args:
        name: the module's own.
    """
    try:
        importlib.import_module("kubernetes.dynamic")
        with warnings.catch_warnings():  # kubernetes.core switches some off while it is imported
            return importlib.import_module(
                f"ansible_collections.aigateway.metering.plugins.module_utils._modules.{name}"
            )
    except ImportError:
        return None


class Ended(SystemExit):
    """A module has ended with a result."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(0)
        self.result = result


class ModuleHere:
    """What a module takes for its AnsibleModule. It returns by raising Ended."""

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        check_mode: bool,
        diff: bool,
        *,
        argument_spec: Mapping[str, Any],
        supports_check_mode: bool,
    ) -> None:
        del supports_check_mode  # all of ours do
        self.params = dict(arguments)
        self.argument_spec = argument_spec
        self.check_mode = check_mode
        self._diff = diff
        self._name = name
        self._warnings: list[str] = []

    def warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)

    def exit_json(self, **result: Any) -> NoReturn:
        told = {"warnings": self._warnings} if self._warnings else {}
        shown = _secrets.shown_arguments(self.params, self.argument_spec)
        raise Ended({"invocation": {"module_args": shown}, **result, **told})

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        self.exit_json(failed=True, msg=str(msg), **result)


@dataclass(frozen=True)
class Call:
    """One call of a module."""

    name: str
    arguments: Mapping[str, Any]
    """As they were given; they are not changed."""
    check_mode: bool = False
    diff: bool = False
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What it has besides the variables of this process."""
    directory: str = "."
    """Its working directory."""


def run_in_process(worker: Any, call: Call, show: Callable[[str], None]) -> dict[str, Any] | None:
    """The module's result, failed or not; None where its arguments are not right, which Ansible tells in its own way.

    Args:
        worker: what load_worker() has found.
        call: what is called.
        show: shows a line of its progress.

    Raises:
        RuntimeError: it has ended without a result.
    """
    from ..module_utils._kubernetes import credentials
    from ..module_utils._modules import runner

    with _as_a_process(call.environment, call.directory, show):
        try:
            given = _plain(call.arguments)
        except TypeError:  # what is no JSON cannot be handed to a module
            return None
        arguments = _converted({**credentials.AUTH_OPTIONS, **worker.OPTIONS}, given)
        if arguments is None:
            return None
        try:
            with credentials.clients_of_one_run():
                runner.run(worker, functools.partial(ModuleHere, call.name, arguments, call.check_mode, call.diff))
        except Ended as ended:
            # As if it had come through a pipe: no object of it is shared, and its types are JSON's.
            return dict(json.loads(json.dumps(ended.result)))
        except SystemExit as error:
            raise RuntimeError(f"{call.name} ended without a result ({error}).") from error


@contextlib.contextmanager
def _as_a_process(environment: Mapping[str, Any], directory: str, show: Any) -> Iterator[None]:
    """What a process of its own would have: its environment and working directory. All is as before afterwards."""
    before, seconds = dict(os.environ), socket.getdefaulttimeout()
    with contextlib.ExitStack() as stack:
        stack.callback(socket.setdefaulttimeout, seconds)
        stack.callback(os.environ.update, before)
        stack.callback(os.environ.clear)
        stack.callback(setattr, _progress, "listener", None)
        os.environ.update({name: str(value) for name, value in environment.items()})
        with contextlib.suppress(FileNotFoundError):  # where this directory is gone, there is no way back
            stack.callback(os.chdir, Path.cwd())
        os.chdir(directory)
        _progress.listener = show
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _plain(value: Any) -> Any:
    """A value of a task as a module gets it through a pipe: without what Ansible attaches to it."""
    if isinstance(value, Mapping):
        # A key that is no text becomes one as JSON has it: `on` is true. A date is none, and is refused.
        return {str(key) if isinstance(key, str) else json.dumps(key): _plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(own) for own in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, bytes):
        raise TypeError("bytes are no JSON")
    # A date, or a text that was encrypted.
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _converted(spec: dict[str, Any], given: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments in the types that the module asks for; None where Ansible has something to say about them."""
    if any(name in given and alias in given for name, own in spec.items() for alias in own.get("aliases") or ()):
        return None
    result = ArgumentSpecValidator(spec).validate(given)
    return None if result.error_messages else result.validated_parameters
