# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Prometheus's relabeling, as far as it decides who is scraped and which samples are kept.

The rules are those of prometheus 3 (model/relabel/relabel.go). Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _patterns
from .._patterns import Pattern

Labels = dict[str, str]
Rule = Mapping[str, Any]
# In monitors the keys are written in camelCase, in Prometheus's own configuration with underscores.
_SNAKE = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+)|\$)")


def _expanded(template: str, match: re.Match[str]) -> str:
    """A replacement with its $1 and ${name} filled in, as Go's regexp does: an unknown group is empty."""
    groups = {str(number): text for number, text in enumerate((match.group(), *match.groups()))} | match.groupdict()

    def group(reference: re.Match[str]) -> str:
        name = reference.group(1) or reference.group(2)
        return (groups.get(name) or "") if name else "$"

    return _REFERENCE.sub(group, template)


def _with(labels: Labels, name: str, value: str) -> Labels:
    """The labels with one set; an empty value removes it."""
    found = {key: other for key, other in labels.items() if key != name}
    return {**found, name: value} if value else found


def _replace(labels: Labels, rule: Rule, pattern: Pattern, value: str) -> Labels:
    match = pattern.fullmatch(value)
    if match is None:
        return labels
    target = _expanded(rule.get("target_label", ""), match)
    return _with(labels, target, _expanded(str(rule.get("replacement", "$1")), match)) if target else labels


def _hashmod(labels: Labels, rule: Rule, dummy: Pattern, value: str) -> Labels:
    digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
    return _with(
        labels, rule.get("target_label", ""), str(int.from_bytes(digest[8:], "big") % int(rule.get("modulus") or 1))
    )


def _lowered(text: str) -> str:
    """As Go does it: each letter becomes one letter."""
    return "".join(letter.lower()[0] for letter in text)


def _raised(text: str) -> str:
    """As Go does it: a letter whose upper case is several stays as it is."""
    return "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in text)


def _labelmap(labels: Labels, rule: Rule, pattern: Pattern, dummy: str) -> Labels:
    # In the order of the names: where several become one, the last is kept.
    matches = {name: pattern.fullmatch(name) for name in sorted(labels)}
    template = str(rule.get("replacement", "$1"))
    return labels | {_expanded(template, match): labels[name] for name, match in matches.items() if match}


def _filtered(labels: Labels, pattern: Pattern, *, keep: bool) -> Labels:
    return {name: value for name, value in labels.items() if bool(pattern.fullmatch(name)) is keep}


# By action: the labels after it.
_CHANGES: dict[str, Callable[[Labels, Rule, Pattern, str], Labels]] = {
    "replace": _replace,
    "hashmod": _hashmod,
    "labelmap": _labelmap,
    "lowercase": lambda labels, rule, _, value: _with(labels, rule.get("target_label", ""), _lowered(value)),
    "uppercase": lambda labels, rule, _, value: _with(labels, rule.get("target_label", ""), _raised(value)),
    "labeldrop": lambda labels, _, pattern, __: _filtered(labels, pattern, keep=False),
    "labelkeep": lambda labels, _, pattern, __: _filtered(labels, pattern, keep=True),
}


# What looks at the names of labels, and not at values.
_OF_NAMES = frozenset({"labelmap", "labeldrop", "labelkeep"})


def _normal(written: Rule) -> Rule:
    # What is null in a configuration is as if it were not there.
    rule = {_SNAKE.get(key, key): value for key, value in written.items() if value is not None}
    # VictoriaMetrics takes a list of alternatives, and has two actions that look at the name.
    if isinstance(rule.get("regex"), list):
        rule["regex"] = "|".join(map(str, rule["regex"]))
    by_name = {"keep_metrics": "keep", "drop_metrics": "drop"}.get(str(rule.get("action", "")))
    return {**rule, "action": by_name, "source_labels": ["__name__"]} if by_name else rule


def of_monitors(rules: Sequence[Rule]) -> list[Rule]:
    """Rules of a monitor as the operators write them: these leave an empty regex out, and so it is the default."""
    return [{key: value for key, value in rule.items() if (key, value) != ("regex", "")} for rule in rules]


def apply_rules(rules: Sequence[Rule], labels: Mapping[str, str]) -> Labels | None:
    """The labels after the rules; None where these drop the target or the sample.

    A rule whose regular expression cannot be tried, or of an action that is not Prometheus's, is passed over.

    Args:
        rules: relabel_configs, as in Prometheus's configuration or as in a monitor.
        labels: the labels before; an absent label is an empty one.
    """
    found = dict(labels)
    for rule in map(_normal, rules):
        # VictoriaMetrics's condition on a rule is not read here: for what it does not hold, it does nothing.
        if "if" in rule or "match" in rule:
            continue
        pattern = _patterns.compiled(str(rule.get("regex", "(.*)")))
        value = str(rule.get("separator", ";")).join(found.get(name, "") for name in rule.get("source_labels") or ())
        action = str(rule.get("action", "replace")).lower()
        tried = found if action in _OF_NAMES else (value,)
        if pattern is None or not pattern.can_be_tried(*tried):
            continue
        same = found.get(rule.get("target_label", ""), "") == value
        matched = pattern.fullmatch(value) is not None
        stays = {"keep": matched, "drop": not matched, "keepequal": same, "dropequal": not same}
        if not stays.get(action, True):
            return None
        if action in _CHANGES:
            found = _CHANGES[action](found, rule, pattern, value)
    return found


def rules_about(rules: Sequence[Rule], known: set[str]) -> list[Rule]:
    """The rules that read nothing but known labels; what others do cannot be told."""
    return [rule for rule in map(_normal, rules) if set(rule.get("source_labels") or ()) <= known]
