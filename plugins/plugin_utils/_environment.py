# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What a run has around it: the Ansible that runs it, and the directory in which the command was given."""

from __future__ import annotations

import os

from ansible.errors import AnsibleError
from ansible.release import __version__

# As in meta/runtime.yml, which Ansible only warns about.
OLDEST_ANSIBLE = (2, 19)


def directory_of_command() -> str:
    """The directory in which the command was given, by the name that the shell has for it."""
    here, named = os.getcwd(), os.environ.get("PWD", "")
    # Who starts a command elsewhere than in a shell may leave the name of another directory.
    return named if named and os.path.realpath(named) == os.path.realpath(here) else here


def require_ansible(version: str = __version__) -> None:
    """Refuse an Ansible in which what a filter returns is a template again.

    Raises:
        AnsibleError: it is too old.
    """
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_ANSIBLE:
        oldest = ".".join(map(str, OLDEST_ANSIBLE))
        raise AnsibleError(
            f"ansible-core {version} runs this, and {oldest} is the oldest that can. Older ones run what a cluster "
            f"returns as a template. Nothing was changed. Next: pip install 'ansible-core>={oldest}'"
        )
