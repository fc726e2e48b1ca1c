# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboards: what their queries count, and what they are rendered as for each platform."""

from __future__ import annotations

import copy
import json
import pathlib
import re

import jsonschema  # type: ignore[import-untyped]
import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder as GrafanaEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as grafana_types

from ansible_collections.aigateway.metering.plugins.module_utils._kubernetes import objects
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import promql
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.token_metric import forms
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import dashboard_model as _dashboard
from ansible_collections.aigateway.metering.plugins.plugin_utils._render import dashboard_plan, grafana, perses
from ansible_collections.aigateway.metering.plugins.plugin_utils._render.monitor_dashboard import monitor_dashboard

register_default_plugins()
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


RECORDS = [{"currency": "EUR", "budgets": "cost,tokens"}]
RECORDED = dashboard_plan.records_of({"recorded": RECORDS})


def models(metrics=(UNDERSCORED,), *, department=True, recorded=RECORDED):
    """The dashboard of the platform, and the team's."""
    return _dashboard.dashboards(forms(metrics), department=department, ports=[1064], recorded=recorded)


def dashboard(metrics=(UNDERSCORED,), *, department=True, which=0):
    return monitor_dashboard(models(metrics, department=department)[which], "token-usage", "cpaas-system", "AML")


def body(*arguments, **options):
    return dashboard(*arguments, **options)["spec"]["body"]


def panels(*arguments, **options):
    """The panels of a body, without the titles of rows."""
    return [panel for panel in body(*arguments, **options)["panels"] if panel["type"] != "row"]


def expressions(metrics, *, department=True, which=0):
    """Every query by its panel's title, with every variable set to `All`."""
    return {
        f"{panel.title} {number or ''}".strip(): re.sub(r"\$[a-z]+", ".*", query.expression)
        for row in models(metrics, department=department)[which].rows
        for panel in row.panels
        for number, query in enumerate(panel.queries)
    }


def inner(query):
    """The PromQL within query_result(expression)."""
    (argument,) = re.findall(r"\Aquery_result\((.*)\)\Z", query)
    return argument


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
        "instance": "10.0.0.1:1064",
    }


def types_seen(expression, metric):
    """For each selector of an expression, the token types that it takes of a metric."""
    return [[item for item in TYPES if selected(found, stored(metric, item))] for found in selectors(expression)]


# --- every query is PromQL --------------------------------------------------------------------------------------------


@every_form
@either_way
@pytest.mark.parametrize("which", [0, 1], ids=["platform", "team"])
def test_every_panels_expression_parses(metrics, department, which):
    for expression in expressions(metrics, department=department, which=which).values():
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


@pytest.mark.parametrize(
    ("name", "result"),
    [
        pytest.param("namespace", '{user_namespace="a"} 3 1767225600000', id="plain label"),
        pytest.param(
            "model", '{gen_ai.request.model="a", gen_ai_request_model="a"} 3 1767225600000', id="beside the dotted"
        ),
    ],
)
def test_a_variables_pattern_takes_the_value_out_of_a_query_result(name, result):
    variable = next(item for item in body([DOTTED])["templating"]["list"] if item["name"] == name)
    assert re.findall(variable["regex"].strip("/"), result) == ["a"]


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
    assert {tuple(types) for types in seen if types} == {("input", "output")}


@pytest.mark.parametrize("metric", [UNDERSCORED, DOTTED])
def test_the_output_share_is_output_over_the_total(metric):
    above, below = expressions([metric])[SHARE].split(" / ")
    for part, types in ((above, ("output",)), (below, ("input", "output"))):
        assert {tuple(seen) for seen in types_seen(part, metric) if seen} == {types}


