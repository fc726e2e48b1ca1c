# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What token_usage_info returns: what was used in a period, and what cannot be known of it."""

from __future__ import annotations

import functools
import json
import operator
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import _calendar, _names, _progress
from .._errors import MeteringError
from .._gateway import reader as _state
from .._gateway import workloads as _gateway
from .._gateway.workloads import Sidecar
from .._kubernetes.client import Cluster
from .._prometheus.replica import Backend, Replica
from .._scrape import context
from .._usage import doubts as _doubts
from .._usage import kept_answers, stored_tokens
from .._usage import owners as _owners
from .._usage.doubts import Doubt, in_order, shown, utc
from .._usage.groups import Grouping
from .._usage.owners import Owners
from .._usage.pod_reader import AHEAD, Key, PodReader
from .._usage.scrape_history import Presence
from .._usage.store import PodName, Scraped, Store
from .._usage.totals import DIMENSIONS, Sums, Usage
from .runner import API_OPTION, PROMETHEUS_OPTION

OPTIONS: dict[str, Any] = {
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "start": {"type": "str", "required": True},
    "end": {"type": "str", "required": True},
    "by": {"type": "list", "elements": "str", "default": ["namespace", "model"]},
    "zone": {"type": "str", "default": "UTC"},
    "matchers": {"type": "dict", "default": {}},
    "cache": {"type": "path"},
}
# So many pods are read at once: a store is asked by others, too.
AT_ONCE = 2


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Read, follow, sum: what token_usage_info returns."""
    options = module.params
    start, end = moment(options["start"], "start"), moment(options["end"], "end")
    if end <= start:
        raise MeteringError(
            f"The period ends ({options['end']}) before it begins ({options['start']}).",
            "Nothing can be used in it.",
            "set start before end.",
        )
    pods = _state.proxy_pods(cluster)
    sidecars = _gateway.sidecars(pods)
    dummy, backend = context.asked(module, cluster, sidecars)
    matchers = {str(name): str(value) for name, value in options["matchers"].items()}
    for name in matchers:
        if not re.fullmatch(r"[a-zA-Z_]\w*", name):
            raise MeteringError(
                f"{name!r} among the matchers is not a valid label name.",
                "It cannot be asked for.",
                "correct report_matchers.",
            )
    unknown = [name for name in options["by"] if name not in DIMENSIONS]
    if unknown:
        raise MeteringError(
            f"by has {', '.join(unknown)}, which is none of {', '.join(DIMENSIONS)}.",
            "Rows can be told apart by these only.",
            "correct report_by.",
        )
    if not options["by"]:
        raise MeteringError("by is empty.", "Nothing would tell the rows apart.", "set report_by, or leave it out.")
    days = _calendar.days(start, end, options["zone"])
    replicas = backend.storing()
    now = time.time()
    answers = kept_answers.Answers(options["cache"]) if options["cache"] else None
    kept = replicas if answers is None else kept_answers.keeping(replicas, answers, owner(cluster, backend), now)
    store = Store(kept, {_names.ADMIN_PORT, *(sidecar.port for sidecar in sidecars)}, matchers)
    period = Period(store, start, end, now, Owners(pods, workloads(cluster)))
    by = options["by"]
    sums = Sums(by, [Usage() for dummy in days], period.gateway)
    period.read(sums, [(begin, until) for dummy, begin, until in days])
    found = [*period.doubts(sums), *present_doubts(cluster, replicas, sidecars, end)]
    if answers is not None:
        answers.close()
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
        "doubts": in_order(found),
    }


def owner(cluster: Cluster, backend: Backend) -> str:
    """What tells a store from any other, also from one that was made anew under its name."""
    asked = {key: backend.options.get(key) for key in ("url", "service")}
    uid = backend.scraper.document["metadata"].get("uid", "")
    return json.dumps([cluster.server, backend.scraper.identity, uid, asked])


def described(used: Usage) -> dict[str, Any]:
    """What was used, as it is returned."""
    tokens = {kind: count for kind, count in sorted(used.tokens.items()) if count}
    beside = {kind: count for kind, count in sorted(used.beside.items()) if count}
    return {"tokens": tokens, "beside": beside, "total": used.total, "requests": used.requests}


def moment(text: str, name: str) -> float:
    """A time in ISO 8601 with its zone, as Unix seconds.

    Raises:
        MeteringError: it is none, or has no zone.
    """
    return _calendar.moment(text, name).timestamp()


def workloads(cluster: Cluster) -> list[_owners.Workload]:
    """The proxies' workloads that are there, also those that own no pod any more."""
    kinds = {"Deployment": "deployments", "DaemonSet": "daemonsets", "ReplicaSet": "replicasets"}
    return [
        _owners.workload_of(kind, item)
        for kind, plural in kinds.items()
        for item in cluster.list(_state.APPS, plural, labels=_names.PROXY_LABELS)
    ]


