# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every answer spoilt: whatever comes back, or does not, is told as what it is, and the next run is right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.faults import FAULTS, PLAYBOOKS, SLOW, FaultyApiServer, Trials
from harness.stand import Stand

# What make test spoils, by chance but always the same; `make test-faults` spoils every request.
SEED, SAMPLE = 20261126, 5


@pytest.fixture(scope="module")
def server(stand: Stand) -> Iterator[FaultyApiServer]:
    with FaultyApiServer(stand) as found:
        yield found


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_spoilt_answer_is_told_as_what_it_is_and_changes_nothing(
    metered: Stand, server: FaultyApiServer, tmp_path: Path, playbook: str
) -> None:
    trials = Trials(metered, server, tmp_path)
    count = trials.count_requests(playbook)
    chance = random.Random(f"{SEED} {playbook}")
    kinds = [kind for kind in FAULTS if kind not in SLOW]
    for dummy in range(SAMPLE):
        number, kind = chance.randint(1, count), chance.choice(kinds)
        run = trials.play(playbook, {number: kind})
        assert trials.wrong_with(run) == [], f"{kind} in place of {trials.requests_spoilt()}: {run.output}"
    again = trials.play(playbook, {})
    assert again.code == 0, again.output


def test_a_spoilt_answer_of_a_prometheus_with_an_address_is_told_as_what_it_is(
    metered: Stand, server: FaultyApiServer, tmp_path: Path
) -> None:
    trials = Trials(metered, server, tmp_path, asks_prometheus_itself=True)
    trials.count_requests("check")
    asked = [number for number, (dummy, path) in enumerate(server.seen, start=1) if ":9090/proxy/" in path]
    assert asked
    chance = random.Random(SEED)
    kinds = [kind for kind in FAULTS if kind not in SLOW]
    for dummy in range(SAMPLE):
        number, kind = chance.choice(asked), chance.choice(kinds)
        run = trials.play("check", {number: kind})
        assert trials.wrong_with(run) == [], f"{kind} in place of {trials.requests_spoilt()}: {run.output}"
    kind = chance.choice(kinds)
    run = trials.play("check", dict.fromkeys(range(asked[0], asked[0] + 1000), kind))
    assert (run.code, trials.wrong_with(run)) == (2, []), f"{kind} from the first on: {run.output}"
