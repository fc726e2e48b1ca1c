# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The dashboards as data: variables, panels and queries, which each platform's renderer draws in its own way.

Totals are input + output: the other token types are parts of these two. Pure: no input or output, no Ansible.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...module_utils import _names
from ...module_utils._prometheus.promql import label, quoted, with_label_from
from ...module_utils._prometheus.token_metric import Form, of_sidecars
from .budget_rules import COST as COST_OF
from .budget_rules import TOKENS as TOKENS_OF
from .budget_rules import budget_of, forecast_of, used_of
from .usage_queries import MODEL, UsageQueries

NAMESPACE = _names.REQUIRED_PAIR[1]
DEPARTMENT = _names.DEPARTMENT_LABEL
COLUMNS = 24
# How a panel is drawn.
LINES, NUMBER, BARS = "lines", "number", "bars"
# What a value is.
TOKENS, SHARE, SECONDS, COUNT, AMOUNT = "tokens", "share", "seconds", "count", "amount"
ESTIMATE = "An estimate for the eye, not a bill: increase() extrapolates. report.yml has the exact numbers."
WHY_EMPTY = "Empty where nothing was used in the time, where the label has no data, or where no sidecar is scraped."
BY_HOURS = (
    "By the hour, as rules of chargeback.yml record it: the present hour comes when it is over. The month is UTC's. "
    "report.yml has the exact numbers. Empty until an hour of the month has been recorded; a forecast begins on the "
    "second day."
)
NOBODY = "Callers without one, or with an array for one, are left out."
INPUT_OUTPUT = _names.TOTAL_TOKEN_TYPES
# What stands for no value in a legend.
NO_VALUE = "(none)"
# Of the first hours of a month nothing can be told about its end.
SECOND_DAY = "(day_of_month() > 1)"


@dataclass(frozen=True)
class Variable:
    """A drop-down whose values are those of a label."""

    name: str
    title: str
    label: str
    """The label in the results of the expression."""
    expression: str
    """A query whose series have each value once."""
    takes_all: bool = True
    """Whether several values, and all, can be chosen."""


@dataclass(frozen=True)
class Query:
    """A query, and what its results are called."""

    expression: str
    legend: str = ""
    """A text; empty where a label says it."""
    by: str = ""
    """That label."""


@dataclass(frozen=True)
class Panel:
    """One or more queries with their drawing."""

    title: str
    description: str
    kind: str
    queries: tuple[Query, ...]
    unit: str = TOKENS
    width: int = 12

    @property
    def height(self) -> int:
        return 4 if self.kind == NUMBER else 8

    @property
    def is_instant(self) -> bool:
        """Whether the present moment is asked for, and no course of time."""
        return self.kind != LINES


@dataclass(frozen=True)
class PanelRow:
    """Panels below a title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class MonthRecords:
    """What rules of chargeback.yml record of the present month, for each namespace."""

    is_there: bool = False
    currency: str = ""
    """That of amounts; empty where there are none."""
    budgets: frozenset[str] = frozenset()
    """The units of which there are budgets."""

    def has(self, unit: str, what: str) -> bool:
        """Whether the `month` or the `budget` is recorded, in tokens or as a cost."""
        is_counted = self.is_there and (unit == TOKENS_OF or bool(self.currency))
        return is_counted and (what == "month" or unit in self.budgets)


@dataclass(frozen=True)
class Dashboard:
    """A dashboard for some readers."""

    key: str
    """Its name is made of this."""
    title: str
    title_zh: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[PanelRow, ...]


def record_of(unit: str, what: str) -> str:
    """The record of what a namespace has used this month, or of its budget."""
    return (used_of if what == "month" else budget_of)("namespace", unit)


def by_name(label_name: str, expression: str) -> str:
    """A sum for each value of a label; what carries none has a name, too, so that a legend shows it."""
    return f'label_replace(sum by ({label_name}) ({expression}), "{label_name}", "{NO_VALUE}", "{label_name}", "")'


def plain_values(name: str) -> tuple[str, str]:
    """Matchers for series that carry a label with a plain value: neither none nor an encoded array."""
    return f'{label(name)}!=""', f"{label(name)}!~{quoted(_names.ENCODED_ARRAY_PATTERN)}"


def dashboards(
    stored: Sequence[Form], *, department: bool, ports: Collection[int], recorded: MonthRecords | None = None
) -> tuple[Dashboard, Dashboard]:
    """The dashboard for who runs the platform, and the one for a team.

    Args:
        stored: the forms in which the metric is stored.
        department: whether the department label carries data, or is about to.
        ports: those at which sidecars serve their metrics.
        recorded: what rules record of the present month.
    """
    months = recorded or MonthRecords()
    return platform_dashboard(stored, department, ports, months), team_dashboard(stored, ports, months)


def platform_dashboard(
    stored: Sequence[Form], department: bool, ports: Collection[int], recorded: MonthRecords
) -> Dashboard:
    """Everybody's usage, and whether the metering works."""
    filters = [f'{NAMESPACE}=~"$namespace"', *([f'{DEPARTMENT}=~"$department"'] if department else [])]
    usage = UsageQueries(stored, ports, tuple(filters), '"$model"')
    everything = UsageQueries(stored, ports)
    variables = [_variable("namespace", "Namespace", NAMESPACE, everything), _model_variable(everything)]
    if department:
        variables.append(_variable("department", "Department", DEPARTMENT, everything))
    return Dashboard(
        "platform",
        "AI gateway token usage",
        "AI 网关令牌用量",
        "Tokens per billed namespace, model and department, and the health of the metering.",
        tuple(variables),
        (
            PanelRow("Last 24 hours", (*_numbers(usage, everything), *_tops(usage, department))),
            PanelRow("Trend", tuple(_trends(usage, department))),
            *_month_row(_month_of_platform(recorded)),
            PanelRow("Last 30 days, and the 30 days before", tuple(_months(usage))),
            PanelRow("Latency", tuple(_latencies(usage))),
            PanelRow("Health of the metering", tuple(_health(everything))),
        ),
    )


