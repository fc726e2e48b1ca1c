# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What a run has around it."""

from __future__ import annotations

import os


def directory_of_command() -> str:
    """The directory in which the command was given, by the name that the shell has for it."""
    here, named = os.getcwd(), os.environ.get("PWD", "")
    # Who starts a command elsewhere than in a shell may leave the name of another directory.
    return named if named and os.path.realpath(named) == os.path.realpath(here) else here
