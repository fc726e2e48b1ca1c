# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Reads a cluster for gateway_info, and checks against it what a run would do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import _configuration, _generations, _names
from .._errors import MeteringError, RefusedError, told
from .._gateway import cautions as _cautions
from .._gateway import exposition, go_flags, reader, writer
from .._gateway import mapping as _mapping
from .._gateway import proxy as _proxy
from .._gateway import sidecar as _sidecar
from .._gateway import unmetered as _unmetered
from .._gateway.controller import Controller
from .._gateway.label_state import label_states
from .._gateway.mapping import Merge, Pair
from .._gateway.proxy import Proxy
from .._gateway.sidecar import Sidecar
from .._isolation.entrance import OF_ENTRANCES
from .._kubernetes.client import Cluster, Permission
from .._kubernetes.objects import Object, name_of
from .._kubernetes.owned import list_ours
from .._prometheus import api as _api
from .._prometheus import cardinality
from .._prometheus import replica as _replica
from .._prometheus.cardinality import StoredSeries
from .._scrape import backend as _backend
from .._scrape import cluster_plan, scrapers, sources
from .._scrape import reader as _reader
from .._scrape.backend import Backend
from .._scrape.context import View
from .._scrape.plan import Plan
from .._scrape.scrapers import Scraper
from .._scrape.sources import Monitoring
from . import dashboard_providers
from .cost_programs import read_programs
from .dashboard_providers import Provider
from .rehearsal import refuse_lacking, rehearse, writes_of
from .runner import API_OPTION, CONTROLLER_OPTION, GATEWAYS_OPTION, PROMETHEUS_OPTION, only_some_namespaces

T = TypeVar("T")


class Problems:
    """Collects what would make a run fail, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self.errors: list[MeteringError] = []

    @property
    def found(self) -> list[str]:
        """What was found, each as a person reads it."""
        return list(map(str, self.errors))

    def of(self, action: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        """The action's result, or None where it raised a problem."""
        try:
            return action(*arguments, **options)
        except MeteringError as error:
            self.errors.append(error)
            return None


OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "pairs": {"type": "raw", "default": ""},
    "allow_per_user": {"type": "bool", "default": False},
    "check_permissions": {"type": "bool", "default": True},
    "method": {"type": "str", "choices": ["patch", "verify"], "default": "patch"},
    "restart": {"type": "bool", "default": False},
    "monitor": {"type": "dict", "options": cluster_plan.WISHES},
    "dashboards": {"type": "dict", "options": dashboard_providers.WISHES},
    "cost_management": {"type": "bool", "default": False},
    "models": {"type": "bool", "default": False},
}


@dataclass
class ClusterState:
    """What a cluster shows, as far as it can be read."""

    controller: Controller | None
    workloads: list[tuple[str, Object]]
    pods: list[Object]
    proxies: list[Proxy]
    """All of them."""
    routes: list[Object]
    monitoring: Monitoring
    scope: Sequence[str]
    backend: Backend | None = None

    @property
    def in_scope(self) -> list[Proxy]:
        return _sidecar.in_scope(self.proxies, self.scope)

    @property
    def sidecars(self) -> list[Sidecar]:
        """Those in scope."""
        return [sidecar for proxy in self.in_scope for sidecar in proxy.sidecars]

    @property
    def prometheus(self) -> Scraper | None:
        return self.backend.scraper if self.backend else None


NO_COSTS = "It is not known if streamed answers are counted."
NO_HOOKS = "It is not known if Envoy Gateway calls the AI gateway."


def _read_if_possible(read: Callable[..., T], *arguments: Any, unknown: str) -> tuple[T | None, list[str]]:
    """What can be done without, or a caution that says what is not known for that."""
    try:
        return read(*arguments), []
    except MeteringError as error:
        return None, [told(error.found, unknown, error.advice, command=error.command)]