def team_dashboard(stored: Sequence[Form], ports: Collection[int], recorded: MonthRecords) -> Dashboard:
    """One namespace's usage. It isolates nobody: its reader can ask for whatever the data source answers."""
    # One value is no pattern, and is not escaped like one.
    usage = UsageQueries(stored, ports, (f'{NAMESPACE}="$namespace"',), '"$model"')
    everything = UsageQueries(stored, ports)
    return Dashboard(
        "team",
        "AI gateway: my tokens",
        "AI 网关:我的令牌",
        "The tokens of one namespace. The choice of the namespace is no isolation: that is the data source's matter.",
        (_variable("namespace", "Namespace", NAMESPACE, everything, takes_all=False), _model_variable(everything)),
        (
            PanelRow(
                "My tokens",
                (
                    _number("Tokens, last 24 hours", f"sum({usage.tokens('24h')})"),
                    _number("Tokens, last 30 days", f"sum({usage.tokens('30d')})"),
                    _number(
                        "In 30 days, at the last 7 days' rate",
                        f"sum({usage.tokens('7d')}) / 7 * 30",
                        "What 30 days come to if every day is as the last seven were.",
                    ),
                    _number("Requests, last 24 hours", f"sum({usage.requests('24h')})", unit=COUNT),
                ),
            ),
            *_month_row(_month_of_team(recorded)),
            PanelRow(
                "By model and type",
                (
                    _bars("Tokens per model, last 30 days", f"sum by ({MODEL}) ({usage.tokens('30d')})", MODEL),
                    _lines("Tokens per model, last hour", f"sum by ({MODEL}) ({usage.tokens('1h')})", MODEL),
                    _input_and_output(usage),
                    _cached_share(usage),
                ),
            ),
        ),
    )


def _variable(name: str, title: str, own: str, usage: UsageQueries, *, takes_all: bool = True) -> Variable:
    return Variable(name, title, own, f"group by ({own}) ({usage.now()})", takes_all)


def _model_variable(usage: UsageQueries) -> Variable:
    counted = []
    for form in usage.stored:
        values = f"group by ({label(form.model)}) ({form.selector(usage.ours)})"
        counted.append(values if form.model == MODEL else with_label_from(values, MODEL, form.model))
    return Variable("model", "Model", MODEL, " or ".join(counted))


def _lines(
    title: str, expression: str, by: str, description: str = ESTIMATE, unit: str = TOKENS, width: int = 12
) -> Panel:
    return Panel(title, f"{description} {WHY_EMPTY}", LINES, (Query(expression, by=by),), unit, width)


def _number(title: str, expression: str, description: str = "", unit: str = TOKENS, width: int = 6) -> Panel:
    text = " ".join(filter(None, (description, ESTIMATE, WHY_EMPTY)))
    return Panel(title, text, NUMBER, (Query(expression, title),), unit, width)


