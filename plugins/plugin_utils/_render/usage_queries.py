# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Queries of dashboards: what was used in the time before each point.

They are estimates, because increase() extrapolates to the ends of its window. Two things they do not get wrong:

- A counter is counted once, by however many monitors its pod is scraped.
- The first request of a new series counts. increase() sees growth between samples only, and the first sample of a
  counter has that request in it already. So a series that was not stored before the window counts with all that it has:

      window      09:00        10:00        increase()   here
      series A    100 .. 160                60           60     it was there before 09:00
      series B    - .. 40 (09:50) .. 70     30           70     it is new: 40 was its first sample

  A series that was not scraped for a long time before the window is taken for new, and counts too much in it once.

Pure: no input or output, no Ansible.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ...module_utils import _names
from ...module_utils._prometheus.promql import label, with_label_from
from ...module_utils._prometheus.token_metric import Form, deduplicated, of_sidecars

# The label that the model has in results, in whichever form it is stored.
MODEL = _names.REQUEST_MODEL_LABELS[0]
# For how long before a window a series is looked for, by the window's length.
LOOK_BACK = {"1h": "6h"}
LONGEST_LOOK_BACK = "1d"
# What the gateway measures besides tokens, in both spellings (OpenTelemetry's names, with the unit as a suffix).
LATENCIES = ("request.duration", "time_to_first_token", "time_per_output_token")


@dataclass(frozen=True)
class UsageQueries:
    """What can be asked of the metric, in every form in which it is stored."""

    stored: Sequence[Form]
    ports: Collection[int]
    """Those at which sidecars serve their metrics."""
    filters: tuple[str, ...] = ()
    """Matchers of every query."""
    model_values: str = ""
    """What the model has to match, as a string of PromQL; empty for any."""
    look_back: str = ""
    """For how long before a window a series is looked for; by default by the window's length."""
    names_provider: bool = False
    """Whether the provider stands under one label, too, in whichever form it is stored."""

    @property
    def ours(self) -> str:
        """A matcher of sidecars."""
        return of_sidecars(self.ports)

    def tokens(self, window: str, types: Sequence[str] = _names.TOTAL_TOKEN_TYPES, *matchers: str) -> str:
        """How many tokens of some types each series has counted in a window, each token once."""
        return self._everywhere(
            lambda form: [
                self._grown(form, window, *kinds, *matchers, requests=False) for kinds in form.totals(tuple(types))
            ]
        )

    def tokens_of_part(self, window: str, part: str) -> str:
        """How many tokens of one type, which may be a part of another."""
        return self._everywhere(lambda form: [self._grown(form, window, form.of_types((part,)), requests=False)])

    def requests(self, window: str) -> str:
        """How many requests each series has counted in a window: each is counted once for each type."""
        return self._everywhere(lambda form: [self._grown(form, window, form.of_types(("input",)), requests=True)])

    def now(self) -> str:
        """The series that there are, and how long ago each was scraped."""
        return self._everywhere(lambda form: [form.selector(self.ours, *self._matchers(form))])

    def latency(self, name: str, quantile: float, window: str) -> str:
        """How long something took (seconds), by model, for a share of the requests."""
        spelled = name.replace(".", "[._]")
        pattern = f"gen_ai[._]server[._]{spelled}(_seconds)?"
        found = []
        for family in sorted({form.family for form in self.stored}):
            model = _names.REQUEST_MODEL_LABELS[family]
            own = [self.ours, *self.filters, *self._model_matcher(model)]
            for is_native in sorted({form.is_native for form in self.stored if form.family == family}):
                suffix, by = ("", label(model)) if is_native else ("_bucket", f"le, {label(model)}")
                rate = f"rate({{{','.join((f'__name__=~{chr(34)}{pattern}{suffix}{chr(34)}', *own))}}}[{window}])"
                found.append(_with_model(f"histogram_quantile({quantile}, sum by ({by}) ({rate}))", model))
        return " or ".join(found)

    def _everywhere(self, parts: Callable[[Form], list[str]]) -> str:
        """An expression over every form in which the metric is stored, the model under one label."""
        return " or ".join(self._named(part, form) for form in self.stored for part in parts(form))

    def _named(self, expression: str, form: Form) -> str:
        """An expression of a form with the labels of the present generation."""
        found = _with_model(expression, form.model)
        own, present = _names.PROVIDER_LABELS[form.family], _names.PROVIDER_LABELS[0]
        return with_label_from(found, present, own) if self.names_provider and own != present else found

    def _model_matcher(self, model: str) -> list[str]:
        return [f"{label(model)}=~{self.model_values}"] if self.model_values else []

    def _matchers(self, form: Form) -> list[str]:
        return [*self.filters, *self._model_matcher(form.model)]

    def _grown(self, form: Form, window: str, *matchers: str, requests: bool) -> str:
        own = (self.ours, *matchers, *self._matchers(form))
        counts = form.of_requests() if requests and not form.is_native else form
        selector = counts.selector(*own)
        before = (
            f"last_over_time({selector}[{self.look_back or LOOK_BACK.get(window, LONGEST_LOOK_BACK)}] offset {window})"
        )
        if not form.is_native:
            grown = f"increase({selector}[{window}]) and {before} or max_over_time({selector}[{window}])"
            return deduplicated(grown)
        part = "histogram_count" if requests else "histogram_sum"
        grown = f"{part}(increase({selector}[{window}]) and {before}) or {part}(last_over_time({selector}[{window}]))"
        return deduplicated(grown)


def _with_model(expression: str, stored: str) -> str:
    return expression if stored == MODEL else with_label_from(expression, MODEL, stored)
