# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Periods add up on real blocks in a real Prometheus, and the double of the unit tests answers as that does.

It needs no cluster: the histories that the unit tests make up are written as blocks, all into one Prometheus, each
under a label of its own.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from standlib import binaries
from standlib.kept import Kept
from standlib.progress import wait_until

from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import replica as _replica
from ansible_collections.aigateway.metering.tests.unit.module_utils._usage import test_period as made_up

SCENARIOS = 40
Scenario = tuple[Any, Any, float]


def scenarios() -> list[Scenario]:
    """The same histories each time: births, restarts, outages and addresses that are used again, around a cut."""
    found: list[Scenario] = []

    @settings(
        max_examples=SCENARIOS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(made_up.clusters())
    def collect(scenario: Scenario) -> None:
        found.append(scenario)

    collect()
    return found


def exposition(found: Sequence[Scenario]) -> Iterator[str]:
    """All samples as OpenMetrics text, a history's under the label `scenario`."""
    for number, (store, *dummy) in enumerate(found):
        for labels, samples in store.series:
            own = {**labels, "scenario": str(number)}
            name = own.pop("__name__")
            inside = ",".join(f"{key}={json.dumps(value)}" for key, value in own.items())
            for time, value in samples:
                yield f"{name}{{{inside}}} {value} {time:.3f}"
    yield "# EOF"


@pytest.fixture(scope="module")
def histories() -> list[Scenario]:
    return scenarios()


@pytest.fixture(scope="module")
def replica(histories: list[Scenario], tmp_path_factory: pytest.TempPathFactory) -> Iterator[_replica.Replica]:
    directory = tmp_path_factory.mktemp("blocks")
    text = directory / "samples.txt"
    text.write_text("\n".join(exposition(histories)) + "\n")
    data = directory / "data"
    command = [binaries.tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True)
    (directory / "prometheus.yml").write_text("{}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={data}", "--log.level=error"]
    words += ["--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen([binaries.tool("prometheus"), *words]) as server:
        try:
            wait_until("Prometheus", lambda: is_ready(port), 60)
            yield _replica.Replica((Kept(port),))
        finally:
            server.terminate()
    shutil.rmtree(directory)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def rows(store: Any, workloads: Any, start: float, end: float, **matchers: str) -> Counter[tuple[str, ...]]:
    by = ("namespace", "pod", "gateway")
    dummy, sums = made_up.summed([store], workloads=workloads, start=start, end=end, by=by, **matchers)
    return Counter({key: usage.total for key, usage in sums.used.items() if usage.total})


@pytest.mark.parametrize("number", range(SCENARIOS))
def test_the_parts_of_a_period_add_up_on_real_blocks(
    histories: list[Scenario], replica: _replica.Replica, number: int
) -> None:
    double, workloads, cut = histories[number]
    spans = ((made_up.START, cut), (cut, made_up.END), (made_up.START, made_up.END))
    first, second, whole = (rows(replica, workloads, *span, scenario=str(number)) for span in spans)
    assert first + second == whole
    assert [first, second, whole] == [rows(double, workloads, *span) for span in spans]


def test_the_histories_are_worth_it(histories: list[Scenario]) -> None:
    assert len(histories) == SCENARIOS
    billed = [rows(store, workloads, made_up.START, made_up.END) for store, workloads, dummy in histories]
    assert sum(bool(found) for found in billed) > SCENARIOS // 4


def test_what_is_written_is_read(replica: _replica.Replica) -> None:
    (item,) = replica.query("count(up)", made_up.MIDDLE)
    assert int(item["value"][1]) > 0
