# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Parts of PromQL: strings, label names, patterns.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
# What goes through the API server is asked by GET, whose address has a bound.
NAMES_AT_ONCE = 100
LEGACY_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")


def quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def label(name: str) -> str:
    """A label's name in PromQL: Prometheus 3 takes any UTF-8 name in quotes."""
    return name if LEGACY_NAME.match(name) else quoted(name)


def with_label_from(expression: str, name: str, source: str) -> str:
    """An expression whose result has the value of one label under another as well."""
    return f'label_replace({expression}, {quoted(name)}, "$1", {quoted(source)}, "(.*)")'


def with_label(expression: str, name: str, value: str) -> str:
    """An expression whose result has a label of a fixed value."""
    return f'label_replace({expression}, {quoted(name)}, {quoted(value)}, "", "")'


def in_parts(names: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many names as fit into one question, again and again."""
    for first in range(0, len(names), NAMES_AT_ONCE):
        yield names[first : first + NAMES_AT_ONCE]


def alternatives(pods: Iterable[str]) -> str:
    """A string of PromQL with a pattern that matches these names of pods and no others, whoever has chosen them."""
    return quoted("|".join(map(re.escape, pods)))
