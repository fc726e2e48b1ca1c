# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What to change so that every sidecar is scraped exactly once.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from .. import _names
from .._errors import MeteringError
from .._gateway.sidecar import Sidecar
from .._kubernetes.objects import Object, name_of
from .._kubernetes.ownership import is_ours
from .._kubernetes.selectors import matches, satisfying
from . import sources
from .scrapers import MONITOR_KINDS, Scraper
from .sources import Monitoring, Source

PORT_NUMBER = "portNumber"
# So that the sums are stored as they were before, whatever the Prometheus does with other histograms.
KEEPS_CLASSIC = {"convertClassicHistogramsToNHCB": False, "scrapeClassicHistograms": True}
# By field of the PodMonitor that we create, since when the operator has it: v0.79, v0.82, v0.78.
OPTIONAL_FIELDS = frozenset({PORT_NUMBER, *KEEPS_CLASSIC})


@dataclass(frozen=True)
class Plan:
    """What to do so that every sidecar is scraped exactly once."""

    prometheus: Scraper
    keepers: tuple[Source, ...] = ()
    """What scrapes sidecars already and stays; together they cover no pod twice."""
    own: Object | None = None
    """Ours as it stands, where it is to stay."""
    create: Object | None = None
    update: Object | None = None
    """Ours, where it stands but no longer as it should."""
    remove: tuple[Source, ...] = ()
    left: tuple[tuple[Source, str], ...] = ()
    """Redundant ones that may not be removed, each with the next command."""
    uncovered: tuple[str, ...] = ()
    doubly_covered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Pods that are counted several times before the change, with the names of what scrapes them."""

    @property
    def kept(self) -> str:
        """What stays, by name."""
        names = [source.name for source in self.keepers]
        return ", ".join(dict.fromkeys([*names, *([name_of(self.own)] if self.own else [])]))

    @property
    def after(self) -> str:
        """What scrapes once the plan is carried out, by name."""
        names = [source.name for source in self.keepers] + ([name_of(self.ours)] if self.ours else [])
        return ", ".join(dict.fromkeys(names)) or "nothing"

    @property
    def ours(self) -> Object | None:
        """Ours as it is to be, or None where none of ours is needed."""
        return self.create or self.update or self.own


def scoped_name(scope: Sequence[str]) -> str:
    """The name of the monitor that we create for some Gateways: two scopes do not fight over one monitor."""
    if not scope:
        return _names.POD_MONITOR_NAME
    readable = "-".join([_names.POD_MONITOR_NAME, *sorted(scope)]).replace("/", "-")
    digest = hashlib.sha256(",".join(sorted(scope)).encode()).hexdigest()[:8]
    # It becomes the value of a label as well, which takes 63 characters.
    return readable if len(readable) <= 63 else f"{_names.POD_MONITOR_NAME}-{digest}"


def _selector(scope: Sequence[str]) -> dict[str, Any]:
    """The label selector of the proxies of the Gateways in scope; of all proxies where the scope is empty."""
    labels = dict(pair.split("=") for pair in _names.PROXY_LABELS.split(","))
    if not scope:
        return {"matchLabels": labels}
    parts = [sorted({name.split("/")[index] for name in scope}) for index in (0, 1)]
    return {
        "matchLabels": labels,
        "matchExpressions": [
            {"key": key, "operator": "In", "values": values}
            for key, values in zip((_names.GATEWAY_NAMESPACE_LABEL, _names.GATEWAY_NAME_LABEL), parts, strict=True)
        ],
    }


def _beyond(scope: Sequence[str], others: Sequence[Sidecar]) -> set[str]:
    """The Gateways whose proxies a selector for a scope would select as well.

    Labels select by namespace and by name, not by pairs of these.
    """
    selector = _selector(scope)
    return {other.gateway for other in others if matches(selector, other.pod["metadata"].get("labels") or {})}


def desired_monitor(
    prometheus: Scraper,
    sidecars: Sequence[Sidecar],
    name: str,
    interval: str,
    preferred: str = "",
    *,
    scope: Sequence[str] = (),
    others: Sequence[Sidecar] = (),
    lacking: Set[str] = frozenset(),
) -> dict[str, Any]:
    """The monitor that we create: selected by the Prometheus on both of its selectors, covering every sidecar.

    It selects the sidecar's port by number: port names differ by generation, and v0.4 has two names for the one port.

    Args:
        prometheus: the one that is to select it.
        sidecars: those that it is to cover.
        name: its name.
        interval: its scrape interval.
        preferred: the namespace in which ours stands already.
        scope: the Gateways that are meant; all where it is empty.
        others: the sidecars that are not to be scraped.
        lacking: those of OPTIONAL_FIELDS that the served kind does not have.

    Raises:
        MeteringError: the Prometheus takes PodMonitors from no namespace in which one could be put, or none of ours.
    """
    beyond = _beyond(scope, others) if scope else ()
    if beyond:
        raise MeteringError(
            f"A PodMonitor for {', '.join(scope)} would select the proxies of {', '.join(sorted(beyond))} as well.",
            "Labels select by namespace and by name, not by pairs of these.",
            "run this once for each of the Gateways, or name those as well in metering_gateways.",
        )
    proxy_namespaces = sorted({sidecar.pod["metadata"]["namespace"] for sidecar in sidecars})
    candidates = list(dict.fromkeys(filter(None, [preferred, *proxy_namespaces, prometheus.namespace])))
    namespace = next((item for item in candidates if prometheus.looks_into(item)), None)
    if namespace is None:
        raise MeteringError(
            f"Prometheus {prometheus.name} takes PodMonitors neither from {' nor from '.join(candidates)}.",
            "A PodMonitor in any other namespace would surprise whoever owns that.",
            f"label one of these namespaces so that its podMonitorNamespaceSelector selects it: kubectl -n "
            f"{prometheus.namespace} get prometheus {prometheus.document['metadata']['name']} -o yaml",
        )
    ours = {_names.MANAGED_BY_LABEL: _names.MANAGED_BY}
    labels = {"app.kubernetes.io/name": name, **(satisfying(prometheus.selector) or {}), **ours}
    if not matches(prometheus.selector, labels):
        labels.pop("app.kubernetes.io/name")
    if not matches(prometheus.selector, labels):
        raise MeteringError(
            f"The selector of {prometheus.kind} {prometheus.name} selects nothing with the label "
            f"{_names.MANAGED_BY_LABEL}={_names.MANAGED_BY}.",
            "By that label the next run knows what is ours; without it nothing could be taken back.",
            f"widen the selector: kubectl -n {prometheus.namespace} edit prometheus "
            f"{prometheus.document['metadata']['name']}; or create a PodMonitor for the sidecars yourself.",
        )
    # Where portNumber is not known it is pruned, and every port would be scraped.
    is_known = prometheus.monitor == "PodMonitor" and PORT_NUMBER not in lacking
    number = PORT_NUMBER if is_known else "targetPort"
    kept = KEEPS_CLASSIC if prometheus.monitor == "PodMonitor" else {}
    spec: dict[str, Any] = {
        **{name: value for name, value in kept.items() if name not in lacking},
        "selector": _selector(scope),
        "podMetricsEndpoints": [
            {number: port, "path": _names.METRICS_PATH, "interval": interval}
            for port in sorted({sidecar.port for sidecar in sidecars})
        ],
    }
    if proxy_namespaces != [namespace]:
        spec["namespaceSelector"] = {"matchNames": proxy_namespaces}
    return {
        "apiVersion": MONITOR_KINDS[prometheus.monitor].api,
        "kind": prometheus.monitor,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def _restored(monitor: Object, wanted: Object) -> dict[str, Any] | None:
    """Ours with all that we decide as it should be and what others added left; None where nothing is to be done."""
    spec = {key: value for key, value in monitor["spec"].items() if key != "namespaceSelector"} | wanted["spec"]
    if _has_endpoints(monitor, wanted["spec"]["podMetricsEndpoints"]):
        spec["podMetricsEndpoints"] = monitor["spec"]["podMetricsEndpoints"]
    labels = {**(monitor["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
    if spec == monitor["spec"] and labels == monitor["metadata"].get("labels"):
        return None
    return {**monitor, "metadata": {**monitor["metadata"], "labels": labels}, "spec": spec}


def _has_endpoints(monitor: Object, wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a monitor's endpoints are the wanted ones, but for what the API server or others added to them."""
    found = monitor["spec"].get("podMetricsEndpoints") or []
    return len(found) == len(wanted) and all(
        all(endpoint.get(key) == value for key, value in own.items())
        for own, endpoint in zip(wanted, found, strict=True)
    )