def read_state(module: Any, cluster: Cluster, problems: Problems) -> ClusterState:
    """Look at a cluster."""
    options = module.params
    controller = problems.of(reader.read_controller, cluster, options["controller"])
    workloads, pods = reader.read_proxy_workloads(cluster), reader.read_proxy_pods(cluster)
    routes = problems.of(reader.read_routes, cluster)
    proxies = _proxy.proxies_of(workloads, pods)
    look = ClusterState(controller, workloads, pods, proxies, routes or [], Monitoring([], {}), options["gateways"])
    problems.of(_sidecar.require_sidecars, look.sidecars, look.scope)
    api = problems.of(_api.with_credentials, module, cluster) or {}
    monitoring = problems.of(_reader.read_monitoring, cluster, look.sidecars) or look.monitoring
    look.monitoring = _backend.monitoring_with(monitoring, api)
    scraper = problems.of(sources.choose_scraper_of, look.monitoring, options["prometheus"], look.sidecars)
    look.backend = Backend(cluster, scraper, api) if scraper else None
    return look


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """What gateway_info returns."""
    problems = Problems()
    try:
        return _look_and_check(module, cluster, problems)
    except (MeteringError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # Whatever has stopped the look, what was found before it is told.
        if not problems.errors:
            raise
        ended = "The look at the cluster ended with the last of these; there may be more."
        if isinstance(error, MeteringError):
            last = MeteringError(error.found, f"{error.why} {ended}", error.advice, error.command)
        else:
            last = MeteringError(f"{error!r}.", ended, "Act on the others, and run this again.")
        raise MeteringError.of([*problems.errors, last]) from error


def _look_and_check(module: Any, cluster: Cluster, problems: Problems) -> dict[str, Any]:
    options = module.params
    wanted = problems.of(_mapping.wanted_pairs, options["pairs"]) or []
    problems.of(_mapping.check_wanted, wanted)
    look = read_state(module, cluster, problems)
    plan = plan_monitor(module, cluster, look, problems)
    stored = problems.of(_backend.stored_form, look.backend) if look.backend else None
    expected = _unmetered.gateways_of(look.routes)
    unmetered = _unmetered.unmetered_pods(look.pods, expected, look.scope)
    shown_by, dashboards, left_out = look_for_dashboards(module, cluster, problems)
    result: dict[str, Any] = {
        "changed": False,
        "scope": look.scope,
        "proxies": [proxy_to_result(proxy, look.controller) for proxy in look.in_scope],
        "prometheuses": [item.name for item in look.monitoring.scrapers],
        "prometheus": look.prometheus.name if look.prometheus else "",
        "names": stored[1] if stored else None,
        "department_stored": stored is not None and _backend.carries_plain_values(stored[0], _names.DEPARTMENT_LABEL),
        "dashboard_providers": [provider.as_result() for provider in shown_by],
        "dashboards": dashboards,
        "recorded": (problems.of(_backend.recorded_months, stored[0]) or [])
        if stored and options["dashboards"]
        else [],
        "models": (problems.of(_backend.stored_models, stored[0]) or []) if stored and options["models"] else [],
        "entrances": entrance_names(cluster) if options["dashboards"] is not None else [],
        "cost_management": (problems.of(read_programs, cluster) if options["cost_management"] else None) or [],
        "monitor": cluster_plan.plan_to_result(plan, applied=False) if plan else {},
        "rules": problems.of(rule_place, look.prometheus),
        "unmetered": [item.as_result() for item in unmetered],
        "workloads": _unmetered.workloads_of(look.workloads, expected),
        "ports": sorted({_names.ADMIN_PORT, *(sidecar.port for sidecar in look.sidecars)}),
        "dashboards_left_out": sorted(left_out),
        "cautions": [*only_some_namespaces(cluster.limits), *left_out_cautions(left_out)],
    }
    merged = None
    if look.controller is not None:
        result["controller"] = controller_to_result(look.controller)
        estimates = estimate_series(look.controller, wanted, look.prometheus, stored[0] if stored else None)
        merged = plan_merge(look, wanted, options, problems)
        if merged is not None:
            result["cautions"] += estimates
        elif problems.errors and estimates:
            last = problems.errors[-1]
            why = " ".join([last.why, *estimates])
            problems.errors[-1] = MeteringError(last.found, why, last.advice, last.command)
        pairs = look.controller.pairs if merged is None else merged.pairs
        result |= problems.of(labels_and_cautions, cluster, look, pairs, unmetered, result["cautions"], problems) or {}
    if options["check_permissions"]:
        if problems.found or look.controller is None or merged is None:
            problems.of(lambda: refuse_lacking(cluster, all_permissions(look, shown_by)))
        else:
            proxies = look.in_scope if options["restart"] else []
            by_us = options["method"] == "patch"
            writes = writes_of(cluster, look.controller, merged, proxies, plan, sets_flag=by_us)
            result["cautions"] += problems.of(rehearse, cluster, writes) or []
    for warning in result["cautions"]:
        module.warn(warning)
    return result | {"problems": problems.found}


def plan_monitor(module: Any, cluster: Cluster, look: ClusterState, problems: Problems) -> Plan | None:
    """What the scrape would change; None where nobody asks, or where it cannot be told."""
    wishes = module.params["monitor"]
    if wishes is None:
        return None
    problems.of(cluster_plan.refuse_interval, wishes["interval"])
    if problems.found or look.backend is None:
        return None
    sidecars = look.sidecars
    inside = {sidecar.name for sidecar in sidecars}
    others = [sidecar for proxy in look.proxies for sidecar in proxy.sidecars if sidecar.name not in inside]
    view = View(sidecars, others, look.monitoring, look.backend.scraper, look.backend)
    return problems.of(cluster_plan.plan_accepted_scrape, module, cluster, view, **wishes)


def plan_merge(look: ClusterState, wanted: list[Pair], options: dict[str, Any], problems: Problems) -> Merge | None:
    """What the controller's flag would become; None where that cannot be told, or would be refused."""
    controller = look.controller
    if problems.found or controller is None:
        return None
    merged = problems.of(
        _mapping.merge_mappings,
        controller.pairs,
        {sidecar.name: sidecar.emitted for proxy in look.proxies for sidecar in proxy.sidecars},
        wanted,
        base=controller.base,
        removed=controller.record.removed,
        consent=options["allow_per_user"],
    )
    if merged is not None:
        problems.of(
            writer.refuse_what_would_wait_in_vain,
            controller,
            look.in_scope,
            merged.pairs,
            restart=options["restart"],
        )
    return merged


def estimate_series(
    controller: Controller, wanted: Sequence[Pair], scraper: Scraper | None, replica: _replica.Replica | None
) -> list[str]:
    """How many series each new per-user pair would make."""
    new = [pair for pair in wanted if _mapping.is_per_user(pair) and pair not in controller.pairs]
    if scraper is None or replica is None:
        return []
    return [cardinality.estimated_series(str(pair), read_stored_series(scraper, replica)) for pair in new]


def controller_to_result(controller: Controller) -> dict[str, Any]:
    """A controller as a result of the module."""
    generation = _generations.of_version(controller.version)
    return {
        "name": controller.name,
        "version": controller.version,
        "generation": generation.version if generation else "",
        "flag": controller.flag,
        "helm": controller.helm,
        "mapping": controller.value,
        "base_mapping": _mapping.render_mapping(controller.base),
    }


def look_for_dashboards(
    module: Any, cluster: Cluster, problems: Problems
) -> tuple[list[Provider], list[dict[str, Any]], dict[str, str]]:
    """What shows dashboards, those of our names that are there, and by provider why it is left out.

    Nothing where nobody asks. What was found by itself, and may not be read or written, is left out: a run is not to
    fail for it.
    """
    wishes = module.params["dashboards"]
    if wishes is None:
        return [], [], {}
    left_out: dict[str, str] = {}
    found, there = [], []
    for provider in problems.of(dashboard_providers.find_providers, cluster, wishes, left_out) or []:
        is_named = provider.provider in wishes["providers"]
        try:
            own = dashboard_providers.read_dashboards(cluster, [provider], wishes["name"])
            if module.params["check_permissions"]:
                refuse_lacking(cluster, dashboard_providers.lacking_permissions([provider], own))
        except MeteringError as error:
            if is_named or not isinstance(error, RefusedError):
                problems.errors.append(error)
            else:
                left_out[provider.provider] = error.found
            continue
        found.append(provider)
        there += own
    return found, there, left_out


def entrance_names(cluster: Cluster) -> list[str]:
    """The entrances of ours to Prometheus, as namespace/name."""
    return sorted(name_of(item) for item in list_ours(cluster, "v1", "ConfigMap", OF_ENTRANCES))


def left_out_cautions(left_out: dict[str, str]) -> list[str]:
    """A caution for each platform that gets no dashboards."""
    return [
        told(
            f"The dashboards for {name} are left out: {why} Bind the permissions of docs/rbac.yml and "
            "docs/rbac-grafana.yml, or set dashboard_providers.",
            command="kubectl auth whoami",
        )
        for name, why in left_out.items()
    ]


def rule_place(prometheus: Scraper | None) -> dict[str, Any] | None:
    """Where a PrometheusRule has to be and with which labels; None where there is nothing that would take it."""
    place = prometheus.rule_place() if prometheus else None
    return {"namespace": place[0], "labels": place[1]} if place else None


def labels_and_cautions(
    cluster: Cluster,
    look: ClusterState,
    pairs: Sequence[Pair],
    unmetered: Sequence[_unmetered.Unmetered],
    cautions: Sequence[str],
    problems: Problems,
) -> dict[str, Any]:
    """The labels and the warnings, for which expositions and policies are read."""
    controller, sidecars, routes = look.controller, look.sidecars, look.routes
    if controller is None:
        return {}
    group = cluster.preferred(_names.AI_GATEWAY_GROUP)
    configs, unread = (
        _read_if_possible(cluster.list, group, "gatewayconfigs", unknown=NO_COSTS)
        if group and _cautions.bare(routes)
        else ([], [])
    )
    headers = [pair.header for pair in (*pairs, *controller.base)]
    known = reader.read_header_setters(cluster, headers, routes)
    namespace = go_flags.flag_value(controller.words, "envoyGatewayNamespace") or "envoy-gateway-system"
    where = ("v1", "configmaps", namespace, _names.ENVOY_GATEWAY_CONFIG)
    configuration, unread_hooks = _read_if_possible(cluster.get, *where, unknown=NO_HOOKS)
    samples, silent = reader.read_readable_token_sums(cluster, sidecars)
    # One that is down is somebody's to look at; without the permission no run can prove anything.
    problems.errors += [error for error in silent.values() if isinstance(error, RefusedError)][:1]
    mapping = _mapping.metric_labels(controller.pairs, controller.base)
    everything = [sample for found in samples.values() for sample in found]
    states = label_states(controller, sidecars, samples, known)
    return {
        "labels": {label: dataclasses.asdict(state) for label, state in states.items()},
        # The gravest first: what is not metered at all, what is lost, what nobody can bill, what is only to be known.
        "cautions": [
            *_cautions.unmetered_proxies([*unmetered, *reader.read_unused_sidecars(cluster, sidecars, samples)]),
            *_cautions.without_hooks(
                envoy_gateway_configuration(configuration), f"configmap {namespace}/{_names.ENVOY_GATEWAY_CONFIG}"
            ),
            *map(str, silent.values()),
            *([] if configs is None else _cautions.without_costs(routes, configs)),
            *unread,
            *unread_hooks,
            *cautions,
            *(writer.ignored_warning(controller, text) for text in controller.ignored),
            *_cautions.in_control_plane(routes, namespace),
            *_cautions.array_claims(exposition.arrays(everything, mapping.values())),
            *_cautions.unset_headers(pairs, known),
            *_cautions.per_user(controller.pairs),
            *_cautions.newer_generation(controller.name, controller.version),
            *_cautions.no_traffic(samples),
        ],
    }


def read_stored_series(prometheus: Scraper, replica: _replica.Replica) -> StoredSeries:
    """What a replica has stored of the token metric, counted."""
    spec = prometheus.spec
    kept = [spec.get("retention", "" if "retentionSize" in spec else cardinality.DEFAULT_RETENTION)]
    kept += [f"up to {spec['retentionSize']}"] if "retentionSize" in spec else []
    return StoredSeries(
        {name: replica.number(promql) for name, promql in cardinality.QUERIES.items()},
        " and ".join(filter(None, kept)),
        prometheus.name,
    )


def envoy_gateway_configuration(configuration: Object | None) -> dict[str, Any] | None:
    """Envoy Gateway's configuration out of its ConfigMap; None where there is none to judge."""
    text = ((configuration or {}).get("data") or {}).get("envoy-gateway.yaml")
    if text is None:
        return None
    return _configuration.parse_configuration(text)


def proxy_to_result(proxy: Proxy, controller: Controller | None) -> dict[str, Any]:
    """A proxy workload as a result of the module."""
    return {
        "workload": proxy.name,
        "kind": proxy.kind,
        "gateway": proxy.gateway,
        "rolls_itself": proxy.rolls_itself,
        "pods": [
            {
                "name": sidecar.name,
                "mapping": _mapping.render_mapping(sidecar.metrics),
                "stale": controller is not None and sidecar.is_stale(controller),
            }
            for sidecar in proxy.sidecars
        ],
    }


def all_permissions(look: ClusterState, shown_by: Sequence[Provider]) -> list[Permission]:
    """All that a run may need, where it is not known what it would change."""
    needed = [("patch", "apps", "deployments", look.controller.namespace)] if look.controller else []
    for proxy in look.in_scope:
        namespace = proxy.workload["metadata"]["namespace"]
        needed += [("patch", "apps", reader.PLURALS[proxy.kind], namespace), ("get", "", "pods/proxy", namespace)]
    scraper = look.prometheus
    if look.backend is not None and scraper is not None:
        if not (scraper.is_unseen or look.backend.options.get("targets_urls")):
            needed.append(("get", "", "pods/proxy", scraper.namespace))
        namespaces = {proxy.workload["metadata"]["namespace"] for proxy in look.in_scope} | {scraper.namespace} - {""}
        looked_into = sorted(namespace for namespace in namespaces if scraper.looks_into(namespace))
        monitor = scrapers.MONITOR_KINDS[scraper.monitor]
        group = monitor.api.partition("/")[0]
        for verb in ("create", "update", "delete"):
            needed += [(verb, group, monitor.plural, namespace) for namespace in looked_into[:1]]
    needed += [provider.permission(verb) for provider in shown_by for verb in ("get", "create", "patch")]
    return list(dict.fromkeys(needed))
