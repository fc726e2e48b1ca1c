# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks for odd inputs that reach new code (atheris), for one target of tests/unit/odd_inputs.py.

`tests/fuzz.py --guided` starts it for each. What it has found of interest stays in a directory, where it goes on.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".collections")]
SEED, FIRST, LONGEST = 20261126, 64, 2048
# Not among what tests use: it is built for few systems.
atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["ansible_collections.aigateway.metering.plugins"]):
    from ansible_collections.aigateway.metering.tests.unit import odd_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=odd_inputs.TARGETS)
    parser.add_argument("kept", type=Path, help="where what was found of interest is kept")
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    arguments.kept.mkdir(parents=True, exist_ok=True)

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(odd_inputs.TARGETS[arguments.target][0])
    def attempt(value: object) -> None:
        odd_inputs.try_input(arguments.target, value)

    made_of_bytes: Any = attempt

    chance = random.Random(SEED)
    for number in range(FIRST):
        # Hypothesis makes an input out of bytes; too few make none.
        (arguments.kept / f"first-{number}").write_bytes(chance.randbytes(chance.randint(16, LONGEST)))
    # libFuzzer's own options.
    lengths = [f"-max_len={LONGEST}", "-len_control=0"]
    options = [f"-max_total_time={arguments.seconds}", *lengths, "-timeout=60", "-rss_limit_mb=4096"]
    with mock.patch("time.sleep"):
        atheris.Setup([sys.argv[0], *options, str(arguments.kept)], made_of_bytes.hypothesis.fuzz_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
