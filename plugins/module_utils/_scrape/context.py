# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What every module that has to do with the scrape reads first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._gateway import reader
from .._gateway import sidecar as _sidecar
from .._gateway.sidecar import Sidecar
from .._kubernetes.client import Cluster
from .._kubernetes.objects import Object
from .._prometheus import api
from . import backend as _backend
from . import reader as _reader
from . import sources
from .backend import Backend
from .scrapers import Scraper
from .sources import Monitoring


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
    pods: list[Object] = field(default_factory=list)
    """Those of the proxies, whatever their phase, with or without a sidecar."""


def read_context(module: Any, cluster: Cluster, *, with_monitors: bool = True) -> View:
    """Read it.

    Args:
        module: whose options say what is meant.
        cluster: where it is.
        with_monitors: whether the monitors are needed for more than to find out what scrapes.

    Raises:
        MeteringError: there are no sidecars, or it is not clear what is to scrape them.
    """
    pods = reader.read_proxy_pods(cluster)
    everything = _sidecar.sidecars_of(pods)
    sidecars = _sidecar.in_scope(everything, module.params["gateways"])
    _sidecar.require_sidecars(sidecars, module.params["gateways"])
    monitoring, backend = select_backend(module, cluster, sidecars, with_monitors=with_monitors)
    inside = {sidecar.name for sidecar in sidecars}
    others = [sidecar for sidecar in everything if sidecar.name not in inside]
    return View(sidecars, others, monitoring, backend.scraper, backend, pods)


def select_backend(
    module: Any, cluster: Cluster, sidecars: Sequence[Sidecar], *, with_monitors: bool = False
) -> tuple[Monitoring, Backend]:
    """What there is to scrape with, and the one of it that is meant and can be asked.

    Raises:
        MeteringError: it is not clear which one is meant.
    """
    options = api.with_credentials(module, cluster)
    named = module.params["prometheus"]
    if named and not with_monitors:
        monitoring = Monitoring(_reader.read_scrapers(cluster), {}, namespaces=cluster.namespaces)
    else:
        monitoring = _reader.read_monitoring(cluster, sidecars)
    monitoring = _backend.monitoring_with(monitoring, options)
    scraper = sources.choose_scraper_of(monitoring, named, sidecars)
    return monitoring, Backend(cluster, scraper, options)
