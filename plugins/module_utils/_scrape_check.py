# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Asserts on the live targets for prom_scrape_check, and reads what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import (
    _gateway,
    _mapping,
    _names,
    _progress,
    _prometheus,
    _scrape,
    _state,
    _targets,
)
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import Replica
from ansible_collections.aigateway.metering.plugins.module_utils._scrape import Prometheus
from ansible_collections.aigateway.metering.plugins.module_utils._targets import Verdict


def check(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Assert, and say what is stored: what prom_scrape_check returns."""
    prometheus = _scrape.choose_prometheus(_state.prometheuses(cluster), module.params["prometheus"])
    controller = _state.controller(cluster, module.params["controller"])
    strict = module.params["on_duplicate"] == "fail"
    scope = module.params["gateways"]
    sidecars, verdicts = settled_verdicts(cluster, prometheus, module.params["timeout"], strict, scope)
    doubled = [problem for verdict in verdicts.values() for problem in verdict.doubles()]
    for problem in dict.fromkeys(doubled):
        module.warn(f"{problem}. Its tokens are counted that many times in every sum.")
    replica, names, token_types = _prometheus.stored_form(cluster, prometheus.document)
    mapped = _mapping.metric_labels(controller.pairs, controller.base).values()
    present = labels_present(replica, sidecars, list(mapped))
    counted = replica.number(_count(sidecars))
    if not counted:
        no_samples(module, prometheus)
    return {
        "changed": False,
        "prometheus": prometheus.name,
        "replicas": sorted(verdicts),
        "pools": dict(next(iter(verdicts.values())).pools),
        "targets": len(sidecars),
        "scraped_once": not doubled,
        "names": names,
        "token_types": token_types,
        "labels_present": present,
        "labels_absent": sorted(set(mapped) - set(present)),
        "no_traffic": not counted,
    }


def settled_verdicts(
    cluster: Cluster, prometheus: Prometheus, timeout: int, strict: bool, scope: Sequence[str] = ()
) -> tuple[list[Sidecar], dict[str, Verdict]]:
    """What verdicts_within() has; MeteringError when the time was not enough."""
    sidecars, verdicts, still = verdicts_within(cluster, prometheus, timeout, strict, scope)
    if still:
        pools = sorted({pool for verdict in verdicts.values() for pool in verdict.pools})
        raise MeteringError(
            f"Prometheus {prometheus.name} does not scrape each sidecar once; after {timeout} s it still waits for "
            f"{still.rstrip('.')}.",
            f"Tokens are lost or counted twice. The scrape pools seen are: {', '.join(pools) or 'none'}.",
            f"a pool podMonitor/NAMESPACE/NAME/0 is the PodMonitor of that name: kubectl -n NAMESPACE get podmonitor "
            f"NAME -o yaml; for a pool that no object explains, look at the scrape jobs of {prometheus.name}",
        )
    return sidecars, verdicts


def verdicts_within(
    cluster: Cluster, prometheus: Prometheus, timeout: int, strict: bool, scope: Sequence[str] = ()
) -> tuple[list[Sidecar], dict[str, Verdict], str]:
    """The sidecars, each replica's verdict once all are right or the time is over, and what is still not right.

    Unless it is strict, a sidecar may be scraped several times.
    """
    sidecars: list[Sidecar] = []
    verdicts: dict[str, Verdict] = {}

    def missing() -> str:
        nonlocal sidecars, verdicts
        sidecars = _state.sidecars(cluster, scope)
        _gateway.require_sidecars(sidecars, scope)
        try:
            verdicts = {
                replica.name: _targets.verdict(replica.active_targets(), sidecars)
                for replica in _prometheus.replicas(cluster, prometheus.document)
            }
        except MeteringError as error:  # it restarts, or is slow: the timeout is for that as well
            return error.found
        problems = [
            f"{name}: {problem}"
            for name, verdict in sorted(verdicts.items())
            for problem in (verdict.problems() if strict else verdict.losses())
        ]
        wanted = len(sidecars) * len(verdicts)
        right = wanted - len(problems)
        return f"{right} of {wanted} targets to be right: {'; '.join(problems)}" if problems else ""

    still = _progress.wait(f"scrape by {prometheus.name}", missing, timeout)
    return sidecars, verdicts, still


def labels_present(replica: Replica, sidecars: list[Sidecar], labels: list[str]) -> dict[str, int]:
    """How many stored series of the running sidecars carry each label."""
    found = {label: replica.number(_count(sidecars, f'{label}!=""')) for label in labels}
    return {label: number for label, number in found.items() if number}


def _count(sidecars: list[Sidecar], *matchers: str) -> str:
    """A query for the number of token sums of the running sidecars."""
    pods = _prometheus.alternatives(sidecar.pod["metadata"]["name"] for sidecar in sidecars)
    own = [f'__name__=~"{_names.USAGE_SUM_PATTERN}"', f'pod=~"{pods}"']
    return f"count({{{','.join([*own, *matchers])}}})"


def no_samples(module: Any, prometheus: Prometheus) -> None:
    """Warn that nothing is stored yet, or fail where samples are required."""
    error = MeteringError(
        f"Prometheus {prometheus.name} has stored no token sample of these proxies yet.",
        "The scrape works; a sidecar has nothing to tell before its first request.",
        "send a request through the gateway, and run this again.",
    )
    if module.params["require_samples"]:
        raise error
    module.warn(str(error))
