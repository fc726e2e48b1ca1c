# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What to change so that every sidecar is scraped exactly once.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from .. import _names
from .._errors import MeteringError, Remedy
from .._gateway.sidecar import Sidecar
from .._kubernetes.objects import Object, name_of
from .._kubernetes.ownership import is_ours
from . import sources
from .discovery import namespaces_of
from .monitor import desired_monitor, gateways_beyond, restore_monitor, scoped_name
from .scrapers import Scraper
from .sources import Monitoring, Source

# What of a monitor says where it looks.
_WHERE = ("selector", "namespaceSelector")


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
    left: tuple[tuple[Source, Remedy], ...] = ()
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


def _ranked(found: Sequence[Source], scraper: Scraper, wanted: Set[str], number: int) -> list[Source]:
    """What scrapes some of the pods that are wanted, in the order in which it is kept."""
    in_force = (source for source in found if wanted & source.covered.keys())
    return sorted(in_force, key=lambda source: _rank(source, scraper, wanted, number))


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


def series_of(found: Sequence[Source], pod: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """The sets of target labels under which a pod's tokens are stored; two of them count each token twice."""
    return set().union(*(source.series(pod) for source in found))


def _uncovered_gateways(rest: Set[str], everyone: Sequence[Sidecar]) -> list[str]:
    """The Gateways none of whose pods is covered."""
    partly = {sidecar.gateway for sidecar in everyone if sidecar.name not in rest}
    return sorted({sidecar.gateway for sidecar in everyone if sidecar.gateway} - partly)


def plan_scrape(
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
    found = [*sources.sources_of(monitoring, prometheus, everyone), *jobs]
    in_force = _ranked(found, prometheus, wanted, len(everyone))
    name = name or scoped_name(scope)
    keepers = _keepers(in_force, wanted)
    own = _own(monitoring, prometheus, in_force, name)
    if keepers and is_ours(keepers[0].document):
        own, keepers = keepers[0].document, []
    begun = Plan(prometheus, tuple(keepers))
    may_go = functools.partial(_may_go, prune=prune, monitoring=monitoring)
    meant, gateways = _left_out(sidecars, everyone, keepers, in_force, scope, may_go)
    names = {sidecar.name for sidecar in meant}
    beside = [sidecar for sidecar in everyone if sidecar.name not in names]
    if meant and not (keepers and gateways_beyond(gateways, beside)):
        wish = desired_monitor(
            prometheus,
            meant,
            own["metadata"]["name"] if own and _is_in_force(own, in_force) else name,
            interval,
            own["metadata"]["namespace"] if own else "",
            scope=gateways,
            others=beside,
            lacking=lacking,
        )
        standing = _standing(monitoring, prometheus, wish)
        keeps_its_scope = standing is not None and bool(scope) and _covers_once(standing, in_force, wanted)
        begun = _with_ours(begun, standing, wish, monitoring, keeps_its_scope=keeps_its_scope)
    after: list[Source] = list(keepers)
    if begun.ours is not None:
        after.append(sources.source_of(prometheus.monitor, begun.ours, prometheus, everyone))
    return _with_redundant(begun, in_force, after, wanted, may_go, own, monitoring)


def _with_ours(
    begun: Plan, standing: Object | None, wish: dict[str, Any], monitoring: Monitoring, *, keeps_its_scope: bool
) -> Plan:
    """The plan with ours: created, or where it stands brought to what it should be."""
    if standing is None:
        return dataclasses.replace(begun, create=wish)
    _keep_wider(wish, standing, monitoring, keeps_its_scope=keeps_its_scope)
    return dataclasses.replace(begun, own=standing, update=restore_monitor(standing, wish))


def _left_out(
    sidecars: Sequence[Sidecar],
    everyone: Sequence[Sidecar],
    keepers: Sequence[Source],
    in_force: Sequence[Source],
    scope: Sequence[str],
    may_go: Callable[[Source], bool],
) -> tuple[list[Sidecar], Sequence[str]]:
    """The sidecars that a monitor of ours is to cover, and the Gateways by which it selects them."""
    rest = {sidecar.name for sidecar in sidecars} - _covered(keepers)
    if not keepers:
        return [sidecar for sidecar in sidecars if sidecar.name in rest], scope
    # What others cover that may not be removed is not covered once more.
    rest -= _covered([source for source in in_force if not may_go(source)])
    # Beside others only the Gateways are covered that they leave out as a whole.
    gateways = _uncovered_gateways(rest, everyone)
    return [sidecar for sidecar in sidecars if sidecar.name in rest and sidecar.gateway in gateways], gateways


def _keep_wider(wish: dict[str, Any], standing: Object, monitoring: Monitoring, *, keeps_its_scope: bool) -> None:
    """Let ours go on to look where this run does not, which is not this run's to narrow.

    It was made for a wider scope, or by somebody who has read more namespaces.
    """
    if keeps_its_scope:
        wish["spec"] |= {key: standing["spec"][key] for key in _WHERE if key in standing["spec"]}
    selector = standing["spec"].get("namespaceSelector") or {}
    unread = [name for name in selector.get("matchNames") or () if not monitoring.has_read(name)]
    if monitoring.namespaces and selector.get("any"):
        wish["spec"]["namespaceSelector"] = selector
    elif unread:
        names = (wish["spec"].get("namespaceSelector") or {}).get("matchNames") or [wish["metadata"]["namespace"]]
        wish["spec"]["namespaceSelector"] = {"matchNames": sorted({*names, *unread})}


def _may_go(source: Source, prune: str, monitoring: Monitoring) -> bool:
    """Whether it is ours to remove, once others cover what it covers; not what scrapes other things as well."""
    if _reaches_unread(source, monitoring):
        return False
    if is_ours(source.document):
        return prune != "none"
    return source.document is not None and prune == "all" and source.is_only_for_sidecars


def _reaches_unread(source: Source, monitoring: Monitoring) -> bool:
    """Whether it may scrape what was not read."""
    if source.document is None or not monitoring.namespaces:
        return False
    everywhere, namespaces = namespaces_of(source.document, source.scraper)
    return everywhere or source.kind == "ScrapeConfig" or not all(map(monitoring.has_read, namespaces))


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
                f"{prometheus.monitor} {name_of(item)} already exists, does not cover the sidecars, and is not ours.",
                "This run would have to overwrite it.",
                "Choose another name with scrape_monitor_name, or remove it.",
                f"kubectl -n {item['metadata']['namespace']} get {prometheus.monitor.lower()} "
                f"{item['metadata']['name']} -o yaml",
            )
    return None


def _with_redundant(
    begun: Plan,
    in_force: Sequence[Source],
    after: Sequence[Source],
    wanted: Set[str],
    may_go: Callable[[Source], bool],
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
        and any(source.series(pod) - series_of(after, pod) for pod in source.covered.keys() & covers)
    ]
    # Whoever else it covers, in scope or not, must not be left uncovered.
    removable = [
        source
        for source in redundant
        if may_go(source) and not any(source.document is item for item in kept) and source.covered.keys() <= covers
    ]
    # Ours where the Prometheus no longer looks, while another takes its place.
    stray = [own] if own is not None and begun.create is not None and not _is_in_force(own, in_force) else []
    stays = [*after, *(source for source in in_force if source not in removable)]
    doubling = [source for source in begun.keepers if max(source.covered.values()) > 1]
    names: dict[str, list[str]] = {}
    for pod in sorted(wanted):
        for source in in_force:
            names.setdefault(pod, []).extend([source.name] * source.covered.get(pod, 0))
    return dataclasses.replace(
        begun,
        remove=(*removable, *(Source(begun.prometheus.monitor, name_of(it), begun.prometheus, (), it) for it in stray)),
        left=tuple(
            (source, remedy_for(source, begun, monitoring))
            for source in [*(item for item in redundant if item not in removable), *doubling]
        ),
        uncovered=tuple(sorted(set(wanted) - _covered(stays))),
        doubly_covered={pod: tuple(found) for pod, found in names.items() if len(series_of(in_force, pod)) > 1},
    )


def removal_command(source: Source) -> str:
    """The command that removes a monitor."""
    namespace, dummy, name = source.name.partition("/")
    return f"kubectl -n {namespace} delete {source.kind.lower()} {name}"


def remedy_for(source: Source, begun: Plan, monitoring: Monitoring) -> Remedy:
    """What the owner of something redundant does about it."""
    unread = sources.object_of(source.name) if source.document is None else None
    if unread and not monitoring.has_read(unread[1]):
        kind, namespace, name = unread
        return Remedy(
            f"Let only one monitor reach the sidecars. {kind} {namespace}/{name} was not read: it may scrape other "
            "things as well.",
            f"kubectl -n {namespace} get {kind.lower()} {name} -o yaml",
        )
    if source.document is None:
        where = source.scraper.edit if source.scraper.namespace else ""
        return Remedy(f"Remove the job {source.name} from the scrape configuration of {source.scraper.name}.", where)
    namespace, name = source.document["metadata"]["namespace"], source.document["metadata"]["name"]
    edit = f"kubectl -n {namespace} edit {source.kind.lower()} {name}"
    if _reaches_unread(source, monitoring):
        return Remedy(
            "It may scrape proxies in namespaces that were not read. Let only one monitor reach each sidecar.", edit
        )
    if source in begun.keepers:
        return Remedy("Let only one of its endpoints reach the port of the sidecars.", edit)
    if any(source.document is item.document for item in begun.keepers) or source.document is begun.own:
        only = f"Let only one of {begun.prometheus.name} and {source.scraper.name} select it."
        return Remedy(only, source.scraper.edit)
    if not source.is_only_for_sidecars:
        return Remedy("Remove the endpoint of the sidecars; the monitor scrapes other targets as well.", edit)
    command = removal_command(source)
    # The VictoriaMetrics operator makes it anew as long as the PodMonitor is there, and leaves it when that goes.
    origin = source.kind == "VMPodScrape" and source.name in map(name_of, monitoring.monitors.get("PodMonitor", ()))
    return Remedy("", f"kubectl -n {namespace} delete podmonitor {name}; {command}" if origin else command)
