# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand as the tests see it: a cluster, runs against it, and traffic through its gateways."""

from __future__ import annotations

import datetime
import time
from typing import Any

from standlib import cluster, images, platform, traffic
from standlib.progress import wait_until

from .runs import Runs


class Stand(Runs):
    """A cluster with gateways, their callers and a ledger."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.metered_state: dict[str, Any] | None = None
        """What the `metered` fixture has left."""
        self.isolated_versions: set[tuple[str, str]] = set()
        """What the entrance for the teams was when a run had just put it in place."""

    def is_metered(self) -> bool:
        """Whether all is still as the last run of the `metered` fixture left it, on the live targets too."""
        return self.lasting_state() == self.metered_state and "pools" in self.module("prom_scrape_check", timeout=60)

    def leave_no_entrance(self) -> None:
        """Remove the entrance for the teams."""
        said = self.module("query_entrance", state="absent")
        assert "removed" in said, said
        self.isolated_versions = set()

    def have_images(self, *wanted: images.Image) -> None:
        """Have images on the node that only some tests use."""
        if images.ensure():
            images.ensure_more(wanted)
            cluster.load_images(self.name, wanted)

    def gateways(self) -> traffic.Gateways:
        """The gateways, once no old proxy is ending: on the stand these drain too briefly for requests to miss them."""
        wait_until("old proxies to end", lambda: not self.ending_proxies(), 120)
        gateways = traffic.Gateways(self.name)
        wait_until("every gateway to be reached", gateways.are_reached, 60)
        return gateways

    def ending_proxies(self) -> list[dict[str, Any]]:
        """Old proxies to which a request may still be sent.

        One that was told to end while it began may take all of its five minutes for that; no request reaches it.
        """
        pods = self.get("pods", platform.GATEWAY_NAMESPACE, labels="app.kubernetes.io/component=proxy")
        return [pod for pod in pods if "deletionTimestamp" in pod["metadata"] and told_to_end(pod) > time.time() - 60]

    def send(self, rounds: int = 1) -> None:
        """Traffic of every caller, of which no request may fail."""
        gateways = self.gateways()
        statuses = traffic.send_all(gateways, traffic.mix(rounds))
        assert set(statuses) == {200}, (statuses, gateways.unanswered)

    def answers(self) -> bool:
        """Whether a request of every caller is answered."""
        return set(traffic.send_all(self.gateways(), traffic.mix(1))) == {200}


def told_to_end(pod: dict[str, Any]) -> float:
    """When a pod was told to end (Unix seconds): Kubernetes keeps the time by which it has to have ended."""
    by = datetime.datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    return by.timestamp() - pod["metadata"].get("deletionGracePeriodSeconds", 0)
