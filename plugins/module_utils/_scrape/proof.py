# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Proves on live targets that each sidecar is scraped once, and that what it exposes is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .. import _progress
from .._errors import MeteringError
from .._gateway import reader
from .._gateway import sidecar as _sidecar
from .._gateway import unmetered as _unmetered
from .._gateway.exposition import TokenSum
from .._gateway.sidecar import Sidecar
from .._gateway.unmetered import Unmetered
from .._kubernetes.client import Cluster
from .._prometheus import replica as _replica
from .._prometheus.api import NotLetInError, NotServedError
from .._prometheus.replica import Replica, Watch
from . import live_targets, scrapers, sources, stored_tokens
from .context import View
from .live_targets import Verdict


@dataclass
class Seen:
    """What was seen on the live targets, last."""

    sidecars: list[Sidecar]
    verdicts: dict[str, Verdict]
    """By replica; empty where none could be asked."""
    replicas: list[Replica] = field(default_factory=list)
    """The running replicas."""
    still: str = ""
    """What is not right yet."""
    by_series: bool = False
    """Whether series had to stand in for targets."""
    unmetered: list[Unmetered] = field(default_factory=list)
    """Proxies that serve without a sidecar."""
    exposed: dict[str, list[TokenSum]] = field(default_factory=dict)
    """What the sidecars exposed once their targets were right, by namespace/pod."""
    unstored: dict[str, int] = field(default_factory=dict)
    """By pod, how many tokens of that are not stored."""
    silent: MeteringError | None = None
    """Why the store could not be asked what is stored; None where it could."""

    def problems(self, strict: bool) -> list[str]:
        """What is wrong with the targets; unless it is strict, a sidecar may be scraped several times."""
        return [
            f"{name}: {problem}"
            for name, verdict in sorted(self.verdicts.items())
            for problem in (verdict.problems() if strict else verdict.losses())
        ]


def wait_until_scraped_once(
    cluster: Cluster, view: View, timeout: int, strict: bool, scope: Sequence[str] = ()
) -> Seen:
    """What seen_within() has; MeteringError when the time was not enough."""
    seen = seen_within(cluster, view, timeout, strict, scope)
    if seen.still and not seen.verdicts:
        raise not_known(view, seen)
    if seen.still and seen.unmetered and not seen.problems(strict):
        raise MeteringError(
            f"{'; '.join(map(str, seen.unmetered))}.",
            "The tokens that these proxies serve are not counted and not billed.",
            " ".join(dict.fromkeys(filter(None, (item.advice for item in seen.unmetered)))),
            "; ".join(dict.fromkeys(filter(None, (item.command for item in seen.unmetered)))),
        )
    if seen.still and seen.silent is not None:
        raise seen.silent
    if seen.still and seen.unstored:
        raise not_stored(view, seen)
    if seen.still:
        pools = sorted({pool for verdict in seen.verdicts.values() for pool in verdict.pools})
        # Only of several: one that scrapes alone must not be taken out.
        doubling = {pool for verdict in seen.verdicts.values() for own in verdict.doubled.values() for pool in own}
        by_hand = sorted(pool for pool in doubling if not sources.is_of_an_object(pool))
        raise MeteringError(
            f"Prometheus {view.scraper.name} does not scrape each sidecar once; after {timeout} s it still waits for "
            f"{seen.still.rstrip('.')}.",
            f"Tokens are lost or counted twice. The scrape pools seen are: {', '.join(pools) or 'none'}.",
            f"Remove the job {', '.join(by_hand)}, which comes from no object, from the scrape configuration of "
            f"{view.scraper.name}."
            if by_hand
            else "A pool podMonitor/NAMESPACE/NAME/0 is the PodMonitor of that name.",
            view.scraper.edit if by_hand and view.scraper.namespace else "kubectl get podmonitor -A",
        )
    return seen


def not_known(view: View, seen: Seen) -> MeteringError:
    """The error where nobody answered: what is scraped is not known, and not said to be wrong."""
    where = f"kubectl -n {view.scraper.namespace} get pod" if view.scraper.namespace else ""
    return MeteringError(
        f"{view.scraper.kind} {view.scraper.name} could not be queried: {seen.still.rstrip('.')}.",
        "Whether each sidecar is scraped once is not known.",
        "See that it answers, then run this again.",
        where,
    )


def not_stored(view: View, seen: Seen) -> MeteringError:
    """The error where sidecars are scraped and what they have counted is not stored."""
    pods = [
        f"{pod} exposes {stored_tokens.total_of(seen.exposed[pod])} tokens, of which {lacking} are not stored"
        for pod, lacking in sorted(seen.unstored.items())
    ]
    pools = sorted({pool for verdict in seen.verdicts.values() for pool in verdict.pools})
    return MeteringError(
        f"{'; '.join(pods)}, although {view.scraper.kind} {view.scraper.name} scrapes them with success.",
        "Tokens that are not stored cannot be billed.",
        "Look for what drops or renames samples named gen_ai_client_token_usage: metricRelabelings of "
        f"{', '.join(pools) or 'the scrape'}, the scrape class, a write filter, limits on samples and labels.",
        "kubectl get podmonitor -A -o yaml",
    )