def present_doubts(
    cluster: Cluster, replicas: Sequence[Replica], sidecars: Sequence[Sidecar], end: float
) -> list[Doubt]:
    """What sidecars show at present, and nobody has stored: it is in no bill, or comes late."""
    asked = [item for item in sidecars if (_owners.started_at(item.pod) or 0.0) < end]
    samples, silent = _state.readable_samples(cluster, asked)
    counted = [item for item in asked if samples.get(item.name)]
    found = [
        Doubt(
            f"{name} could not be asked what it has counted, so it is not known whether that is stored: {error.found}"
        )
        for name, error in silent.items()
    ]
    if not counted:
        return found
    # In the end it is billed, however long ago the last scrape was.
    stored = [stored_tokens.read(replica, counted, "1h") for replica in replicas]
    for sidecar in counted:
        own = samples[sidecar.name]
        lacking = stored_tokens.unstored_of(sidecar, counted, own, stored)
        if lacking:
            shows = stored_tokens.total(own)
            found.append(
                Doubt(
                    f"{sidecar.name} shows {shows} tokens at present, of which {lacking} are not stored: they are not "
                    "in this bill. The next scrape may bring them; else ansible-playbook aigateway.metering.check "
                    "says more.",
                    lacking,
                )
            )
    return found


def followed(
    reader: PodReader, days: Mapping[int, tuple[float, float]], tell: Callable[[float], None]
) -> dict[Key, dict[int, int]]:
    """What each counter of a pod has counted, by day.

    Args:
        reader: follows its counters.
        days: those on which it was scraped, by their numbers: when each begins and ends.
        tell: is told when a day is begun.
    """
    added: dict[Key, dict[int, int]] = {}
    for day, (begin, until) in days.items():
        tell(begin)
        before = {key: counter.total for key, counter in reader.counters.items()}
        reader.window(begin, until)
        for key, counter in reader.counters.items():
            if counter.total != before.get(key, 0):
                added.setdefault(key, {})[day] = counter.total - before.get(key, 0)
    reader.finish()
    return added


