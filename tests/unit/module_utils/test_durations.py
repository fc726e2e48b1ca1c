# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus's and Kubernetes's durations."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ("text", "is_one"),
    [
        ("30s", True),
        ("1h30m", True),
        ("1y2w3d4h5m6s7ms", True),
        ("1.5s", False),
        ("5", False),
        ("", False),
        ("0s", False),
        ("30s1m", False),
        ("1m1m", False),
        ("30s\n", False),
        (" 30s", False),
    ],
)
def test_what_prometheus_takes_for_a_duration(text, is_one):
    assert _durations.is_prometheus(text) == is_one


@given(st.from_regex(r"([0-9]{1,2}(ms|[smhdwy])){0,3}", fullmatch=True))
def test_what_is_taken_for_a_duration_fits_the_pattern_of_the_crd(text):
    """The pattern of monitoring.coreos.com's Duration (prometheus-operator, pkg/apis/monitoring/v1/types.go)."""
    units = "".join(f"(([0-9]+){unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
    fits = re.match(f"^(0|{units})$", text) is not None and text != ""
    assert _durations.is_prometheus(text, may_be_none=True) == fits
    if _durations.is_prometheus(text):
        assert _durations.seconds(text)
