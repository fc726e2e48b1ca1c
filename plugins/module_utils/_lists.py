# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Lists of words in the forms in which surveys, files and people give them. Pure: no input or output, no Ansible."""

from __future__ import annotations

import re
from typing import Any


def words_of(given: Any) -> list[str]:
    """The words of a list that is one, or a text: with commas or lines between them, or as JSON or YAML writes it.

    Ansible splits a text at its commas and nowhere else. What has a comma, a quote or a bracket in it is no word.

    Args:
        given: the list, its elements not split yet, or the text; what is neither has none.
    """
    items = [given] if isinstance(given, str) else given if isinstance(given, (list, tuple)) else []
    lines = re.split(r"[,\r\n]", ",".join(map(str, items)))
    found = [re.sub(r"\A\s*-\s+", "", line).strip(" \t[]\"'") for line in lines]
    return list(filter(None, found))