class Period:
    """A period as the replicas of a Prometheus have stored it."""

    def __init__(self, store: Store, start: float, end: float, now: float, owners: Owners) -> None:
        """What is to be read.

        Args:
            store: what has stored it.
            start: when it begins, in Unix seconds.
            end: when it ends.
            now: the present moment.
            owners: what the cluster knows of pods.
        """
        self._store = store
        self.start, self.end, self._now = start, end, now
        self._owners = owners
        self._readers: dict[str, PodReader] = {}
        self._gateways: dict[str, str] = {}
        self._at: dict[str, set[str]] = {}
        """By the name of a group, the addresses at which it was scraped."""
        self._later: set[PodName] = set()
        """The pods that were scraped after the period, too."""

    def gateway(self, name: str) -> str:
        """The Gateway of a group, by the group's name."""
        return self._gateways.get(name, "")

    def read(self, sums: Sums, days: Sequence[tuple[float, float]]) -> None:
        """Follow every counter through the days of the period, pod by pod, and sum them up."""
        active = [self._store.scraped(until, until - begin + AHEAD) for begin, until in days]
        whole = functools.reduce(operator.or_, active, Scraped())
        grouping = Grouping(self._store, self._owners, self.start, self.end)
        groups = grouping.groups(whole)
        pace = _progress.Pace("reading what was stored of pods")
        readers = []
        for group in groups:
            addresses = self._at[group.name] = group.scraped_at(whole)
            created = grouping.created.get(group.pod) if group.pod else None
            beginning = self._owners.beginning(group.pod, addresses, created)
            readers.append(PodReader(self._store, group, sorted(whole.names), self.start, beginning))

        def follow(numbered: tuple[int, PodReader]) -> dict[Key, dict[int, int]]:
            number, reader = numbered
            place = f"{reader.group.name}, {number} of {len(groups)}"
            own = {day: span for day, span in enumerate(days) if active[day].has(reader.group)}
            return followed(reader, own, lambda begin: pace.tell(f"{place}: {shown(begin)}"))

        threads = ThreadPoolExecutor(AT_ONCE)
        try:
            for reader, added in zip(readers, threads.map(follow, enumerate(readers, start=1)), strict=True):
                name, at = reader.group.name, self._at[reader.group.name]
                self._gateways[name] = self._owners.gateway(reader.group.pod, at, reader.presence.first)
                for key, counter in reader.counters.items():
                    sums.add(*key, added.get(key, {}), counter, reader.names_of(key))
                self._readers[name] = reader
        finally:
            threads.shutdown(cancel_futures=True)
        self._later = set(self._store.scraped(self.end + AHEAD, AHEAD).pods)

    # --- what cannot be known -----------------------------------------------------------------------------------------

    def doubts(self, sums: Sums) -> list[Doubt]:
        """What cannot be known of the period."""
        last_moment = min(self.end, self._now)
        found = _doubts.of_sums(sums, self.gateway)
        idle = []
        for name, reader in sorted(self._readers.items()):
            has_ended = self._has_ended(reader)
            found += _doubts.of_pod(
                reader,
                sums.of_pods.get(name, 0),
                end=self.end,
                alive=self._alive(reader, last_moment),
                last_moment=last_moment,
                has_ended=has_ended,
            )
            if has_ended and not reader.counters:
                idle.append(reader.presence.step)
        found += _doubts.of_idle(idle)
        found += self._doubts_of_unscraped(last_moment)
        if not self._store.was_scraping(self.start):
            text = f"Nothing is stored of {shown(self.start)} or before: the period may have begun without a scrape."
            found.append(Doubt(text))
        if self.end > self._now:
            found.append(Doubt("The period is not over yet."))
        elif self.end + AHEAD > self._now:
            text = "The period has only just ended: where samples are stored late, the last of it may be missing."
            found.append(Doubt(text))
        return found

    def _there(self, reader: PodReader) -> _gateway.Object | None:
        """The pod in the cluster that was scraped; None where it is gone."""
        return self._owners.pod(reader.group.pod, self._at[reader.group.name])

    def _has_ended(self, reader: PodReader) -> bool:
        """Whether a pod is gone, and has not been scraped after the period."""
        pod = reader.group.pod
        is_gone = pod is not None and pod not in self._later and self._there(reader) is None
        return is_gone and reader.presence.may_be_cut

    def _alive(self, reader: PodReader, last_moment: float) -> tuple[float, float] | None:
        """From when to when in the period a pod that is there has run; None for one that is gone."""
        name, there = reader.group.name, self._there(reader)
        # What becomes of a pod that is scraped by its name as well is told there.
        is_told = reader.group.pod is None and any(name in at for other, at in self._at.items() if other != name)
        began = _owners.started_at(there) if there is not None and not is_told else None
        return None if began is None or began >= last_moment else (max(began, self.start), last_moment)

    def _doubts_of_unscraped(self, last_moment: float) -> list[Doubt]:
        """The sidecars that are there and were not scraped at all in the period."""
        there = [self._there(reader) for reader in self._readers.values()]
        known = {_gateway.name_of(pod) for pod in there if pod is not None}
        found = []
        for sidecar in _gateway.sidecars(self._owners.pods):
            began = _owners.started_at(sidecar.pod)
            if sidecar.name not in known and began is not None and began < last_moment:
                for span in Presence(self.start).ended((max(began, self.start), last_moment)):
                    found.append(_doubts.of_gap(sidecar.name, span, 0.0, last_moment))
        return found
