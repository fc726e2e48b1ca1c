# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("2d", 172_800),
        ("", None),
        ("30", None),
        ("5 s", None),
    ],
)
def test_a_duration_in_seconds(text, seconds):
    assert _durations.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "is_one"), [("30s", True), ("1h30m", True), ("1.5s", False), ("5", False), ("", False)]
)
def test_what_prometheus_takes_for_a_duration(text, is_one):
    assert _durations.is_prometheus(text) == is_one
