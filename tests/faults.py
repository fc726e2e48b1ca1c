# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spoils the answer to every request of every playbook, and writes docs/reliability.md.

The ways take turns, and each request is spoilt in some of them (--rounds). A run meets several faults, which are some
requests apart; where such a run ends early, each of its faults is tried by itself. Of each playbook every way is also
tried as a fault that lasts: from some request on, all are spoilt. It may be interrupted: what was tried with the same
code is not tried again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import queue
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".collections"), str(ROOT / "tests/e2e"), str(ROOT / "tests/stand")]

from harness.faults import FAULTS, PLAYBOOKS, FaultyApiServer, Trials
from harness.stand import Stand
from standlib import raising, settings

PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- written by make test-faults -->"
SEED = 20261126
LASTING = ", from then on"
# How many requests the faults of one run are apart: what is asked again because of one is not spoilt by the next.
APART = 8
# More than any run asks.
MOST_REQUESTS = 5000


@dataclass(frozen=True)
class Cell:
    """What is to be tried: the faults of one run, by the number of the request."""

    playbook: str
    faults: tuple[tuple[int, str], ...]

    def each_alone(self) -> list[Cell]:
        return [Cell(self.playbook, (fault,)) for fault in self.faults]


class Results:
    """What was tried, kept in a file with the state of the code."""

    def __init__(self) -> None:
        self.code_state = settings.hash_of_code()
        self._path = settings.CACHE.parent / "faults" / "results.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self.found: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def add(self, results: list[dict[str, Any]]) -> None:
        with self._lock, self._path.open("a") as file:
            for result in results:
                self.found.append({**result, "code_state": self.code_state})
                file.write(json.dumps(self.found[-1]) + "\n")

    def left_of(self, cells: list[Cell]) -> list[Cell]:
        """The cells with a fault that was not tried with this code."""
        known = {
            (item["playbook"], item["number"], item["kind"])
            for item in self.found
            if item["code_state"] == self.code_state
        }
        return [cell for cell in cells if any((cell.playbook, *fault) not in known for fault in cell.faults)]


class Cluster:
    """A cluster of the stand, behind what spoils answers."""

    def __init__(self, name: str) -> None:
        raising.up(name)
        self._stand = Stand(name)
        self.restore()
        server = FaultyApiServer(self._stand).__enter__()
        self.trials = Trials(self._stand, server, Path(tempfile.mkdtemp()))
        self.trials.count_requests("report")

    def restore(self) -> None:
        run = self._stand.site()
        assert run.code == 0, run.output

    def try_cell(self, cell: Cell) -> list[dict[str, Any]]:
        """Spoil answers of one run, and look at what is told and left; a result for each fault that the run met.

        Where a run that met several ends early, nobody knows because of which: there is no result, unless something is
        wrong.
        """
        when, began = datetime.datetime.now(datetime.UTC).isoformat(), time.monotonic()
        run = self.trials.play(
            cell.playbook, {number: kind for fault in cell.faults for number, kind in spoilt_by(*fault)}
        )
        seconds = round(time.monotonic() - began, 1)
        wrong = self.trials.wrong_with(run)
        if wrong:
            self.restore()
        if run.code and not wrong and len(cell.faults) > 1:
            return []
        seen = self.trials.server.seen
        told = {
            "began": when,
            "code": run.code,
            "seconds": seconds,
            "wrong": wrong,
            **({"output": run.output} if wrong else {}),
        }
        return [
            {"playbook": cell.playbook, "number": number, "kind": kind, "request": " ".join(seen[number - 1]), **told}
            for number, kind in cell.faults
            if number <= len(seen)
        ]


def spoilt_by(number: int, kind: str) -> list[tuple[int, str]]:
    """Each request that a fault spoils, with the way."""
    numbers = range(number, MOST_REQUESTS if kind.endswith(LASTING) else number + 1)
    return [(each, kind.removesuffix(LASTING)) for each in numbers]


def list_cells(trials: Trials, rounds: int) -> list[Cell]:
    """What is to be tried, in an order by chance that is always the same."""
    found: list[Cell] = []
    kinds, chance = list(FAULTS), random.Random(SEED)
    for playbook in PLAYBOOKS:
        count = trials.count_requests(playbook)
        found += [Cell(playbook, ((chance.randint(1, count), kind + LASTING),)) for kind in kinds]
        for turn in range(rounds):
            faults = [(number, kinds[(number + turn) % len(kinds)]) for number in range(1, count + 1)]
            found += [Cell(playbook, tuple(faults[first::APART])) for first in range(min(APART, count))]
    chance.shuffle(found)
    return found


def table(results: list[dict[str, Any]]) -> str:
    """How many were tried, how many runs went on, and how many ended with what is wrong."""
    tried, survived, wrong = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[str]()
    for item in results:
        where = item["kind"], item["playbook"]
        tried[where] += 1
        survived[where] += item["code"] == 0
        wrong[item["kind"]] += bool(item["wrong"])
    lines = [
        f"| fault | {' | '.join(PLAYBOOKS)} | all | wrong |",
        f"|---|{'---|' * (len(PLAYBOOKS) + 2)}",
    ]
    for kind in [*FAULTS, *(kind + LASTING for kind in FAULTS)]:
        if not any(tried[kind, name] for name in PLAYBOOKS):
            continue
        each = [f"{survived[kind, name]} of {tried[kind, name]}" for name in PLAYBOOKS]
        whole = f"{sum(survived[kind, name] for name in PLAYBOOKS)} of {sum(tried[kind, name] for name in PLAYBOOKS)}"
        lines.append(f"| {kind} | {' | '.join(each)} | {whole} | {wrong[kind]} |")
    return "\n".join(lines)


def write_page(results: list[dict[str, Any]]) -> None:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    head = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    longest = max((item["seconds"] for item in results), default=0)
    text = (
        f"{len(results)} faults in {len({item['began'] for item in results})} runs until {when}, in "
        f"{len({item['code_state'] for item in results})} states of the code; "
        f"{machine}. The longest run took {longest:.0f} s. Each number is of faults whose run went on to its end, of "
        "those that were tried."
    )
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{table(results)}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600, help="end after so long; go on with the next run")
    parser.add_argument("--clusters", type=int, default=3, help="on so many clusters at once")
    parser.add_argument(
        "--rounds", type=int, default=3, help=f"in how many of {len(FAULTS)} ways each request is spoilt"
    )
    arguments = parser.parse_args()
    results = Results()
    clusters = [Cluster(settings.cluster_of(f"gw{number}")) for number in range(arguments.clusters)]
    left: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in results.left_of(list_cells(clusters[0].trials, arguments.rounds)):
        left.put(cell)
    until = time.monotonic() + 60 * arguments.minutes
    print(f"{len(results.found)} faults were tried before, {left.qsize()} runs are left", flush=True)

    def work(cluster: Cluster) -> None:
        while time.monotonic() < until:
            try:
                cell = left.get_nowait()
            except queue.Empty:
                return
            found = cluster.try_cell(cell)
            results.add(found)
            if not found and len(cell.faults) > 1:
                for alone in results.left_of(cell.each_alone()):
                    left.put(alone)
            elif found[0]["wrong"]:
                print(f"{', '.join(found[0]['wrong'])}: {cell}\n{found[0]['output']}", flush=True)

    threads = [threading.Thread(target=work, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(30)
        print(f"{len(results.found)} faults tried, {left.qsize()} runs left", flush=True)
    write_page(results.found)
    if any(item["wrong"] for item in results.found if item["code_state"] == results.code_state):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
