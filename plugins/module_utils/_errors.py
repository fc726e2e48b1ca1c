# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Errors that are written for the person on call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


def told(*sentences: str, command: str = "") -> str:
    """Sentences for a person, and the next command at their end, where it can be copied."""
    text = " ".join(filter(None, sentences))
    return f"{text} Next: {command}" if command else text


def doc_of(role: str) -> str:
    """The command that shows what the variables of a role may be."""
    return f"ansible-doc -t role aigateway.metering.{role}"


class Remedy(NamedTuple):
    """What to do: as MeteringError has it."""

    advice: str
    command: str


class MeteringError(Exception):
    """Something that a person has to act on.

    Args:
        found: what was found, and where (namespace/name).
        why: why it matters.
        advice: what to do, in a sentence; empty where the command says it.
        command: the next command as it is given to a shell, names in capitals to be filled in; empty where there is
            none.
        result: what the module returns beside the message.
    """

    def __init__(self, found: str, why: str, advice: str, command: str = "", **result: Any) -> None:
        super().__init__(told(found, why, advice, command=command))
        self.is_moment = False
        """Whether it may be over in a moment: somebody does not answer, or says that it cannot now."""
        self.found = found
        self.why = why
        self.advice = advice
        self.command = command
        self.result = result

    @classmethod
    def of(cls, errors: Sequence[MeteringError], **result: Any) -> MeteringError:
        """Several errors as one, told one after another."""
        *others, last = errors
        found = [told(error.found, error.why, error.advice) for error in others]
        commands = dict.fromkeys(filter(None, (error.command for error in errors)))
        return cls(" ".join([*found, last.found]), last.why, last.advice, "; ".join(commands), **result)


class MomentError(MeteringError):
    """Somebody does not answer, or says that it cannot now: whoever waits anyway goes on waiting."""

    after = 0.0
    """The seconds after which it wants to be asked again; 0 where it does not say."""

    def __init__(self, found: str, why: str, advice: str, command: str = "", **result: Any) -> None:
        super().__init__(found, why, advice, command, **result)
        self.is_moment = True


class RefusedError(MeteringError):
    """The account that runs this lacks a permission, or is not known to the API server."""

    is_unknown = False
    """Whether the API server does not know the account: no role would help."""


class ConflictError(Exception):
    """The object changed between the read and the write: read again, compute again."""
