# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from hypothesis import settings

# The same examples on every run: a test that fails here fails everywhere.
settings.register_profile("unit", max_examples=150, deadline=None, derandomize=True, database=None)
settings.load_profile("unit")
