# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sidecar exposes, and which labels carry data."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.aigateway.metering.plugins.module_utils._gateway import exposition, label_state
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.exposition import TokenSum
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.header_setters import Setter, Setters
from ansible_collections.aigateway.metering.plugins.module_utils._gateway.label_state import LabelState


def encoded(claim, *, padded=True):
    """An array claim as Envoy writes it into a header."""
    text = base64.urlsafe_b64encode(json.dumps(claim, separators=(",", ":")).encode()).decode()
    return text if padded else text.rstrip("=")


# --- the exposition ---------------------------------------------------------------------------------------------------

EXPOSITION = """\
# HELP gen_ai_client_token_usage Number of tokens processed.
# TYPE gen_ai_client_token_usage histogram
gen_ai_client_token_usage_bucket{gen_ai_token_type="input",user_namespace="a",le="1"} 0
gen_ai_client_token_usage_bucket{gen_ai_token_type="input",user_namespace="a",le="+Inf"} 2
gen_ai_client_token_usage_sum{gen_ai_token_type="input",user_namespace="a"} 1234
gen_ai_client_token_usage_count{gen_ai_token_type="input",user_namespace="a"} 2
gen_ai_server_request_duration_seconds_sum{user_namespace="a"} 1.5
# HELP target_info Target metadata
target_info{service_name="ai-gateway"} 1
"""


def test_only_the_token_sums_are_read():
    assert exposition.parse_exposition(EXPOSITION) == [
        TokenSum({"gen_ai_token_type": "input", "user_namespace": "a"}, 1234.0)
    ]


def test_an_empty_exposition_has_no_samples():
    assert exposition.parse_exposition("") == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("gen_ai_client_token_usage_sum", id="v0.5 and newer"),
        pytest.param("gen_ai_client_token_usage_token_sum", id="v0.3 and v0.4"),
    ],
)
def test_the_names_of_every_generation_are_read(name):
    assert exposition.parse_exposition(f'{name}{{a="b"}} 1\n') == [TokenSum({"a": "b"}, 1.0)]


@pytest.mark.parametrize(
    "name",
    ["gen_ai_client_token_usage_sum_total", "my_gen_ai_client_token_usage_sum", "gen_ai_client_token_usage_total_sum"],
)
def test_other_names_are_not_read(name):
    assert exposition.parse_exposition(f'{name}{{a="b"}} 1\n') == []


@pytest.mark.parametrize(
    ("written", "value"),
    [
        pytest.param(r"a\"b", 'a"b', id="quote"),
        pytest.param(r"a\\b", r"a\b", id="backslash"),
        pytest.param(r"a\nb", "a\nb", id="line break"),
        pytest.param(r"a\\nb", r"a\nb", id="backslash and n"),
        pytest.param("a,b=c", "a,b=c", id="what separates labels"),
        pytest.param(r"\",x=\"", '",x="', id="what looks like another label"),
        pytest.param("a} 5", "a} 5", id="what looks like the end"),
        pytest.param("", "", id="nothing"),
        pytest.param("团队", "团队", id="letters beyond ASCII"),
        pytest.param("a\u2028b", "a\u2028b", id="a line separator of Unicode, which ends no line here"),
        pytest.param("a\u0085b", "a\u0085b", id="a next-line control, which ends no line here"),
    ],
)
def test_a_labels_value_is_read_as_it_was_meant(written, value):
    assert exposition.parse_exposition(f'gen_ai_client_token_usage_sum{{x="{written}",y="z"}} 7\n') == [
        TokenSum({"x": value, "y": "z"}, 7.0)
    ]


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("7", 7.0), ("1.5e+06", 1500000.0), ("7 1767225600000", 7.0)],
    ids=["plain", "exponent", "timestamp"],
)
def test_a_samples_number_is_read(written, tokens):
    assert exposition.parse_exposition(f'gen_ai_client_token_usage_sum{{a="b"}} {written}\n')[0].tokens == tokens


# --- encoded arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@pytest.mark.parametrize("claim", [["a"], ["a", "bc"], ["a", "bcd"], ["a", 1], ["ÿ?>"], [7], [-1.5], [[]], [{"a": 1}]])
def test_an_encoded_array_is_decoded(claim, padded):
    assert json.loads(exposition.decoded_array(encoded(claim, padded=padded))) == claim


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_an_array_of_whatever_is_decoded(claim):
    assert json.loads(exposition.decoded_array(encoded(claim))) == claim


@pytest.mark.parametrize(
    "value",
    ["", "research", "WyJ", "WyJhIl", "WyJoo!", "WyJoello-world", "eyJhIjoxfQ==", "W10", "W1"],
)
def test_any_other_value_is_no_array(value):
    assert exposition.decoded_array(value) == ""


# --- labels -----------------------------------------------------------------------------------------------------------


