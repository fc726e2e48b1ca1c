# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Killed at every write: the writes are those that the API server saw, and the next run finishes the work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from harness.faults import FaultyApiServer
from harness.runs import Run
from harness.stand import Stand

pytestmark = pytest.mark.long
WRITES = ("POST", "PUT", "PATCH", "DELETE")


def meter(stand: Stand) -> None:
    stand.reset()
    run = stand.site()
    assert run.code == 0, run.output


def leave_uncharged(stand: Stand) -> None:
    """Metered, and without what `chargeback.yml` puts there."""
    if not stand.monitors():
        meter(stand)
    for rule in rules(stand):
        stand.delete("prometheusrule", *rule.split("/"))


def rules(stand: Stand) -> dict[str, Any]:
    """What there is of chargeback, by namespace/name."""
    return {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": item["spec"]
        for item in stand.all("prometheusrules")
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "aigateway.metering"
    }


def left_behind(stand: Stand) -> dict[str, Any]:
    return {**stand.lasting_state(), "rules": rules(stand)}


PLAYBOOKS: dict[str, Callable[[Stand], None]] = {
    "site": Stand.reset,
    "chargeback": leave_uncharged,
    "remove": meter,
}


def is_write(method: str, path: str) -> bool:
    """Whether a request changes something: neither a dry run nor a question that is asked by POST."""
    return method in WRITES and "dryRun" not in path and "selfsubjectaccessreviews" not in path


def kill_at(stand: Stand, server: FaultyApiServer, playbook: str, number: int, *, carried_out: bool) -> int:
    """Kill a run at its write of this number, before it is carried out or when it was; how many it has sent."""
    sent, killed = 0, threading.Event()

    def end(method: str, path: str) -> bool:
        nonlocal sent
        sent += is_write(method, path)
        if sent != number or killed.is_set():
            return False
        os.killpg(process.pid, signal.SIGKILL)
        killed.set()
        return True

    server.end_at(end, carries_out=carried_out)
    process = stand.start(playbook, environment=server.environment(stand))
    output, dummy = process.communicate(timeout=300)
    server.end_at(None)
    assert killed.is_set(), output
    return sent


@pytest.mark.parametrize("carried_out", [False, True], ids=["before it is carried out", "when it was"])
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_run_that_is_killed_at_any_write_is_finished_by_the_next(
    stand: Stand, playbook: str, carried_out: bool
) -> None:
    begin = PLAYBOOKS[playbook]
    with FaultyApiServer(stand) as server:
        begin(stand)
        server.spoil({})
        run: Run = stand.play(playbook, environment=server.environment(stand))
        assert run.code == 0, run.output
        wanted = left_behind(stand)
        writes = [request for request in server.seen if is_write(*request)]
        assert writes
        for number in range(1, len(writes) + 1):
            begin(stand)
            done = kill_at(stand, server, playbook, number, carried_out=carried_out)
            assert done == number, writes[number - 1]
            again = stand.play(playbook)
            assert again.code == 0, f"killed at {writes[number - 1]}: {again.output}"
            assert left_behind(stand) == wanted, f"killed at {writes[number - 1]}"
            assert stand.answers()
            print(f"{playbook}: killed at {' '.join(writes[number - 1])}, finished by the next run", flush=True)
