# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads a cluster for gateway_info, and checks against it what a run would do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ansible_collections.aigateway.metering.plugins.module_utils import (
    _api,
    _cardinality,
    _configuration,
    _controller,
    _flags,
    _gateway,
    _generations,
    _mapping,
    _names,
    _preflight,
    _prometheus,
    _samples,
    _sources,
    _state,
    _unmetered,
)
from ansible_collections.aigateway.metering.plugins.module_utils._cardinality import Stored
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Controller, Object, Proxy, Sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._headers import Setters
from ansible_collections.aigateway.metering.plugins.module_utils._mapping import Pair
from ansible_collections.aigateway.metering.plugins.module_utils._module import (
    API_OPTION,
    CONTROLLER_OPTION,
    GATEWAYS_OPTION,
    PROMETHEUS_OPTION,
)
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import Backend
from ansible_collections.aigateway.metering.plugins.module_utils._samples import LabelState, Sample
from ansible_collections.aigateway.metering.plugins.module_utils._scrapers import MONITOR_KINDS, Scraper
from ansible_collections.aigateway.metering.plugins.module_utils._sources import Monitoring

T = TypeVar("T")


class Problems:
    """Collects what would make a run fail, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def of(self, action: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        """The action's result, or None where it raised a problem."""
        try:
            return action(*arguments, **options)
        except MeteringError as error:
            self.found.append(str(error))
            return None


OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "pairs": {"type": "str", "default": ""},
    "allow_per_user": {"type": "bool", "default": False},
    "check_permissions": {"type": "bool", "default": True},
    "restart": {"type": "bool", "default": False},
    "dashboard": {"type": "str", "default": ""},
    "cost_management": {"type": "bool", "default": False},
}
DASHBOARDS = "ait.alauda.io/v1alpha2", "monitordashboards"
# The labels of Cost Management's programs: one collects what is billed, one shows it.
PROGRAM_LABEL, PROGRAMS = "service_name", ("slark-agent", "slark-server")


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What gateway_info returns."""
    options = module.params
    problems = Problems()
    wanted = problems.of(_mapping.wanted, options["pairs"]) or []
    problems.of(_mapping.check_wanted, wanted)
    controller = problems.of(_state.controller, cluster, options["controller"])
    scope = options["gateways"]
    workloads, pods = _state.proxy_workloads(cluster), _state.proxy_pods(cluster)
    everything = _gateway.proxies(workloads, pods)
    proxies = _gateway.within(everything, scope)
    routes = problems.of(_state.routes, cluster) or []
    expected = _unmetered.gateways_of(routes)
    unmetered = _unmetered.unmetered(pods, expected, scope)
    sidecars = [sidecar for proxy in proxies for sidecar in proxy.sidecars]
    problems.of(_gateway.require_sidecars, sidecars, scope)
    api = problems.of(_api.with_credentials, module, cluster) or {}
    monitoring = problems.of(_state.monitoring, cluster, sidecars) or Monitoring([], {})
    monitoring = _prometheus.monitoring_with(monitoring, api)
    prometheus = problems.of(_sources.choose, monitoring, options["prometheus"], sidecars)
    backend = Backend(cluster, prometheus, api) if prometheus else None
    dashboards = cluster.serves(*DASHBOARDS)
    if options["check_permissions"]:
        problems.of(permissions, cluster, controller, proxies, prometheus, dashboards, bool(api.get("targets_urls")))
    stored = problems.of(_prometheus.stored_form, backend) if backend else None
    estimates: list[str] = []
    result: dict[str, Any] = {
        "changed": False,
        "scope": scope,
        "proxies": [described(proxy, controller) for proxy in proxies],
        "prometheuses": [item.name for item in monitoring.scrapers],
        "prometheus": prometheus.name if prometheus else "",
        "names": stored[1] if stored else None,
        "department_stored": stored is not None
        and _prometheus.carries_plain_values(stored[0], _names.DEPARTMENT_LABEL),
        "monitor_dashboard": dashboards,
        "dashboard": (
            problems.of(dashboard, cluster, options["dashboard"]) if dashboards and options["dashboard"] else None
        )
        or {},
        "cost_management": (problems.of(programs, cluster) if options["cost_management"] else None) or [],
        "rules": rule_place(prometheus),
        "unmetered": [item.as_result() for item in unmetered],
        "workloads": _unmetered.workloads_of(workloads, expected),
        "ports": sorted({_names.ADMIN_PORT, *(sidecar.port for sidecar in sidecars)}),
    }
    if controller is not None:
        merged = None
        new = [pair for pair in wanted if _mapping.is_per_user(pair) and pair not in controller.pairs]
        if stored and prometheus:
            estimates = [_cardinality.estimate(str(pair), counted(prometheus, stored[0])) for pair in new]
        if not problems.found:
            merged = problems.of(
                _mapping.merge,
                controller.pairs,
                {sidecar.name: sidecar.emitted for proxy in everything for sidecar in proxy.sidecars},
                wanted,
                base=controller.base,
                removed=controller.record.removed,
                consent=options["allow_per_user"],
            )
        generation = _generations.of_version(controller.version)
        result["controller"] = {
            "name": controller.name,
            "version": controller.version,
            "generation": generation.version if generation else "",
            "flag": controller.flag,
            "helm": controller.helm,
            "mapping": controller.value,
            "base_mapping": _mapping.render(controller.base),
        }
        pairs = controller.pairs if merged is None else merged.pairs
        result |= problems.of(judged, cluster, controller, sidecars, pairs, routes, unmetered) or {}
        if merged is not None:
            result["cautions"] += estimates
            problems.of(
                _controller.refuse_what_would_wait_in_vain,
                controller,
                proxies,
                merged.pairs,
                restart=options["restart"],
            )
        elif problems.found and estimates:
            problems.found[-1] += " ".join(["", *estimates])
    for warning in result.setdefault("cautions", []):
        module.warn(warning)
    return result | {"problems": problems.found}


def dashboard(cluster: Cluster, name: str) -> dict[str, Any]:
    """The MonitorDashboard of that name (namespace/name), without what the API server keeps there; empty for none."""
    namespace, dummy, own = name.rpartition("/")
    found = cluster.get(*DASHBOARDS, namespace, own) or {}
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key != "managedFields"}
    return found | ({"metadata": metadata} if found else {})


def programs(cluster: Cluster) -> list[str]:
    """Those of Cost Management's programs that there are pods of."""
    labels = f"{PROGRAM_LABEL} in ({','.join(PROGRAMS)})"
    pods = cluster.list("v1", "pods", namespace=_names.CHARGEBACK_CONFIG[0], labels=labels)
    return sorted({pod["metadata"]["labels"][PROGRAM_LABEL] for pod in pods})


