# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard: its queries and what it is rendered as."""

from __future__ import annotations

import copy
import pathlib
import re

import jsonschema  # type: ignore[import-untyped]
import promql_parser
import pytest
import yaml

from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import objects
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import promql
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import dashboard as _dashboard

UNDERSCORED = "gen_ai_client_token_usage_sum"
DOTTED = "gen_ai.client.token.usage_token_sum"
FORMS = {
    "underscored": [UNDERSCORED],
    "dotted": [DOTTED],
    "both": [UNDERSCORED, DOTTED],
    "nothing stored yet": [],
    "native": ["gen_ai_client_token_usage"],
    "native beside classic": ["gen_ai_client_token_usage", UNDERSCORED],
    "escaped": ["gen__ai_dot_client_dot_token_dot_usage__token_sum"],
}
TYPES = ("input", "output", "cached_input", "cache_creation_input", "reasoning", "total")

every_form = pytest.mark.parametrize("metrics", FORMS.values(), ids=FORMS)
either_way = pytest.mark.parametrize("department", [True, False], ids=["with department", "without department"])


def dashboard(metrics=(UNDERSCORED,), *, department=True):
    return _dashboard.monitor_dashboard(
        metrics, department=department, namespace="cpaas-system", name="token-usage", folder="AML"
    )


def body(*arguments, **options):
    return dashboard(*arguments, **options)["spec"]["body"]


def expressions(metrics, *, department=True):
    """Every panel's expression by its title, with every variable set to `All`."""
    return {
        panel["title"]: re.sub(r"\$[a-z]+", ".*", target["expr"])
        for panel in body(metrics, department=department)["panels"]
        for target in panel["targets"]
    }


def inner(query):
    """The PromQL within label_values(selector,label) or query_result(expression)."""
    [(function, argument)] = re.findall(r"\A(label_values|query_result)\((.*)\)\Z", query)
    return argument.rpartition(",")[0] if function == "label_values" else argument


# --- a Prometheus of one moment ---------------------------------------------------------------------------------------


def selectors(expression):
    """The series selectors of a PromQL expression."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


# The operators are no keys: they compare but do not hash.
HOLDS = [
    (promql_parser.MatchOp.Equal, lambda have, wanted: have == wanted),
    (promql_parser.MatchOp.NotEqual, lambda have, wanted: have != wanted),
    (promql_parser.MatchOp.Re, lambda have, wanted: bool(re.fullmatch(wanted, have))),
    (promql_parser.MatchOp.NotRe, lambda have, wanted: not re.fullmatch(wanted, have)),
]


def selected(selector, series):
    """Whether Prometheus would take a series for a selector; a label that is absent is empty."""
    return selector.name in (None, series["__name__"]) and all(
        next(holds for operator, holds in HOLDS if operator == matcher.op)(series.get(matcher.name, ""), matcher.value)
        for matcher in selector.matchers.matchers
    )


def stored(metric, token_type="input", department="research"):
    """A series as it is stored under a name: the labels' form is that of the name."""
    dot = "." if "." in metric else "_"
    return {
        "__name__": metric,
        dot.join(("gen_ai", "token", "type")): token_type,
        dot.join(("gen_ai", "request", "model")): "m",
        "user_namespace": "a",
        "department": department,
    }


def types_seen(expression, metric):
    """For each selector of an expression, the token types that it takes of a metric."""
    return [[item for item in TYPES if selected(found, stored(metric, item))] for found in selectors(expression)]


# --- every query is PromQL --------------------------------------------------------------------------------------------


@every_form
@either_way
def test_every_panels_expression_parses(metrics, department):
    for expression in expressions(metrics, department=department).values():
        promql_parser.parse(expression)


@every_form
@either_way
def test_every_variables_inner_query_parses(metrics, department):
    for variable in body(metrics, department=department)["templating"]["list"]:
        promql_parser.parse(inner(variable["query"]["query"]))


@every_form
def test_a_variables_definition_is_its_query(metrics):
    for variable in body(metrics)["templating"]["list"]:
        assert variable["definition"] == variable["query"]["query"]


@pytest.mark.parametrize("metrics", [[DOTTED], [UNDERSCORED, DOTTED]], ids=["dotted", "both"])
def test_no_variable_asks_for_the_values_of_a_dotted_name(metrics):
    for variable in body(metrics)["templating"]["list"]:
        assert variable["query"]["query"].startswith("query_result(")


