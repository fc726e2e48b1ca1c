# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""The recording rules and the alerts of the metering, as a PrometheusRule.

What is recorded has names and labels that every Prometheus takes, whichever form the metric is stored in. Sums of
counters are never recorded: whoever took their growth would see each restart as a reset of all.
Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from ...module_utils import _names
from ...module_utils._errors import told
from ...module_utils._prometheus.promql import label, quoted, with_label_from
from ...module_utils._prometheus.token_metric import Form, deduplicated, forms, of_sidecars
from ...module_utils._scrape.scrapers import COREOS
from .budget_rules import MonthBudget, budget_groups
from .price_rules import RatedPrices

NAMESPACE = _names.REQUIRED_PAIR[1]
# How far back it is looked for what has gone.
REMEMBERED = "1d"
# Their samples have the namespace of the pod that they are about.
ABOUT_PODS = {f"AIGateway{name}" for name in ("SidecarDown", "TokensNotStored", "ProxyUnmetered")}


@dataclass(frozen=True)
class Bounds:
    """When an alert fires."""

    hold: str
    """For how long it has to be so, as a duration of Prometheus."""
    window: str
    """Over which time a rate is taken."""
    series: int
    """More series of the metric than these are too many."""
    nobody: float
    """A larger share of tokens without a namespace is too much."""


def _everywhere(stored: Sequence[Form], text: Callable[[Form], str]) -> str:
    """An expression over every form in which the metric is stored."""
    return " or ".join(text(form) for form in stored)


def _underscored(form: Form, expression: str) -> str:
    """An expression whose result has the labels of the present generation."""
    for ours, theirs in (
        (_names.TOKEN_TYPE_LABELS[0], form.token_type),
        (_names.REQUEST_MODEL_LABELS[0], form.model),
    ):
        if ours != theirs:
            expression = with_label_from(expression, ours, theirs)
    return expression


def _rates(form: Form, window: str, ours: str, *matchers: str) -> str:
    """The rate of each counter that is a part of the total, by each way in which it may be one."""
    return " or ".join(deduplicated(form.over("rate", window, ours, *own, *matchers)) for own in form.totals())


def recorded(stored: Sequence[Form], ports: Collection[int], window: str) -> list[dict[str, Any]]:
    """The recording rules: rates by who is billed, model and token type."""
    by = f"{NAMESPACE}, {_names.DEPARTMENT_LABEL}, {_names.REQUEST_MODEL_LABELS[0]}"
    kinds = f"{by}, {_names.TOKEN_TYPE_LABELS[0]}"
    ours = of_sidecars(ports)
    tokens = _everywhere(stored, lambda form: _underscored(form, deduplicated(form.over("rate", window, ours))))

    def requests_of(form: Form) -> str:
        # Each request is counted once for each type.
        return _underscored(
            form, deduplicated(form.requests_over("rate", window, ours, f'{label(form.token_type)}="input"'))
        )

    return [
        {"record": "aigateway_metering:tokens:rate", "expr": f"sum by ({kinds}) ({tokens})"},
        {"record": "aigateway_metering:requests:rate", "expr": f"sum by ({by}) ({_everywhere(stored, requests_of)})"},
    ]


@dataclass(frozen=True)
class Expressions:
    """What alerts are made of, over every form in which the metric is stored."""

    stored: Sequence[Form]
    ports: Collection[int]
    """Those at which sidecars serve their metrics."""
    window: str
    """Over which time a rate is taken."""

    @property
    def ours(self) -> str:
        """A matcher of sidecars."""
        return of_sidecars(self.ports)

    @property
    def targets(self) -> str:
        """Whether each sidecar's last scrape succeeded."""
        return f"up{{{self.ours}}}"

    def now(self, *matchers: str) -> str:
        """The series that there are."""
        return _everywhere(self.stored, lambda form: form.selector(self.ours, *matchers))

    def lately(self, *matchers: str) -> str:
        """The series that there were within the last day."""
        return _everywhere(
            self.stored, lambda form: f"last_over_time({form.selector(self.ours, *matchers)}[{REMEMBERED}])"
        )

    def rate(self, *matchers: str) -> str:
        """How many tokens a second were counted."""
        return f"sum({_everywhere(self.stored, lambda form: _rates(form, self.window, self.ours, *matchers))})"


class Alert(NamedTuple):
    """An alert before it is rendered."""

    name: str
    expression: str
    severity: str
    summary: str
    why: str
    command: str
    advice: str = ""
    label: str = ""
    """The label of the metric that it is about, where it is about one."""

    def to_rule(self, hold: str) -> dict[str, Any]:
        """The alert as a rule that fires once it was so for some time."""
        about = {"label": self.label} if self.label else {}
        return {
            "alert": f"AIGateway{self.name}",
            "expr": self.expression,
            "for": hold,
            "labels": {"severity": self.severity, **about},
            "annotations": {"summary": self.summary, "description": told(self.why, self.advice, command=self.command)},
        }


