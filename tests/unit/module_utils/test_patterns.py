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
        (r"(?P<name>a)(?:b)", "ab", True),
        (r"a{,5}", "a{,5}", True),
        (r"(\d{1,3}\.){3}\d{1,3}:1064", "10.0.0.1:1064", True),
        (r"(.+)(?:-[a-z0-9]+){2}", "envoy-chat-5d4f-x2x4z", True),
        (r"[a-z&&b]+", "a&b", True),
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
    ],
)
def test_a_repetition_of_what_matches_in_several_ways_is_not_tried(pattern):
    assert _patterns.compiled(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "text", "tried"),
    [
        pytest.param(".*.*.*.*.*.*x", "a" * 120, False, id="many repetitions that go anywhere"),
        pytest.param(".*.*x", "a" * 250, True, id="some"),
        pytest.param("(?i).*x.*x.*x.*x.*x.*x.*xq", "X" * 100, False, id="letters of the other case"),
        pytest.param(".*" * 110 + "x", "v" * 1000, False, id="more than a number holds"),
        pytest.param("a?" * 171, "a", False, id="more than another number holds"),
        pytest.param("(a|" * 300 + "b" + ")" * 300, "a", False, id="groups within groups"),
        pytest.param("a?" * 40 + "a" * 40, "a" * 40, False, id="many that may be left out"),
        pytest.param(
            "|".join(f"{word}_.*" for word in ("go", "process", "promhttp", "python", "http", "rpc", "gen_ai")),
            "gen_ai_client_token_usage_sum",
            True,
            id="many alternatives",
        ),
        pytest.param(";".join(["(.+)"] * 8), ";".join(["envoy-gateway-system"] * 8), True, id="up to a separator"),
        pytest.param(r"(.+)\.(.+)\.svc", "a.b.svc" * 30, True, id="up to a point"),
        pytest.param("(a.*|b.*)(c.*|d.*)", "a" * 100, True, id="groups one after another"),
    ],
)
def test_what_has_too_many_ways_to_match_a_text_is_not_tried_with_it(pattern, text, tried):
    found = _patterns.compiled(pattern)
    assert found is not None
    assert found.can_be_tried(text) is tried
    if tried:
        found.fullmatch(text)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{Greek}",
        "(",
        "a{99999999999999999999}",
        "[",
        r"\Qa.b\E",
        "[[:^digit:]]+",
        "a*+",
        "(?=a)",
        "(?!a)b",
        "(?<=a)b",
        r"(a)\1",
        "(?u)a",
    ],
)
def test_what_python_does_not_know_or_takes_for_something_else_is_not_tried(pattern):
    assert _patterns.compiled(pattern) is None