def _rank(source: Source, scraper: Scraper, wanted: Set[str], number: int) -> tuple[Any, ...]:
    """Those that cover all that is wanted first, and each pod once; then those that cover every pod; of these the
    platform's, then the most complete, then the oldest. A job of no object comes before: nobody but its owner can
    remove it.
    """
    metadata = source.document["metadata"] if source.document else {}
    reached = len(source.covered)
    return (
        not wanted <= source.covered.keys(),
        max(source.covered.values()) > 1,
        source.scraper.identity != scraper.identity,
        reached < number,
        source.document is not None,
        metadata.get("name") != _names.PLATFORM_POD_MONITOR,
        -reached,
        metadata.get("creationTimestamp") or "",
        source.name,
    )


def _keepers(ranked: Sequence[Source], wanted: Set[str]) -> list[Source]:
    """What stays: one that covers all that is wanted; or else those of others that together cover no pod twice.

    Ours, where it covers a part only, is not among them: it is made to fit the others.
    """
    if ranked and set(wanted) <= ranked[0].covered.keys():
        return [ranked[0]]
    kept: list[Source] = []
    for source in ranked:
        if not is_ours(source.document) and not source.covered.keys() & _covered(kept):
            kept.append(source)
    return kept


def _covered(found: Sequence[Source]) -> set[str]:
    return {pod for source in found for pod in source.covered}


