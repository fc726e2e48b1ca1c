# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What token_usage_info returns: what was used in a period, and what cannot be known of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _calendar, _names
from .._errors import MeteringError, doc_of
from .._gateway import reader as _reader
from .._gateway import sidecar as _sidecar
from .._gateway.sidecar import Sidecar
from .._kubernetes.client import Cluster
from .._prometheus.replica import Replica
from .._scrape import context, stored_tokens
from .._scrape.backend import Backend
from .._usage import kept_answers
from .._usage import owners as _owners
from .._usage.doubts import Doubt, gravest_first, utc
from .._usage.owners import Owners
from .._usage.period import Period
from .._usage.store import Store
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


def check_selection(matchers: Mapping[str, str], dimensions: Sequence[str]) -> None:
    """Refuse what selects no series, or groups no rows.

    Raises:
        MeteringError: it names what is wrong.
    """
    for name in matchers:
        if not re.fullmatch(r"[a-zA-Z_]\w*", name):
            raise MeteringError(
                f"{name!r} among the matchers is not a valid label name.",
                "Prometheus cannot select series by it.",
                "Correct report_matchers.",
                doc_of("report"),
            )
    unknown = [name for name in dimensions if name not in DIMENSIONS]
    if unknown:
        raise MeteringError(
            f"by has {', '.join(unknown)}. Its valid values are {', '.join(DIMENSIONS)}.",
            "Rows can be grouped only by these.",
            "Correct report_by.",
            doc_of("report"),
        )
    if not dimensions:
        raise MeteringError(
            "by is empty.", "Rows must be grouped by something.", "Set report_by, or leave it out.", doc_of("report")
        )


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Read, follow, sum: what token_usage_info returns."""
    options = module.params
    start, end = time_with_zone(options["start"], "start"), time_with_zone(options["end"], "end")
    if end <= start:
        raise MeteringError(
            f"The period ends ({options['end']}) before it begins ({options['start']}).",
            "Nothing can be used in it.",
            "Set start before end.",
        )
    matchers = {str(name): str(value) for name, value in options["matchers"].items()}
    check_selection(matchers, options["by"])
    pods = _reader.read_proxy_pods(cluster)
    sidecars = _sidecar.sidecars_of(pods)
    dummy, backend = context.select_backend(module, cluster, sidecars)
    days = _calendar.days_of_period(start, end, options["zone"])
    replicas = backend.storing()
    now = time.time()
    answers = kept_answers.Answers(options["cache"]) if options["cache"] else None
    kept = (
        replicas if answers is None else kept_answers.with_kept_answers(replicas, answers, owner(cluster, backend), now)
    )
    store = Store(
        kept,
        {_names.ADMIN_PORT, *(sidecar.port for sidecar in sidecars)},
        matchers,
        is_sharded=backend.scraper.is_sharded,
    )
    period = Period(store, start, end, now, Owners(pods, workloads(cluster)))
    by = options["by"]
    sums = Sums(by, [Usage() for dummy in days], period.gateway)
    period.read(sums, [(begin, until) for dummy, begin, until in days])
    found = [*period.doubts(sums), *present_doubts(cluster, replicas, sidecars, end), *doubts_of_limits(cluster)]
    if answers is not None:
        answers.close()
    return {
        "changed": False,
        "prometheus": backend.scraper.name,
        # To the fraction: who asks again for these times is told the same.
        "start": utc(start).isoformat(),
        "end": utc(end).isoformat(),
        "by": list(by),
        "rows": [{**dict(zip(by, key, strict=True)), **usage_to_result(own)} for key, own in sorted(sums.used.items())],
        "days": [{"date": day[0], **usage_to_result(own)} for day, own in zip(days, sums.days, strict=True)],
        **usage_to_result(sums.whole),
        "doubts": gravest_first(found),
        "doubtful_tokens": round(sum(doubt.tokens for doubt in found)),
    }


def owner(cluster: Cluster, backend: Backend) -> str:
    """What tells a store from any other, also from one that was made anew under its name."""
    asked = {key: backend.options.get(key) for key in ("url", "service")}
    uid = backend.scraper.document["metadata"].get("uid", "")
    return json.dumps([cluster.server, backend.scraper.identity, uid, asked])


def usage_to_result(used: Usage) -> dict[str, Any]:
    """What was used, as it is returned."""
    tokens = {kind: count for kind, count in sorted(used.tokens.items()) if count}
    beside = {kind: count for kind, count in sorted(used.beside.items()) if count}
    return {"tokens": tokens, "beside": beside, "total": used.total, "requests": used.requests}


def time_with_zone(text: str, name: str) -> float:
    """A time in ISO 8601 with its zone, as Unix seconds.

    Raises:
        MeteringError: it is none, or has no zone.
    """
    return _calendar.parse_time(text, name).timestamp()


def workloads(cluster: Cluster) -> list[_owners.Workload]:
    """The proxies' workloads that are there, also those that own no pod any more."""
    kinds = {"Deployment": "deployments", "DaemonSet": "daemonsets", "ReplicaSet": "replicasets"}
    return [
        _owners.workload_of(kind, item)
        for kind, plural in kinds.items()
        for item in cluster.list(_reader.APPS, plural, labels=_names.PROXY_LABELS)
    ]


def doubts_of_limits(cluster: Cluster) -> list[Doubt]:
    """That not all namespaces are read, where that is so."""
    if not cluster.limits:
        return []
    unknown = "Of a pod there it is not known whether it runs, nor since when: what is said of its end may be wrong."
    return [Doubt(f"{cluster.limits} {unknown}")]


def present_doubts(
    cluster: Cluster, replicas: Sequence[Replica], sidecars: Sequence[Sidecar], end: float
) -> list[Doubt]:
    """What sidecars show at present, and nobody has stored: it is in no bill, or comes late."""
    asked = [item for item in sidecars if (_owners.started_at(item.pod) or 0.0) < end]
    samples, silent = _reader.read_readable_token_sums(cluster, asked)
    counted = [item for item in asked if samples.get(item.name)]
    found = [
        Doubt(f"The counters of {name} could not be read, so it is not known if they are stored: {error.found}")
        for name, error in silent.items()
    ]
    if not counted:
        return found
    # In the end it is billed, however long ago the last scrape was.
    stored = [stored_tokens.read_stored_tokens(replica, counted, "1h") for replica in replicas]
    for sidecar in counted:
        own = samples[sidecar.name]
        lacking = stored_tokens.unstored_of(sidecar, own, stored)
        if lacking:
            shows = stored_tokens.total_of(own)
            found.append(
                Doubt(
                    f"{sidecar.name} shows {shows} tokens at present, of which {lacking} are not stored: they are not "
                    "in this report. The next scrape may store them. If not, ansible-playbook aigateway.metering.check "
                    "shows more.",
                    lacking,
                )
            )
    return found
