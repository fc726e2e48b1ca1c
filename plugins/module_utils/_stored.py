# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""The forms in which the token metric is stored, as PromQL asks for them.

Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ansible_collections.aigateway.metering.plugins.module_utils import _names

LEGACY_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
# What the present generation exposes, for a dashboard that is made before the first request.
DEFAULT_METRIC = "gen_ai_client_token_usage_sum"


def quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def label(name: str) -> str:
    """A label's name in PromQL: Prometheus 3 takes any UTF-8 name in quotes."""
    return name if LEGACY_NAME.match(name) else quoted(name)


@dataclass(frozen=True)
class Form:
    """One form in which the token metric is stored: all of its names underscored, or all dotted."""

    metrics: tuple[str, ...]
    token_type: str
    model: str

    def selector(self, *matchers: str) -> str:
        """A series selector for the metric under all names of this form."""
        if len(self.metrics) == 1 and LEGACY_NAME.match(self.metrics[0]):
            return f"{self.metrics[0]}{{{','.join(matchers)}}}"
        if len(self.metrics) == 1:
            return f"{{{','.join((f'__name__={quoted(self.metrics[0])}', *matchers))}}}"
        pattern = "|".join(re.escape(name) for name in self.metrics)
        return f"{{{','.join((f'__name__=~{quoted(pattern)}', *matchers))}}}"


def forms(metrics: Sequence[str]) -> tuple[Form, ...]:
    """The forms in which the metric is stored; the present generation's where nothing is stored yet.

    Both stand side by side in a Prometheus's retention after an upgrade of the gateway from v0.4 or below.
    """
    found = sorted(metrics) or [DEFAULT_METRIC]
    dotted = tuple(name for name in found if "." in name)
    underscored = tuple(name for name in found if "." not in name)
    return tuple(
        Form(names, _names.TOKEN_TYPE_LABELS[index], _names.REQUEST_MODEL_LABELS[index])
        for index, names in enumerate((underscored, dotted))
        if names
    )


# The address of a sidecar stays: it tells one from another.
ADDED_BY_SCRAPE = ", ".join(name for name in _names.SCRAPE_LABELS if name != "instance")


def of_sidecars(ports: Collection[int]) -> str:
    """A matcher for what is scraped from sidecars, and not from another application with the same standard metric."""
    return f'instance=~".+:({"|".join(map(str, sorted(ports)))})"'


def once(expression: str) -> str:
    """Each counter once, by however many scrapes it is stored."""
    return f"max without ({ADDED_BY_SCRAPE}) ({expression})"