def series(found: Sequence[Source], pod: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """The sets of target labels under which a pod's tokens are stored; two of them count each token twice."""
    return set().union(*(source.series(pod) for source in found))


def _uncovered_gateways(rest: Set[str], everyone: Sequence[Sidecar]) -> list[str]:
    """The Gateways none of whose pods is covered."""
    partly = {sidecar.gateway for sidecar in everyone if sidecar.name not in rest}
    return sorted({sidecar.gateway for sidecar in everyone if sidecar.gateway} - partly)


def plan(
    monitoring: Monitoring,
    prometheus: Scraper,
    sidecars: Sequence[Sidecar],
    *,
    name: str = "",
    interval: str = "30s",
    prune: str = "ours",
    scope: Sequence[str] = (),
    others: Sequence[Sidecar] = (),
    jobs: Sequence[Source] = (),
    lacking: Set[str] = frozenset(),
) -> Plan:
    """What to keep, create, change and remove.

    Args:
        monitoring: what there is to scrape with.
        prometheus: the one that is to scrape.
        sidecars: the sidecars that are to be scraped.
        name: the name of the monitor that we create; scoped_name() by default.
        interval: the scrape interval of the one that we create.
        prune: which redundant monitors are removed: `none`, `ours`, or `all`.
        scope: the Gateways that are meant; all where it is empty.
        others: the sidecars that are not to be scraped.
        jobs: what the live targets show to scrape sidecars without any object.
        lacking: those of OPTIONAL_FIELDS that the served kind does not have.
    """
    everyone = [*sidecars, *others]
    wanted = {sidecar.name for sidecar in sidecars}
    found = [*sources.sources(monitoring, prometheus, everyone), *jobs]
    in_force = sorted(
        (source for source in found if wanted & source.covered.keys()),
        key=lambda source: _rank(source, prometheus, wanted, len(everyone)),
    )
    keepers = _keepers(in_force, wanted)
    own = _own(monitoring, prometheus, in_force, name or scoped_name(scope))
    if keepers and is_ours(keepers[0].document):
        own, keepers = keepers[0].document, []
    # Besides, what others cover that may not be removed is not covered once more.
    rest = wanted - _covered(keepers)
    if keepers:
        rest -= _covered([source for source in in_force if not _may_go(source, prune)])
    # Beside others only the Gateways are covered that they leave out as a whole.
    gateways = _uncovered_gateways(rest, everyone) if keepers else scope
    meant = [sidecar for sidecar in sidecars if sidecar.name in rest and (not keepers or sidecar.gateway in gateways)]
    beside = [sidecar for sidecar in everyone if sidecar not in meant]
    create = update = standing = None
    after: list[Source] = list(keepers)
    if meant and not (keepers and _beyond(gateways, beside)):
        wish = desired_monitor(
            prometheus,
            meant,
            own["metadata"]["name"] if own and _is_in_force(own, in_force) else name or scoped_name(scope),
            interval,
            own["metadata"]["namespace"] if own else "",
            scope=gateways,
            others=beside,
            lacking=lacking,
        )
        standing = _standing(monitoring, prometheus, wish)
        if standing is not None and scope and _covers_once(standing, in_force, wanted):
            # One of ours covers more than is in scope: made for a wider one, it is not this run's to narrow.
            wish["spec"] |= {key: standing["spec"][key] for key in _WHERE if key in standing["spec"]}
        create = wish if standing is None else None
        update = _restored(standing, wish) if standing else None
        after.append(sources.source_of(prometheus.monitor, update or standing or wish, prometheus, everyone))
    return _settled(
        Plan(prometheus, tuple(keepers), standing, create, update), in_force, after, wanted, prune, own, monitoring
    )


def _may_go(source: Source, prune: str) -> bool:
    """Whether it is ours to remove, once others cover what it covers; not what scrapes other things as well."""
    if is_ours(source.document):
        return prune != "none"
    return source.document is not None and prune == "all" and source.is_only_for_sidecars


_WHERE = ("selector", "namespaceSelector")


def _own(monitoring: Monitoring, prometheus: Scraper, in_force: Sequence[Source], name: str) -> Object | None:
    """Ours: the first that scrapes, or the one of the name, wherever it is."""
    scraping = [source.document for source in in_force if is_ours(source.document)]
    named = [
        item
        for item in monitoring.monitors.get(prometheus.monitor, ())
        if is_ours(item) and item["metadata"]["name"] == name
    ]
    return next(iter([*scraping, *named]), None)


def _is_in_force(document: Object, in_force: Sequence[Source]) -> bool:
    return any(source.document is document for source in in_force)


def _covers_once(document: Object, in_force: Sequence[Source], wanted: Set[str]) -> bool:
    return any(
        source.document is document and dict.fromkeys(wanted, 1).items() <= source.covered.items()
        for source in in_force
    )


def _standing(monitoring: Monitoring, prometheus: Scraper, wish: Object) -> Object | None:
    """What stands under the name of the monitor that we want.

    Raises:
        MeteringError: it is not ours.
    """
    for item in monitoring.monitors.get(prometheus.monitor, ()):
        if name_of(item) == name_of(wish):
            if is_ours(item):
                return item
            raise MeteringError(
                f"{prometheus.monitor} {name_of(item)} is there, does not cover the sidecars, and is not ours.",
                "The one to be created would have to overwrite it.",
                "choose another name with scrape_monitor_name, or remove it: kubectl -n "
                f"{item['metadata']['namespace']} delete {prometheus.monitor.lower()} {item['metadata']['name']}",
            )
    return None


def _settled(
    begun: Plan,
    in_force: Sequence[Source],
    after: Sequence[Source],
    wanted: Set[str],
    prune: str,
    own: Object | None,
    monitoring: Monitoring,
) -> Plan:
    """The plan with what becomes of all that is redundant once it is carried out."""
    covers = _covered(after)
    kept = [item for item in (*(source.document for source in after), begun.own) if item is not None]
    redundant = [
        source
        for source in in_force
        if source not in begun.keepers
        and not (source.scraper.identity == begun.prometheus.identity and any(source.document is item for item in kept))
        and any(source.series(pod) - series(after, pod) for pod in source.covered.keys() & covers)
    ]
    # Whoever else it covers, in scope or not, must not be left uncovered.
    removable = [
        source
        for source in redundant
        if _may_go(source, prune)
        and not any(source.document is item for item in kept)
        and source.covered.keys() <= covers
    ]
    # Ours where the Prometheus no longer looks, while another takes its place.
    stray = [own] if own is not None and begun.create is not None and not _is_in_force(own, in_force) else []
    stays = [*after, *(source for source in in_force if source not in removable)]
    doubling = [source for source in begun.keepers if max(source.covered.values()) > 1]
    names: dict[str, list[str]] = {}
    for pod in sorted(wanted):
        for source in in_force:
            names.setdefault(pod, []).extend([source.name] * source.covered.get(pod, 0))
    return Plan(
        begun.prometheus,
        begun.keepers,
        begun.own,
        begun.create,
        begun.update,
        remove=(*removable, *(Source(begun.prometheus.monitor, name_of(it), begun.prometheus, (), it) for it in stray)),
        left=tuple(
            (source, next_command(source, begun, monitoring))
            for source in [*(item for item in redundant if item not in removable), *doubling]
        ),
        uncovered=tuple(sorted(set(wanted) - _covered(stays))),
        doubly_covered={pod: tuple(found) for pod, found in names.items() if len(series(in_force, pod)) > 1},
    )


def removal_command(source: Source) -> str:
    """The command that removes a monitor."""
    namespace, dummy, name = source.name.partition("/")
    return f"kubectl -n {namespace} delete {source.kind.lower()} {name}"


def next_command(source: Source, begun: Plan, monitoring: Monitoring) -> str:
    """What the owner of something redundant does about it."""
    if source.document is None:
        return f"take the job {source.name} out of the scrape configuration of {source.scraper.name}"
    namespace, name = source.document["metadata"]["namespace"], source.document["metadata"]["name"]
    edit = f"kubectl -n {namespace} edit {source.kind.lower()} {name}"
    if source in begun.keepers:
        return f"{edit}: let only one of its endpoints reach the port of the sidecars"
    if any(source.document is item.document for item in begun.keepers) or source.document is begun.own:
        return f"let only one of {begun.prometheus.name} and {source.scraper.name} select it: {source.scraper.edit}"
    if not source.is_only_for_sidecars:
        return f"{edit}: take the endpoint of the sidecars out; it scrapes other things as well"
    command = removal_command(source)
    # The VictoriaMetrics operator makes it anew as long as the PodMonitor is there, and leaves it when that goes.
    origin = source.kind == "VMPodScrape" and source.name in map(name_of, monitoring.monitors.get("PodMonitor", ()))
    return f"kubectl -n {namespace} delete podmonitor {name}; {command}" if origin else command
