# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Carries out and reports the plan for what scrapes the sidecars."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from .. import _durations, _names
from .._errors import ConflictError, MeteringError, RefusedError
from .._gateway import workloads
from .._gateway.workloads import Object
from .._kubernetes.client import Cluster, UnknownFieldsError
from .._prometheus import replica as _prometheus
from .._prometheus.replica import Replica
from .._scrape import context, live_targets, scrapers, sources
from .._scrape import plan as _scrape
from .._scrape.context import View
from .._scrape.plan import Plan, is_ours
from .._scrape.sources import Source
from .runner import API_OPTION, GATEWAYS_OPTION, PROMETHEUS_OPTION

# What is wished of the monitor.
WISHES: dict[str, Any] = {
    "name": {"type": "str", "default": ""},
    "interval": {"type": "str", "default": "30s"},
    "prune": {"type": "str", "choices": ["none", "ours", "all"], "default": "ours"},
}
OPTIONS: dict[str, Any] = {
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    **WISHES,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "on_duplicate": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Plan, carry out, and report: what podmonitor_dedupe returns."""
    options = module.params
    if options["state"] == "absent":
        return withdraw(module, cluster)
    refuse_interval(options["interval"])
    view = context.of(module, cluster)
    plan = planned(module, cluster, view, **{key: options[key] for key in WISHES})
    if not module.check_mode:
        carry_out(cluster, plan)
    result = to_result(plan, applied=not module.check_mode)
    remaining = problems(plan)
    if remaining and options["on_duplicate"] == "fail":
        raise MeteringError.of(remaining, **result)
    for problem in remaining:
        module.warn(str(problem))
    return result


def refuse_interval(interval: str) -> None:
    """Refuse an interval that Prometheus would.

    Raises:
        MeteringError: it is no duration in Prometheus's syntax.
    """
    if not _durations.is_prometheus(interval):
        raise MeteringError(
            f"The interval is {interval!r}.",
            "That is no duration in Prometheus's syntax, with its units in order (1h30m); it would be rejected.",
            "set scrape_interval to something like 30s or 1m.",
        )


def planned(module: Any, cluster: Cluster, view: View, *, name: str, interval: str, prune: str = "ours") -> Plan:
    """What would have to change so that every sidecar is scraped once, accepted by the API server.

    Raises:
        MeteringError: the API server would refuse the monitor.
    """
    return accepted_plan(
        cluster,
        functools.partial(
            _scrape.plan,
            view.monitoring,
            view.scraper,
            view.sidecars,
            name=name,
            interval=interval,
            prune=prune,
            scope=module.params["gateways"],
            others=view.others,
            jobs=jobs(module, view),
        ),
    )


def to_result(plan: Plan, *, applied: bool) -> dict[str, Any]:
    """What podmonitor_dedupe returns of a plan."""
    return {
        "changed": bool(plan.create or plan.update or plan.remove),
        "prometheus": plan.prometheus.name,
        "scraper": plan.prometheus.identity,
        "kept": plan.kept,
        "created": workloads.name_of(plan.create) if plan.create else "",
        "updated": workloads.name_of(plan.update) if plan.update else "",
        "removed": [source.name for source in plan.remove],
        "removal_commands": [_scrape.removal_command(source) for source in plan.remove],
        "left": [{"kind": source.kind, "name": source.name, "command": command} for source, command in plan.left],
        "uncovered_pods": list(plan.uncovered),
        "doubly_covered_pods": {pod: list(names) for pod, names in plan.doubly_covered.items()},
        "applied": applied,
        "manifest": manifest(plan.ours),
        "diff": {
            "before": "".join(
                described(item)
                for item in (plan.update and plan.own, *(source.document for source in plan.remove))
                if item
            ),
            "after": "".join(map(described, [item for item in (plan.create, plan.update) if item])),
        },
    }


def accepted_plan(cluster: Cluster, make: Callable[..., Plan]) -> Plan:
    """The plan whose monitor the API server takes as it is meant: told by a dry run, before anything is changed.

    Args:
        cluster: the cluster.
        make: makes the plan, for fields that the served kind lacks (the option `lacking`).

    Raises:
        MeteringError: the API server would refuse the monitor.
    """
    plan, known = make(), frozenset[str]()
    # Each of the optional fields can be missed once.
    while lacking := lacking_fields(cluster, plan) - known:
        known |= lacking
        plan = make(lacking=known)
    return plan


def lacking_fields(cluster: Cluster, plan: Plan) -> Set[str]:
    """Those of the optional fields that the served kind would not store."""
    wish = plan.create or plan.update
    if wish is None:
        return frozenset()
    known = scrapers.MONITOR_KINDS[plan.prometheus.monitor]
    stored = None
    try:
        stored = cluster.rehearse(cluster.create if plan.create else cluster.replace, known.api, known.plural, wish)
    except RefusedError:  # who only reads may still plan
        pass
    except UnknownFieldsError as error:
        return {field.rpartition(".")[2] for field in error.fields} & _scrape.OPTIONAL_FIELDS
    if stored is not None:
        return _fields(wish) - _fields(stored)
    # It may not be tried. The schema tells what the kind has; where that may not be read either, what stands shows it.
    served = cluster.fields_of(known.api, plan.prometheus.monitor)
    if served is not None:
        return _fields(wish) - served
    return frozenset() if plan.own is None else (_fields(wish) - _fields(plan.own))


def _fields(monitor: Object) -> set[str]:
    """The optional fields that a monitor has."""
    endpoints = monitor["spec"].get("podMetricsEndpoints") or ()
    names = {*monitor["spec"], *(name for endpoint in endpoints for name in endpoint)}
    return names & _scrape.OPTIONAL_FIELDS


def jobs(module: Any, view: View) -> list[Source]:
    """What the live targets show to scrape sidecars without any object; the first replica speaks for all."""
    try:
        replica = view.backend.scraping()[0]
        configurations = replica.configurations()
        targets = unpredicted_targets(replica, configurations, view)
    except MeteringError as error:
        module.warn(f"Whether a scrape job without any object scrapes the sidecars is not known: {error}")
        return []
    sidecars = [*view.sidecars, *view.others]
    rules = _prometheus.metric_rules(configurations)
    return live_targets.jobs(targets, sidecars, view.scraper, rules, view.monitoring)


def unpredicted_targets(
    replica: Replica, configurations: Sequence[Mapping[str, Any] | None], view: View
) -> list[dict[str, Any]]:
    """The active targets of pools that may reach sidecars, and are not predicted from an object.

    Where the running configuration does not tell which these are, or they are many, all targets are asked for at once.
    """
    namespaces = {sidecar.pod["metadata"]["namespace"] for sidecar in (*view.sidecars, *view.others)}
    known = _prometheus.pools_reaching(configurations, namespaces)
    if known is None:
        return replica.active_targets()
    pools = {pool for pool in known[0] if not sources.is_judged_by_its_object(pool, view.scraper, view.monitoring)}
    return replica.active_targets() if len(pools) > _prometheus.MANY_POOLS else replica.targets_in(pools)


def withdraw(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Remove what is ours: all of it, or what was made for the Gateways in scope."""
    names = set(filter(None, [module.params["name"]]))
    if module.params["gateways"] and not names:
        names = {_scrape.scoped_name(module.params["gateways"])}
    ours = [
        (known, item)
        for known in scrapers.MONITOR_KINDS.values()
        for item in cluster.list(known.api, known.plural, labels=f"{_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}")
        if not names or item["metadata"]["name"] in names
    ]
    if names and not ours:
        module.warn(
            f"Nothing is removed: no monitor of ours is called {', '.join(sorted(names))}. Those that are ours: "
            f"kubectl get podmonitor -A -l {_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}"
        )
    if not module.check_mode:
        for known, monitor in ours:
            cluster.delete(known.api, known.plural, monitor)
    return {
        "changed": bool(ours),
        "removed": [workloads.name_of(monitor) for dummy, monitor in ours],
        "diff": {"before": "".join(described(monitor) for dummy, monitor in ours), "after": ""},
    }


def carry_out(cluster: Cluster, plan: Plan) -> None:
    """Create, bring back and remove as planned.

    Raises:
        ConflictError: something changed since it was read, be it the kind itself: a field was not stored.
    """
    own = scrapers.MONITOR_KINDS[plan.prometheus.monitor]
    for wish, write in ((plan.create, cluster.create), (plan.update, cluster.replace)):
        if wish:
            missing = _fields(wish) - _fields(write(own.api, own.plural, wish))
            if missing:
                raise ConflictError(f"{workloads.name_of(wish)} was stored without {', '.join(sorted(missing))}")
    for source in plan.remove:
        known = scrapers.MONITOR_KINDS[source.kind]
        if source.document:
            cluster.delete(known.api, known.plural, source.document)


def problems(plan: Plan) -> list[MeteringError]:
    """What remains wrong once the plan is carried out."""
    found = []
    for source, command in plan.left:
        ours, keeper = is_ours(source.document), source in plan.keepers
        may = f" (or set scrape_prune: {'ours' if ours else 'all'})" if source.document and not keeper else ""
        found.append(
            MeteringError(
                f"{source.title} scrapes sidecars "
                + ("more than once by itself." if keeper else f"that {plan.after} scrapes already."),
                "Every token is counted twice. "
                + ("It was left because scrape_prune says so." if ours else "It is not ours, so it was left."),
                f"{command}{may}",
            )
        )
    if plan.uncovered:
        found.append(
            MeteringError(
                f"Nothing that {plan.prometheus.name} selects covers {', '.join(plan.uncovered)}.",
                f"Their tokens are counted by nobody; {plan.after} covers others of the same Gateway, and no labels "
                "tell them apart.",
                f"widen the selector of {plan.after}, or remove it so that one is made for all.",
            )
        )
    return found


def manifest(monitor: Object | None) -> dict[str, Any]:
    """A monitor without what the API server adds to it; empty for none."""
    if monitor is None:
        return {}
    metadata = {key: monitor["metadata"][key] for key in ("namespace", "name", "labels") if key in monitor["metadata"]}
    return {"apiVersion": monitor["apiVersion"], "kind": monitor["kind"], "metadata": metadata, "spec": monitor["spec"]}


def described(monitor: Object) -> str:
    """A monitor for the diff."""
    return json.dumps(manifest(monitor), indent=2, sort_keys=True) + "\n"
