# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's arguments, as Go's own flag package reads them, beside ours."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from pathlib import Path

from standlib import binaries

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import go_flags

PROGRAM = Path(__file__).parent / "harness" / "flags.go"
WORDS = [
    *("-flag", "--flag", "-flag=a:b", "--flag=c:d", "-flag=", "--flag=", "---flag", "-flag=x=y", "flag", "flag=z"),
    *("-other", "--other=1", "-other=-flag", "--", "-", "", "=", "-=", "--=x", "value", "-1"),
]
LISTS = 20_000


def is_ambiguous(words: list[str]) -> bool:
    """Whether a word with a dash follows another flag that has no value yet."""
    return any(one.strip("-") == "other" and two.startswith("-") for one, two in itertools.pairwise(words))


def test_what_a_flag_is_set_to_is_what_go_takes() -> None:
    chance = random.Random(20261126)
    lists = [chance.choices(WORDS, k=chance.randint(0, 6)) for dummy in range(LISTS)]
    text = "".join(f"{json.dumps(words)}\n" for words in lists)
    done = subprocess.run([binaries.program(PROGRAM)], input=text, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == LISTS
    # What Go refuses never starts, so it has no flags. Whether another flag is boolean cannot be seen from outside.
    valid = [
        (words, answer["value"])
        for words, answer in zip(lists, answers, strict=True)
        if answer["valid"] and not is_ambiguous(words)
    ]
    assert len(valid) > LISTS / 20
    wrong = [(words, value) for words, value in valid if go_flags.flag_value(words, "flag") != value]
    assert wrong == []
