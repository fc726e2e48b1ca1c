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
import re

_TOKEN = re.compile(
    r"\\."  # an escape
    r"|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]"  # a class
    r"|\(\?[^:)>]*[:>]?|[()|]"
    r"|[*+?]\??|\{\d+(?:,\d*)?\}\??"  # a repetition
    r"|.",
    re.DOTALL,
)
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
# So many repetitions after one another have a time that a pod's name does not fill.
_MOST_REPETITIONS = 6


def _in_python(token: str) -> str:
    if token == r"\z":
        return r"\Z"
    if len(token) > 1 and token.startswith("["):
        inner = re.sub(r"\[:(\w+):\]", lambda named: _POSIX.get(named[1], named[0]), token[1:-1])
        # RE2 takes a bracket in a class as it is; Python keeps it for sets within sets.
        return "[" + re.sub(r"(?<!\\)\[", r"\\[", inner) + "]"
    return token


def _repeats_freely(token: str) -> bool:
    """Whether a repetition may be of any number, or of one beyond counting."""
    numbers = re.findall(r"\d+", token)
    return token[0] in "*+" or (token[0] == "{" and (",}" in token or int(numbers[-1]) > 9))


def _may_take_for_ever(tokens: list[str]) -> bool:
    """Whether a group that can match in several ways is itself repeated, or too many repetitions stand in a row."""
    groups = [False]
    repetitions = 0
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if token.startswith("("):
            groups.append(False)
        elif token == ")" and len(groups) > 1:
            has_choice = groups.pop()
            if has_choice and re.match(r"[*+]|\{\d", following) and _repeats_freely(following):
                return True
            groups[-1] |= has_choice
        elif token == "|" or re.match(r"[*+?]|\{\d", token):
            groups[-1] = True
            repetitions += token != "|" and _repeats_freely(token)
    return repetitions > _MOST_REPETITIONS


@functools.cache
def compiled(text: str) -> re.Pattern[str] | None:
    """A regular expression; None for one that Python does not know, or that it might try for ever.

    Args:
        text: as Prometheus takes it. It is to match a whole value, over several lines as well.
    """
    tokens = _TOKEN.findall(text)
    if _may_take_for_ever(tokens):
        return None
    try:
        return re.compile("".join(map(_in_python, tokens)), re.DOTALL | re.ASCII)
    except (re.error, RecursionError, OverflowError):
        return None
