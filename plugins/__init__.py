# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuses an Ansible that would run what a cluster returns as a template; meta/runtime.yml only makes it warn.

Ansible imports this before anything else of the collection. It passes on this class of error alone; after any other it
says that there is no such module.
"""

from __future__ import annotations

from ansible.module_utils import ansible_release

if tuple(int(part) for part in ansible_release.__version__.split(".")[:2]) < (2, 19):
    from ansible.errors import AnsibleCollectionUnsupportedVersionError

    raise AnsibleCollectionUnsupportedVersionError(
        "The collection aigateway.metering needs ansible-core 2.19 or newer, and this is "
        f"{ansible_release.__version__}. Older ones run what a cluster returns as a template. Nothing was changed. "
        "Next: pip install 'ansible-core>=2.19'"
    )
