# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Plans the scrape against a cluster: what the live targets add, and what the API server takes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from .. import _durations
from .._errors import MeteringError, RefusedError
from .._kubernetes import objects
from .._kubernetes.client import Cluster, UnknownFieldsError
from .._kubernetes.objects import Object
from .._prometheus import replica as _replica
from .._prometheus.replica import Replica
from . import live_targets, scrapers, sources
from . import monitor as _monitor
from . import plan as _plan
from .context import View
from .plan import Plan
from .sources import Source

# What is wished of the monitor.
WISHES: dict[str, Any] = {
    "name": {"type": "str", "default": ""},
    "interval": {"type": "str", "default": "30s"},
    "prune": {"type": "str", "choices": ["none", "ours", "all"], "default": "ours"},
}


def refuse_interval(interval: str) -> None:
    """Refuse an interval that Prometheus would.

    Raises:
        MeteringError: it is no duration in Prometheus's syntax.
    """
    if not _durations.is_prometheus(interval):
        raise MeteringError(
            f"The interval is {interval!r}.",
            "It is not a valid Prometheus duration, with its units in order (1h30m). It would be rejected.",
            "Set scrape_interval to something like 30s or 1m.",
        )


def plan_accepted_scrape(
    module: Any, cluster: Cluster, view: View, *, name: str, interval: str, prune: str = "ours"
) -> Plan:
    """What would have to change so that every sidecar is scraped once, accepted by the API server.

    Raises:
        MeteringError: the API server would refuse the monitor.
    """
    jobs, silent = read_jobs(module, view)
    plan = accepted_plan(
        cluster,
        functools.partial(
            _plan.plan_scrape,
            view.monitoring,
            view.scraper,
            view.sidecars,
            name=name,
            interval=interval,
            prune=prune,
            scope=module.params["gateways"],
            others=view.others,
            jobs=jobs,
        ),
    )
    refuse_unseen_monitors(view, plan, silent)
    return plan


def plan_to_result(plan: Plan, *, applied: bool) -> dict[str, Any]:
    """What podmonitor_dedupe returns of a plan."""
    return {
        "changed": bool(plan.create or plan.update or plan.remove),
        "prometheus": plan.prometheus.name,
        "scraper": plan.prometheus.identity,
        "kept": plan.kept,
        "created": objects.name_of(plan.create) if plan.create else "",
        "updated": objects.name_of(plan.update) if plan.update else "",
        "removed": [source.name for source in plan.remove],
        "removal_commands": [_plan.removal_command(source) for source in plan.remove],
        "left": [{"kind": source.kind, "name": source.name, **remedy._asdict()} for source, remedy in plan.left],
        "uncovered_pods": list(plan.uncovered),
        "doubly_covered_pods": {pod: list(names) for pod, names in plan.doubly_covered.items()},
        "applied": applied,
        "manifest": manifest(plan.ours),
        "diff": {
            "before": "".join(
                monitor_to_diff(item)
                for item in (plan.update and plan.own, *(source.document for source in plan.remove))
                if item
            ),
            "after": "".join(map(monitor_to_diff, [item for item in (plan.create, plan.update) if item])),
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
        return {field.rpartition(".")[2] for field in error.fields} & _monitor.OPTIONAL_FIELDS
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
    return names & _monitor.OPTIONAL_FIELDS


def refuse_unseen_monitors(view: View, plan: Plan, silent: MeteringError | None) -> None:
    """Refuse to create a monitor where another may stand in a namespace that is not read.

    Raises:
        MeteringError: neither the live targets nor the Prometheus object tell.
    """
    if plan.create is None or not view.monitoring.namespaces or not (silent or view.scraper.is_unseen):
        return
    raise MeteringError(
        "It is not known whether a monitor in a namespace that is not read scrapes the sidecars already: "
        + (silent.found if silent else "no Prometheus object was seen."),
        "A second one would count each token twice. Nothing was changed.",
        "Add the namespace of the Prometheus object to metering_namespaces, and let its targets be read.",
        silent.command if silent else "kubectl auth whoami",
    )


def read_jobs(module: Any, view: View) -> tuple[list[Source], MeteringError | None]:
    """What the live targets show to scrape sidecars without any object, and why that is not known.

    The first replica speaks for all.
    """
    try:
        replica = view.backend.scraping()[0]
        configurations = replica.configurations()
        targets = unpredicted_targets(replica, configurations, view)
    except MeteringError as error:
        module.warn(f"It is not known whether a scrape job without an object scrapes the sidecars: {error}")
        return [], error
    sidecars = [*view.sidecars, *view.others]
    rules = _replica.metric_rules(configurations)
    return live_targets.jobs_of_targets(targets, sidecars, view.scraper, rules, view.monitoring), None


def unpredicted_targets(
    replica: Replica, configurations: Sequence[Mapping[str, Any] | None], view: View
) -> list[dict[str, Any]]:
    """The active targets of pools that may reach sidecars, and are not predicted from an object.

    Where the running configuration does not tell which these are, or they are many, all targets are asked for at once.
    """
    namespaces = {sidecar.pod["metadata"]["namespace"] for sidecar in (*view.sidecars, *view.others)}
    known = _replica.pools_reaching(configurations, namespaces)
    if known is None:
        return replica.active_targets()
    pools = {pool for pool in known[0] if not sources.is_judged_by_its_object(pool, view.scraper, view.monitoring)}
    return replica.active_targets() if len(pools) > _replica.MANY_POOLS else replica.targets_in(pools)


def manifest(monitor: Object | None) -> dict[str, Any]:
    """A monitor without what the API server adds to it; empty for none."""
    if monitor is None:
        return {}
    metadata = {key: monitor["metadata"][key] for key in ("namespace", "name", "labels") if key in monitor["metadata"]}
    return {"apiVersion": monitor["apiVersion"], "kind": monitor["kind"], "metadata": metadata, "spec": monitor["spec"]}


def monitor_to_diff(monitor: Object) -> str:
    """A monitor for the diff."""
    return json.dumps(manifest(monitor), indent=2, sort_keys=True) + "\n"
