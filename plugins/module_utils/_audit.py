# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads a cluster for drift_info. Nothing is changed."""

from __future__ import annotations

from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import (
    _dedupe,
    _drift,
    _inspection,
    _mapping,
    _names,
    _scrape_check,
    _state,
    _stored_tokens,
    _view,
)
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._module import (
    API_OPTION,
    CONTROLLER_OPTION,
    GATEWAYS_OPTION,
    PROMETHEUS_OPTION,
)

OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "pairs": {"type": "str", "default": ""},
    "monitor_name": {"type": "str", "default": ""},
    "interval": {"type": "str", "default": "30s"},
    "timeout": {"type": "int", "default": 30},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Every drift: what drift_info returns."""
    options = module.params
    wanted = _mapping.wanted(options["pairs"] or _names.DEFAULT_PAIRS)
    controller = _state.controller(cluster, options["controller"])
    view = _view.of(module, cluster)
    sidecars = view.sidecars
    plan = _dedupe.planned(module, cluster, view, name=options["monitor_name"], interval=options["interval"])
    seen = _scrape_check.seen_within(cluster, view, options["timeout"], strict=True, scope=options["gateways"])
    if not seen.verdicts:
        raise _scrape_check.not_known(view, seen)
    samples, silent = _state.readable_samples(cluster, sidecars)
    if seen.silent is not None:
        silent = {**silent, view.scraper.name: seen.silent}
    setters = _state.header_setters(cluster, [pair.header for pair in (*controller.pairs, *controller.base)])
    states = _inspection.label_states(controller, sidecars, samples, setters)
    drifts = [
        *_drift.of_mapping(controller, sidecars, wanted),
        *_drift.of_scrape(plan),
        *_drift.of_targets(seen.verdicts),
        *_drift.of_unmetered([*seen.unmetered, *_state.unused_sidecars(cluster, sidecars, samples)]),
        *_drift.of_unstored(
            {pod: (_stored_tokens.total(seen.exposed[pod]), lacking) for pod, lacking in seen.unstored.items()},
            view.scraper.name,
        ),
        *_drift.of_labels(states, samples),
        *(_drift.Drift("silent", who, error.found, error.why, error.command) for who, error in silent.items()),
    ]
    return {
        "changed": False,
        "controller": controller.name,
        "prometheus": view.scraper.name,
        "gateways": sorted({sidecar.gateway for sidecar in sidecars}),
        "drifts": [drift.as_result() for drift in drifts],
    }
