# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Whether an object is ours.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from .. import _names
from .objects import Object


def is_ours(document: Object | None) -> bool:
    """Ours is what carries our label, and nothing else."""
    labels = (document["metadata"].get("labels") or {}) if document else {}
    return labels.get(_names.MANAGED_BY_LABEL) == _names.MANAGED_BY
