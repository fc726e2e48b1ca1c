# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Tells a person who waits what is being waited for.

A module's output is read when it has ended. Our action plugins therefore listen where the module runs in their own
process; else they name a file in the environment, and show what is written to it while the module runs. Where there is
neither (another host, a module run by itself) nothing is told.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from ._errors import MeteringError

VARIABLE = "AIGATEWAY_METERING_PROGRESS"
# Between two looks: what is nearly there is not waited for by a second, what takes long is not asked all the time.
FIRST_POLL_SECONDS, POLL_SECONDS = 0.1, 1.0
# A line for each thing waited for, and again each time this has passed.
REPEAT_SECONDS = 10.0


# Who shows the lines, where the module runs in the process of our action plugin.
listener: Callable[[str], None] | None = None


def tell(text: str) -> None:
    """Show one line now."""
    path = os.environ.get(VARIABLE)
    if listener is not None:
        listener(" ".join(text.split()))
    elif path:
        # Whoever showed it may be gone; that is no reason to fail.
        with contextlib.suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
            file.write(" ".join(text.split()) + "\n")


class Pace:
    """Tells of long work: at once, and again each time REPEAT_SECONDS have passed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._started = time.monotonic()
        self._told_at = -REPEAT_SECONDS

    def tell(self, text: str) -> None:
        """Show how far the work is, unless that was shown a moment ago."""
        elapsed = time.monotonic() - self._started
        if elapsed - self._told_at >= REPEAT_SECONDS:
            tell(f"{self._what}: {text} ({elapsed:.0f} s)")
            self._told_at = elapsed


def wait(what: str, probe: Callable[[], str], timeout: float) -> str:
    """Poll until probe() has nothing left to wait for, and return what it still waits for at the end.

    Args:
        what: whose state is polled.
        probe: says what is being waited for, and how far it is; an empty text means that it is there.
        timeout: seconds.

    Raises:
        MeteringError: when the time was over it could not be read what is missing.
    """
    started = time.monotonic()
    told, told_at = "", 0.0
    pause = FIRST_POLL_SECONDS
    while True:
        unanswered: MeteringError | None = None
        try:
            missing = probe()
        except MeteringError as error:
            if not error.is_moment:
                raise
            # An API server that restarts meanwhile is waited for as well.
            missing, unanswered = f"an answer. {error.found.rstrip('.')}", error
        elapsed = time.monotonic() - started
        if missing and (missing != told or elapsed - told_at >= REPEAT_SECONDS):
            tell(f"{what}: waiting for {missing} ({elapsed:.0f} s of at most {timeout:.0f} s)")
            told, told_at = missing, elapsed
        if not missing and told:
            tell(f"{what}: done after {elapsed:.0f} s")
        if unanswered and elapsed >= timeout:
            raise unanswered
        if not missing or elapsed >= timeout:
            return missing
        time.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS)
