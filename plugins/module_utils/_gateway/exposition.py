# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Token samples in a sidecar's exposition, and which labels carry data there.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .. import _names

# The sidecar speaks the classic text format only: name{label="value",...} number [timestamp].
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\}\s+(\S+)")
_ANY_SAMPLE = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?\s+[-+0-9.eEIinfNa]+(\s+-?\d+)?\s*\Z")
# Of a large exposition the first lines tell.
LOOKED_AT = 50
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_USAGE_SUM = re.compile(_names.USAGE_SUM_PATTERN + r"\Z")
_ARRAY = re.compile(_names.ENCODED_ARRAY_PATTERN)
_URL_SAFE = str.maketrans("+/", "-_")
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


@dataclass(frozen=True)
class TokenSum:
    """The tokens that one series has counted since its sidecar started."""

    labels: Mapping[str, str]
    tokens: float


def parse_exposition(exposition: str) -> list[TokenSum]:
    """The token sums of an exposition."""
    found = []
    for line in exposition.split("\n"):
        match = _SAMPLE.match(line)
        if match and _USAGE_SUM.match(match.group(1)):
            # Thousands of sidecars have the same few texts.
            labels = {
                sys.intern(name): sys.intern(re.sub(r'\\[\\"n]', lambda escape: _ESCAPES[escape.group()], value))
                for name, value in _LABEL.findall(match.group(2))
            }
            with contextlib.suppress(ValueError):  # a line that is no sample
                found.append(TokenSum(labels, float(match.group(3))))
    return found


def is_exposition(text: str) -> bool:
    """Whether a text is an exposition, and not the page of somebody who answers in a sidecar's place.

    One that is empty is: a sidecar has nothing to tell before its first request.
    """
    lines = [line for line in itertools.islice(text.split("\n"), LOOKED_AT) if line.strip()]
    return all(line.startswith("#") or _ANY_SAMPLE.match(line) for line in lines)


def shown_value(value: str) -> str:
    """A label's value for a person: of an encoded array its elements, with a comma between them.

    One that has nothing in it is shown as JSON: else it would look like nobody's.
    """
    array = decoded_array(value)
    items = json.loads(array) if array else []
    if not any(items):
        return array or value
    return ", ".join(item if isinstance(item, str) else json.dumps(item) for item in items)


def token_type(sample: TokenSum) -> str:
    """The type of the tokens that a series counts; an empty text where it carries none."""
    return next((sample.labels[name] for name in _names.TOKEN_TYPE_LABELS if name in sample.labels), "")


def in_total(sample: TokenSum) -> bool:
    """Whether a series is a part of the total: the other types are parts of these."""
    return token_type(sample) in _names.TOTAL_TOKEN_TYPES


def decoded_array(value: str) -> str:
    """The JSON text of an array claim that Envoy encoded into a header; an empty text for any other value."""
    if not _ARRAY.fullmatch(value):
        return ""
    try:
        # Either alphabet, with or without padding.
        plain = value.rstrip("=").translate(_URL_SAFE)
        text = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4)).decode()
        items = json.loads(text)
        # What cannot be written is none: half of a surrogate pair.
        json.dumps(items, ensure_ascii=False).encode()
        return text if isinstance(items, list) else ""
    except (ValueError, RecursionError):
        return ""


def labels_with_data(samples: Iterable[TokenSum]) -> set[str]:
    """The labels that some sample carries with a value. An empty value is none to Prometheus, an array none to us."""
    return {name for sample in samples for name, value in sample.labels.items() if value and not decoded_array(value)}


def arrays(samples: Iterable[TokenSum], labels: Iterable[str]) -> dict[str, list[str]]:
    """For each of the labels that carries encoded arrays, those arrays as JSON."""
    found: dict[str, set[str]] = {}
    wanted = set(labels)
    for sample in samples:
        for name, value in sample.labels.items():
            if name in wanted and decoded_array(value):
                found.setdefault(name, set()).add(decoded_array(value))
    return {name: sorted(values) for name, values in sorted(found.items())}
