# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What token_usage_info returns: what was used in a period, and what cannot be known of it."""

from __future__ import annotations

import datetime
import functools
import operator
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.aigateway.metering.plugins.module_utils import (
    _names,
    _period,
    _progress,
    _reading,
    _state,
    _twins,
    _view,
)
from ansible_collections.aigateway.metering.plugins.module_utils._cluster import Cluster
from ansible_collections.aigateway.metering.plugins.module_utils._errors import MeteringError
from ansible_collections.aigateway.metering.plugins.module_utils._gateway import Sidecar
from ansible_collections.aigateway.metering.plugins.module_utils._reading import AHEAD, Pod
from ansible_collections.aigateway.metering.plugins.module_utils._scraped import Presence
from ansible_collections.aigateway.metering.plugins.module_utils._store import Group, Scraped, Store
from ansible_collections.aigateway.metering.plugins.module_utils._sums import Sums, Usage


def usage(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Read, follow, sum: what token_usage_info returns."""
    options = module.params
    start, end = moment(options["start"], "start"), moment(options["end"], "end")
    if end <= start:
        raise MeteringError(
            f"The period ends ({options['end']}) before it begins ({options['start']}).",
            "Nothing can be used in it.",
            "set start before end.",
        )
    sidecars = _state.sidecars(cluster)
    dummy, backend = _view.asked(module, cluster, sidecars)
    matchers = {str(name): str(value) for name, value in options["matchers"].items()}
    for name in matchers:
        if not re.fullmatch(r"[a-zA-Z_]\w*", name):
            raise MeteringError(
                f"{name!r} among the matchers is no name of a label.",
                "It cannot be asked for.",
                "correct report_matchers.",
            )
    if not options["by"]:
        raise MeteringError("by is empty.", "Nothing would tell the rows apart.", "set report_by, or leave it out.")
    days = _period.days(start, end, options["zone"])
    store = Store(backend.storing(), {_names.ADMIN_PORT, *(sidecar.port for sidecar in sidecars)}, matchers)
    workloads = proxies(cluster)
    period = Period(
        store,
        start,
        end,
        time.time(),
        began=started(sidecars),
        revisions={name: made for name, (made, dummy) in workloads.items()},
    )
    by = options["by"]
    sums = Sums(by, [Usage() for dummy in days], lambda pod: gateway_of(pod, workloads))
    period.read(sums, [(begin, until) for dummy, begin, until in days])
    return {
        "changed": False,
        "prometheus": backend.scraper.name,
        # To the fraction: who asks again for these times is told the same.
        "start": utc(start).isoformat(),
        "end": utc(end).isoformat(),
        "by": list(by),
        "rows": [{**dict(zip(by, key, strict=True)), **described(own)} for key, own in sorted(sums.used.items())],
        "days": [{"date": day[0], **described(own)} for day, own in zip(days, sums.days, strict=True)],
        **described(sums.whole),
        "doubts": period.doubts(sums),
    }


def described(used: Usage) -> dict[str, Any]:
    """What was used, as it is returned."""
    tokens = {kind: count for kind, count in sorted(used.tokens.items()) if count}
    return {"tokens": tokens, "total": used.total, "requests": used.requests}


def moment(text: str, name: str) -> float:
    """A time in ISO 8601 with its zone, as Unix seconds.

    Raises:
        MeteringError: it is none, or has no zone.
    """
    return _period.moment(text, name).timestamp()


def utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def shown(seconds: float) -> str:
    """A time for a person."""
    return utc(seconds).isoformat(timespec="seconds")


def started(sidecars: Sequence[Sidecar]) -> dict[str, float]:
    """By pod, when its sidecar has started, as Kubernetes says."""
    found = {}
    for sidecar in sidecars:
        status = sidecar.pod["status"]
        for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            running = (container.get("state") or {}).get("running")
            if container["name"] == _names.SIDECAR and running:
                found[sidecar.pod["metadata"]["name"]] = moment(running["startedAt"], "startedAt")
    return found


def proxies(cluster: Cluster) -> dict[str, tuple[float, str]]:
    """By the name of each of the proxies' workloads, when it was made, and the Gateway whose it is.

    The pods' names begin with these; none of a ReplicaSet's pods is older than itself.
    """
    found = {}
    for kind in ("deployments", "daemonsets", "replicasets"):
        for item in cluster.list(_state.APPS, kind, labels=_names.PROXY_LABELS):
            metadata = item["metadata"]
            own = [metadata["labels"].get(label, "") for label in _GATEWAY_LABELS]
            made = moment(metadata["creationTimestamp"], "creationTimestamp")
            found[metadata["name"]] = (made, "/".join(own) if all(own) else "")
    return found


_GATEWAY_LABELS = (_names.GATEWAY_NAMESPACE_LABEL, _names.GATEWAY_NAME_LABEL)


def gateway_of(pod: str, workloads: Mapping[str, tuple[float, str]]) -> str:
    """The Gateway of a pod that may have ended; an empty text where its workload is gone, too."""
    fitting = [name for name in workloads if pod.startswith(f"{name}-")]
    return workloads[max(fitting, key=len)][1] if fitting else ""


class Period:
    """A period as the replicas of a Prometheus have stored it."""

    def __init__(
        self,
        store: Store,
        start: float,
        end: float,
        now: float,
        *,
        began: Mapping[str, float],
        revisions: Mapping[str, float],
    ) -> None:
        """What is to be read.

        Args:
            store: what has stored it.
            start: when it begins, in Unix seconds.
            end: when it ends.
            now: the present moment.
            began: for each running pod, when its sidecar has started.
            revisions: for each workload that is there, when it was made.
        """
        self._store = store
        self.start, self.end, self._now = start, end, now
        self._began = began
        self._revisions = revisions
        self._presences: dict[str, Presence] = {}
        self._restarts: dict[str, list[tuple[float, float]]] = {}
        self._unstored: dict[str, list[tuple[float, float]]] = {}
        self._twins: dict[str, list[tuple[_twins.Stored, _twins.Stored]]] = {}
        self._later: set[str] = set()
        """The pods that were scraped after the period, too."""
        self._was_scraped_before = False
        self._unassigned: list[str] = []
        """Addresses that several pods had, and that some scrape stored without the pod."""

    def read(self, sums: Sums, days: Sequence[tuple[float, float]]) -> None:
        """Follow every counter through the days of the period, pod by pod, and sum them up."""
        active = [self._store.scraped(until, until - begin + AHEAD) for begin, until in days]
        whole = functools.reduce(operator.or_, active, Scraped())
        groups = self._groups(whole)
        named = [group.pod for group in groups if group.is_named]
        unknown = [pod for pod in named if max(self._bounds(pod, {}), default=0.0) <= self.start]
        created = self._store.creations(unknown, self.end, self.end - self.start + AHEAD)
        pace = _progress.Pace("reading what was stored of pods")
        for number, group in enumerate(groups, start=1):
            pod = Pod(self._store, group, sorted(whole.names), self.start, self._bounds(group.pod, created))
            added: dict[_reading.Key, dict[int, int]] = {}
            for day, (begin, until) in enumerate(days):
                if active[day].has(group):
                    pace.tell(f"{group.pod}, {number} of {len(groups)}: {shown(begin)}")
                    before = {key: counter.total for key, counter in pod.counters.items()}
                    pod.window(begin, until)
                    for key, counter in pod.counters.items():
                        if counter.total != before.get(key, 0):
                            added.setdefault(key, {})[day] = counter.total - before.get(key, 0)
            for key, counter in pod.counters.items():
                sums.add(*key, added.get(key, {}), counter)
            self._presences[group.pod] = pod.presence
            self._restarts[group.pod] = pod.restarts
            self._unstored[group.pod] = pod.unstored()
            self._twins[group.pod] = pod.twins()
            self._was_scraped_before = self._was_scraped_before or pod.was_there_before
        self._later = set(self._store.scraped(self.end + AHEAD, AHEAD).pods)

    def _bounds(self, pod: str, created: Mapping[str, float]) -> list[float]:
        """Times before which a pod's sidecar, or its present process, is known not to have been there."""
        told = (self._began.get(pod), created.get(pod), self._revisions.get(pod.rpartition("-")[0]))
        return [time for time in told if time is not None]

    def _groups(self, whole: Scraped) -> list[Group]:
        """What was scraped in the period, or shortly before it: each pod with what was stored without its name.

        Whose an address was is settled for the whole period, so that a counter stays the same one.
        """
        pods = whole.pods
        owners = {instance: [pod for pod, own in pods.items() if instance in own] for instance in whole.unnamed}
        self._unassigned = sorted(instance for instance, own in owners.items() if len(own) > 1)
        found = [
            Group(pod, {item for item, own in owners.items() if own == [pod]}, is_named=True) for pod in sorted(pods)
        ]
        return found + [Group(item, {item}) for item, own in sorted(owners.items()) if not own]

    def doubts(self, sums: Sums) -> list[str]:
        """What cannot be known of the period."""
        found = [
            f"{baseline.tokens} {kind} tokens of {who or 'nobody'} on {pod} were there at the first scrape "
            f"({shown(baseline.since)}) and may be older than the period: they are not billed."
            for (who, kind, pod), baseline in sorted(sums.baselines.items())
        ]
        for pod in sorted({*self._presences, *self._began}):
            found += self._doubts_of(pod)
        if not self._was_scraped_before:
            found.append(
                f"Nothing is stored of {shown(self.start)} or before: the period may have begun without a scrape."
            )
        if sums.nobody:
            found.append(f"{sums.nobody} tokens carry no {_names.REQUIRED_PAIR[1]}: they can be billed to nobody.")
        for instance in self._unassigned:
            found.append(
                f"Several pods had the address {instance}: what a scrape stored of it without the pod is left out."
            )
        if self.end > self._now:
            found.append("The period is not over yet.")
        elif self.end + AHEAD > self._now:
            found.append(
                "The period has only just ended: where samples are stored late, the last of it may be missing."
            )
        return found

    def _doubts_of(self, pod: str) -> list[str]:
        """What cannot be known of a pod."""
        presence = self._presences.get(pod, Presence())
        began = self._began.get(pod)
        last_moment = min(self.end, self._now)
        if began is not None and began >= last_moment:
            return []
        alive = None if began is None else (max(began, self.start), last_moment)
        found = [
            f"{pod} was not scraped from {shown(begin)} to {shown(until)}." for begin, until in presence.ended(alive)
        ]
        found += [
            f"{pod} was scraped from {shown(begin)} to {shown(until)}, and its tokens were not stored: what it counted "
            "then is billed late, or not at all."
            for begin, until in self._unstored.get(pod, ())
        ]
        found += [
            f"The sidecar of {pod} has begun anew between {shown(begin)} and {shown(until)}: what it counted in "
            "between, before that, is lost."
            for begin, until in self._restarts.get(pod, ())
            if self.start < until <= self.end
        ]
        pairs = self._twins.get(pod)
        if pairs:
            found.append(
                f"Up to {_twins.billed_twice(pairs)} tokens of {pod} are billed twice: two scrape it, and one of them "
                f"edits the sidecar's labels ({', '.join(_twins.differing(pairs))}). Remove that one, or its "
                "metricRelabelings."
            )
        if began is None and presence.seen is not None and presence.may_be_cut and pod not in self._later:
            found.append(
                f"{pod} has ended after its last scrape at {shown(presence.seen)}: what it counted then is lost."
            )
        return found
