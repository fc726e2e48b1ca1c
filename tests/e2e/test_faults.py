# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every answer spoilt: whatever comes back, or does not, is told as what it is, and the next run is right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.faults import FAULTS, SLOW, FaultyApiServer
from harness.runs import Run
from harness.stand import Stand

# What make test spoils, by chance but always the same; `make test-faults` spoils every request in every way.
SEED, SAMPLE = 20261126, 8
PLAYBOOKS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "site": ((), {}),
    "check": ((), {}),
    "report": ((), {"report_period": "this_month"}),
    "render": ((), {}),
    "chargeback": (("--check",), {}),
    "remove": (("--check",), {}),
}


@pytest.fixture(scope="module")
def server(stand: Stand) -> Iterator[FaultyApiServer]:
    with FaultyApiServer(stand) as found:
        yield found


def play(stand: Stand, server: FaultyApiServer, playbook: str, directory: Path, faults: dict[int, str]) -> Run:
    words, variables = PLAYBOOKS[playbook]
    more = {"render_dir": str(directory)} if playbook == "render" else {}
    server.spoil(faults)
    return stand.play(playbook, *words, environment=server.environment(stand), **variables, **more)


def is_told(run: Run) -> list[str]:
    """What is wrong with how a run that met a fault has ended."""
    return [
        text
        for text, wrong in (
            ("a traceback", "Traceback" in run.output),
            ("taken for a bug of ours", "bug in the module" in run.output),
            ("no next command", run.code != 0 and "Next: " not in run.text),
            ("a secret", "a-secret-word" in run.output),
        )
        if wrong
    ]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_spoilt_answer_is_told_as_what_it_is_and_changes_nothing(
    metered: Stand, server: FaultyApiServer, tmp_path: Path, playbook: str
) -> None:
    before = metered.lasting_state()
    clean = play(metered, server, playbook, tmp_path, {})
    assert clean.code == 0, clean.output
    requests = server.seen
    chance = random.Random(f"{SEED} {playbook}")
    kinds = [kind for kind in FAULTS if kind not in SLOW]
    for _ in range(SAMPLE):
        number, kind = chance.randint(1, len(requests)), chance.choice(kinds)
        run = play(metered, server, playbook, tmp_path, {number: kind})
        assert is_told(run) == [], f"{kind} in place of {requests[number - 1]}: {run.output}"
        assert metered.lasting_state() == before, f"{kind} in place of {requests[number - 1]}: {run.output}"
    again = play(metered, server, playbook, tmp_path, {})
    assert again.code == 0, again.output
