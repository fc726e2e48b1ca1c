# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Whether NetworkPolicies keep others from the pods of a Prometheus.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._kubernetes.objects import Object
from .._kubernetes.selectors import matches


def is_closed_by(policies: Sequence[Object], labels: Mapping[str, str]) -> bool:
    """Whether NetworkPolicies of a namespace let only some callers to pods with these labels.

    Policies add up: one rule without callers lets everybody in. One without rules lets nobody in.
    """
    closing = [
        policy["spec"]
        for policy in policies
        if "Ingress" in (policy["spec"].get("policyTypes") or ["Ingress"])
        and matches(policy["spec"].get("podSelector") or {}, labels)
    ]
    rules = [rule for spec in closing for rule in spec.get("ingress") or ()]
    return bool(closing) and not any(_is_everybody(peer) for rule in rules for peer in rule.get("from") or [{}])


def _is_everybody(peer: Object) -> bool:
    """Whether a peer of a NetworkPolicy is every pod of some or all namespaces, or every address."""
    block = peer.get("ipBlock") or {}
    has_any_pod = not peer.get("podSelector") and not block and not peer.get("namespaceSelector")
    return has_any_pod or str(block.get("cidr", "")).endswith("/0")
