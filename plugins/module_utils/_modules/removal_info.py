# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What a removal would take away, and whether the account may: looked at before the first of it goes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _names
from .._errors import RefusedError
from .._gateway import reader, writer
from .._kubernetes.client import Cluster, Permission
from .._kubernetes.owned import PLURALS, name_in_result
from .cost_programs import list_program_pods
from .mapping_plan import plan_mapping, refuse_to_roll
from .ours import find_everything_else, find_monitors
from .rehearsal import Write, rehearse, writes_of
from .runner import CONTROLLER_OPTION, GATEWAYS_OPTION

# What Cost Management's programs read when they start.
_CONFIGURATIONS = {_names.CHARGEBACK_CONFIG, _names.CHARGEBACK_DISPLAY}
OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    "monitor_name": {"type": "str", "default": ""},
    "restart": {"type": "bool", "default": True},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What removal_info returns.

    Raises:
        MeteringError: the account lacks permissions for the removal, all of which are named (in check mode a warning
            names them), or the API server would refuse a part of it.
    """
    options = module.params
    monitors = find_monitors(cluster, options["monitor_name"], options["gateways"])
    names = [name_in_result(document) for dummy, document in monitors]
    writes = [_deletion(cluster, known.api, known.plural, document, "docs/rbac.yml") for known, document in monitors]
    unread: list[Permission] = []
    if not options["gateways"]:
        found, unread = find_everything_else(cluster)
        names += [name_in_result(document) for document in found]
        writes += [
            _deletion(cluster, document["apiVersion"], PLURALS[document["kind"]], document, _file_of(document))
            for document in found
        ]
        writes += _restarts_of_programs(cluster, found)
        writes += _writes_of_flag(cluster, options)
    try:
        for caution in rehearse(cluster, writes, unread):
            module.warn(caution)
    except RefusedError as error:
        if not module.check_mode or error.is_unknown:
            raise
        module.warn(str(error))
    return {"changed": False, "ours": names}


def _deletion(cluster: Cluster, api: str, plural: str, document: Mapping[str, Any], file: str) -> Write:
    """The removal of an object; a role may name it alone, so that only a dry run tells whether it is allowed."""
    permission = ("delete", api.rpartition("/")[0], plural, document["metadata"].get("namespace", ""))
    return Write(permission, name_in_result(document), functools.partial(cluster.delete, api, plural, document), file)


def _file_of(document: Mapping[str, Any]) -> str:
    """The file with the role that may remove an object."""
    place = (document["metadata"].get("namespace", ""), document["metadata"]["name"])
    if document["kind"] == "PrometheusRule" or place in _CONFIGURATIONS:
        return "docs/rbac-chargeback.yml"
    if document["kind"].endswith("Dashboard"):
        return "docs/rbac.yml"
    is_dashboard = _names.DASHBOARD_LABEL in (document["metadata"].get("labels") or {})
    return "docs/rbac-grafana.yml" if is_dashboard else "docs/rbac-isolation.yml"


def _restarts_of_programs(cluster: Cluster, found: Sequence[Mapping[str, Any]]) -> list[Write]:
    """Cost Management's pods, which begin anew when one of the configurations that they have read goes."""
    places = {(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in found}
    if places.isdisjoint(_CONFIGURATIONS):
        return []
    return [
        _deletion(cluster, "v1", "pods", {**pod, "kind": "Pod"}, "docs/rbac-chargeback.yml")
        for pod in list_program_pods(cluster)
    ]


def _writes_of_flag(cluster: Cluster, options: Mapping[str, Any]) -> list[Write]:
    """What takes our pairs out of the flag, and restarts the proxies that have them.

    Raises:
        MeteringError: that would be refused, or waited for in vain.
    """
    controller = reader.read_controller(cluster, options["controller"])
    proxies = reader.read_proxies(cluster)
    wish = {"state": "absent", "pairs": None, "chargeback_goes": True}
    merged, record = plan_mapping(cluster, controller, proxies, wish)
    if merged.pairs != controller.pairs and not options["restart"]:
        refuse_to_roll(controller, proxies)
    writer.refuse_what_would_wait_in_vain(controller, proxies, merged.pairs, restart=options["restart"])
    return writes_of(
        cluster, controller, merged, proxies if options["restart"] else [], None, record=record, file="docs/rbac.yml"
    )
