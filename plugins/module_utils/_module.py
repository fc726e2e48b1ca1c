# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What every module does around its own work: connect, run, and tell a person what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils._cluster import (
    AUTH_ARG_SPEC,
    AnsibleK8SModule,
    Cluster,
)
from ansible_collections.aigateway.metering.plugins.module_utils._errors import ConflictError, MeteringError

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
            "client_cert": {"type": "path"},
            "client_key": {"type": "path"},
            "ca_path": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
        },
    }
}


def run(options: Mapping[str, Any], action: Callable[[Any, Cluster], dict[str, Any]]) -> None:
    """Run a module: action(module, cluster) returns the result, or raises MeteringError.

    A ConflictError means that somebody else changed what was read; the whole action, which reads everything itself, is
    run again.
    """
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **options}, supports_check_mode=True)
    if "gateways" in options:  # Ansible makes [a, " b"] of `a, b`, and [""] of an empty answer in a survey.
        module.params["gateways"] = [name.strip() for name in module.params["gateways"] if name.strip()]
    try:
        cluster = Cluster(module)
        result = _until_no_conflict(module, cluster, action)
    except MeteringError as error:
        module.fail_json(msg=str(error), found=error.found, why=error.why, command=error.command, **error.result)
    except Exception as error:  # pylint: disable=broad-except
        module.fail_json(
            msg=f"{type(error).__name__}: {error}. This is a defect of the module; nothing more is known. "
            "Next: run it again with -vvv and report what it prints."
        )
    else:
        module.exit_json(server=cluster.server, **result)


def _until_no_conflict(
    module: Any, cluster: Cluster, action: Callable[[Any, Cluster], dict[str, Any]]
) -> dict[str, Any]:
    for dummy in range(ATTEMPTS):
        try:
            return action(module, cluster)
        except ConflictError as conflict:
            last = conflict
    raise MeteringError(
        f"Somebody else kept changing the same object: {last}.",
        f"After {ATTEMPTS} attempts this run gave way; what it had done so far stands.",
        "find out who writes it (kubectl get --show-managed-fields -o yaml), then run this again.",
    )
