# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What the generations of the AI gateway name differently, in one table.

Behaviour follows from what is detected, not from a version: all names of the table are looked for. The version, where
an image's tag tells it, is for a person to read. Source: envoyproxy/ai-gateway, tags v0.2.0 to v1.1.0
(internal/internalapi, internal/metrics, internal/controller/gateway_mutator.go, manifests/charts).
Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Generation:
    """One generation of the gateway."""

    version: str
    """major.minor; the last one stands for those that follow as well."""
    port_names: tuple[str, ...]
    """The names of the sidecar's one port."""
    port_flag: str
    """The sidecar's flag for its number."""
    header_flag: str
    """The flag that maps headers to labels of metrics; empty where there is none."""
    base_flag: str
    """The flag that maps them for metrics, spans and logs alike; empty where there is none."""
    usage: str
    """The token metric as Prometheus 3 stores it."""
    exposed: str
    """The token metric as the sidecar exposes it to whoever does not ask for UTF-8 names."""
    token_types: tuple[str, ...]
    rolls_itself: bool = False
    """Whether the controller restarts the proxies when the mapping changes (envoyproxy/ai-gateway#2395, #2427)."""

    @property
    def is_dotted(self) -> bool:
        """Whether the stored names of metric and labels have dots in them."""
        return "." in self.usage


_DOTTED, _LONG, _SHORT = (
    "gen_ai.client.token.usage_token",
    "gen_ai_client_token_usage_token",
    "gen_ai_client_token_usage",
)
_ATTRIBUTES = "metricsRequestHeaderAttributes"
# v0.4 still reads this one, as long as the other is empty.
_LABELS = "metricsRequestHeaderLabels"
_METRICS, _ADMIN, _BASE = "aigw-metrics", "aigw-admin", "requestHeaderAttributes"
_CACHED = ("input", "output", "cached_input")
_CREATION = (*_CACHED, "cache_creation_input")
_ALL = (*_CREATION, "reasoning")

TABLE = (
    Generation(
        "0.2", (_METRICS,), "metricsPort", "", "", "gen_ai.client.token.usage", _SHORT, ("input", "output", "total")
    ),
    Generation("0.3", (_METRICS,), "metricsPort", _LABELS, "", _DOTTED, _LONG, ("input", "output", "total")),
    Generation("0.4", (_ADMIN, _METRICS), "adminPort", _ATTRIBUTES, "", _DOTTED, _LONG, _CACHED),
    Generation("0.5", (_ADMIN,), "adminPort", _ATTRIBUTES, "", _SHORT, _SHORT, _CREATION),
    Generation("0.6", (_ADMIN,), "adminPort", _ATTRIBUTES, _BASE, _SHORT, _SHORT, _ALL),
    Generation("1.0", (_ADMIN,), "adminPort", _ATTRIBUTES, _BASE, _SHORT, _SHORT, _ALL),
    Generation("1.1", (_ADMIN,), "adminPort", _ATTRIBUTES, _BASE, _SHORT, _SHORT, _ALL, rolls_itself=True),
)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Those that are not empty, the newest generation's first."""
    return tuple(dict.fromkeys(value for value in values if value))


_NEWEST_FIRST = TABLE[::-1]
HEADER_FLAGS = _distinct(item.header_flag for item in _NEWEST_FIRST)
PORT_FLAGS = _distinct(item.port_flag for item in _NEWEST_FIRST)
# Every name of the token sum, stored or exposed.
USAGE_SUMS = tuple(f"{name}_sum" for name in _distinct(n for i in _NEWEST_FIRST for n in (i.usage, i.exposed)))


def usage_sums(port_names: Iterable[str]) -> tuple[str, ...]:
    """The names of the token sum in the generations that give these names to the sidecar's port; else all of them."""
    ports = set(port_names)
    of_ports = [item for item in TABLE if set(item.port_names) == ports & {_METRICS, _ADMIN}]
    found = tuple(f"{name}_sum" for name in _distinct(name for item in of_ports for name in (item.usage, item.exposed)))
    return found or USAGE_SUMS


# The mapping's key in the chart's values, by the flag that it becomes.
VALUES_KEYS = {flag: f"controller.{flag}" for flag in HEADER_FLAGS}
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\D|\Z)")


def _numbers(version: str) -> tuple[int, int]:
    match = _VERSION.match(version)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def of_version(version: str) -> Generation | None:
    """The generation of an image's tag, or None where the tag is no version or one older than all."""
    numbers = _numbers(version)
    older = [item for item in TABLE if _numbers(item.version) <= numbers]
    return older[-1] if older else None


def is_newer(version: str) -> bool:
    """Whether a tag's version is newer than all that is known."""
    return _numbers(version) > _numbers(TABLE[-1].version)
