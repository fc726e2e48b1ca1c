# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Dotted paths in nested values, read and taken alike."""

from __future__ import annotations

import re

from ansible.errors import AnsibleFilterError


def split_path(path: str) -> list[str]:
    r"""The keys of a dotted path; `\.` is a dot within a key, as in Helm's --set.

    Raises:
        AnsibleFilterError: a key is empty.
    """
    keys = [key.replace("\\.", ".") for key in re.split(r"(?<!\\)\.", path)]
    if not all(keys):
        raise AnsibleFilterError(f"{path!r} has an empty key in it. Write a dotted path such as controller.key.")
    return keys
