# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Lists of words and of pairs in the forms in which surveys, files and people give them.

Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# What stands around an element where JSON, YAML or a template wrote the list.
AROUND = " \t[]{}\"'"


def words_of(given: Any) -> list[str]:
    """The words of a list that is one, or a text: with commas or lines between them, or as JSON or YAML writes it.

    Ansible splits a text at its commas and nowhere else. What has a comma, a quote or a bracket in it is no word.

    Args:
        given: the list, its elements not split yet, or the text; what is neither has none.
    """
    items = [given] if isinstance(given, str) else given if isinstance(given, (list, tuple)) else []
    return list(filter(None, (word for item in items for word in _elements(str(item)))))


def pairs_of(given: Any) -> list[str]:
    """The pairs `header:label` of a text, a list of texts, a map of header to label, or a list of such maps.

    What is no pair stays as it is, for whoever refuses it.

    Args:
        given: the pairs. A text may have commas or lines between them, or be written as JSON or YAML.
    """
    if isinstance(given, Mapping):
        # A label is a text; what is none, as nothing at all or a truth, is no pair.
        return [f"{header}:{label if isinstance(label, str) else ''}" for header, label in given.items()]
    if isinstance(given, (list, tuple)):
        return [pair for item in given for pair in pairs_of(item)]
    if isinstance(given, str) and given.strip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError):  # YAML's own way of writing the same
            return pairs_of(json.loads(given))
    found = (element.partition(":") for element in _elements(str(given)) if element)
    return [f"{header.strip(AROUND)}{colon}{label.strip(AROUND)}" for header, colon, label in found]


def _elements(text: str) -> Iterator[str]:
    """The elements of a text that has commas or lines between them, without what stands around them; some are empty."""
    for line in re.split(r"[,\r\n]", text):
        yield re.sub(r"\A\s*-\s+", "", line).strip(AROUND)
