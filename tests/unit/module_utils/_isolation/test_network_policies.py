# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which NetworkPolicies keep others from the pods of a Prometheus."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._isolation.network_policies import is_closed_by

TEAMS = [{"podSelector": {"matchLabels": {"app": "entrance"}}}]
SOME: dict[str, Any] = {"podSelector": {}, "ingress": [{"from": TEAMS}]}
EVERYBODY: dict[str, Any] = {"podSelector": {}, "ingress": [{}]}
POLICIES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "none": ([], False),
    "one that lets some through": ([SOME], True),
    "one that lets nobody through": ([{"podSelector": {}, "policyTypes": ["Ingress"]}], True),
    "one that lets everybody through": ([EVERYBODY], False),
    "one that names every namespace": (
        [{"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}],
        False,
    ),
    "one that names every address": (
        [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}],
        False,
    ),
    "one beside it that does": ([SOME, EVERYBODY], False),
    "one for others": ([{**SOME, "podSelector": {"matchLabels": {"app": "other"}}}], False),
    "one for what goes out": ([{"podSelector": {}, "policyTypes": ["Egress"]}], False),
}


@pytest.mark.parametrize(("specs", "closed"), POLICIES.values(), ids=POLICIES)
def test_a_policy_closes_only_where_it_says_who_may_come(specs, closed):
    assert is_closed_by([{"spec": spec} for spec in specs], {"app": "prometheus"}) is closed
