# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The verdict on a Prometheus's live targets: is every sidecar scraped, once, and does it answer?

A target belongs to a sidecar when it fetches the metrics' path from the pod's IP and the sidecar's port, whatever
object or hand-written job it comes from. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Sidecar


@dataclass(frozen=True)
class Verdict:
    """What one Prometheus replica scrapes of the sidecars."""

    pools: Mapping[str, int]
    """Targets by scrape pool."""
    missing: tuple[str, ...]
    """Sidecars without a target."""
    doubled: Mapping[str, tuple[str, ...]]
    """Sidecars with more than one target, with their pools."""
    down: Mapping[str, str]
    """Sidecars whose target is not up, with the health and the last error."""

    @property
    def is_right(self) -> bool:
        return not (self.missing or self.doubled or self.down)

    def losses(self) -> list[str]:
        """Where tokens are lost, one sentence for each pod."""
        found = [f"{pod} is scraped by nobody" for pod in self.missing]
        return found + [f"{pod} is not up: {error}" for pod, error in self.down.items()]

    def doubles(self) -> list[str]:
        """Where tokens are counted several times, one sentence for each pod."""
        return [f"{pod} is scraped {len(pools)} times, by {', '.join(pools)}" for pod, pools in self.doubled.items()]

    def problems(self) -> list[str]:
        """All that is wrong."""
        return self.losses() + self.doubles()


def verdict(targets: Sequence[Mapping[str, Any]], sidecars: Sequence[Sidecar]) -> Verdict:
    """Judge the active targets of one Prometheus replica.

    Args:
        targets: `data.activeTargets` of /api/v1/targets.
        sidecars: those that are to be scraped.
    """
    by_address: dict[str, list[Mapping[str, Any]]] = {}
    for target in targets:
        url = urlsplit(target.get("scrapeUrl", ""))
        if url.path == _names.METRICS_PATH:
            by_address.setdefault(url.netloc, []).append(target)
    pools: dict[str, int] = {}
    missing: list[str] = []
    doubled: dict[str, tuple[str, ...]] = {}
    down: dict[str, str] = {}
    for sidecar in sidecars:
        address = f"[{sidecar.ip}]:{sidecar.port}" if ":" in sidecar.ip else f"{sidecar.ip}:{sidecar.port}"
        own = by_address.get(address, [])
        names = sorted(str(target.get("scrapePool", "")) for target in own)
        for pool in names:
            pools[pool] = pools.get(pool, 0) + 1
        if not own:
            missing.append(sidecar.name)
        if len(own) > 1:
            doubled[sidecar.name] = tuple(names)
        unwell = [target for target in own if target.get("health") != "up"]
        if unwell:
            error = unwell[0].get("lastError") or "not scraped yet"
            down[sidecar.name] = f"{unwell[0].get('health', 'unknown')}, {error}"
    return Verdict(pools, tuple(missing), doubled, down)
