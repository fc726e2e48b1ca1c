# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of relabeling, as Prometheus's own package applies them, beside ours."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from standlib import binaries

from ansible_collections.aigateway.metering.plugins.module_utils._scrape import relabel

PROGRAM = Path(__file__).parent / "harness" / "relabel.go"
NAMES = ["a", "b", "pod", "__address__", "__meta_pod_label_app", "gen_ai.request.model", "missing"]
VALUES = ["", "x", "X", "envoy-1", "10.0.0.1:1064", "a;b", "two\nlines", "ß", "team-a"]
REGEXES = [
    "",
    "(.*)",
    "x",
    "(?i)X",
    "(.+);(.+)",
    "envoy-(\\d)",
    "(?P<n>.+)-.*",
    "[",
    "a|b",
    ".*o.*",
    "__meta_(.+)",
    "^x$",
]
REGEXES += ["(x", "\\p{Lu}", "x?", "(x)?(.*)", ".", "..", "\\w+", "team-(a|b)"]
TARGETS = ["a", "new", "b_${1}", "$1", "${n}", "", "$$", "pod"]
REPLACEMENTS = ["$1", "$2", "${n}", "fixed", "", "$1-$1", "$$", "${1}x", "$1x", "$x"]
ACTIONS = ["replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep"]
ACTIONS += ["lowercase", "uppercase", "Keep", "nothing"]
# Which keys an action takes besides; Prometheus refuses others.
KEYS = {
    "keepequal": ("source_labels", "target_label"),
    "dropequal": ("source_labels", "target_label"),
    "labeldrop": ("regex",),
    "labelkeep": ("regex",),
    "labelmap": ("regex", "replacement"),
    "hashmod": ("source_labels", "separator", "target_label", "modulus"),
    "lowercase": ("source_labels", "separator", "target_label"),
    "uppercase": ("source_labels", "separator", "target_label"),
}
ALL = ("source_labels", "separator", "regex", "target_label", "replacement")
CASES = 20_000


def rule(chance: random.Random) -> dict[str, Any]:
    action = chance.choice(ACTIONS)
    made: dict[str, Any] = {
        "source_labels": chance.sample(NAMES, chance.randint(0, 3)),
        "separator": chance.choice([";", "", "-"]),
        "regex": chance.choice(REGEXES),
        "target_label": chance.choice(TARGETS),
        "replacement": chance.choice(REPLACEMENTS),
        "modulus": chance.choice([1, 2, 7, 1 << 40]),
    }
    kept = {key: made[key] for key in KEYS.get(action, ALL) if chance.random() < 0.8}
    return {**kept, "action": action} if action != "replace" or chance.random() < 0.5 else kept


def case(chance: random.Random) -> tuple[list[dict[str, Any]], dict[str, str]]:
    labels = {name: chance.choice(VALUES) for name in NAMES[:-1] if chance.random() < 0.7}
    return [rule(chance) for dummy in range(chance.randint(1, 3))], {
        name: text for name, text in labels.items() if text
    }


def is_claimed(rules: list[dict[str, Any]]) -> bool:
    """Whether ours claims to do the same.

    It passes over what Python's regular expressions do not know. Where several names become one, Prometheus keeps the
    last by their order, and those that a rule has set after all others: ours knows only the order.
    """
    actions = [one.get("action", "replace") for one in rules]
    return "labelmap" not in actions[1:] and all("\\p" not in str(one.get("regex", "")) for one in rules)


def test_labels_are_after_rules_what_prometheus_makes_of_them() -> None:
    chance = random.Random(20261126)
    cases = [case(chance) for dummy in range(CASES)]
    text = "".join(f"{json.dumps({'rules': json.dumps(rules), 'labels': labels})}\n" for rules, labels in cases)
    done = subprocess.run([binaries.program(PROGRAM)], input=text, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == CASES
    # What Prometheus refuses is in no running configuration.
    valid = [
        (rules, labels, answer["labels"])
        for (rules, labels), answer in zip(cases, answers, strict=True)
        if answer["valid"] and is_claimed(rules)
    ]
    assert len(valid) > CASES / 20
    wrong = [
        (rules, labels, wanted, found)
        for rules, labels, wanted in valid
        if (found := relabel.apply_rules(rules, labels)) != wanted
    ]
    assert wrong == [], len(wrong)
