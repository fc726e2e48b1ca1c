# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of the stand that tests begin with. Each worker raises its own cluster while others test already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.stand import Stand
from standlib import cluster, images, platform, raising, settings, tenants
from standlib.progress import wait_until

BARE = "aigateway-metering-bare"


@pytest.fixture(scope="session")
def stand(worker_id: str) -> Stand:
    name = settings.cluster_of(worker_id)
    raising.up(name)
    found = Stand(name)
    # Of tests that were ended.
    found.leave_no_entrance()
    return found


@pytest.fixture
def fresh(stand: Stand) -> Stand:
    """The stand as the platform ships it."""
    stand.reset()
    return stand


@pytest.fixture
def unscraped(stand: Stand) -> Stand:
    """The stand without a monitor, whatever its labels are."""
    stand.unscrape()
    return stand


@pytest.fixture
def metered(stand: Stand) -> Stand:
    """The stand as `site.yml` leaves it, with the pair that it adds recorded as its own."""
    if not stand.is_metered():
        if stand.records()["added-pairs"] != "x-user-group:department":
            stand.reset()
        run = stand.site()
        assert run.code == 0, run.output
        stand.metered_state = stand.lasting_state()
    return stand


@pytest.fixture
def self_rolling(fresh: Stand) -> Iterator[Stand]:
    """Proxies that say of themselves that the gateway rolls them, as v1.1's do; nothing rolls them yet."""
    fresh.annotate_proxies("aigateway.envoyproxy.io/extproc-config-hash", "before")
    yield fresh
    fresh.annotate_proxies("aigateway.envoyproxy.io/extproc-config-hash", None)


@pytest.fixture
def default_drain(fresh: Stand) -> Iterator[Stand]:
    """The gateway with two replicas drains its old proxies as upstream ships it."""
    (found,) = fresh.get("envoyproxies", "team-a")

    def set_shutdown(value: dict[str, str] | None) -> None:
        before = fresh.revisions()
        fresh.patch("envoyproxy", "team-a", "gateway-a", {"spec": {"shutdown": value}})
        (proxy,) = [name for name in before if "team-a" in name]
        wait_until("the proxy to be rolled", lambda: fresh.revisions()[proxy] > before[proxy], 60)
        proxies = [f"deployment/{name}" for name in before]
        fresh.kubectl.rollout(fresh.step, platform.GATEWAY_NAMESPACE, *proxies)

    set_shutdown(None)
    yield fresh
    set_shutdown(found["spec"]["shutdown"])


@pytest.fixture(scope="session")
def bare(worker_id: str) -> Iterator[Stand]:
    """A cluster with nothing on it: no gateway, no monitoring."""
    name = f"{BARE}-{worker_id}"
    with raising.one_at_a_time():
        cluster.ensure(name, images.ensure())
    yield Stand(name)
    cluster.delete(name)


@pytest.fixture
def caller() -> Callable[[str], tenants.Caller]:
    """A caller of the stand by name."""
    return lambda name: next(item for item in tenants.CALLERS if item.name == name)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write down which tests took longest, for the table at the end of `make test`."""
    if "SLOWEST" not in os.environ:
        return
    reports = [item for items in terminalreporter.stats.values() for item in items if hasattr(item, "duration")]
    seconds: dict[str, float] = {}
    for report in reports:
        seconds[report.nodeid] = seconds.get(report.nodeid, 0) + report.duration
    path = Path(os.environ["SLOWEST"])
    path.parent.mkdir(parents=True, exist_ok=True)
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:20]
    lines = [f"{value:6.0f} s  {name.removeprefix('tests/e2e/')}" for name, value in slowest]
    path.write_text("\n".join(["the slowest tests, with their fixtures:", *lines, ""]))