def samples(*labels):
    return [TokenSum(item, 1.0) for item in labels]


@pytest.mark.parametrize(
    ("found", "labels"),
    [
        pytest.param(samples(), set(), id="no sample"),
        pytest.param(samples({"a": "x"}, {"b": "y"}), {"a", "b"}, id="values"),
        pytest.param(samples({"a": ""}), set(), id="an empty value"),
        pytest.param(samples({"a": encoded(["x"])}), set(), id="an encoded array"),
        pytest.param(samples({"a": ""}, {"a": encoded(["x"])}, {"a": "x"}), {"a"}, id="a value among others"),
    ],
)
def test_a_label_carries_data_when_some_sample_has_a_plain_value(found, labels):
    assert exposition.labels_with_data(found) == labels


def test_arrays_are_told_once_for_each_wanted_label():
    found = samples({"a": encoded(["y"])}, {"a": encoded(["x"])}, {"a": encoded(["x"])}, {"b": encoded(["z"])})
    assert exposition.arrays(found, ["a", "c"]) == {"a": ['["x"]', '["y"]']}


MAPPING = {"x-user-group": "department"}
SET = Setters({"x-user-group": [Setter("team-a/jwt", ("group",))]})


@pytest.mark.parametrize(
    ("have", "state"),
    [
        pytest.param(
            {"samples": samples({"department": "research"})},
            LabelState(True, True, ""),
            id="data",
        ),
        pytest.param(
            {"samples": samples({"department": "research"}), "stale": ["ns/p"], "setters": Setters()},
            LabelState(True, True, ""),
            id="data, whatever else",
        ),
        pytest.param(
            {"mapping": {"x-a": "other"}},
            LabelState(False, False, "no header is mapped to it"),
            id="not mapped",
        ),
        pytest.param(
            {"stale": ["ns/p", "ns/q"]},
            LabelState(False, True, "stale proxies: ns/p, ns/q"),
            id="stale proxies",
        ),
        pytest.param(
            {"stale": ["ns/p"], "setters": Setters()},
            LabelState(False, False, "stale proxies: ns/p"),
            id="stale proxies, and the header set by nobody",
        ),
        pytest.param(
            {"setters": Setters()},
            LabelState(False, False, "no policy or route sets x-user-group"),
            id="header set by nobody",
        ),
        pytest.param({}, LabelState(False, True, "no traffic yet"), id="no traffic"),
        pytest.param(
            {"samples": samples({"department": encoded(["research", "ops"])})},
            LabelState(False, False, 'team-a/jwt sets x-user-group from array claims only: ["research","ops"]'),
            id="array claims only",
        ),
        pytest.param(
            {"samples": samples({"user_namespace": "a"})},
            LabelState(False, False, "team-a/jwt sets x-user-group, but no caller had that claim"),
            id="no caller had the claim",
        ),
    ],
)
def test_why_a_label_carries_no_data_is_worked_out(have, state):
    inputs = {"mapping": MAPPING, "samples": [], "stale": [], "setters": SET} | have
    assert label_state.state_of("department", **inputs) == state


def test_a_line_whose_value_is_no_number_is_passed_over():
    assert exposition.parse_exposition('gen_ai_client_token_usage_sum{a="b"} many\n') == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# HELP up x\n# TYPE up gauge\nup 1\n",
        'a{b="c d",e="<html>"} 1.5e+09 1700000000000\nnan_metric NaN\ninf_metric{x="\\"}"} +Inf\n',
    ],
)
def test_an_exposition_is_one(text):
    assert exposition.is_exposition(text)


@pytest.mark.parametrize(
    "text", ["<html>", "<!DOCTYPE html>\n<p>", '{"status": "error"}', "upstream connect error", "404 page not found"]
)
def test_a_page_is_no_exposition(text):
    assert not exposition.is_exposition(text)


# -- as Prometheus's own client reads it -------------------------------------------------------------------------------

LABELS = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(lambda name: not name.startswith("__")),
    # A carriage return ends a line for that reader, and not for Prometheus.
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8),
    min_size=1,
    max_size=4,
)


@given(st.lists(st.tuples(LABELS, st.floats(0, 1e12)), max_size=6))
def test_token_sums_are_those_that_another_reader_finds(series):
    def escaped(value):
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    lines = ["# HELP gen_ai_client_token_usage x", "# TYPE gen_ai_client_token_usage histogram"]
    for labels, value in series:
        told = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
        lines += [f"gen_ai_client_token_usage_sum{{{told}}} {value!r}", f"gen_ai_client_token_usage_count{{{told}}} 1"]
    text = "\n".join(lines) + "\n"
    theirs = [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "gen_ai_client_token_usage_sum"
    ]
    assert [(dict(item.labels), item.tokens) for item in exposition.parse_exposition(text)] == theirs
    assert exposition.is_exposition(text)