def seen_within(cluster: Cluster, view: View, timeout: int, strict: bool, scope: Sequence[str] = ()) -> Seen:
    """What each replica shows once all is right or the time is over.

    Unless it is strict, a sidecar may be scraped several times.
    """
    seen = Seen(view.sidecars, {})
    watch = _replica.Watch(
        lambda target: live_targets.may_matter(target, seen.sidecars),
        lambda: {sidecar.pod["metadata"]["namespace"] for sidecar in seen.sidecars},
    )
    expected = _unmetered.gateways_of(reader.read_routes(cluster))
    # The first look was a moment ago.
    looks = iter([view.pods])

    def missing() -> str:
        pods = next(looks, None) or reader.read_proxy_pods(cluster)
        seen.sidecars = _sidecar.in_scope(_sidecar.sidecars_of(pods), scope)
        _sidecar.require_sidecars(seen.sidecars, scope)
        seen.unmetered = _unmetered.unmetered_pods(pods, expected, scope)
        seen.unstored, seen.silent = {}, None
        try:
            seen.replicas = view.backend.scraping()
            seen.verdicts = {replica.name: verdict_of(replica, seen, watch) for replica in seen.replicas}
        except (NotLetInError, NotServedError):  # waiting does not help
            raise
        except MeteringError as error:  # it restarts, or is slow: the timeout is for that as well
            seen.verdicts = {}
            return error.found
        problems = seen.problems(strict)
        wanted = len(seen.sidecars) * len(seen.verdicts)
        right = wanted - len(problems)
        told = f"{right} of {wanted} targets to be right: {'; '.join(problems)}" if problems else ""
        if not told:
            told = "; ".join(withdrawn(cluster, view, seen))
        if not told:
            told = still_unstored(cluster, view, seen)
        return "; ".join(filter(None, [told, *map(str, seen.unmetered)]))

    seen.still = _progress.wait(f"scrape by {view.scraper.name}", missing, timeout)
    return seen


def withdrawn(cluster: Cluster, view: View, seen: Seen) -> list[str]:
    """The scrape pools that go on only until Prometheus reloads: their object is gone, or not selected any more."""
    found = []
    for pool in sorted({pool for verdict in seen.verdicts.values() for pool in verdict.pools}):
        origin = sources.object_of(pool)
        if origin is None or origin[0] not in view.scraper.known.selectors:
            continue
        kind, namespace, name = origin
        if not view.monitoring.has_read(namespace):
            continue
        known = scrapers.MONITOR_KINDS[kind]
        monitor = cluster.get(known.api, known.plural, namespace, name)
        if monitor is None:
            found.append(f"{kind} {namespace}/{name} is gone; its targets disappear at the next reload")
        elif not view.scraper.selects(kind, monitor):
            found.append(f"{kind} {namespace}/{name} is no longer selected; its targets disappear at the next reload")
    return found


def still_unstored(cluster: Cluster, view: View, seen: Seen) -> str:
    """What the sidecars exposed when their targets were right, and is not stored yet."""
    if not view.backend.has_a_store:
        return ""
    if not seen.exposed:
        seen.exposed, dummy = reader.read_readable_token_sums(cluster, seen.sidecars)
    counted = [sidecar for sidecar in seen.sidecars if seen.exposed.get(sidecar.name)]
    if not counted:
        return ""
    try:
        stored = [stored_tokens.read_stored_tokens(replica, counted) for replica in view.backend.storing(seen.replicas)]
    except (NotLetInError, NotServedError):  # waiting does not help
        raise
    except MeteringError as error:
        seen.silent = error
        return error.found
    for sidecar in counted:
        lacking = stored_tokens.unstored_of(sidecar, seen.exposed[sidecar.name], stored)
        if lacking:
            seen.unstored[sidecar.name] = lacking
    told = [f"{pod} to have {lacking} more tokens stored" for pod, lacking in sorted(seen.unstored.items())]
    return "; ".join(told)


def verdict_of(replica: Replica, seen: Seen, watch: Watch) -> Verdict:
    """The verdict on one replica; the running configuration is read once what it can change is left to judge."""
    try:
        targets = watch.targets(replica)
    except NotServedError:
        seen.by_series = True
        targets = _replica.targets_of_up(replica, {sidecar.port for sidecar in seen.sidecars})
    verdict = live_targets.judge_targets(targets, seen.sidecars)
    judged = verdict.doubled or verdict.is_right
    return live_targets.judge_targets(targets, seen.sidecars, watch.metric_rules(replica)) if judged else verdict
