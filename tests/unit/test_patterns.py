# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus's regular expressions in Python."""

from __future__ import annotations

import warnings

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _patterns


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"[[:alpha:]]+-[[:digit:]]{2}", "proxy-12", True),
        (r"[[:alpha:]]+", "proxy1", False),
        (r"[^[:space:]]+", "a b", False),
        (r"[[:punct:]]", "[", True),
        (r"\Aproxy\z", "proxy", True),
        (r"\d+", "\u0661", False),
        (r"[[a]+", "[a", True),
        (r"[]a]+", "]a", True),
        (r"a.b", "a\nb", True),
        (r"(?i)PROXY", "proxy", True),
        (r"(foo|bar)", "bar", True),
        (r"envoy-(.+)-(.+)-([0-9a-f]{8,10})", "envoy-ai-chat-0a1b2c3d", True),
    ],
)
def test_a_pattern_matches_what_prometheus_takes_it_to_match(pattern, text, matches):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _patterns.compiled(pattern)
    assert found is not None
    assert (found.fullmatch(text) is not None) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        r"(([a-z0-9]+-?)+)-x",
        r"(a*)*b",
        r"(?:a|aa)+b",
        r"(.|a)*b",
        r"((a?)b?){20}c",
        r".*.*.*.*.*.*.*.*x",
    ],
)
def test_what_python_would_try_for_ever_is_not_tried(pattern):
    assert _patterns.compiled(pattern) is None


@pytest.mark.parametrize("pattern", [r"\p{Greek}", "(", "a{99999999999999999999}", "[", r"\Qa.b\E"])
def test_what_python_does_not_know_is_not_tried(pattern):
    assert _patterns.compiled(pattern) is None