@every_form
def test_no_other_metric_is_counted(metrics):
    others = [f"{UNDERSCORED}_total", f"my_{UNDERSCORED}", UNDERSCORED.replace("sum", "count"), DOTTED + "s"]
    assert not [
        (title, other)
        for title, expression in expressions(metrics).items()
        for found in selectors(expression)
        for other in others
        if found.name != "up"
        and "Requests" not in title
        and selected(found, {**stored(UNDERSCORED), **stored(DOTTED), "__name__": other})
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
    for selector in selectors(expressions([UNDERSCORED])[DEPARTMENTS]):
        assert selected(selector, stored(UNDERSCORED, department=department)) is counted


def test_callers_without_a_department_are_in_the_other_panels():
    for selector in selectors(expressions([UNDERSCORED])[NAMESPACES]):
        assert selected(selector, stored(UNDERSCORED, department=""))


@every_form
@either_way
def test_every_panel_of_a_trend_is_filtered_by_every_variable(metrics, department):
    platform, dummy = models(metrics, department=department)
    wanted = {f'=~"${variable.name}"' for variable in platform.variables}
    (trend,) = [row for row in platform.rows if row.title == "Trend"]
    for query in (query for panel in trend.panels for query in panel.queries):
        for selector in re.findall(r"\{[^{}]*\}", query.expression):
            assert [text for text in wanted if text not in selector] == []


@every_form
def test_every_query_of_the_team_is_about_its_namespace(metrics):
    dummy, team = models(metrics)
    for panel in (panel for row in team.rows for panel in row.panels):
        for query in panel.queries:
            assert all('user_namespace="$namespace"' in it for it in re.findall(r"\{[^{}]*\}", query.expression))


@every_form
def test_a_counter_counts_once_by_however_many_monitors_it_is_scraped(metrics):
    for title, expression in expressions(metrics).items():
        for found in re.finditer(r"(increase|max_over_time)\(", expression):
            assert "max without (container, endpoint, job, " in expression[: found.start()], title


# --- department -------------------------------------------------------------------------------------------------------


@every_form
def test_without_the_label_nothing_speaks_of_departments_in_a_query(metrics):
    found = body(metrics, department=False)
    queries = [target["expr"] for panel in panels(metrics, department=False) for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in found["templating"]["list"]]
    assert [query for query in queries if "department" in query] == []


def test_without_the_label_there_is_no_department_panel():
    assert not [panel for panel in panels(department=False) if "department" in panel["title"]]


def test_without_the_label_there_is_no_department_variable():
    assert [item["name"] for item in body(department=False)["templating"]["list"]] == ["namespace", "model"]


def test_with_the_label_there_is_a_department_variable():
    assert "department" in [item["name"] for item in body()["templating"]["list"]]


# --- drawing ----------------------------------------------------------------------------------------------------------


@every_form
@pytest.mark.parametrize("which", [0, 1], ids=["platform", "team"])
def test_every_legend_is_a_text_or_the_label_that_its_query_groups_by(metrics, which):
    for row in models(metrics)[which].rows:
        for query in (query for panel in row.panels for query in panel.queries):
            assert bool(query.legend) != bool(query.by)
            renamed = f'"{query.by}", "$1"' in query.expression
            assert not query.by or renamed or re.search(rf"by \((le, )?{query.by}\)", query.expression)


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
    wrong(document["spec"]["body"]["panels"][1])
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
        sums = expression.count("histogram_sum(increase(") + expression.count("histogram_count(increase(")
        assert sums == expression.count("increase(")


def test_a_plain_name_that_begins_like_an_array_stays_in_the_department_panel():
    selector, *dummy = selectors(expressions([UNDERSCORED])[DEPARTMENTS])
    for value, taken in (
        ("Wyoming", True),
        ("research", True),
        ("WyJyZXNlYXJjaCJd", False),
        ("WyIvc2FsZXMiXQ==", False),
    ):
        assert selected(selector, stored(UNDERSCORED, department=value)) is taken


# --- one model, four renderings ---------------------------------------------------------------------------------------

PROVIDERS = [
    {"provider": "monitor", "api": "ait.alauda.io/v1alpha2", "kind": "MonitorDashboard", "labels": {}},
    {"provider": "grafana", "api": "v1", "kind": "ConfigMap", "labels": {"grafana_dashboard": "1"}},
    {
        "provider": "grafana_operator",
        "api": "grafana.integreatly.org/v1beta1",
        "kind": "GrafanaDashboard",
        "labels": {"dashboards": "grafana"},
    },
    {"provider": "perses", "api": "perses.dev/v1alpha2", "kind": "PersesDashboard", "labels": {}},
]


def gateway(*there, providers=None, department_stored=True, expected=True):
    return {
        "names": [UNDERSCORED],
        "ports": [1064],
        "department_stored": department_stored,
        "labels": {"department": {"expected": expected}},
        "dashboard_providers": [
            {**provider, "namespace": "monitoring", "plural": "x"}
            for provider in (PROVIDERS if providers is None else providers)
        ],
        "dashboards": list(there),
        "recorded": RECORDS,
    }


def plan(*there, **options):
    return dashboard_plan.plan_dashboards(gateway(*there, **options), name="usage", folder="AML")


def queries_of(manifest):
    """All queries in a rendering, wherever it has them."""
    found: list[str] = []

    def visit(value):
        if isinstance(value, dict):
            found.extend(value[key] for key in ("expr", "query") if isinstance(value.get(key), str))
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)
        elif isinstance(value, str) and value.startswith("{\n"):
            visit(json.loads(value))

    visit(manifest["spec"] if "spec" in manifest else manifest["data"])
    return found


