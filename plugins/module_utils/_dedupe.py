# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Carries out and reports the plan for the PodMonitors."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import _gateway, _scrape, _state
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Object
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import Plan, is_ours

DURATION = re.compile(r"([0-9]+(ms|[smhdwy]))+\Z")


def dedupe(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Plan, carry out, and report: what podmonitor_dedupe returns."""
    options = module.params
    if options["state"] == "absent":
        return withdraw(module, cluster)
    if not DURATION.match(options["interval"]):
        raise MeteringError(
            f"The interval is {options['interval']!r}.",
            "That is no duration in Prometheus's syntax; the operator would reject the PodMonitor.",
            "set scrape_interval to something like 30s or 1m.",
        )
    monitors = _state.pod_monitors(cluster)
    prometheus = _scrape.choose_prometheus(_state.prometheuses(cluster), options["prometheus"])
    everything = _state.sidecars(cluster)
    sidecars = _gateway.within(everything, options["gateways"])
    _gateway.require_sidecars(sidecars, options["gateways"])
    plan = _scrape.plan(
        monitors,
        prometheus,
        sidecars,
        name=options["name"],
        interval=options["interval"],
        prune=options["prune"],
        scope=options["gateways"],
        others=[sidecar for sidecar in everything if sidecar not in sidecars],
    )
    if not module.check_mode:
        carry_out(cluster, plan)
    result = {
        "changed": bool(plan.create or plan.update or plan.remove),
        "prometheus": prometheus.name,
        "kept": _gateway.name_of(plan.keep) if plan.keep else "",
        "created": _gateway.name_of(plan.create) if plan.create else "",
        "updated": _gateway.name_of(plan.update) if plan.update else "",
        "removed": list(map(_gateway.name_of, plan.remove)),
        "left": [{"name": _gateway.name_of(monitor), "command": command} for monitor, command in plan.left],
        "uncovered_pods": list(plan.uncovered),
        "doubly_covered_pods": {pod: list(names) for pod, names in plan.doubly_covered.items()},
        "applied": not module.check_mode,
        "manifest": manifest(plan.create or plan.update or (plan.keep if plan.keep and is_ours(plan.keep) else None)),
        "diff": {
            "before": "".join(map(described, [item for item in (plan.update and plan.keep, *plan.remove) if item])),
            "after": "".join(map(described, [item for item in (plan.create, plan.update) if item])),
        },
    }
    remaining = problems(plan)
    if remaining and options["on_duplicate"] == "fail":
        raise MeteringError.of(remaining, **result)
    for problem in remaining:
        module.warn(str(problem))
    return result


def withdraw(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Remove what is ours: all of it, or what was made for the Gateways in scope."""
    names = set(filter(None, [module.params["name"]]))
    if module.params["gateways"] and not names:
        names = {_scrape.scoped_name(module.params["gateways"])}
    ours = [
        item
        for item in cluster.list(_state.MONITORING, "podmonitors")
        if is_ours(item) and (not names or item["metadata"]["name"] in names)
    ]
    if not module.check_mode:
        for monitor in ours:
            cluster.delete(_state.MONITORING, "podmonitors", monitor)
    return {
        "changed": bool(ours),
        "removed": list(map(_gateway.name_of, ours)),
        "diff": {"before": "".join(map(described, ours)), "after": ""},
    }


def carry_out(cluster: Cluster, plan: Plan) -> None:
    """Create, bring back and remove as planned. Raises ConflictError where something changed since it was read."""
    if plan.create:
        cluster.create(_state.MONITORING, "podmonitors", plan.create)
    if plan.update:
        cluster.replace(_state.MONITORING, "podmonitors", plan.update)
    for monitor in plan.remove:
        cluster.delete(_state.MONITORING, "podmonitors", monitor)


def problems(plan: Plan) -> list[MeteringError]:
    """What remains wrong once the plan is carried out."""
    keeper = _gateway.name_of(plan.keep) if plan.keep else ""
    found = [
        MeteringError(
            f"PodMonitor {_gateway.name_of(monitor)} scrapes sidecars that {keeper} scrapes already.",
            "Every token is counted twice. "
            + ("It was left because scrape_prune says so." if is_ours(monitor) else "It is not ours, so it was left."),
            f"{command} (or set scrape_prune: {'ours' if is_ours(monitor) else 'all'})",
        )
        for monitor, command in plan.left
    ]
    if plan.uncovered:
        found.append(
            MeteringError(
                f"No PodMonitor covers {', '.join(plan.uncovered)}.",
                f"Their tokens are counted by nobody; {keeper} covers the others.",
                f"widen the selector of {keeper}, or remove it so that one is made for all.",
            )
        )
    return found


def manifest(monitor: Object | None) -> dict[str, Any]:
    """A monitor without what the API server adds to it; empty for none."""
    if monitor is None:
        return {}
    metadata = {key: monitor["metadata"][key] for key in ("namespace", "name", "labels") if key in monitor["metadata"]}
    return {"apiVersion": _state.MONITORING, "kind": "PodMonitor", "metadata": metadata, "spec": monitor["spec"]}


def described(monitor: Object) -> str:
    """A monitor for the diff."""
    return json.dumps(manifest(monitor), indent=2, sort_keys=True) + "\n"