def alerts(
    stored: Sequence[Form],
    ports: Collection[int],
    identity: Sequence[str],
    bounds: Bounds,
    workloads: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The alerts, each with what it means and what to do next.

    Args:
        stored: the forms in which the metric is stored.
        ports: those at which sidecars serve their metrics.
        identity: the labels of the mapping that carry data.
        bounds: when they fire.
        workloads: the workloads (namespace/name) whose pods are to have a sidecar.
    """
    over = Expressions(stored, ports, bounds.window)
    found = [*_scrape_alerts(over), *_token_alerts(over, bounds)]
    if workloads:
        found.append(_unmetered_alert(workloads))
    # One for each label: which one has gone is what the person on call needs to know.
    found += [_label_alert(over, name) for name in identity]
    return [alert.to_rule(bounds.hold) for alert in found]


def _scrape_alerts(over: Expressions) -> list[Alert]:
    """Alerts on how the sidecars are scraped."""
    ours, targets, now = over.ours, over.targets, over.now()
    # A sidecar has no counter before its first request: only one that had some, and goes on, has lost them.
    lost = f"(count by (instance) ({over.lately()}) and on (instance) ({targets} == 1)) unless on (instance) ({now})"
    gone = f"(count(last_over_time({targets}[{REMEMBERED}])) > 0) unless on () count({targets})"
    return [
        Alert(
            "TokenMetricAbsent",
            f"(count({lost}) > 0) or ({gone})",
            "critical",
            "Sidecars of the AI gateway are not scraped any more, or their token metric is not stored any more.",
            "Nothing is metered now: this usage will be missing in the bill, or be billed to a later hour.",
            _names.CHECK,
        ),
        Alert(
            "SidecarDown",
            f"{targets} == 0",
            "critical",
            "The sidecar {{ $labels.namespace }}/{{ $labels.pod }} ({{ $labels.instance }}) cannot be scraped.",
            "If it ends before the next successful scrape, the tokens that it has counted until then are lost.",
            f"{_names.CHECK}; kubectl -n {{{{ $labels.namespace }}}} describe pod {{{{ $labels.pod }}}}",
        ),
        Alert(
            "TokensNotStored",
            # A sidecar that has served nothing has a single sample, and nothing of it is dropped but by intent.
            f"(scrape_samples_scraped{{{ours}}} > 1 and scrape_samples_scraped{{{ours}}} > "
            f"scrape_samples_post_metric_relabeling{{{ours}}}) unless on (instance) ({now})",
            "critical",
            "The sidecar {{ $labels.namespace }}/{{ $labels.pod }} ({{ $labels.instance }}) is scraped, "
            "and none of its tokens are stored.",
            "A rule of the scrape drops them, so this usage will be missing in the bill.",
            _names.CHECK,
            "The audit shows how many tokens it has counted; then look at the metricRelabelings of its monitor.",
        ),
        Alert(
            "SidecarScrapedTwice",
            f"count by (instance) ({targets}) > 1",
            "warning",
            "The sidecar at {{ $labels.instance }} is scraped {{ $value }} times.",
            "A query that sums over all jobs counts its tokens that many times.",
            f"{_names.SITE} --check",
            "The dry run names the PodMonitors, and the command that removes one.",
        ),
    ]


def _token_alerts(over: Expressions, bounds: Bounds) -> list[Alert]:
    """Alerts on the tokens that are stored."""
    return [
        Alert(
            "TokensOfNobody",
            f"{over.rate(f'{NAMESPACE}=' + quoted(''))} / {over.rate()} > {bounds.nobody}",
            "warning",
            f"{{{{ $value | humanizePercentage }}}} of the tokens carry no {NAMESPACE}.",
            "They cannot be billed.",
            _names.VERIFY,
            "The verification shows which callers send them, and why.",
        ),
        Alert(
            "TooManyTokenSeries",
            f"count({over.now()}) > {bounds.series}",
            "warning",
            f"There are {{{{ $value }}}} series of the AI gateway's token metric, more than {bounds.series}.",
            "A label with a value for each user or request makes Prometheus large and slow.",
            _names.CHECK,
            f"Query count by (__name__, {NAMESPACE}) of the metric to find the source, and remove that label's pair.",
        ),
    ]


def _unmetered_alert(workloads: Sequence[str]) -> Alert:
    """An alert on pods of workloads (namespace/name) that serve without a sidecar."""
    return Alert(
        "ProxyUnmetered",
        _without_sidecar(workloads),
        "critical",
        "The proxy {{ $labels.namespace }}/{{ $labels.pod }} serves without the AI gateway's sidecar.",
        "The tokens that it serves are not counted and not billed.",
        f"{_names.CHECK}; kubectl -n {{{{ $labels.namespace }}}} delete pod {{{{ $labels.pod }}}}",
    )


def _label_alert(over: Expressions, name: str) -> Alert:
    """An alert on a label that tokens carried until lately."""
    some = f"{label(name)}!={quoted('')}"
    # Of whom had it: others may never have had one.
    who = "" if name == NAMESPACE else NAMESPACE
    had, have, are_there = (f"count by ({who}) ({text})" for text in (over.lately(some), over.now(some), over.now()))
    return Alert(
        "LabelVanished",
        f"({had} unless on ({who}) {have}) and on ({who}) {are_there}",
        "critical" if name == NAMESPACE else "warning",
        f"No tokens {'of {{ $labels.' + who + ' }} ' if who else ''}carry the label {name} any more; within the "
        "last day some did.",
        "The usual cause is a chart upgrade that has reset the mapping. Usage is now not billed, or not shown.",
        f"{_names.CHECK}; {_names.SITE}",
        label=name,
    )


def _without_sidecar(workloads: Sequence[str]) -> str:
    """The pods of workloads that run without a sidecar, by what kube-state-metrics tells; else nothing."""
    by_namespace: dict[str, list[str]] = {}
    for workload in workloads:
        namespace, dummy, name = workload.partition("/")
        by_namespace.setdefault(namespace, []).append(re.escape(name))
    proxies = " or ".join(
        f"kube_pod_container_info{{container={quoted('envoy')},namespace={quoted(namespace)},"
        f"pod=~{quoted('(' + '|'.join(names) + ')-.+')}}}"
        for namespace, names in sorted(by_namespace.items())
    )
    sidecar = f"container={quoted(_names.SIDECAR)}"
    kinds = " or ".join(f"{kind}{{{sidecar}}}" for kind in ("kube_pod_container_info", "kube_pod_init_container_info"))
    return f"count by (namespace, pod) ({proxies}) unless on (namespace, pod) ({kinds})"


def prometheus_rule(
    metrics: Sequence[str],
    *,
    name: str,
    place: Mapping[str, Any],
    ports: Collection[int],
    identity: Sequence[str],
    interval: str,
    bounds: Bounds,
    workloads: Sequence[str] = (),
    budgets: Sequence[MonthBudget] = (),
    shares: Sequence[Decimal] = (),
    prices: RatedPrices | None = None,
    runbook: str = "",
) -> dict[str, Any]:
    """The PrometheusRule.

    Args:
        metrics: the names under which token sums are stored; may be empty.
        name: its name.
        place: the `namespace` and the `labels` with which a Prometheus selects it.
        ports: those at which sidecars serve their metrics.
        identity: the labels of the mapping that carry data.
        interval: how often the rules are evaluated.
        bounds: when alerts fire.
        workloads: the workloads (namespace/name) whose pods are to have a sidecar.
        budgets: those of tokens, and with prices those of money.
        shares: of a budget, at which an alert fires.
        prices: what the tokens of each model cost.
        runbook: the address of the page that says what to do about each alert; none where it is empty.
    """
    stored = forms(metrics)
    groups = [
        {"name": "aigateway-metering.rates", "interval": interval, "rules": recorded(stored, ports, bounds.window)},
        {
            "name": "aigateway-metering.alerts",
            "interval": interval,
            "rules": alerts(stored, ports, identity, bounds, workloads),
        },
        *budget_groups(stored, ports, budgets, shares, bounds.hold, prices),
    ]
    return {
        "apiVersion": COREOS,
        "kind": "PrometheusRule",
        "metadata": {
            "name": name,
            "namespace": place["namespace"],
            "labels": {**place["labels"], _names.MANAGED_BY_LABEL: _names.MANAGED_BY},
        },
        "spec": {
            "groups": [
                {**group, "rules": [_routed(rule, place["namespace"], runbook) for rule in group["rules"]]}
                for group in groups
            ]
        },
    }


def _routed(rule: Mapping[str, Any], namespace: str, runbook: str) -> dict[str, Any]:
    """A rule; if it is an alert, with a namespace to route it by, and with the place in the runbook.

    The operator of Alertmanager routes by the label `namespace` alone: an AlertmanagerConfig is given the alerts of its
    own. What is about no pod and no one's budget is for whoever has the rules.
    """
    if "alert" not in rule:
        return dict(rule)
    by_default = {} if rule["alert"] in ABOUT_PODS else {"namespace": namespace}
    link = {"runbook_url": f"{runbook}#{rule['alert'].lower()}"} if runbook else {}
    return {
        **rule,
        "labels": {**by_default, **rule.get("labels", {})},
        "annotations": {**rule["annotations"], **link},
    }