@pytest.mark.parametrize(
    ("metrics", "name", "result", "value"),
    [
        pytest.param([DOTTED], "namespace", '{user_namespace="a"} 3 1767225600000', "a", id="plain label"),
        pytest.param([DOTTED], "model", '{"gen_ai.request.model"="m.1"} 3 1767225600000', "m.1", id="dotted, quoted"),
        pytest.param([DOTTED], "model", '{gen_ai.request.model="m.1"} 3 1767225600000', "m.1", id="dotted, bare"),
    ],
)
def test_a_variables_pattern_takes_the_value_out_of_a_query_result(metrics, name, result, value):
    variable = next(item for item in body(metrics)["templating"]["list"] if item["name"] == name)
    assert re.findall(variable["regex"].strip("/"), result) == [value]


# --- what they count --------------------------------------------------------------------------------------------------

NAMESPACES = "Tokens per namespace, last hour"
MODELS = "Top 5 models, last 24 hours"
SHARE = "Output share per namespace, last hour"
DEPARTMENTS = "Tokens per department, last hour"


@pytest.mark.parametrize("title", [NAMESPACES, MODELS, DEPARTMENTS])
@pytest.mark.parametrize(
    ("metrics", "metric"),
    [
        pytest.param([UNDERSCORED], UNDERSCORED, id="underscored"),
        pytest.param([DOTTED], DOTTED, id="dotted"),
        pytest.param([UNDERSCORED, DOTTED], UNDERSCORED, id="the underscored of both"),
        pytest.param([UNDERSCORED, DOTTED], DOTTED, id="the dotted of both"),
        pytest.param([], UNDERSCORED, id="nothing stored yet"),
    ],
)
def test_a_total_is_input_and_output(title, metrics, metric):
    seen = types_seen(expressions(metrics)[title], metric)
    assert sorted(item for types in seen for item in types) == ["input", "output"]


@pytest.mark.parametrize("metric", [UNDERSCORED, DOTTED])
def test_the_output_share_is_output_over_the_total(metric):
    assert [seen for seen in types_seen(expressions([metric])[SHARE], metric) if seen] == [
        ["output"],
        ["input", "output"],
    ]


@every_form
def test_no_other_metric_is_counted(metrics):
    others = [f"{UNDERSCORED}_total", f"my_{UNDERSCORED}", UNDERSCORED.replace("sum", "count"), DOTTED + "s"]
    assert not [
        (title, other)
        for title, expression in expressions(metrics).items()
        for found in selectors(expression)
        for other in others
        if selected(found, {**stored(UNDERSCORED), **stored(DOTTED), "__name__": other})
    ]


@pytest.mark.parametrize(
    ("department", "counted"),
    [
        pytest.param("research", True, id="a plain value"),
        pytest.param("", False, id="none"),
        pytest.param("WyJyZXNlYXJjaCIsIm9wcyJd", False, id="an encoded array"),
    ],
)
def test_the_department_panel_counts_plain_values_only(department, counted):
    (selector,) = selectors(expressions([UNDERSCORED])[DEPARTMENTS])
    assert selected(selector, stored(UNDERSCORED, department=department)) is counted


def test_callers_without_a_department_are_in_the_other_panels():
    (selector,) = selectors(expressions([UNDERSCORED])[NAMESPACES])
    assert selected(selector, stored(UNDERSCORED, department=""))


@every_form
@either_way
def test_every_panel_is_filtered_by_every_variable(metrics, department):
    found = body(metrics, department=department)
    wanted = {f'=~"${variable["name"]}"' for variable in found["templating"]["list"]}
    for panel in found["panels"]:
        for selector in re.findall(r"\{[^{}]*\}", panel["targets"][0]["expr"]):
            assert [text for text in wanted if text not in selector] == []


# --- department -------------------------------------------------------------------------------------------------------


@every_form
def test_without_the_label_nothing_speaks_of_departments_in_a_query(metrics):
    found = body(metrics, department=False)
    queries = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in found["templating"]["list"]]
    assert [query for query in queries if "department" in query] == []


def test_without_the_label_there_is_no_department_panel():
    assert DEPARTMENTS not in [panel["title"] for panel in body(department=False)["panels"]]


def test_without_the_label_there_is_no_department_variable():
    assert [item["name"] for item in body(department=False)["templating"]["list"]] == ["namespace", "model"]


def test_with_the_label_there_is_a_department_variable():
    assert "department" in [item["name"] for item in body()["templating"]["list"]]


# --- drawing ----------------------------------------------------------------------------------------------------------


@every_form
def test_every_legend_is_the_label_that_its_panel_groups_by(metrics):
    for panel in body(metrics)["panels"]:
        (target,) = panel["targets"]
        (label,) = re.findall(r"\A\{\{\.([^{}]+)\}\}\Z", target["legendFormat"])
        assert re.search(rf'by \("?{re.escape(label)}"?\)', target["expr"])