def test_each_provider_has_the_dashboard_of_the_platform_and_that_of_a_team():
    found = [(item["kind"], item["metadata"]["name"]) for item in plan()["manifests"]]
    assert found == [(provider["kind"], name) for provider in PROVIDERS for name in ("usage", "usage-team")]


@pytest.mark.parametrize("number", range(2), ids=["platform", "team"])
def test_each_rendering_has_every_query(number):
    wanted = {query.expression for row in models()[number].rows for panel in row.panels for query in panel.queries}
    for manifest in plan()["manifests"][number::2]:
        assert wanted <= set(queries_of(manifest))


def test_what_is_there_as_it_should_be_does_not_differ():
    assert plan(*plan()["manifests"])["differing"] == []


def test_an_edited_dashboard_differs_and_no_other():
    there = copy.deepcopy(plan()["manifests"])
    there[2]["data"] = {"usage.json": "{}"}
    assert plan(*there)["differing"] == [plan()["manifests"][2]]


def test_a_dashboard_of_that_name_that_is_not_ours_is_named():
    there = copy.deepcopy(plan()["manifests"])
    there[7]["metadata"]["labels"] = {}
    assert plan(*there)["foreign"] == ["PersesDashboard monitoring/usage-team"]


def test_where_nothing_shows_dashboards_it_is_said():
    assert plan(providers=[])["where"].startswith("skipped, nothing in the cluster shows dashboards")


@pytest.mark.parametrize("had", [True, False])
def test_while_sidecars_have_counted_nothing_a_dashboard_stays_as_it_is(had):
    there = plan(department_stored=had, expected=had)["manifests"]
    assert plan(*there, department_stored=False)["differing"] == []


def test_an_older_perses_has_the_dashboard_right_below_spec():
    older = [{**PROVIDERS[3], "api": "perses.dev/v1alpha1"}]
    (new, dummy), (old, dummy) = plan(providers=PROVIDERS[3:])["manifests"], plan(providers=older)["manifests"]
    assert new["spec"]["config"] == old["spec"]


def test_a_uid_is_stable_and_short_enough_for_grafana():
    uids = [grafana.grafana_model(item, "n" * 60)["uid"] for item in models()]
    assert all(len(uid) <= 40 for uid in uids)
    assert len(set(uids)) == 2


def test_each_panel_of_perses_stands_in_a_layout():
    for item in models():
        found = perses.perses_model(item)
        placed = [it["content"]["$ref"].rpartition("/")[2] for own in found["layouts"] for it in own["spec"]["items"]]
        assert placed == list(found["panels"])


def test_files_can_be_imported_by_hand_also_where_nothing_shows_dashboards():
    files = dashboard_plan.dashboard_files(gateway(providers=[]), name="usage", folder="AML")
    assert [file["name"] for file in files] == [
        "grafana-import.json",
        "perses-import.json",
        "grafana-import-team.json",
        "perses-import-team.json",
    ]
    assert all(json.loads(file["text"]) for file in files)


@every_form
@pytest.mark.parametrize("which", [0, 1], ids=["platform", "team"])
def test_grafanas_published_types_know_every_field(metrics, which):
    model = grafana.grafana_model(models(metrics)[which], "usage")
    read = grafana_types.Dashboard.from_json(model)
    # What its types do not know is lost on the way.
    assert objects.is_contained(model, json.loads(GrafanaEncoder().encode(read)))


# --- what chargeback.yml records --------------------------------------------------------------------------------------


def titles(recorded, which):
    rows = models(recorded=dashboard_plan.records_of({"recorded": recorded}))[which].rows
    return [panel.title for row in rows if "month" in row.title for panel in row.panels]


TOKENS = ["Tokens, this month", "Tokens of the whole month, at this rate"]
COST = ["Cost in EUR, this month", "Left of the budget: Cost in EUR", "Cost in EUR of the whole month, at this rate"]


@pytest.mark.parametrize(
    ("recorded", "platform", "team"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param([{"currency": "", "budgets": ""}], ["Tokens per namespace, this month"], TOKENS, id="tokens"),
        pytest.param(
            [{"currency": "EUR", "budgets": "cost"}],
            [
                "Tokens per namespace, this month",
                "Cost in EUR per namespace, this month",
                "Share of the budget: Cost in EUR",
            ],
            [*TOKENS, *COST],
            id="amounts with budgets",
        ),
        pytest.param(
            [{"currency": "EUR", "budgets": ""}, {"currency": "USD", "budgets": ""}],
            ["Tokens per namespace, this month"],
            TOKENS,
            id="amounts that cannot be added",
        ),
    ],
)
def test_a_month_is_shown_as_far_as_it_is_recorded(recorded, platform, team):
    assert titles(recorded, 0) == platform
    assert titles(recorded, 1) == team
