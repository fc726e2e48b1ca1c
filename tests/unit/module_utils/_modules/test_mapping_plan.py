# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the label may go by which Cost Management bills, where its namespace is not read."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.mapping import Pair
from ansible_collections.aigateway.metering.plugins.module_utils._modules import mapping_plan

BILLED = [Pair(*_names.REQUIRED_PAIR)]


class Cluster:
    """One whose account may not read Cost Management's namespace."""

    def __init__(self, *groups: str) -> None:
        self._groups = groups

    def reads(self, dummy: str) -> bool:
        return False

    def preferred(self, group: str) -> str:
        return f"{group}/v1" if group in self._groups else ""


def refuse(cluster: Any, unwanted: list[Pair]) -> None:
    mapping_plan.refuse_to_lose_the_bill(cluster, unwanted, ours_goes=True)


def test_on_the_platform_of_cost_management_it_stays_as_long_as_nobody_knows():
    with pytest.raises(MeteringError, match="not known whether Cost Management bills by user_namespace") as caught:
        refuse(Cluster(_names.ALAUDA_GROUP), BILLED)
    assert "Add cpaas-system to metering_namespaces" in caught.value.advice


@pytest.mark.parametrize("unwanted", [BILLED, []])
def test_elsewhere_nothing_bills_by_it(unwanted):
    refuse(Cluster("apps"), unwanted)


def test_other_labels_go():
    refuse(Cluster(_names.ALAUDA_GROUP), [Pair("x-team", "team")])
