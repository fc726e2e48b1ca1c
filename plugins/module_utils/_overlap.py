# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Which token types contain which others, by the name under which a counter is stored and by its provider.

Input commonly contains the cached parts, and output the reasoning; then a total is input and output. The exceptions
stand in one table. It is keyed by what is stored, and not by the gateway that runs now: after an upgrade the old
counters are still in the retention. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

# The parts that a type contains.
PARTS = {"input": ("cached_input", "cache_creation_input"), "output": ("reasoning",)}
TYPES = tuple(kind for whole, parts in PARTS.items() for kind in (whole, *parts))
TOTAL = tuple(PARTS)
PARTS_OF_ALL = tuple(part for parts in PARTS.values() for part in parts)