def _bars(title: str, expression: str, by: str, description: str = "", width: int = 12) -> Panel:
    text = " ".join(filter(None, (description, ESTIMATE, WHY_EMPTY)))
    return Panel(title, text, BARS, (Query(expression, by=by),), width=width)


def _numbers(usage: UsageQueries, everything: UsageQueries) -> list[Panel]:
    """What there was in a day, in numbers."""
    total = f"sum({usage.tokens('24h')})"
    nobody = everything.tokens("24h", INPUT_OUTPUT, f'{NAMESPACE}=""')
    return [
        _number("Tokens", total, width=5),
        _number("Requests", f"sum({usage.requests('24h')})", unit=COUNT, width=5),
        _number(
            "Output share",
            f"sum({usage.tokens('24h', ('output',))}) / {total}",
            "Share of output tokens, the expensive type.",
            SHARE,
            width=4,
        ),
        _number(
            "Cached share of input",
            f"sum({usage.tokens_of_part('24h', 'cached_input')}) / sum({usage.tokens('24h', ('input',))})",
            "The part of the input that came out of a provider's cache, commonly at a lower price.",
            SHARE,
            width=5,
        ),
        _number(
            "Share without a namespace",
            f"(sum({nobody}) or vector(0)) / sum({everything.tokens('24h')})",
            "These tokens cannot be billed. verify.yml shows which callers send them, and why.",
            SHARE,
            width=5,
        ),
    ]


def _tops(usage: UsageQueries, department: bool) -> list[Panel]:
    """Who used the most in a day, and of what."""
    width = 8 if department else 12
    tokens = usage.tokens("24h")
    found = [
        _bars("Top 10 namespaces", f"topk(10, {by_name(NAMESPACE, tokens)})", NAMESPACE, width=width),
        _bars("Top 5 models, last 24 hours", f"topk(5, sum by ({MODEL}) ({tokens}))", MODEL, width=width),
    ]
    if department:
        expression = usage.tokens("24h", INPUT_OUTPUT, *plain_values(DEPARTMENT))
        top = f"topk(10, sum by ({DEPARTMENT}) ({expression}))"
        found.append(_bars("Top 10 departments", top, DEPARTMENT, NOBODY, width))
    return found


def _trends(usage: UsageQueries, department: bool) -> list[Panel]:
    """What an hour had, at each point."""
    tokens = by_name(NAMESPACE, usage.tokens("1h"))
    share = f"{by_name(NAMESPACE, usage.tokens('1h', ('output',)))} / {tokens}"
    found = [
        _lines("Tokens per namespace, last hour", tokens, NAMESPACE),
        _lines("Tokens per model, last hour", f"sum by ({MODEL}) ({usage.tokens('1h')})", MODEL),
        _input_and_output(usage),
        _lines(
            "Output share per namespace, last hour",
            share,
            NAMESPACE,
            f"Share of output tokens, the expensive type, in the tokens of a namespace. {ESTIMATE}",
            SHARE,
        ),
    ]
    if department:
        plain = usage.tokens("1h", INPUT_OUTPUT, *plain_values(DEPARTMENT))
        text = f"Input and output tokens by the caller's department. {NOBODY} {ESTIMATE}"
        found.append(
            _lines("Tokens per department, last hour", f"sum by ({DEPARTMENT}) ({plain})", DEPARTMENT, text, width=24)
        )
    return found


def _input_and_output(usage: UsageQueries) -> Panel:
    queries = tuple(Query(f"sum({usage.tokens('1h', (kind,))})", kind) for kind in INPUT_OUTPUT)
    return Panel("Input and output, last hour", f"{ESTIMATE} {WHY_EMPTY}", LINES, queries)


def _cached_share(usage: UsageQueries) -> Panel:
    expression = f"sum({usage.tokens_of_part('1h', 'cached_input')}) / sum({usage.tokens('1h', ('input',))})"
    text = f"The part of the input that came out of a provider's cache. {ESTIMATE} {WHY_EMPTY}"
    return Panel("Cached share of input, last hour", text, LINES, (Query(expression, "cached share"),), SHARE)


def _months(usage: UsageQueries) -> list[Panel]:
    """A month of 30 days: PromQL has no calendar."""
    text = "30 days, not a month of the calendar, of which PromQL knows nothing."
    now, before = usage.tokens("30d"), usage.tokens("60d")
    return [
        _bars("Tokens per namespace, last 30 days", by_name(NAMESPACE, now), NAMESPACE, text),
        _bars(
            "Tokens per namespace, the 30 days before",
            f"{by_name(NAMESPACE, before)} - ({by_name(NAMESPACE, now)} or {by_name(NAMESPACE, before)} * 0)",
            NAMESPACE,
            f"{text} Prometheus keeps 15 days unless it is told otherwise: what is not stored is not counted.",
        ),
    ]


