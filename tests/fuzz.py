# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries a million odd inputs (tests/unit/odd_inputs.py), and writes how many into docs/reliability.md.

It may be interrupted: what was tried with the same code is not tried again.
"""

from __future__ import annotations

import argparse
import datetime
import json
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=20261126)
    arguments = parser.parse_args()
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
    head, dummy, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    text = f"{each * len(rows)} inputs on {when}, seed {arguments.seed}."
    table = "\n".join(["| what is read | inputs | broken |", "|---|---|---|", *rows])
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n\n{table}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
