# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Regular expressions as Prometheus writes them (RE2), tried with Python's `re`.

RE2 takes a time that grows with the text alone; `re` tries every way to split it. What could take it for ever is not
tried. Source: the syntax page of google/re2. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"\\."  # an escape
    r"|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]"  # a class
    r"|\((?:\?(?:P?<\w+>|[a-zA-Z-]*[:)]|.))?"  # the beginning of a group
    r"|[|)]"
    r"|[*+?]\??|\{\d+(?:,\d*)?\}\??"  # a repetition
    r"|.",
    re.DOTALL,
)
_REPETITION = re.compile(r"[*+?]\??\Z|\{\d+(?:,(\d*))?\}\??\Z")
# What RE2 refuses, or takes for something else than Python does: back references, looking around, negated classes.
_NOT_TRIED = re.compile(r"\\[1-9]\Z|\(\?[=!(<]\Z|\[.*\[:\^", re.DOTALL)
_LITERAL = re.compile(r"\\[^\w\s]\Z|[^\\.\[(){}*+?|^$]\Z", re.DOTALL)
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}
# So many ways to split a text take `re` some tenths of a second.
_MOST_WAYS = 2e6
# A group that is repeated so many times is taken as so many groups.
_MOST_TIMES = 9


def _in_python(token: str) -> str:
    if token == r"\z":
        return r"\Z"
    if token == "{":  # of a repetition it is not; Python takes `{,5}` for one
        return r"\{"
    if len(token) > 1 and token.startswith("["):
        inner = re.sub(r"\[:(\w+):\]", lambda named: _POSIX.get(named[1], named[0]), token[1:-1])
        # RE2 takes these in a class as they are; Python keeps them for sets within sets.
        return "[" + re.sub(r"(?<!\\)([\[&|~])", r"\\\1", inner) + "]"
    return token


@dataclass
class _Group:
    """What of a pattern can match in several ways: alternatives, each a sequence."""

    alternatives: list[list[_Group | str]] = field(default_factory=lambda: [[]])
    """In a sequence a group, or the literal up to which a repetition goes; an empty text where it goes anywhere."""

    @property
    def has_choice(self) -> bool:
        return len(self.alternatives) > 1 or bool(self.alternatives[0])

    def ways(self, text: str) -> float:
        """In how many ways it can match a part of a text, at most."""
        return sum(self._ways_of(sequence, text) for sequence in self.alternatives)

    @staticmethod
    def _ways_of(sequence: Sequence[_Group | str], text: str) -> float:
        found = math.prod(item.ways(text) for item in sequence if isinstance(item, _Group))
        for end, times in Counter(item for item in sequence if isinstance(item, str)).items():
            # Letters of either case: a pattern may not care for it.
            places = (text.lower().count(end.lower()) if end else len(text)) + 1
            # They come in their order: for k of n places there are about n^k / k! ways.
            found *= float(places) ** times / math.factorial(times)
        return found


def _choices_in(tokens: Sequence[str]) -> _Group | None:
    """What can match in several ways; None where a repetition of such a thing would be tried for ever."""
    stack = [_Group()]
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if token.startswith("(") and not token.endswith(")"):
            stack.append(_Group())
        elif token == ")" and len(stack) > 1:
            group = stack.pop()
            times = _times(following)
            if group.has_choice and times > _MOST_TIMES:
                return None
            own = [group] if len(group.alternatives) > 1 else group.alternatives[0]
            stack[-1].alternatives[-1] += own * max(1, times)
        elif token == "|":
            stack[-1].alternatives.append([])
        elif _REPETITION.match(token):
            stack[-1].alternatives[-1].append(_end_of_repetition(tokens[index + 1 :]))
    return stack[0]


def _times(token: str) -> int:
    """How often a repetition may repeat what stands before it: once where it is none, a million times without end."""
    bounds = _REPETITION.match(token)
    if not bounds or token[0] == "?":
        return 1
    numbers = re.findall(r"\d+", token)
    return 1_000_000 if token[0] in "*+" or bounds[1] == "" else int(numbers[-1][:6])


def _end_of_repetition(rest: Sequence[str]) -> str:
    """The literal that has to follow a repetition; an empty text where that is not known."""
    for index, token in enumerate(rest):
        if token == ")" and not (index + 1 < len(rest) and _REPETITION.match(rest[index + 1])):
            continue
        if _LITERAL.match(token) and not (index + 1 < len(rest) and _REPETITION.match(rest[index + 1])):
            return token[-1]
        break
    return ""


@dataclass(frozen=True)
class Pattern:
    """A regular expression that Python knows."""

    expression: re.Pattern[str]
    choices: _Group = field(compare=False)

    def can_be_tried(self, *texts: str) -> bool:
        """Whether Python comes to an end with each of the texts soon."""
        try:
            return all(self.choices.ways(text) <= _MOST_WAYS for text in texts)
        except (OverflowError, RecursionError):
            return False

    def fullmatch(self, text: str) -> re.Match[str] | None:
        return self.expression.fullmatch(text)


@functools.cache
def compiled(text: str) -> Pattern | None:
    """A regular expression; None for one that Python does not know, or that it might try for ever.

    Args:
        text: as Prometheus takes it. It is to match a whole value, over several lines as well.
    """
    tokens = _TOKEN.findall(text)
    if any(_NOT_TRIED.match(token) for token in tokens) or any(
        _REPETITION.match(token) and _REPETITION.match(following) for token, following in itertools.pairwise(tokens)
    ):
        return None
    choices = _choices_in(tokens)
    if choices is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return Pattern(re.compile("".join(map(_in_python, tokens)), re.DOTALL | re.ASCII), choices)
    except (re.error, RecursionError, OverflowError, ValueError):
        return None
