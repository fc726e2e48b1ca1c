# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two playbooks at once, in every pair, and somebody else who writes all the time: the next run is right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import CONTROLLER
from harness.stand import Stand
from standlib import platform
from standlib.progress import StandError

pytestmark = pytest.mark.long
NAMESPACE = platform.GATEWAY_NAMESPACE
PLAYBOOKS = ("site", "chargeback", "remove", "check", "report", "render")
# What must be in no output, whatever else is.
NEVER = ("Traceback", "bug in the module")
# Between two writes of somebody else (seconds).
PAUSE = 0.1


def variables(playbook: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "report": {"report_period": "this_month", "report_directory": str(tmp_path)},
        "render": {"render_dir": str(tmp_path)},
    }.get(playbook, {})


def begin(stand: Stand, pair: tuple[str, str]) -> None:
    """Leave the most to do for both of a pair."""
    stand.reset()
    if "site" not in pair or "remove" in pair:
        run = stand.site()
        assert run.code == 0, run.output


def settled(stand: Stand, playbook: str, tmp_path: Path) -> dict[str, Any]:
    """What a playbook leaves behind that runs alone."""
    run = stand.play(playbook, **variables(playbook, tmp_path))
    assert run.code == 0, run.output
    return stand.lasting_state()


@pytest.fixture(scope="module")
def alone(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What site.yml and remove.yml leave behind where nobody else writes."""
    directory = tmp_path_factory.mktemp("alone")
    stand.reset()
    return {playbook: settled(stand, playbook, directory) for playbook in ("site", "remove")}


@pytest.mark.parametrize("pair", combinations_with_replacement(PLAYBOOKS, 2), ids="+".join)
def test_after_two_at_once_the_next_run_is_right(
    stand: Stand, alone: dict[str, dict[str, Any]], pair: tuple[str, str], tmp_path: Path
) -> None:
    begin(stand, pair)
    directories = [tmp_path / str(number) for number in range(2)]
    runs = [
        stand.start(playbook, **variables(playbook, directory))
        for playbook, directory in zip(pair, directories, strict=True)
    ]
    outputs = [process.communicate(timeout=600)[0] for process in runs]
    assert [word for word in NEVER for output in outputs if word in output] == [], "\n".join(outputs)
    assert stand.answers()
    last = "remove" if "remove" in pair else "site"
    assert settled(stand, last, tmp_path) == alone[last], "\n".join(outputs)


@contextmanager
def written_all_the_time(stand: Stand, kind: str, namespace: str, name: str) -> Iterator[list[int]]:
    """Somebody who annotates an object again and again while it is there; how often so far."""
    written, stop = [0], threading.Event()

    def write() -> None:
        while not stop.wait(PAUSE):
            try:
                stand.patch(kind, namespace, name, {"metadata": {"annotations": {"tests/written": str(written[0])}}})
            except StandError:
                # It is not there yet, or no more.
                continue
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield written
    finally:
        stop.set()
        writer.join()


OBJECTS = {
    "the controller": ("deployment", NAMESPACE, CONTROLLER),
    "the monitor": ("podmonitor", NAMESPACE, "ai-gateway-metrics"),
    "a route": ("aigatewayroute", "team-a", "models"),
    "a Gateway": ("gateway", "team-a", "gateway-a"),
    "Prometheus": ("prometheus", platform.MONITORING_NAMESPACE, "kube-prometheus-0"),
}


@pytest.mark.parametrize("playbook", ["site", "remove"])
@pytest.mark.parametrize("what", OBJECTS)
def test_who_writes_an_object_all_the_time_does_not_keep_a_run_from_its_end(
    stand: Stand, alone: dict[str, dict[str, Any]], tmp_path: Path, what: str, playbook: str
) -> None:
    stand.reset()
    if playbook == "remove":
        settled(stand, "site", tmp_path)
    with written_all_the_time(stand, *OBJECTS[what]) as written:
        run = stand.play(playbook)
    assert written[0] > 10
    assert run.code == 0, run.output
    assert stand.lasting_state() == alone[playbook]


def test_who_writes_a_dashboard_all_the_time_does_not_keep_a_run_from_its_end(
    stand: Stand, alone: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    stand.reset()
    settled(stand, "site", tmp_path)
    dashboard = stand.all("monitordashboards")[0]["metadata"]
    stand.patch("monitordashboard", dashboard["namespace"], dashboard["name"], {"spec": {"title": "edited"}})
    with written_all_the_time(stand, "monitordashboard", dashboard["namespace"], dashboard["name"]) as written:
        run = stand.site()
    assert written[0] > 10
    assert run.code == 0, run.output
    assert stand.lasting_state() == alone["site"]
