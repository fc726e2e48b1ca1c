# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Whether what sidecars expose is stored: whatever drops it on the way, a bill of zero is no proof of no usage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .. import _names
from .._gateway import exposition
from .._gateway.exposition import TokenSum
from .._gateway.sidecar import Sidecar
from .._prometheus import identity, promql
from .._prometheus.replica import Replica


class Item(NamedTuple):
    """A stored token sum."""

    labels: Mapping[str, str]
    tokens: float


def value_of(item: Mapping[str, Any]) -> float:
    """The tokens of a series of an instant query's answer, be it a native histogram."""
    if "histogram" in item:
        return float(item["histogram"][1]["sum"])
    return float(item["value"][1])


class StoredTokens:
    """The token sums that a replica has stored of some sidecars."""

    def __init__(self, sidecars: Sequence[Sidecar], items: Iterable[Item]) -> None:
        self._pods = Counter(sidecar.pod["metadata"]["name"] for sidecar in sidecars)
        self._named: dict[str, list[Item]] = {}
        """By the name of the pod."""
        self._unnamed: dict[str, list[Item]] = {}
        """Those of scrapes that do not say the pod, by their address."""
        for item in items:
            pod = item.labels.get("pod", "")
            found, key = (self._named, pod) if pod else (self._unnamed, item.labels.get("instance", ""))
            found.setdefault(key, []).append(item)

    def of_sidecar(self, sidecar: Sidecar) -> list[Item]:
        """Those of one sidecar: by its pod's namespace and name, or by its address; by a name alone that is the only.

        A platform may enforce another namespace, and a monitor another instance.
        """
        metadata = sidecar.pod["metadata"]
        is_only = self._pods[metadata["name"]] == 1
        named = (
            item
            for item in self._named.get(metadata["name"], ())
            if is_only
            or item.labels.get("namespace", "") == metadata["namespace"]
            or item.labels.get("instance", "") == sidecar.address
        )
        return [*named, *self._unnamed.get(sidecar.address, ())]


def read_stored_tokens(replica: Replica, sidecars: Sequence[Sidecar], within: str = "") -> StoredTokens:
    """What a replica has stored of some sidecars, last: within such a time, or as it is at present."""
    name = f'__name__=~"{_names.STORED_SUM_PATTERN}"'
    # One pod's name may be in two parts, in two namespaces.
    found: dict[frozenset[tuple[str, str]], Item] = {}
    for part in promql.in_parts(sidecars):
        pods = promql.alternatives(sidecar.pod["metadata"]["name"] for sidecar in part)
        addresses = promql.alternatives(sidecar.address for sidecar in part)
        asked = (f"{{{name},pod=~{pods}}}", f'{{{name},pod="",instance=~{addresses}}}')
        text = " or ".join(f"last_over_time({own}[{within}])" if within else own for own in asked)
        for item in replica.query(text):
            found[frozenset(item["metric"].items())] = Item(item["metric"], value_of(item))
    return StoredTokens(sidecars, found.values())


def total_of(samples: Sequence[TokenSum]) -> int:
    """Input and output tokens of samples."""
    return round(sum(sample.tokens for sample in samples if exposition.in_total(sample)))


def unstored(samples: Sequence[TokenSum], items: Sequence[Item]) -> int:
    """How many tokens that a sidecar exposes nobody has stored: of series that are missing as a whole.

    A value that is older is none: it is that of the last scrape. Where a scrape edits labels, its series are not those
    that are exposed; then all of its tokens count.

    Args:
        samples: what the sidecar exposes.
        items: what is stored of it.
    """
    known = [set(identity.identity_of(item.labels, None, "")) for item in items]
    missing = sum(
        sample.tokens
        for sample in samples
        if exposition.in_total(sample) and sample.tokens and not _is_known(sample, known)
    )
    by_scrape: dict[tuple[tuple[str, str], ...], float] = {}
    for item in items:
        if exposition.in_total(TokenSum(item.labels, item.tokens)):
            scrape = tuple((name, item.labels[name]) for name in _names.SCRAPE_LABELS if name in item.labels)
            by_scrape[scrape] = by_scrape.get(scrape, 0.0) + item.tokens
    return round(max(0.0, min(missing, total_of(samples) - max(by_scrape.values(), default=0.0))))


def unstored_of(sidecar: Sidecar, samples: Sequence[TokenSum], stored: Sequence[StoredTokens]) -> int:
    """How many tokens that a sidecar exposes no replica has stored: what one lacks another may have.

    Args:
        sidecar: the sidecar.
        samples: what it exposes.
        stored: by replica, what is stored of it and others.
    """
    return min(unstored(samples, found.of_sidecar(sidecar)) for found in stored)


def _is_known(sample: TokenSum, known: Sequence[set[tuple[str, str]]]) -> bool:
    own = set(identity.identity_of(sample.labels, {}, ""))
    return any(own <= labels for labels in known)
