# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Errors that are written for the person on call."""

from __future__ import annotations


class MeteringError(Exception):
    """Something that a person has to act on.

    Args:
        found: what was found, and where (namespace/name).
        why: why it matters.
        command: the next command, or what to set.
    """

    def __init__(self, found: str, why: str, command: str) -> None:
        super().__init__(f"{found} {why} Next: {command}")
        self.found = found
        self.why = why
        self.command = command


class ConflictError(Exception):
    """The object changed between the read and the write: read again, compute again."""
