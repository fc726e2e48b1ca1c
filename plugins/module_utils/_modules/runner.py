# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What every module does around its own work: connect, run, and tell a person what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from ansible.module_utils.basic import AnsibleModule

from .. import _names, _secrets
from .._errors import ConflictError, MeteringError, told
from .._gateway import sidecar
from .._kubernetes.client import AnsibleK8SModule, Cluster
from .._kubernetes.credentials import AUTH_OPTIONS
from .._lists import pairs_of, words_of

ATTEMPTS = 5
CONTROLLER_OPTION: dict[str, Any] = {"controller": {"type": "str", "default": ""}}
GATEWAYS_OPTION: dict[str, Any] = {"gateways": {"type": "list", "elements": "str", "default": []}}
PROMETHEUS_OPTION: dict[str, Any] = {"prometheus": {"type": "str", "default": ""}}
API_OPTION: dict[str, Any] = {
    "api": {
        "type": "dict",
        "default": {},
        "options": {
            "url": {"type": "str"},
            "service": {"type": "str"},
            "feature": {"type": "bool", "default": False},
            "targets_urls": {"type": "list", "elements": "str", "default": []},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "token": {"type": "str", "no_log": True},
            "headers": {"type": "dict", "default": {}, "no_log": True},
            "secret_headers": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path"},
            "ca_path": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
        },
    }
}


# Options that are lists of single words, in a module or in its `api`: a survey gives them as one text. Gateways are
# read by scope_of(), which knows what a name of one is.
WORDS = ("by", "secret_headers", "targets_urls", "tokens")


class DiscreetModule(AnsibleModule):
    """An AnsibleModule that hides secrets where they stand in its arguments, and leaves what it returns as it is.

    Ansible replaces the text of each secret wherever a result has it, also within a name or a number: with a header
    `X-Scope-OrgID: team-a` the bill of team-a is one of nobody's.
    """

    def __init__(self, **options: Any) -> None:
        self._takes_its_arguments = False
        super().__init__(**options)
        self._takes_its_arguments = True

    def exit_json(self, **result: Any) -> NoReturn:
        super().exit_json(**self._with_invocation(result))
        raise AssertionError("a module ends with what it returns")

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        super().fail_json(msg, **self._with_invocation(result))
        raise AssertionError("a module ends with what it returns")

    def log(self, msg: Any, log_args: Any = None) -> None:
        """Write to the system's log; Ansible writes the arguments there, of which it knows fewer secrets."""
        if log_args:
            log_args = {key: str(value) for key, value in self._shown_arguments().items()}
            msg = f"Invoked with {' '.join(f'{key}={value}' for key, value in log_args.items())}"
        super().log(msg, log_args=log_args)

    def _shown_arguments(self) -> dict[str, Any]:
        return _secrets.shown_arguments(self.params, self.argument_spec)

    def _with_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        # What is said of arguments that are wrong is Ansible's text, and may quote one.
        if self._takes_its_arguments:
            self.no_log_values.clear()
        return {"invocation": {"module_args": self._shown_arguments()}, **result}


class Worker(Protocol):
    """What does the work of a module: a file with its options, and with a function that reads everything itself."""

    OPTIONS: dict[str, Any]

    def run_module(self, module: Any, cluster: Cluster) -> dict[str, Any]:
        """What the module returns, without what is said of the cluster.

        Raises:
            MeteringError: for the person on call.
            ConflictError: somebody else has changed what was read; it is called again.
        """


def run(worker: Worker, module_class: Callable[..., Any] = DiscreetModule) -> NoReturn:
    """Run a module to its end.

    Args:
        worker: what does its work.
        module_class: what stands for Ansible's side of it.
    """
    options = worker.OPTIONS
    module = AnsibleK8SModule(
        module_class=module_class, argument_spec={**AUTH_OPTIONS, **options}, supports_check_mode=True
    )
    reached: dict[str, Any] = {}
    limits = ""
    try:
        for own in (module.params, module.params.get("api") or {}):
            own.update({name: words_of(own[name]) for name in WORDS if name in own})
        if module.params.get("pairs") is not None:
            module.params["pairs"] = ",".join(pairs_of(module.params["pairs"]))
        if "gateways" in options:
            module.params["gateways"] = sidecar.scope_of(module.params["gateways"])
        cluster = Cluster(module)
        reached = {"server": cluster.server}
        limits = cluster.limits
        reached |= {"limits": limits} if limits else {}
        for caution in only_some_namespaces(limits):
            module.warn(caution)
        result = _until_no_conflict(module, cluster, worker.run_module)
    except MeteringError as error:
        error = with_limits(error, limits)
        parts = {"found": error.found, "why": error.why, "advice": error.advice, "command": error.command}
        module.fail_json(msg=str(error), **parts, **reached, **error.result)
    except Exception as error:  # pylint: disable=broad-except
        secrets = [_secrets.Secrets.of(own) for own in (module.params, module.params.get("api") or {})]
        text = f"{type(error).__name__}: {error}"
        for own in secrets:
            text = own.hide(text)
        module.fail_json(
            msg=f"{text}. This is a bug in the module; its cause is not known. Run it again with -vvv, and report what "
            "it prints."
        )
    module.exit_json(**reached, **result)
    raise AssertionError("a module ends with what it returns")


def only_some_namespaces(limits: str) -> list[str]:
    """A caution where not all namespaces are read."""
    look = f"kubectl get pods -A -l {_names.PROXY_LABELS}"
    return [told(limits, "Let somebody look who may read all.", command=look)] if limits else []


def with_limits(error: MeteringError, limits: str) -> MeteringError:
    """An error that says as well what was not read: what it misses may be there."""
    why = " ".join(filter(None, (error.why, limits)))
    return MeteringError(error.found, why, error.advice, error.command, **error.result)


def _until_no_conflict(
    module: Any, cluster: Cluster, action: Callable[[Any, Cluster], dict[str, Any]]
) -> dict[str, Any]:
    for dummy in range(ATTEMPTS):
        try:
            return action(module, cluster)
        except ConflictError as conflict:
            last = conflict
    raise MeteringError(
        f"Another writer kept changing the same object: {last}.",
        f"This run stopped after {ATTEMPTS} attempts. The changes made so far are kept.",
        "Find out what writes it (its managed fields say so), then run this again.",
        "kubectl get KIND NAME -o yaml --show-managed-fields",
    )
