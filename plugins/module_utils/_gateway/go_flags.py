# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Flags in a container's words, as Go's standard `flag` package reads them.

`-x v`, `--x v`, `-x=v` and `--x=v` are one and the same; of a repeated flag the last counts; `--` and a stray
positional end the flags. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a flag stands: the index of its word, and whether its value is the next word."""

    index: int
    split: bool
    value: str


def split_program(words: Sequence[str], field: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A container's `args` or `command` as what stands before the flags, and the flags.

    `command` begins with the program (and perhaps with a shell's words that lead to it); `args` are flags only.
    """
    start = 0
    if field == "command":
        start = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return tuple(words[:start]), tuple(words[start:])


def _end_of_flags(words: Sequence[str], flag: re.Pattern[str]) -> int:
    """The index of the first word that Go no longer reads as a flag or as a flag's value.

    What follows `-x` is its value, whatever it looks like, where x is the flag that is looked for. Of another flag it
    cannot be seen from outside whether it is boolean: a word without a dash is taken for its value, one with a dash
    for the next flag.
    """
    may_be_value, is_value = False, False
    for index, word in enumerate(words):
        if is_value:
            may_be_value, is_value = False, False
            continue
        match = flag.match(word)
        is_value = match is not None and match.group(1) is None
        if word == "--":
            return index
        if len(word) > 1 and word.startswith("-"):
            may_be_value = "=" not in word
        elif may_be_value:
            may_be_value = False
        else:
            return index
    return len(words)


def flag_places(words: Sequence[str], name: str) -> list[Place]:
    """All occurrences of a flag among the words that are flags, in their order; the last one counts."""
    flag = re.compile(rf"--?{re.escape(name)}(?:=(.*))?\Z", re.DOTALL)
    end = _end_of_flags(words, flag)
    found = []
    index = 0
    while index < end:
        match = flag.match(words[index])
        if match and match.group(1) is not None:
            found.append(Place(index, False, match.group(1)))
        elif match:
            value = words[index + 1] if index + 1 < len(words) else ""
            found.append(Place(index, True, value))
            index += 1
        index += 1
    return found


def find_flag(words: Sequence[str], name: str) -> Place | None:
    """The occurrence of a flag that counts: the last one among the words that are flags; None where there is none."""
    return next(iter(flag_places(words, name)[::-1]), None)


def flag_value(words: Sequence[str], name: str) -> str | None:
    """The value of a flag, or None where it is absent."""
    place = find_flag(words, name)
    return None if place is None else place.value


def with_value(words: Sequence[str], name: str, new: str | None) -> list[list[str]]:
    """For each of the words what stands in its place once the flag has a value, or is gone where that is None.

    The flag keeps the spelling in which it stood; where it stood several times, it stands once, where it counted. One
    that was absent is not added. What stands where is kept, because words may come from several lists.
    """
    result = [[word] for word in words]
    found = flag_places(words, name)
    for place in found if new is None else found[:-1]:
        # What does not count would only mislead whoever reads it.
        result[place.index] = []
        if place.split and place.index + 1 < len(words):
            result[place.index + 1] = []
    if new is not None and found:
        last = found[-1]
        if not last.split:
            result[last.index] = [f"{words[last.index].partition('=')[0]}={new}"]
        elif last.index + 1 < len(words):
            result[last.index + 1] = [new]
        else:
            result[last.index] = [words[last.index], new]
    return result
