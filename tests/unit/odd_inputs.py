# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Odd inputs for whatever reads what comes from outside, and what has to hold for each.

`test_odd_inputs.py` tries some of them; `make fuzz` a million.
"""

from __future__ import annotations

import csv
import functools
import html.parser
import io
import json
from collections.abc import Callable
from typing import Any

import promql_parser
from ansible.errors import AnsibleFilterError
from hypothesis import strategies as st

from ansible_collections.aigateway.metering.plugins.filter.usage_period import usage_period
from ansible_collections.aigateway.metering.plugins.filter.usage_report import usage_report
from ansible_collections.aigateway.metering.plugins.module_utils import (
    _configuration,
    _durations,
    _lists,
    _patterns,
    _secrets,
)
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import (
    exposition,
    go_flags,
    mapping,
    sidecar,
    unmetered,
)
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import promql
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.replica import Replica
from ansible_collections.aigateway.metering.plugins.plugin_utils import _options
from ansible_collections.aigateway.metering.plugins.plugin_utils._report import merged, price_file

# What a person is told: nothing else may come out.
TOLD = (MeteringError, AnsibleFilterError, _options.OptionsError)

PRICES = "{currency: EUR, digits: 2, prices: [{model: m, per_million: {input: 1, output: 2}}]}"
# What right inputs are made of: odd ones are these, put together wrongly.
PIECES = st.sampled_from(
    [
        *"{}[]()<>\"'`\\/:;,.=|&$#%@!?*+-~^ \t\n\r\0\x1b\x7f",
        *("{{", "}}", "{%", "$(", "${", "<script>", "</", "&amp;", "\u202e", "\ufeff", "\ud800", "é", "漢", "😀"),
        *("x-user-namespace", "user_namespace", "team", "model", "prices", "budgets", "tokens", "per_million", "input"),
        *(
            "status",
            "success",
            "data",
            "result",
            "metric",
            "value",
            "null",
            "true",
            "1e999",
            "-0",
            "NaN",
            "0x10",
            "1_0",
        ),
        *("gen_ai_client_token_usage_sum", "le", "# TYPE", "https://", "user:word@", "2026-11-01", "T00:00:00Z", "5m"),
        *(
            "--",
            "-metricsRequestHeaderAttributes=",
            "=HYPERLINK(",
            "&anchor",
            "*anchor",
            "!!python/object:",
            "? ",
            "- ",
        ),
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)
# As it can be written down: half of a surrogate pair cannot.
WRITTEN = TEXT.map(lambda text: text.encode("utf-8", "replace").decode())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def _odd_json(right: str) -> st.SearchStrategy[str]:
    """A text with some of it taken out, doubled, or replaced."""

    def spoil(cut: tuple[int, int, str]) -> str:
        begin, end = sorted((cut[0] % (len(right) + 1), cut[1] % (len(right) + 1)))
        return right[:begin] + cut[2] + right[end:]

    return st.tuples(st.integers(0, 10_000), st.integers(0, 10_000), WRITTEN).map(spoil)


class _Answers:
    """A store that answers with one text."""

    name = "monitoring/p"

    def __init__(self, text: str) -> None:
        self._text = text

    def text(self, *_: object) -> str:
        return self._text

    def hide(self, text: str) -> str:
        return text


def query(text: str) -> None:
    Replica((_Answers(text),)).query("up")


def read_option(given: tuple[str, Any]) -> None:
    kind, value = given
    found = _options.read_options({"x": {"type": kind, "elements": "str"}}, {"x": value}, "/here")["x"]
    wanted = {"bool": bool, "int": int, "float": float, "list": list, "dict": dict, "str": str, "path": str}[kind]
    assert found is None or isinstance(found, wanted)


def quote_for_promql(text: str) -> None:
    """What is quoted is one value, whatever it has in it."""
    expression: Any = promql_parser.parse(f"up{{a={promql.quoted(text)}}}")
    (matcher,) = expression.matchers.matchers
    assert matcher.value == text


def set_flag(words: list[str]) -> None:
    """A flag that is there and was set is read back."""
    changed = [word for found in go_flags.with_value(words, "flag", "a:b") for word in found]
    if go_flags.find_flag(words, "flag"):
        assert go_flags.flag_value(changed, "flag") == "a:b"


def write_report(names: tuple[str, str]) -> None:
    """A name is data in every form of a report."""
    row = {"namespace": names[0], "model": names[1], "tokens": {"input": 3}, "beside": {}, "total": 3, "requests": 1}
    whole = {"tokens": {"input": 3}, "beside": {}, "total": 3, "requests": 1}
    usage = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "by": ["namespace", "model"], **whole}
    found = usage_report({**usage, "rows": [row], "days": [], "doubts": [names[0]]}, PRICES, per_namespace=True)
    assert json.loads(found["json"])["rows"][0]["namespace"] == names[0]
    (charge,) = list(csv.DictReader(io.StringIO(found["focus"], newline=""))) or [{"SubAccountId": names[0]}]
    assert charge["SubAccountId"] == names[0]
    dummy, cells = csv.reader(io.StringIO(found["csv"], newline=""))
    assert not any(cell.lstrip(" \n").startswith(("=", "+", "-", "@")) for cell in cells[2:4])
    assert all(line.isprintable() for line in found["table"])
    assert _tags_of(found["html"]) <= _tags_of(_innocent_page()) | {("i",)}
    for part in found["by_namespace"]:
        assert "/" not in part["name"]
        assert len(part["name"].encode()) < 255


def _tags_of(page: str) -> set[tuple[str, ...]]:
    """The tags of a page, each with the names of its attributes: a name that is data adds none."""
    found: set[tuple[str, ...]] = set()

    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add((tag, *(name for name, dummy in attrs)))

    Tags().feed(page)
    return found


@functools.cache
def _innocent_page() -> str:
    whole: dict[str, Any] = {"tokens": {"input": 3}, "beside": {}, "total": 3, "requests": 1}
    usage = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "by": ["namespace", "model"], **whole}
    row = {"namespace": "a", "model": "m", **whole}
    return str(usage_report({**usage, "rows": [row], "days": [], "doubts": ["a"]}, PRICES)["html"])


def merge_reports(text: str) -> None:
    merged.merge_usages([merged.parse_report(text, "a.json")], {})


REPORT = json.dumps(
    {
        **{"account": "a", "start": "x", "end": "y", "by": ["model"], "days": [], "doubts": [], "tokens": {"input": 1}},
        **{"rows": [{"model": "m", "tokens": {"input": 1}, "total": 1, "requests": 1}], "total": 1, "requests": 1},
    }
)
ANSWER = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"2"]}]}}'
EXPOSITION = '# TYPE a gauge\na{b="c"} 1 2\ngen_ai_client_token_usage_sum{gen_ai_token_type="input",x="y"} 12\n'

# By name: odd inputs, and what is done with each. Only TOLD may come out, and what is asserted has to hold.
TARGETS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], object]]] = {
    "pairs as a text": (TEXT, mapping.wanted_pairs),
    "pairs of any shape": (VALUES, _lists.pairs_of),
    "words of any shape": (VALUES, _lists.words_of),
    "Gateways of any shape": (st.lists(TEXT, max_size=4), sidecar.scope_of),
    "a container's arguments": (st.lists(TEXT | st.sampled_from(["-flag", "--flag=x", "-flag=", "--"])), set_flag),
    "exposition text": (_odd_json(EXPOSITION) | TEXT, exposition.parse_exposition),
    "exposition or page": (_odd_json(EXPOSITION) | TEXT, exposition.is_exposition),
    "an encoded array": (TEXT, exposition.shown_value),
    "statistics of Envoy": (TEXT, unmetered.uses_sidecar),
    "an answer of Prometheus": (_odd_json(ANSWER), query),
    "Prometheus's configuration": (WRITTEN, _configuration.parse_configuration),
    "a duration": (TEXT, _durations.is_prometheus),
    "a regular expression": (TEXT, _patterns.compiled),
    "an address": (TEXT, lambda text: _secrets.check_address(text, "x", "y")),
    "a label's value into PromQL": (WRITTEN.filter(lambda text: "\0" not in text), quote_for_promql),
    "a price list": (_odd_json(PRICES) | WRITTEN, price_file.load_prices),
    "a list of budgets": (_odd_json("budgets: [{namespace: a, tokens: 5}]") | WRITTEN, price_file.load_budgets),
    "a period": (
        st.tuples(TEXT, TEXT, TEXT),
        lambda given: usage_period("2026-11-26T00:00:00", "UTC", name="", begin=given[0], end=given[1]),
    ),
    "a time zone": (TEXT, lambda text: usage_period("2026-11-26T00:00:00", text, name="last_month")),
    "names in a report": (st.tuples(WRITTEN, WRITTEN), write_report),
    "a report as a file": (_odd_json(REPORT), merge_reports),
    "a variable": (
        st.tuples(st.sampled_from(["bool", "int", "float", "list", "dict", "str", "path"]), VALUES),
        read_option,
    ),
}


def try_input(target: str, given: Any) -> None:
    """Do with an input what is done with it; what a person would be told is right."""
    try:
        TARGETS[target][1](given)
    except TOLD:
        return
