# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a million odd inputs (tests/unit/odd_inputs.py), and writes how many into docs/reliability.md.

It may be interrupted: what was tried with the same code is not tried again. With --guided it looks for inputs that
reach new code instead (tests/guided.py), which needs atheris, a package that `make setup` does not install.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".collections"), str(ROOT / "tests/stand")]

from hypothesis import HealthCheck, Phase, given, seed, settings
from standlib import settings as stand

from ansible_collections.aigateway.metering.tests.unit import odd_inputs

PAGE = ROOT / "docs" / "reliability.md"
NONE = "none"
BEGIN, END = "<!-- written by make fuzz -->", "<!-- end -->"
BEGIN_GUIDED, END_GUIDED = "<!-- written by fuzz.py --guided -->", "<!-- guided ends -->"


def attempt_all(target: str, examples: int, number: int) -> None:
    """Try so many inputs.

    Raises:
        BaseException: one of them broke something; hypothesis has made it small.
    """

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(odd_inputs.TARGETS[target][0])
    def attempt(value: object) -> None:
        odd_inputs.try_input(target, value)

    attempt()


def attempted(target: str, examples: int, number: int) -> str:
    """What broke when so many inputs were tried."""
    began, outcome = time.monotonic(), NONE
    try:
        attempt_all(target, examples, number)
    except Exception as error:  # whatever breaks is what is looked for
        outcome = type(error).__name__
        print(f"{target}: {error!r}", flush=True)
    print(f"{target}: {examples} in {time.monotonic() - began:.0f} s, broken: {outcome}", flush=True)
    return outcome


def guide(target: str, seconds: int) -> tuple[int, str]:
    """How many inputs were tried of those that reach new code, and what broke."""
    place = stand.CACHE.parent / "fuzz" / "guided" / target.replace(" ", "-")
    words = [sys.executable, str(ROOT / "tests/guided.py"), target, str(place), "--seconds", str(seconds)]
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, errors="replace", check=False)
    found = re.findall(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
    if done.returncode:
        print(f"{target}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}", flush=True)
    print(f"{target}: {found[:1]} in {seconds} s, ended with {done.returncode}", flush=True)
    return int(found[0]) if found else 0, NONE if done.returncode == 0 else f"exit status {done.returncode}"


def guide_all(minutes: float) -> int:
    """Guide all targets for so many minutes in all, and write the page; how many broke."""
    seconds = round(60 * minutes / len(odd_inputs.TARGETS))
    found = {target: guide(target, seconds) for target in odd_inputs.TARGETS}
    rows = [f"| {target} | {runs} | {broken} |" for target, (runs, broken) in found.items()]
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    text = f"{sum(runs for runs, dummy in found.values())} inputs on {when}, {seconds} s for each, guided by coverage."
    write_part(BEGIN_GUIDED, END_GUIDED, text, rows)
    return sum(broken != NONE for dummy, broken in found.values())


def write_part(begin: str, end: str, text: str, rows: list[str]) -> None:
    """Write the part of the page between two marks."""
    head, dummy, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    table = "\n".join(["| what is read | inputs | broken |", "|---|---|---|", *rows])
    PAGE.write_text(f"{head}{begin}\n\n{text}\n\n{table}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--guided", type=float, metavar="MINUTES", help="for so long, inputs that reach new code")
    arguments = parser.parse_args()
    if arguments.guided:
        raise SystemExit(bool(guide_all(arguments.guided)))
    each = -(-arguments.examples // len(odd_inputs.TARGETS))
    kept = stand.CACHE.parent / "fuzz" / f"{stand.hash_of_code()}-{arguments.seed}-{each}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    rows, failed = [], 0
    with mock.patch("time.sleep"):
        for target in odd_inputs.TARGETS:
            if target not in known:
                known[target] = attempted(target, each, arguments.seed)
                kept.write_text(json.dumps(known))
            failed += known[target] != NONE
            rows.append(f"| {target} | {each} | {known[target]} |")
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    text = f"{each * len(rows)} inputs on {when}, seed {arguments.seed}."
    write_part(BEGIN, END, text, rows)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
