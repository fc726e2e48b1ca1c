# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spoils the answer to every request of every playbook, and writes docs/reliability.md.

The ways take turns, so that each request is spoilt once; --all spoils each in every way, which takes days. Of each
playbook every way is tried once as a fault that lasts: from some request on, all are spoilt. It may be interrupted:
what was tried with the same code is not tried again.
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
# More than any run asks.
MOST_REQUESTS = 5000


class Results:
    """What was tried, kept in a file with the state of the code."""

    def __init__(self) -> None:
        self.code_state = settings.hash_of_code()
        self._path = settings.CACHE.parent / "faults" / "results.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self.found: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def add(self, result: dict[str, Any]) -> None:
        with self._lock, self._path.open("a") as file:
            result["code_state"] = self.code_state
            self.found.append(result)
            file.write(json.dumps(result) + "\n")

    @property
    def known(self) -> set[tuple[str, int, str]]:
        return {
            (item["playbook"], item["number"], item["kind"])
            for item in self.found
            if item["code_state"] == self.code_state
        }


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

    def try_fault(self, playbook: str, number: int, kind: str) -> dict[str, Any]:
        """Spoil one answer, and look at what is told and left."""
        began = time.monotonic()
        lasts = kind.endswith(LASTING)
        numbers = range(number, MOST_REQUESTS if lasts else number + 1)
        run = self.trials.play(playbook, dict.fromkeys(numbers, kind.removesuffix(LASTING)))
        seconds = time.monotonic() - began
        wrong = self.trials.wrong_with(run)
        if wrong:
            self.restore()
        what = ", ".join(self.trials.requests_spoilt()[:1]) or "not asked"
        result = {"playbook": playbook, "number": number, "kind": kind, "request": what, "code": run.code}
        return {**result, "seconds": round(seconds, 1), "wrong": wrong, **({"output": run.output} if wrong else {})}


def cells(trials: Trials, *, in_every_way: bool) -> list[tuple[str, int, str]]:
    """Every request of every playbook with a way to spoil it, in an order by chance that is always the same."""
    found: list[tuple[str, int, str]] = []
    kinds, chance = list(FAULTS), random.Random(SEED)
    for playbook in PLAYBOOKS:
        count = trials.count_requests(playbook)
        found += [(playbook, chance.randint(1, count), kind + LASTING) for kind in kinds]
        for number in range(1, count + 1):
            ways = kinds if in_every_way else [kinds[len(found) % len(kinds)]]
            found += [(playbook, number, kind) for kind in ways]
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
        f"{len(results)} faults until {when}, in {len({item['code_state'] for item in results})} states of the code; "
        f"{machine}. The longest run took {longest:.0f} s. Each number is of runs that went on to their end, of those "
        "that were tried."
    )
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{table(results)}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600, help="end after so long; go on with the next run")
    parser.add_argument("--clusters", type=int, default=3, help="on so many clusters at once")
    parser.add_argument("--all", action="store_true", help="spoil each request in every way, and not in one")
    arguments = parser.parse_args()
    results = Results()
    clusters = [Cluster(settings.cluster_of(f"gw{number}")) for number in range(arguments.clusters)]
    left: queue.SimpleQueue[tuple[str, int, str]] = queue.SimpleQueue()
    for cell in cells(clusters[0].trials, in_every_way=arguments.all):
        if cell not in results.known:
            left.put(cell)
    until = time.monotonic() + 60 * arguments.minutes
    print(f"{len(results.found)} were tried before, {left.qsize()} are left", flush=True)

    def work(cluster: Cluster) -> None:
        while time.monotonic() < until:
            try:
                cell = left.get_nowait()
            except queue.Empty:
                return
            result = cluster.try_fault(*cell)
            results.add(result)
            if result["wrong"]:
                print(f"{', '.join(result['wrong'])}: {cell} {result['request']}\n{result['output']}", flush=True)

    threads = [threading.Thread(target=work, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(30)
        print(f"{len(results.found)} tried, {left.qsize()} left", flush=True)
    write_page(results.found)
    if any(item["wrong"] for item in results.found if item["code_state"] == results.code_state):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
