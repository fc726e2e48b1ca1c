# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Cost Management's programs: one collects what is billed, one shows it."""

from __future__ import annotations

from .. import _names
from .._kubernetes.client import Cluster
from .._kubernetes.objects import Object

PROGRAM_LABEL, PROGRAMS = "service_name", ("slark-agent", "slark-server")


def list_program_pods(cluster: Cluster) -> list[Object]:
    """The pods of Cost Management's programs; none where their namespace is not read."""
    if not cluster.reads(_names.CHARGEBACK_CONFIG[0]):
        return []
    labels = f"{PROGRAM_LABEL} in ({','.join(PROGRAMS)})"
    return list(cluster.list("v1", "pods", namespace=_names.CHARGEBACK_CONFIG[0], labels=labels))


def read_programs(cluster: Cluster) -> list[str]:
    """Those of Cost Management's programs that there are pods of."""
    return sorted({pod["metadata"]["labels"][PROGRAM_LABEL] for pod in list_program_pods(cluster)})
