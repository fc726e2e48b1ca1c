# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Restarts stale proxies, one workload after another, and waits until the controller's mapping is in force in each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _progress
from .._errors import ConflictError, MeteringError
from .._gateway import controller as _controller
from .._gateway import mapping as _mapping
from .._gateway import reader
from .._gateway import sidecar as _sidecar
from .._gateway.controller import Controller
from .._gateway.mapping import Pair
from .._gateway.proxy import Proxy
from .._gateway.writer import restart
from .._kubernetes import rollout_status
from .._kubernetes.client import Cluster
from .runner import CONTROLLER_OPTION, GATEWAYS_OPTION

# How long one that is current already, but not settled, is waited for: it may be an interrupted run's, or nobody's.
UNRELATED_SECONDS = 60


OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    "mapping": {"type": "str"},
    "first": {"type": "str", "default": ""},
    "restart": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "self_roll_timeout": {"type": "int", "default": 60},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Plan or carry out, and report: what proxy_rollout returns."""
    options = module.params
    controller = reader.read_controller(cluster, options["controller"])
    everything = reader.read_proxies(cluster)
    if options["gateways"]:
        _sidecar.require_sidecars([sidecar for proxy in everything for sidecar in proxy.sidecars], options["gateways"])
    found = order_proxies(_sidecar.in_scope(everything, options["gateways"]), options["first"])
    stale = [(item.kind, item.workload) for item in found if item.stale(controller)]
    if stale and options["restart"]:
        _controller.refuse_without_pods(controller)
    if module.check_mode or not options["restart"]:
        mapping = options["mapping"] if module.check_mode else None
        result = predict(controller, everything, found, mapping, options["restart"])
    else:
        rollout_status.refuse_what_never_rolls(stale)
        result = roll_out(cluster, options, controller, found)
        for warning in result.warnings:
            module.warn(warning)
        if len(result.current) < len(everything):
            # What the gateway has rolled meanwhile is not what was read before.
            controller = reader.read_controller(cluster, options["controller"])
            everything = reader.read_proxies(cluster)
    commands = {proxy.name: restart_command(proxy) for proxy in everything}
    handled = {proxy.name for proxy in found}
    outside = [proxy for proxy in everything if proxy.name not in handled and proxy.stale(controller)]
    # Beyond the scope the gateway rolls its proxies by itself all the same.
    waited = [*result.waited, *(item.name for item in outside if item.rolls_itself and item.name not in result.waited)]
    left = sorted([*result.stale, *(item.name for item in outside if item.name not in waited)])
    return {
        "changed": bool(result.restarted),
        "restarted": result.restarted,
        "waited": waited,
        "current": result.current,
        "stale": left,
        "commands": [commands[name] for name in [*(result.restarted if module.check_mode else []), *left]],
        "pods": {name: _mapping.render_mapping(pairs) for name, pairs in sorted(result.after.items())},
        "diff": {"before": result.described(result.before), "after": result.described(result.after)},
    }


@dataclass
class Rollout:
    """What became of each proxy workload."""

    restarted: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    """Rolling already, or rolled by the gateway itself."""
    current: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    """Left as they are, because nothing may restart."""
    warnings: list[str] = field(default_factory=list)
    before: dict[str, tuple[Pair, ...]] = field(default_factory=dict)
    """The mapping of each pod's sidecar at the beginning, by pod."""
    after: dict[str, tuple[Pair, ...]] = field(default_factory=dict)
    """The mapping of each pod's sidecar at the end, by pod."""

    def described(self, mappings: Mapping[str, Iterable[Pair]]) -> str:
        values = {name: _mapping.render_mapping(pairs) for name, pairs in mappings.items()}
        return "".join(f"{name}: {value}\n" for name, value in sorted(values.items()))


def restart_command(proxy: Proxy) -> str:
    """The command with which a person restarts a proxy."""
    namespace, name = proxy.name.split("/")
    return f"kubectl -n {namespace} rollout restart {proxy.kind.lower()}/{name}"


def order_proxies(found: Sequence[Proxy], first: str) -> list[Proxy]:
    """The proxies by name, those of one Gateway before all others.

    Raises:
        MeteringError: that Gateway is not among them.
    """
    if first and first not in {proxy.gateway for proxy in found}:
        raise MeteringError(
            f"The Gateway {first} has no proxy among the proxies to roll out.",
            "labels_first_gateway names it as the first one to restart.",
            "Correct labels_first_gateway (namespace/name).",
            "kubectl get gateway -A",
        )
    return sorted(found, key=lambda proxy: (proxy.gateway != first, proxy.name))


