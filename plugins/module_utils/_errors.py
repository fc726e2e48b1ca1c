# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Errors that are written for the person on call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class MeteringError(Exception):
    """Something that a person has to act on.

    Args:
        found: what was found, and where (namespace/name).
        why: why it matters.
        command: the next command, or what to set.
        result: what the module returns beside the message.
    """

    def __init__(self, found: str, why: str, command: str, **result: Any) -> None:
        super().__init__(f"{found} {why} Next: {command}")
        self.is_moment = False
        """Whether it may be over in a moment: somebody does not answer, or says that it cannot now."""
        self.found = found
        self.why = why
        self.command = command
        self.result = result

    @classmethod
    def of(cls, errors: Sequence[MeteringError], **result: Any) -> MeteringError:
        """Several errors as one, told one after another."""
        first, *others = errors
        return cls(first.found, first.why, " ".join([first.command, *map(str, others)]), **result)


class MomentError(MeteringError):
    """Somebody does not answer, or says that it cannot now: whoever waits anyway goes on waiting."""

    def __init__(self, found: str, why: str, command: str, **result: Any) -> None:
        super().__init__(found, why, command, **result)
        self.is_moment = True


class RefusedError(MeteringError):
    """The account that runs this lacks a permission, or is not known to the API server."""

    is_unknown = False
    """Whether the API server does not know the account: no role would help."""


class ConflictError(Exception):
    """The object changed between the read and the write: read again, compute again."""