def rule_place(prometheus: Scraper | None) -> dict[str, Any] | None:
    """Where a PrometheusRule has to be and with which labels; None where there is nothing that would take it."""
    place = prometheus.rule_place() if prometheus else None
    return {"namespace": place[0], "labels": place[1]} if place else None


def judged(
    cluster: Cluster,
    controller: Controller,
    sidecars: list[Sidecar],
    pairs: Sequence[Pair],
    routes: Sequence[Object],
    unmetered: Sequence[_unmetered.Unmetered],
) -> dict[str, Any]:
    """The labels and the warnings, for which expositions and policies are read."""
    group = cluster.preferred(_names.AI_GATEWAY_GROUP)
    configs = cluster.list(group, "gatewayconfigs") if group else []
    known = _state.header_setters(cluster, [pair.header for pair in (*pairs, *controller.base)])
    namespace = _flags.value(controller.words, "envoyGatewayNamespace") or "envoy-gateway-system"
    configuration = cluster.get("v1", "configmaps", namespace, _names.ENVOY_GATEWAY_CONFIG)
    samples, silent = _state.readable_samples(cluster, sidecars)
    mapping = _mapping.metric_labels(controller.pairs, controller.base)
    everything = [sample for found in samples.values() for sample in found]
    states = label_states(controller, sidecars, samples, known)
    return {
        "labels": {label: dataclasses.asdict(state) for label, state in states.items()},
        "cautions": [
            *_preflight.unmetered([*unmetered, *_state.unused_sidecars(cluster, sidecars, samples)]),
            *(_controller.ignored_warning(controller, text) for text in controller.ignored),
            *_preflight.newer_generation(controller.name, controller.version),
            *_preflight.in_control_plane(routes, namespace),
            *_preflight.without_costs(routes, configs),
            *_preflight.without_hooks(parsed(configuration), f"configmap {namespace}/{_names.ENVOY_GATEWAY_CONFIG}"),
            *_preflight.unset_headers(pairs, known),
            *_preflight.per_user(controller.pairs),
            *_preflight.array_claims(_samples.arrays(everything, mapping.values())),
            *_preflight.no_traffic(samples),
            *map(str, silent.values()),
        ],
    }