def predict(
    controller: Controller, everything: Sequence[Proxy], found: Sequence[Proxy], mapping: str | None, restart: bool
) -> Rollout:
    """What roll_out() would do, were the controller's flag what `mapping` says.

    A gateway that rolls its proxies does so for all of them when the flag changes, whatever is in scope and stale.
    """
    wanted = controller
    if mapping is not None:
        wanted = dataclasses.replace(controller, pairs=tuple(_mapping.parse_mapping(mapping, "The option mapping")))
    result = Rollout()
    for proxy in everything:
        result.before |= {sidecar.name: sidecar.metrics for sidecar in proxy.sidecars}
        stale = bool(proxy.stale(wanted))
        rolls = proxy.rolls_itself and (wanted.pairs != controller.pairs or (stale and proxy in found))
        if rolls:
            result.waited.append(proxy.name)
        elif proxy not in found:
            stale = False
        elif not stale:
            result.current.append(proxy.name)
        else:
            (result.restarted if restart else result.stale).append(proxy.name)
        becomes = stale and (rolls or restart)
        result.after |= {sidecar.name: wanted.pairs if becomes else sidecar.metrics for sidecar in proxy.sidecars}
    return result


def roll_out(cluster: Cluster, options: Mapping[str, Any], controller: Controller, found: Sequence[Proxy]) -> Rollout:
    """Bring every proxy to the controller's mapping, one workload after another.

    What had it a moment ago, and nothing to wait for, is not looked at again until another one was waited for.
    A gateway that rolls its proxies itself does so for all at once: the time that it is given counts once.

    Raises:
        MeteringError: a workload does not settle in time, or its sidecars do not answer. Those after it are left alone.
    """
    result = Rollout(before={sidecar.name: sidecar.metrics for proxy in found for sidecar in proxy.sidecars})
    patience = time.monotonic() + options["self_roll_timeout"]
    for number, proxy in enumerate(found, start=1):
        if len(result.current) == number - 1 and not proxy.stale(controller) and not proxy.unsettled():
            result.current.append(proxy.name)
            result.after |= {sidecar.name: sidecar.metrics for sidecar in proxy.sidecars}
            continue
        what = f"proxy {proxy.name} of gateway {proxy.gateway} ({number} of {len(found)})"
        now = _bring_up_to_date(cluster, options, proxy, what, patience, result)
        result.after |= {sidecar.name: sidecar.metrics for sidecar in now.sidecars}
    return result


def _bring_up_to_date(
    cluster: Cluster, options: Mapping[str, Any], first: Proxy, what: str, patience: float, result: Rollout
) -> Proxy:
    """Wait, restart where that is needed, and wait again, until the workload is settled and nothing in it is stale."""
    proxy, controller = first, reader.read_controller(cluster, options["controller"])
    stale_before, unsettled_before = bool(first.stale(controller)), bool(first.unsettled())
    restarted = False

    def missing() -> str:
        nonlocal restarted, proxy, controller
        # Both anew each time: another run may merge further pairs meanwhile.
        controller = reader.read_controller(cluster, options["controller"])
        current = next((item for item in reader.read_proxies(cluster) if item.name == first.name), None)
        if current is None:
            return "one of its pods to have the sidecar"
        proxy = current
        stale = proxy.stale(controller)
        if proxy.unsettled():
            return proxy.unsettled()
        if not stale:
            return ""
        if proxy.rolls_itself and time.monotonic() < patience:
            return "the gateway to roll it"
        if not restarted:
            try:
                restart(cluster, proxy)
            except ConflictError:
                return "another writer's change of it"
            restarted = True
        return f"stale pods to be replaced: {', '.join(sidecar.name for sidecar in stale)}"

    timeout = options["wait_timeout"] if stale_before else min(options["wait_timeout"], UNRELATED_SECONDS)
    still = _progress.wait(what, missing, timeout)
    namespace, name = first.name.split("/")
    describe = f"kubectl -n {namespace} describe {first.kind.lower()} {name}; kubectl -n {namespace} get pod"
    if still and (restarted or proxy.stale(controller)):
        raise MeteringError(
            f"The proxy {first.name} of gateway {first.gateway} was not settled within {timeout:.0f} s; it still "
            f"waits for {still}.",
            "The proxies after it were not restarted. Its old pods keep serving if the rollout strategy keeps them.",
            "",
            describe,
        )
    if still:
        result.warnings.append(
            f"The proxy {first.name} of gateway {first.gateway} has the controller's mapping in every running pod, but "
            f"still waits for {still}. This run did not cause that. Next: {describe}"
        )
    elif restarted or stale_before or unsettled_before:
        # Before the next one is touched: what was made new has to answer.
        reader.read_token_sums(cluster, list(proxy.sidecars))
    if restarted:
        result.restarted.append(first.name)
    elif stale_before or (unsettled_before and not still):
        result.waited.append(first.name)
    else:
        result.current.append(first.name)
    return proxy
