# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Carries out and reports the plan for what scrapes the sidecars."""

from __future__ import annotations

from typing import Any

from .. import _names
from .._errors import ConflictError, MeteringError, told
from .._kubernetes import objects
from .._kubernetes.client import Cluster
from .._kubernetes.ownership import is_ours
from .._scrape import context, scrapers
from .._scrape.cluster_plan import (
    WISHES,
    _fields,
    monitor_to_diff,
    plan_accepted_scrape,
    plan_to_result,
    refuse_interval,
)
from .._scrape.plan import Plan
from .ours import find_monitors, names_of
from .runner import API_OPTION, GATEWAYS_OPTION, PROMETHEUS_OPTION

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
    view = context.read_context(module, cluster)
    plan = plan_accepted_scrape(module, cluster, view, **{key: options[key] for key in WISHES})
    if not module.check_mode:
        carry_out(cluster, plan)
    result = plan_to_result(plan, applied=not module.check_mode)
    remaining = problems_of_plan(plan)
    if remaining and options["on_duplicate"] == "fail":
        raise MeteringError.of(remaining, **result)
    for problem in remaining:
        module.warn(str(problem))
    return result


def withdraw(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Remove what is ours: all of it, or what was made for the Gateways in scope."""
    names = names_of(module.params["name"], module.params["gateways"])
    ours = find_monitors(cluster, module.params["name"], module.params["gateways"])
    if names and not ours:
        module.warn(
            told(
                f"Nothing is removed: no monitor of ours has the name {', '.join(sorted(names))}.",
                command=f"kubectl get podmonitor -A -l {_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}",
            )
        )
    if not module.check_mode:
        for known, monitor in ours:
            cluster.delete(known.api, known.plural, monitor)
    return {
        "changed": bool(ours),
        "removed": [objects.name_of(monitor) for dummy, monitor in ours],
        "diff": {"before": "".join(monitor_to_diff(monitor) for dummy, monitor in ours), "after": ""},
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
                raise ConflictError(f"{objects.name_of(wish)} was stored without {', '.join(sorted(missing))}")
    for source in plan.remove:
        known = scrapers.MONITOR_KINDS[source.kind]
        if source.document:
            cluster.delete(known.api, known.plural, source.document)


def problems_of_plan(plan: Plan) -> list[MeteringError]:
    """What remains wrong once the plan is carried out."""
    found = []
    for source, remedy in plan.left:
        ours, keeper = is_ours(source.document), source in plan.keepers
        may = f"Or set scrape_prune: {'ours' if ours else 'all'}." if source.document and not keeper else ""
        found.append(
            MeteringError(
                f"{source.title} scrapes sidecars "
                + ("more than once by itself." if keeper else f"that {plan.after} scrapes already."),
                "Every token is counted twice. "
                + ("It was left because of scrape_prune." if ours else "It is not ours, so it was left."),
                told(remedy.advice, may),
                remedy.command,
            )
        )
    if plan.uncovered:
        found.append(
            MeteringError(
                f"No monitor that {plan.prometheus.name} selects covers {', '.join(plan.uncovered)}.",
                f"Their tokens are not collected. {plan.after} covers other pods of the same Gateway, and no labels "
                "distinguish them.",
                f"Widen the selector of {plan.after}, or remove it: the next run then creates one for all pods.",
                "kubectl get podmonitor -A --show-labels",
            )
        )
    return found
