# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The mapping that the controller's flag is to carry, whether pairs come or go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _names
from .._errors import MeteringError
from .._gateway import mapping
from .._gateway.controller import Controller
from .._gateway.mapping import Merge, Pair, Record
from .._gateway.proxy import Proxy
from .._kubernetes.client import Cluster
from .._kubernetes.ownership import is_ours


def plan_mapping(
    cluster: Cluster, controller: Controller, proxies: Sequence[Proxy], options: dict[str, Any]
) -> tuple[Merge, Record]:
    """The mapping that the flag is to carry, and what is to be remembered of it."""
    before = controller.record
    if options["state"] == "absent":
        unwanted = (
            before.added if options["pairs"] is None else tuple(mapping.parse_mapping(options["pairs"], "This run"))
        )
        refuse_to_lose_the_bill(cluster, unwanted, ours_goes=options["chargeback_goes"])
        merged = mapping.remove_pairs(controller.pairs, controller.base, unwanted)
        return merged, before.after_removal(controller.pairs, merged, unwanted)
    wanted = mapping.wanted_pairs(_names.DEFAULT_PAIRS if options["pairs"] is None else options["pairs"])
    merged = mapping.merge_mappings(
        controller.pairs,
        {sidecar.name: sidecar.emitted for proxy in proxies for sidecar in proxy.sidecars},
        wanted,
        base=controller.base,
        removed=before.removed,
        consent=options["allow_per_user"],
    )
    return merged, before.after_merge(merged)


def refuse_to_lose_the_bill(cluster: Cluster, unwanted: Sequence[Pair], *, ours_goes: bool) -> None:
    """Refuse to remove the label that bills a namespace while something bills by it.

    Args:
        cluster: where it is.
        unwanted: the pairs that are to go.
        ours_goes: whether a configuration that is ours goes as well.

    Raises:
        MeteringError: it is to be removed, and chargeback is configured.
    """
    if Pair(*_names.REQUIRED_PAIR) not in unwanted:
        return
    namespace, name = _names.CHARGEBACK_CONFIG
    if not cluster.reads(namespace):
        _refuse_to_guess(cluster, namespace)
        return
    found = cluster.get("v1", "configmaps", namespace, name)
    if found is not None and not (ours_goes and is_ours(found)):
        raise MeteringError(
            f"{':'.join(_names.REQUIRED_PAIR)} is to be removed, but chargeback is configured: configmap "
            f"{namespace}/{name}.",
            "Cost Management bills by the label user_namespace. Without it, nothing can be billed.",
            "Keep the pair, or remove the chargeback first.",
            f"kubectl -n {namespace} get configmap {name} -o yaml",
        )


def _refuse_to_guess(cluster: Cluster, namespace: str) -> None:
    """Refuse to remove the label where Cost Management may bill by it, and its namespace is not read.

    Raises:
        MeteringError: the cluster has Alauda's kinds, so that it may run there.
    """
    if cluster.preferred(_names.ALAUDA_GROUP):
        raise MeteringError(
            f"It is not known whether Cost Management bills by {_names.REQUIRED_PAIR[1]}: namespace {namespace} is not "
            "read.",
            "This run would remove that label. Without it, Cost Management can bill nothing. Nothing was changed.",
            f"Add {namespace} to metering_namespaces, and bind the rules of docs/rbac.yml there.",
            f"kubectl -n {namespace} get configmap {_names.CHARGEBACK_CONFIG[1]}",
        )


def refuse_to_roll(controller: Controller, proxies: Sequence[Proxy]) -> None:
    """Refuse to change the flag where that restarts proxies and nothing may restart.

    Raises:
        MeteringError: a proxy is rolled by the gateway when the flag changes.
    """
    rolling = [proxy.name for proxy in proxies if proxy.rolls_itself]
    if rolling:
        raise MeteringError(
            f"The flag of deployment {controller.name} has to change, and this generation of the gateway then rolls "
            f"{', '.join(rolling)} by itself.",
            "restart is false, so the flag was left as it is.",
            "Run this in the maintenance window, without labels_restart: false.",
        )
