# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The flag of a container that maps request headers to metric labels, wherever its words stand.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import _generations
from . import go_flags, mapping
from .mapping import Pair

# Of a container, in the order in which its program gets them.
LISTS = ("command", "args")


def split_program_of(lists: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return go_flags.split_program(lists.get(name) or (), name)


def flags_of(container: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags that a container's program gets: those in its `command`, and then its `args`."""
    return tuple(word for name in LISTS for word in split_program_of(container, name)[1])


def flag_and_value(words: Sequence[str]) -> tuple[str, str]:
    """The flag that maps headers to labels of metrics, and its value; the newest one where there is none.

    A gateway that knows two such flags reads the older one only as long as the newer is empty, and is told by either.
    """
    there = [flag for flag in _generations.HEADER_FLAGS if go_flags.find_flag(words, flag)]
    values = [go_flags.flag_value(words, flag) for flag in there]
    return next(iter(there), _generations.HEADER_FLAGS[0]), next(filter(None, values), "")


def mapping_of(words: Sequence[str], where: str) -> tuple[Pair, ...]:
    """The pairs of the flag that maps headers to labels of metrics."""
    return tuple(mapping.parse_mapping(flag_and_value(words)[1], where))
