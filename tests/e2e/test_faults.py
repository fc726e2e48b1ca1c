# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every answer spoilt: whatever comes back, or does not, is told as what it is, and the next run is right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.faults import FAULTS, PLAYBOOKS, SLOW, FaultyApiServer, is_told, play_spoilt
from harness.stand import Stand

# What make test spoils, by chance but always the same; `make test-faults` spoils every request in every way.
SEED, SAMPLE = 20261126, 5


@pytest.fixture(scope="module")
def server(stand: Stand) -> Iterator[FaultyApiServer]:
    with FaultyApiServer(stand) as found:
        yield found


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_spoilt_answer_is_told_as_what_it_is_and_changes_nothing(
    metered: Stand, server: FaultyApiServer, tmp_path: Path, playbook: str
) -> None:
    before = metered.lasting_state()
    clean = play_spoilt(metered, server, playbook, tmp_path, {})
    assert clean.code == 0, clean.output
    requests = server.seen
    chance = random.Random(f"{SEED} {playbook}")
    kinds = [kind for kind in FAULTS if kind not in SLOW]
    for dummy in range(SAMPLE):
        number, kind = chance.randint(1, len(requests)), chance.choice(kinds)
        run = play_spoilt(metered, server, playbook, tmp_path, {number: kind})
        assert is_told(run) == [], f"{kind} in place of {requests[number - 1]}: {run.output}"
        assert metered.lasting_state() == before, f"{kind} in place of {requests[number - 1]}: {run.output}"
    again = play_spoilt(metered, server, playbook, tmp_path, {})
    assert again.code == 0, again.output
