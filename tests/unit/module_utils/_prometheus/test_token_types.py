# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which token types contain which: by the stored name and the provider, in accounting, queries and prices alike."""

from __future__ import annotations

import promql_parser
import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _names
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import token_metric, token_types
from ansible_collections.aigateway.metering.plugins.module_utils._usage import counter as _counter
from ansible_collections.aigateway.metering.plugins.module_utils._usage import totals
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import cost_management, prometheus_rule

OLD, NEW = "gen_ai.client.token.usage_token_sum", "gen_ai_client_token_usage_sum"
OLDS = [OLD, "gen_ai_client_token_usage_token_sum", "gen__ai_dot_client_dot_token_dot_usage__token_sum"]


def labels(provider, operation="chat"):
    return {"gen_ai_provider_name": provider, "gen_ai_operation_name": operation}


@pytest.mark.parametrize(
    ("metric", "provider", "operation", "beside"),
    [
        *[(metric, "aws.bedrock", "chat", True) for metric in OLDS],
        (OLD, "anthropic", "chat", True),
        (OLD, "gcp.anthropic", "chat", True),
        (OLD, "openai", "messages", True),
        (OLD, "openai", "chat", False),
        (OLD, "azure.openai", "chat", False),
        (OLD, "team-a/backend/route/chat/rule/0/ref/0", "chat", None),
        (OLD, "team-a/backend/route/chat/rule/0/ref/0", "messages", True),
        (OLD, "", "chat", None),
        (NEW, "aws.bedrock", "chat", False),
        (NEW, "anthropic", "messages", False),
        (NEW, "new-provider", "chat", False),
        ("gen_ai_client_token_usage", "anthropic", "chat", False),
    ],
)
def test_whether_a_part_is_beside_its_whole(metric, provider, operation, beside):
    assert token_types.is_beside(metric, labels(provider, operation)) is beside


def summed(metric, provider, **tokens):
    """The sums of counters of one provider that are stored under a name."""
    sums = totals.Sums(["provider"], [totals.Usage()], lambda dummy: "")
    for kind, total in tokens.items():
        counter = _counter.Counter(total=total)
        identity = {**labels(provider), "gen_ai_token_type": kind, "user_namespace": "a", "pod": "ns/p"}
        sums.add(False, tuple(sorted(identity.items())), {0: total}, counter, {metric})
    return sums


@pytest.mark.parametrize(
    ("metric", "provider", "total"),
    [
        pytest.param(OLD, "anthropic", 9100, id="beside"),
        pytest.param(OLD, "openai", 5100, id="within"),
        pytest.param(NEW, "anthropic", 5100, id="within, from v0.5 on"),
        pytest.param(OLD, "unknown", 5100, id="not known"),
    ],
)
def test_a_total_is_what_the_table_adds_up(metric, provider, total):
    sums = summed(metric, provider, input=5000, cached_input=4000, output=100)
    used = next(iter(sums.used.values()))
    assert used.total == sums.whole.total == sums.days[0].total == sums.of_pods["ns/p"] == total
    assert used.beside == ({"cached_input": 4000} if total == 9100 else {})


def test_a_provider_that_the_table_does_not_know_is_a_doubt_with_its_tokens():
    assert summed(OLD, "x", input=5, cached_input=4).unknown == {("x", "cached_input"): 4}
    assert summed(NEW, "x", input=5, cached_input=4).unknown == {}


def series(metric, kind, provider="openai", operation="chat"):
    dot = "." if "." in metric else "_"
    names = {"token.type": kind, "provider.name": provider, "operation.name": operation, "request.model": "m"}
    found = {("gen_ai." + name).replace(".", dot): value for name, value in names.items()}
    return {"__name__": metric, "user_namespace": "a", "instance": "10.0.0.1:1064", **found}


def taken(expression, item):
    """By how many of an expression's selectors a series is taken."""
    found = []
    promql_parser.walk(
        promql_parser.parse(expression),
        lambda node: found.append(node) if isinstance(node, promql_parser.VectorSelector) else None,
    )
    return sum(_selects(selector, item) for selector in found)


def _selects(selector, item):
    import re

    holds = {
        "=": lambda have, text: have == text,
        "!=": lambda have, text: have != text,
        "=~": lambda have, text: re.fullmatch(text, have) is not None,
        "!~": lambda have, text: re.fullmatch(text, have) is None,
    }
    signs = {
        str(promql_parser.MatchOp.Equal): "=",
        str(promql_parser.MatchOp.NotEqual): "!=",
        str(promql_parser.MatchOp.Re): "=~",
        str(promql_parser.MatchOp.NotRe): "!~",
    }
    return selector.name in (None, item["__name__"]) and all(
        holds[signs[str(matcher.op)]](item.get(matcher.name, ""), matcher.value)
        for matcher in selector.matchers.matchers
    )


PARTS_OF_TOTAL = [
    pytest.param(OLD, "input", "openai", "chat", 1, id="input"),
    pytest.param(OLD, "cached_input", "openai", "chat", 0, id="cached within"),
    pytest.param(OLD, "cached_input", "aws.bedrock", "chat", 1, id="cached beside"),
    pytest.param(OLD, "cached_input", "aws.bedrock", "messages", 1, id="cached beside, for both reasons"),
    pytest.param(OLD, "cached_input", "openai", "messages", 1, id="cached beside, of Anthropic's API"),
    pytest.param(NEW, "cached_input", "aws.bedrock", "messages", 0, id="cached within, from v0.5 on"),
    pytest.param(NEW, "output", "openai", "chat", 1, id="output"),
]


@pytest.mark.parametrize(("metric", "kind", "provider", "operation", "times"), PARTS_OF_TOTAL)
def test_every_query_counts_each_token_of_the_total_once(metric, kind, provider, operation, times):
    item = series(metric, kind, provider, operation)
    (form,) = token_metric.forms([metric])
    queries = [" or ".join(form.over("rate", "5m", *own) for own in form.totals())]
    items = {entry["item"]: entry["usage"]["query"] for entry in cost_management.collection([metric], [1064])}
    queries.append(items[cost_management.ITEMS["output" if kind == "output" else "input"]])
    rules = prometheus_rule.alerts([form], [1064], [], prometheus_rule.Bounds("15m", "15m", 1, 0.05))
    nobody = next(rule["expr"] for rule in rules if rule["alert"] == "AIGatewayTokensOfNobody")
    queries.append(nobody.rpartition(" / ")[2].rpartition(" > ")[0])
    assert [taken(query, item) for query in queries] == [times] * 3


def test_the_wholes_of_the_table_are_the_types_that_add_up_to_a_total():
    assert tuple(token_types.PARTS) == _names.TOTAL_TOKEN_TYPES