def _month_row(panels: list[Panel]) -> list[PanelRow]:
    return [PanelRow("This month (UTC)", tuple(panels))] if panels else []


def _month_of_platform(recorded: MonthRecords) -> list[Panel]:
    """What each namespace has used of this month, what that costs, and how much of its budget it is."""
    own = f'{{{NAMESPACE}=~"$namespace"}}'
    found = []
    for unit, what, measure in _units(recorded):
        if recorded.has(unit, "month"):
            # Several replicas may have recorded the same.
            query = Query(f"max by ({NAMESPACE}) ({record_of(unit, 'month')}{own})", by=NAMESPACE)
            found.append(Panel(f"{what} per namespace, this month", BY_HOURS, BARS, (query,), measure))
        if recorded.has(unit, "budget"):
            used, budget = (f"max by ({NAMESPACE}) ({record_of(unit, name)}{own})" for name in ("month", "budget"))
            query = Query(f"{used} / on ({NAMESPACE}) {budget}", by=NAMESPACE)
            text = f"How much of its budget each namespace has used. {BY_HOURS}"
            found.append(Panel(f"Share of the budget: {what}", text, BARS, (query,), SHARE))
    return found


def _month_of_team(recorded: MonthRecords) -> list[Panel]:
    """The same for one namespace, in numbers, with what is left and what the month comes to."""
    own = f'{{{NAMESPACE}="$namespace"}}'
    found = []
    for unit, what, measure in _units(recorded):
        used, budget = (f"max({record_of(unit, name)}{own})" for name in ("month", "budget"))
        shown = [
            (f"{what}, this month", used, "month"),
            (f"Left of the budget: {what}", f"{budget} - {used}", "budget"),
            (f"{what} of the whole month, at this rate", f"({forecast_of(used)}) and on () {SECOND_DAY}", "month"),
        ]
        for title, expression, needed in shown:
            if recorded.has(unit, needed):
                found.append(Panel(title, BY_HOURS, NUMBER, (Query(expression, title),), measure, 8))
    return found


def _units(recorded: MonthRecords) -> list[tuple[str, str, str]]:
    """What is counted of a month: its name in records and for a person, and what its values are."""
    return [(TOKENS_OF, "Tokens", TOKENS), (COST_OF, f"Cost in {recorded.currency}", AMOUNT)]


def _latencies(usage: UsageQueries) -> list[Panel]:
    text = "By model, as the gateway has measured it; 95 % of the requests were faster. An estimate out of buckets."
    return [
        _lines(title, usage.latency(name, 0.95, "5m"), MODEL, text, SECONDS, width=8)
        for title, name in (
            ("Time to first token (95 %)", "time_to_first_token"),
            ("Time per output token (95 %)", "time_per_output_token"),
            ("Duration of requests (95 %)", "request.duration"),
        )
    ]


def _health(everything: UsageQueries) -> list[Panel]:
    """Whether what is shown can be believed."""
    targets = f"up{{{of_sidecars(everything.ports)}}}"
    check = "check.yml reports more."

    def number(title: str, expression: str, text: str, unit: str = COUNT, width: int = 5) -> Panel:
        return Panel(title, f"{text} {check}", NUMBER, (Query(expression, title),), unit, width)

    return [
        number("Sidecars scraped", f"count(count by (instance) ({targets} == 1))", "Empty where none is scraped."),
        number("Targets down", f"count({targets} == 0) or vector(0)", "What these count until they end may be lost."),
        number(
            "Scraped more than once",
            f"count(count by (instance) ({targets}) > 1) or vector(0)",
            "These dashboards count each token once all the same; other queries may not.",
        ),
        number("Oldest last scrape", f"max(time() - timestamp({targets}))", "How long ago it was.", SECONDS),
        number(
            "Series of the token metric", f"count({everything.now()})", "Many series make Prometheus slow.", width=4
        ),
        Panel(
            "Names under which tokens are stored",
            f"Series by name; several names after an upgrade of the gateway or of Prometheus. {check}",
            BARS,
            (Query(f"count by (__name__) ({everything.now()})", by="__name__"),),
            COUNT,
            24,
        ),
    ]
