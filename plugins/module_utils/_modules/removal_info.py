# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What a removal would take away, and whether the account may: looked at before the first of it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _names
from .._gateway import reader
from .._kubernetes.client import Cluster, Permission
from .._kubernetes.owned import name_in_result, permission_for
from .cost_programs import read_programs
from .mapping_plan import plan_mapping
from .ours import find_everything_else, find_monitors
from .rehearsal import refuse_lacking, writes_of
from .runner import CONTROLLER_OPTION, GATEWAYS_OPTION

OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    "monitor_name": {"type": "str", "default": ""},
    "restart": {"type": "bool", "default": True},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What removal_info returns.

    Raises:
        RefusedError: the account lacks permissions for the removal; all of them are named.
    """
    options = module.params
    monitors = find_monitors(cluster, options["monitor_name"], options["gateways"])
    names = [name_in_result(document) for dummy, document in monitors]
    needed: list[Permission] = [
        ("delete", known.api.partition("/")[0], known.plural, document["metadata"]["namespace"])
        for known, document in monitors
    ]
    if not options["gateways"]:
        found, unread = find_everything_else(cluster)
        needed += unread
        names += [name_in_result(document) for document in found]
        needed += [permission_for(document, "delete") for document in found]
        if read_programs(cluster) and any(_is_configuration(document) for document in found):
            needed.append(("delete", "", "pods", _names.CHARGEBACK_CONFIG[0]))
        needed += _of_the_flag(cluster, options)
    refuse_lacking(cluster, list(dict.fromkeys(needed)))
    return {"changed": False, "ours": list(dict.fromkeys(names))}


def _is_configuration(document: Mapping[str, Any]) -> bool:
    """Whether Cost Management's programs have read it."""
    metadata = document["metadata"]
    return document["kind"] == "ConfigMap" and metadata.get("namespace") in _names.COST_MANAGEMENT_NAMESPACES


def _of_the_flag(cluster: Cluster, options: Mapping[str, Any]) -> list[Permission]:
    """The permissions to take our pairs out of the flag, and to restart proxies for that."""
    controller = reader.read_controller(cluster, options["controller"])
    proxies = reader.read_proxies(cluster)
    wish = {"state": "absent", "pairs": None, "chargeback_goes": True}
    merged, record = plan_mapping(cluster, controller, proxies, wish)
    if merged.pairs == controller.pairs and record == controller.record:
        return []
    planned = writes_of(cluster, controller, merged, proxies if options["restart"] else [], None)
    return [write.permission for write in planned]
