# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Asserts on the live targets for prom_scrape_check, and reads what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _names
from .._errors import MeteringError
from .._gateway import mapping, reader
from .._gateway.sidecar import Sidecar
from .._kubernetes.client import Cluster
from .._prometheus import promql
from .._prometheus.replica import Replica
from .._scrape import backend, context, live_targets
from .._scrape.proof import wait_until_scraped_once
from .._scrape.scrapers import Scraper
from .runner import API_OPTION, CONTROLLER_OPTION, GATEWAYS_OPTION, PROMETHEUS_OPTION

# A scrape takes a moment, and so does it until no more requests come in.
DRAIN_MARGIN = 5.0
# Of a result, what tells which label it is about.
MARK = "metering_label"


OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "timeout": {"type": "int", "default": 180},
    "on_duplicate": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
    "require_samples": {"type": "bool", "default": False},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Assert, and say what is stored: what prom_scrape_check returns."""
    view = context.read_context(module, cluster, with_monitors=False)
    controller = reader.read_controller(cluster, module.params["controller"])
    view.backend.require_a_store()
    strict = module.params["on_duplicate"] == "fail"
    seen = wait_until_scraped_once(cluster, view, module.params["timeout"], strict, module.params["gateways"])
    doubled = [problem for verdict in seen.verdicts.values() for problem in verdict.doubles()]
    for problem in dict.fromkeys(doubled):
        module.warn(f"{problem}. Its tokens are counted that many times in every sum.")
    if seen.by_series:
        module.warn(
            f"{view.scraper.name} serves no targets, so its series `up` were used. They do not show a target that was "
            "never scraped, or a target whose instance label was rewritten."
        )
    tails = live_targets.tails(next(iter(seen.verdicts.values())), seen.sidecars)
    for gateway, (interval, drain) in sorted(tails.items()):
        module.warn(
            f"Proxies of {gateway} may end {drain:g} s after the stop signal, but are scraped every {interval:g} s. "
            f"The tokens of up to {interval - drain:g} s before each restart are not billed. Set "
            f"spec.shutdown.minDrainDuration of its EnvoyProxy to {interval + DRAIN_MARGIN:g}s or more. Next: "
            "kubectl get envoyproxy -A"
        )
    replica, names, token_types = backend.stored_form(view.backend, seen.replicas)
    mapped = mapping.metric_labels(controller.pairs, controller.base).values()
    counted, present = stored_series(replica, seen.sidecars, list(mapped))
    if not counted:
        no_samples(module, view.scraper)
    return {
        "changed": False,
        "prometheus": view.scraper.name,
        "replicas": sorted(seen.verdicts),
        "evidence": "up" if seen.by_series else "targets",
        "pools": dict(next(iter(seen.verdicts.values())).pools),
        "targets": len(seen.sidecars),
        "scraped_once": not doubled,
        "names": names,
        "token_types": token_types,
        "labels_present": present,
        "labels_absent": sorted(set(mapped) - set(present)),
        "no_traffic": not counted,
        "tails": {gateway: interval - drain for gateway, (interval, drain) in sorted(tails.items())},
    }


def stored_series(replica: Replica, sidecars: list[Sidecar], labels: list[str]) -> tuple[int, dict[str, int]]:
    """How many series of the running sidecars are stored, and how many of these carry each label."""
    found: dict[str, int] = {}
    for part in promql.in_parts(sidecars):
        # One question for all labels: a part for each, told apart by a label of its own.
        counts = [promql.with_label(_count(part, f'{promql.label(name)}!=""'), MARK, name) for name in labels]
        for item in replica.query(" or ".join([_count(part), *counts])):
            name = item["metric"].get(MARK, "")
            found[name] = found.get(name, 0) + int(float(item["value"][1]))
    return found.get("", 0), {name: found[name] for name in labels if found.get(name)}


def _count(sidecars: Sequence[Sidecar], *matchers: str) -> str:
    """A query for the number of token sums of the running sidecars."""
    pods = promql.alternatives(sidecar.pod["metadata"]["name"] for sidecar in sidecars)
    own = [f'__name__=~"{_names.STORED_SUM_PATTERN}"', f"pod=~{pods}"]
    return f"count({{{','.join([*own, *matchers])}}})"


def no_samples(module: Any, prometheus: Scraper) -> None:
    """Warn that nothing is stored yet, or fail where samples are required."""
    error = MeteringError(
        f"Prometheus {prometheus.name} has stored no token sample of these proxies yet.",
        "The scrape works, but a sidecar exposes no token samples before its first request.",
        "Send a request through the gateway, and run this again.",
        "kubectl get gateway -A",
    )
    if module.params["require_samples"]:
        raise error
    module.warn(str(error))