@either_way
def test_no_two_panels_share_a_place(department):
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in body(department=department)["panels"]]
    assert len(set(places)) == len(places)


@either_way
def test_no_panel_is_wider_than_the_grid(department):
    places = [panel["gridPos"] for panel in body(department=department)["panels"]]
    assert [place for place in places if place["x"] + place["w"] > 24] == []


@either_way
def test_no_two_panels_share_an_id(department):
    numbers = [panel["id"] for panel in body(department=department)["panels"]]
    assert len(set(numbers)) == len(numbers)


@every_form
@either_way
def test_the_same_input_gives_the_same_output(metrics, department):
    assert dashboard(metrics, department=department) == dashboard(metrics, department=department)


def test_the_order_of_the_names_does_not_matter():
    assert dashboard([DOTTED, UNDERSCORED]) == dashboard([UNDERSCORED, DOTTED])


def test_the_dashboard_is_put_where_it_was_asked_for():
    metadata = dashboard()["metadata"]
    where = (metadata["namespace"], metadata["name"], metadata["labels"]["cpaas.io/dashboard.folder"])
    assert where == ("cpaas-system", "token-usage", "AML")


def test_the_dashboard_is_marked_as_ours():
    assert dashboard()["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "aigateway.metering"


@pytest.mark.parametrize(
    ("text", "written"), [("a", '"a"'), ('a"b', r'"a\"b"'), (r"a\b", r'"a\\b"'), ("a\nb", r'"a\nb"')]
)
def test_a_promql_string_is_escaped(text, written):
    assert promql.quoted(text) == written


# --- the kind's schema ------------------------------------------------------------------------------------------------

CRD = pathlib.Path(__file__).parents[3] / "stand" / "manifests" / "00-monitordashboard-crd.yaml"


def closed(schema):
    """A schema that refuses what it does not name, as the API server does with fieldValidation=Strict."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


def validator():
    # The stand fills the manifests in as templates, in which `$$` is a dollar.
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8").replace("$$", "$"))
    (version,) = crd["spec"]["versions"]
    return jsonschema.Draft202012Validator(closed(version["schema"]["openAPIV3Schema"]))


@every_form
@either_way
def test_the_dashboard_obeys_the_kinds_schema(metrics, department):
    found = validator().iter_errors(dashboard(metrics, department=department))
    assert [f"{error.json_path}: {error.message}" for error in found] == []


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda panel: panel.update(datasource="x"), id="an unknown field"),
        pytest.param(lambda panel: panel.update(type="graph"), id="an unknown type"),
        pytest.param(lambda panel: panel["targets"][0].update(legendFormat="{{x}}"), id="a legend without its dot"),
        pytest.param(lambda panel: panel.pop("gridPos"), id="no place"),
    ],
)
def test_the_schema_refuses_what_the_platform_would_not_show(wrong):
    document = copy.deepcopy(dashboard())
    wrong(document["spec"]["body"]["panels"][0])
    assert not validator().is_valid(document)


@pytest.mark.parametrize(
    ("wanted", "found", "contained"),
    [
        pytest.param({"a": 1}, {"a": 1}, True, id="the same"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, True, id="more keys"),
        pytest.param({"a": 1}, {"a": 2}, False, id="another value"),
        pytest.param({"a": 1}, {}, False, id="no such key"),
        pytest.param({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}]}, True, id="more keys in a list"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, False, id="a longer list"),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, False, id="another order"),
        pytest.param({"a": {}}, {"a": []}, False, id="another kind"),
    ],
)
def test_a_dashboard_is_as_wanted_when_all_that_is_wanted_is_there(wanted, found, contained):
    assert objects.is_contained(wanted, found) is contained


# --- native histograms and escaped names ------------------------------------------------------------------------------


def test_a_native_histogram_is_asked_for_its_sum():
    for expression in expressions(["gen_ai_client_token_usage"]).values():
        assert expression.count("histogram_sum(increase(") == expression.count("increase(")


def test_a_plain_name_that_begins_like_an_array_stays_in_the_department_panel():
    (panel,) = [it for title, it in expressions([UNDERSCORED]).items() if "department" in title]
    (selector,) = selectors(panel)
    for value, taken in (
        ("Wyoming", True),
        ("research", True),
        ("WyJyZXNlYXJjaCJd", False),
        ("WyIvc2FsZXMiXQ==", False),
    ):
        assert selected(selector, stored(UNDERSCORED, department=value)) is taken
