# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads a cluster for drift_info. Nothing is changed."""

from __future__ import annotations

from typing import Any

from .. import _names
from .._gateway import label_state, mapping, reader
from .._kubernetes.client import Cluster
from .._scrape import cluster_plan, context, proof, stored_tokens
from . import drift_findings
from .runner import API_OPTION, CONTROLLER_OPTION, GATEWAYS_OPTION, PROMETHEUS_OPTION

OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "pairs": {"type": "raw", "default": ""},
    "monitor_name": {"type": "str", "default": ""},
    "interval": {"type": "str", "default": "30s"},
    "timeout": {"type": "int", "default": 30},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Every drift: what drift_info returns."""
    options = module.params
    wanted = mapping.wanted_pairs(options["pairs"] or _names.DEFAULT_PAIRS)
    controller = reader.read_controller(cluster, options["controller"])
    view = context.read_context(module, cluster)
    sidecars = view.sidecars
    plan = cluster_plan.plan_accepted_scrape(
        module, cluster, view, name=options["monitor_name"], interval=options["interval"]
    )
    seen = proof.seen_within(cluster, view, options["timeout"], strict=True, scope=options["gateways"])
    if not seen.verdicts:
        raise proof.not_known(view, seen)
    samples, silent = reader.read_readable_token_sums(cluster, sidecars)
    if seen.silent is not None:
        silent = {**silent, view.scraper.name: seen.silent}
    setters = reader.read_header_setters(cluster, [pair.header for pair in (*controller.pairs, *controller.base)])
    states = label_state.label_states(controller, sidecars, samples, setters)
    drifts = [
        *drift_findings.of_mapping(controller, sidecars, wanted),
        *drift_findings.of_scrape(plan),
        *drift_findings.of_targets(seen.verdicts),
        *drift_findings.of_unmetered([*seen.unmetered, *reader.read_unused_sidecars(cluster, sidecars, samples)]),
        *drift_findings.of_unstored(
            {pod: (stored_tokens.total_of(seen.exposed[pod]), lacking) for pod, lacking in seen.unstored.items()},
            view.scraper.name,
        ),
        *drift_findings.of_labels(states, samples),
        *(
            drift_findings.Drift("silent", who, error.found, error.why, error.command, error.advice)
            for who, error in silent.items()
        ),
    ]
    return {
        "changed": False,
        "controller": controller.name,
        "prometheus": view.scraper.name,
        "gateways": sorted({sidecar.gateway for sidecar in sidecars}),
        "drifts": [drift.as_result() for drift in drifts],
    }
