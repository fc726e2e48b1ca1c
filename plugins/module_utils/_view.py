# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What every module that has to do with the scrape reads first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import (
    _api,
    _gateway,
    _prometheus,
    _sources,
    _state,
)
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import Backend
from ansible_collections.aigateway.metering.plugins.module_utils._scrapers import Scraper
from ansible_collections.aigateway.metering.plugins.module_utils._sources import Monitoring


@dataclass(frozen=True)
class View:
    """The sidecars, and what there is to scrape them with."""

    sidecars: list[Sidecar]
    """Those in scope."""
    others: list[Sidecar]
    monitoring: Monitoring
    scraper: Scraper
    """The one that is to scrape."""
    backend: Backend


def of(module: Any, cluster: Cluster) -> View:
    """Read it.

    Raises:
        MeteringError: there are no sidecars, or it is not clear what is to scrape them.
    """
    everything = _state.sidecars(cluster)
    sidecars = _gateway.within(everything, module.params["gateways"])
    _gateway.require_sidecars(sidecars, module.params["gateways"])
    monitoring, backend = asked(module, cluster, sidecars)
    others = [sidecar for sidecar in everything if sidecar not in sidecars]
    return View(sidecars, others, monitoring, backend.scraper, backend)


def asked(module: Any, cluster: Cluster, sidecars: Sequence[Sidecar]) -> tuple[Monitoring, Backend]:
    """What there is to scrape with, and the one of it that is meant and can be asked.

    Raises:
        MeteringError: it is not clear which one is meant.
    """
    options = _api.with_credentials(module, cluster)
    monitoring = _prometheus.monitoring_with(_state.monitoring(cluster, sidecars), options)
    scraper = _sources.choose(monitoring, module.params["prometheus"], sidecars)
    return monitoring, Backend(cluster, scraper, options)
