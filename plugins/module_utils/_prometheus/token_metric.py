# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""The forms in which the token metric is stored, as PromQL asks for them.

Pure: no input or output, no Ansible.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from .. import _names
from . import token_types
from .promql import LEGACY_NAME, label, quoted, with_label_from

# What the present generation exposes, for a dashboard that is made before the first request.
DEFAULT_METRIC = "gen_ai_client_token_usage_sum"


@dataclass(frozen=True)
class Form:
    """One form in which the token metric is stored: its names are of one family, and its histogram of one kind."""

    metrics: tuple[str, ...]
    family: int = 0
    """The index of its names in the tables of _names."""
    is_native: bool = False
    """Whether it is a native histogram, which has sum and count in one."""

    @property
    def token_type(self) -> str:
        return _names.TOKEN_TYPE_LABELS[self.family]

    @property
    def model(self) -> str:
        return _names.REQUEST_MODEL_LABELS[self.family]

    @property
    def is_old(self) -> bool:
        """Whether it is of a generation that may count parts beside their whole."""
        return any(map(token_types.is_old, self.metrics))

    def selector(self, *matchers: str) -> str:
        """A series selector for the metric under all names of this form."""
        if len(self.metrics) == 1 and LEGACY_NAME.match(self.metrics[0]):
            return f"{self.metrics[0]}{{{','.join(matchers)}}}"
        if len(self.metrics) == 1:
            return f"{{{','.join((f'__name__={quoted(self.metrics[0])}', *matchers))}}}"
        pattern = "|".join(re.escape(name) for name in self.metrics)
        return f"{{{','.join((f'__name__=~{quoted(pattern)}', *matchers))}}}"

    def over(self, function: str, window: str, *matchers: str) -> str:
        """A function such as rate over the tokens of each series."""
        expression = f"{function}({self.selector(*matchers)}[{window}])"
        return f"histogram_sum({expression})" if self.is_native else expression

    def requests_over(self, function: str, window: str, *matchers: str) -> str:
        """A function such as rate over the requests of each series."""
        if self.is_native:
            return f"histogram_count({function}({self.selector(*matchers)}[{window}]))"
        return self.of_requests().over(function, window, *matchers)

    def of_requests(self) -> Form:
        """The form in which the requests beside the tokens of a classic histogram are stored."""
        return Form(tuple(name.removesuffix("_sum") + "_count" for name in self.metrics), self.family)

    def with_model_as(self, name: str, expression: str) -> str:
        """An expression whose result has the model under a label of that name."""
        return expression if name == self.model else with_label_from(expression, name, self.model)

    def of_types(self, types: Collection[str]) -> str:
        """A matcher of token types."""
        sign = "=" if len(types) == 1 else "=~"
        return f'{label(self.token_type)}{sign}"{"|".join(types)}"'

    def totals(self, wholes: Sequence[str] = _names.TOTAL_TOKEN_TYPES) -> list[tuple[str, ...]]:
        """Matchers, each alternative for itself: what adds up to the whole of some types, each token once."""
        found: list[tuple[str, ...]] = [(self.of_types(wholes),)]
        parts = [part for part in token_types.MAY_BE_BESIDE if token_types.WHOLE_OF[part] in wholes]
        if self.is_old and parts:
            provider, operation = (
                label(names[self.family]) for names in (_names.PROVIDER_LABELS, _names.OPERATION_LABELS)
            )
            own = self.of_types(parts)
            beside = quoted("|".join(map(re.escape, token_types.BESIDE_PROVIDERS)))
            apart = quoted("|".join(map(re.escape, token_types.BESIDE_OPERATIONS)))
            found.append((own, f"{operation}=~{apart}"))
            found.append((own, f"{operation}!~{apart}", f"{provider}=~{beside}"))
        return found


def forms(metrics: Sequence[str]) -> tuple[Form, ...]:
    """The forms in which the metric is stored; the present generation's where nothing is stored yet.

    Several stand side by side in a Prometheus's retention: after an upgrade of the gateway from v0.4 or below, or
    of the Prometheus to native histograms.
    """
    found = sorted(metrics) or [DEFAULT_METRIC]
    by_form: dict[tuple[int, bool], list[str]] = {}
    for name in found:
        by_form.setdefault((_names.family_of(name), not name.endswith("_sum")), []).append(name)
    return tuple(Form(tuple(names), family, native) for (family, native), names in sorted(by_form.items()))


# The address of a sidecar stays: it tells one from another.
ADDED_BY_SCRAPE = ", ".join(name for name in _names.SCRAPE_LABELS if name != "instance")


def of_sidecars(ports: Iterable[int]) -> str:
    """A matcher for what is scraped from sidecars, and not from another application with the same standard metric."""
    return f'instance=~".+:({"|".join(map(str, sorted(ports)))})"'


def deduplicated(expression: str) -> str:
    """Each counter once, by however many scrapes it is stored."""
    return f"max without ({ADDED_BY_SCRAPE}) ({expression})"