def counted(prometheus: Scraper, replica: _prometheus.Replica) -> Stored:
    """What a replica has stored of the token metric, counted."""
    spec = prometheus.spec
    kept = [spec.get("retention", "" if "retentionSize" in spec else _cardinality.DEFAULT_RETENTION)]
    kept += [f"up to {spec['retentionSize']}"] if "retentionSize" in spec else []
    return Stored(
        {name: replica.number(promql) for name, promql in _cardinality.QUERIES.items()},
        " and ".join(filter(None, kept)),
        prometheus.name,
    )


def label_states(
    controller: Controller,
    sidecars: Sequence[Sidecar],
    samples: Mapping[str, Sequence[Sample]],
    setters: Setters,
) -> dict[str, LabelState]:
    """For each label of the controller's mapping, whether it carries data, and otherwise why not."""
    mapping = _mapping.metric_labels(controller.pairs, controller.base)
    everything = [sample for found in samples.values() for sample in found]
    stale = [sidecar.name for sidecar in sidecars if sidecar.is_stale(controller)]
    return {label: _samples.state_of(label, mapping, everything, stale, setters) for label in mapping.values()}


def parsed(configuration: Object | None) -> dict[str, Any] | None:
    """Envoy Gateway's configuration out of its ConfigMap; None where there is none to judge."""
    text = ((configuration or {}).get("data") or {}).get("envoy-gateway.yaml")
    if text is None:
        return None
    return _configuration.parsed(text)


def described(proxy: Proxy, controller: Controller | None) -> dict[str, Any]:
    """A proxy workload as a result of the module."""
    return {
        "workload": proxy.name,
        "kind": proxy.kind,
        "gateway": proxy.gateway,
        "rolls_itself": proxy.rolls_itself,
        "pods": [
            {
                "name": sidecar.name,
                "mapping": _mapping.render(sidecar.metrics),
                "stale": controller is not None and sidecar.is_stale(controller),
            }
            for sidecar in proxy.sidecars
        ],
    }


def permissions(
    cluster: Cluster,
    controller: Controller | None,
    proxies: list[Proxy],
    prometheus: Scraper | None,
    dashboards: bool,
    elsewhere: bool,
) -> None:
    """Refuse to begin what could not be finished.

    Raises:
        MeteringError: the account lacks permissions that the run needs; all of them are named.
    """
    needed = []
    if controller is not None:
        needed.append(("patch", "apps", "deployments", controller.namespace))
    for proxy in proxies:
        namespace = proxy.workload["metadata"]["namespace"]
        needed += [("patch", "apps", _state.PLURALS[proxy.kind], namespace), ("get", "", "pods/proxy", namespace)]
    if prometheus is not None and not (prometheus.is_unseen or elsewhere):
        needed.append(("get", "", "pods/proxy", prometheus.namespace))
    if prometheus is not None:
        namespaces = {proxy.workload["metadata"]["namespace"] for proxy in proxies} | {prometheus.namespace} - {""}
        looked_into = sorted(namespace for namespace in namespaces if prometheus.looks_into(namespace))
        monitor = MONITOR_KINDS[prometheus.monitor]
        group = monitor.api.partition("/")[0]
        for verb in ("create", "update", "delete"):
            needed += [(verb, group, monitor.plural, namespace) for namespace in looked_into[:1]]
    if dashboards:
        needed += [(verb, "ait.alauda.io", "monitordashboards", "") for verb in ("get", "create", "patch")]
    lacking = [item for item in dict.fromkeys(needed) if not cluster.may(*item)]
    if lacking:
        listed = "; ".join(
            f"{verb} {resource}{'.' + group if group else ''} in {namespace or 'every namespace'}"
            for verb, group, resource, namespace in lacking
        )
        raise MeteringError(
            f"The account that runs this lacks permissions: {listed}.",
            "The run would stop half-way.",
            "bind the ClusterRole of docs/rbac.yml to it, or run this as another.",
        )
