# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What has drifted from what a run of site.yml leaves behind, each with why it matters and the next command.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import _names
from .._errors import Remedy, told
from .._gateway import exposition, mapping
from .._gateway.controller import Controller
from .._gateway.exposition import TokenSum
from .._gateway.label_state import LabelState
from .._gateway.mapping import Pair
from .._gateway.sidecar import Sidecar
from .._gateway.unmetered import Unmetered
from .._kubernetes.objects import name_of
from .._scrape.live_targets import Verdict
from .._scrape.plan import Plan


@dataclass(frozen=True)
class Drift:
    """One thing that is not as it should be."""

    kind: str
    where: str
    """namespace/name, or what else says where."""
    found: str
    why: str
    command: str
    advice: str = ""

    def as_result(self) -> dict[str, str]:
        text = told(f"{self.kind} {self.where}: {self.found}", self.why, self.advice, command=self.command)
        return dataclasses.asdict(self) | {"text": text}


def of_mapping(controller: Controller, sidecars: Sequence[Sidecar], wanted: Iterable[Pair]) -> list[Drift]:
    """The flag against what is wanted, what it was left with, and what sidecars emit; then the stale sidecars."""
    record = controller.record
    mapped = {*controller.pairs, *controller.base}
    emitters: dict[Pair, list[str]] = {}
    for sidecar in sidecars:
        for pair in sidecar.emitted:
            emitters.setdefault(pair, []).append(sidecar.name)
    writer = f"; {controller.flag_writer} wrote the flag last" if controller.flag_writer else ""
    wished = list(wanted)
    expected = dict.fromkeys([*wished, *record.mapping, *emitters])
    found = []
    for pair in expected:
        if pair in mapped or (pair in record.removed and pair not in wished):
            continue
        if pair in emitters:
            found.append(
                Drift(
                    "flag",
                    controller.name,
                    f"The flag lacks the pair {pair}, which {len(emitters[pair])} sidecars still emit{writer}.",
                    "Each of them loses the label at its next restart.",
                    _names.SITE,
                )
            )
        elif pair in record.mapping:
            found.append(
                Drift(
                    "vanished",
                    controller.name,
                    f"The pair {pair} has vanished from the flag and from every sidecar{writer}.",
                    "No sample has its label any more. A chart upgrade without the value causes this.",
                    f"{_names.SITE} -e labels_pairs={mapping.render_mapping(dict.fromkeys([*wished, pair]))}",
                )
            )
        else:
            found.append(
                Drift(
                    "missing",
                    controller.name,
                    f"The flag lacks the wanted pair {pair}.",
                    "No sample carries its label.",
                    _names.SITE,
                )
            )
    return found + [
        Drift(
            "stale",
            sidecar.name,
            f"Its sidecar emits {mapping.render_mapping(sidecar.emitted) or 'nothing'}, the controller has "
            f"{controller.value or 'nothing'}.",
            "It keeps its mapping until it is restarted.",
            _names.SITE,
        )
        for sidecar in sidecars
        if sidecar.is_stale(controller)
    ]


def of_scrape(plan: Plan) -> list[Drift]:
    """What would have to change so that every sidecar is scraped once."""
    found = []
    scraper = plan.prometheus.name
    if plan.create:
        found.append(
            Drift(
                "monitor",
                name_of(plan.create),
                f"No monitor that {scraper} selects covers the sidecars.",
                "The sidecars count tokens, but nothing collects them.",
                _names.SITE,
            )
        )
    if plan.update:
        found.append(
            Drift(
                "monitor",
                name_of(plan.update),
                "The monitor is ours and was edited.",
                "It no longer scrapes the right targets, or not with the right settings.",
                f"{_names.SITE} --diff",
            )
        )
    remedies = {source.title: remedy for source, remedy in plan.left}
    for source in dict.fromkeys([*remedies, *(source.title for source in plan.remove)]):
        remedy = remedies.get(source, Remedy("", _names.SITE))
        found.append(
            Drift(
                "duplicate",
                source,
                f"It scrapes sidecars that {plan.after} scrapes already.",
                "Every token is counted twice.",
                remedy.command,
                remedy.advice,
            )
        )
    if plan.uncovered:
        found.append(
            Drift(
                "uncovered",
                ", ".join(plan.uncovered),
                f"No monitor that {scraper} selects covers these pods.",
                "Their tokens are not collected.",
                f"{_names.SITE} --check",
                "It names the PodMonitor that has to be widened.",
            )
        )
    return found


def of_targets(verdicts: Mapping[str, Verdict]) -> list[Drift]:
    """What the live targets of each Prometheus replica show."""
    found = []
    for replica, verdict in sorted(verdicts.items()):
        logs = "kubectl -n {} logs {} -c " + _names.SIDECAR
        found += [
            Drift(
                "unscraped",
                pod,
                f"Prometheus {replica} has no target for it.",
                "Its tokens are not collected.",
                _names.SITE,
                "If Prometheus has not reloaded, its log shows why.",
            )
            for pod in verdict.missing
        ]
        found += [
            Drift(
                "scraped twice",
                pod,
                f"Prometheus {replica} has {len(pools)} targets for it, in {', '.join(pools)}.",
                "Every token is counted that many times.",
                _names.SITE,
            )
            for pod, pools in verdict.doubled.items()
        ]
        found += [
            Drift(
                "target down",
                pod,
                f"Prometheus {replica} reports its target as {error}.",
                "Its tokens are not collected now. They are lost if it restarts before the target is up again.",
                logs.format(*pod.split("/")),
            )
            for pod, error in verdict.down.items()
        ]
    return found


def of_unmetered(found: Iterable[Unmetered]) -> list[Drift]:
    """Proxies that serve, and whose tokens nobody counts."""
    return [
        Drift(
            "unmetered",
            item.pod,
            f"The pod belongs to Gateway {item.gateway}: {item.why}.",
            "The tokens that it serves are not billed.",
            item.command,
            item.advice,
        )
        for item in found
    ]


def of_unstored(found: Mapping[str, tuple[int, int]], scraper: str) -> list[Drift]:
    """Sidecars that are scraped, and whose tokens are not stored.

    Args:
        found: by pod, how many tokens it exposes, and how many of these are not stored.
        scraper: who scrapes them.
    """
    return [
        Drift(
            "unstored",
            pod,
            f"It exposes {exposed} tokens, of which {lacking} are not stored, although {scraper} scrapes it with "
            "success.",
            "Tokens that are not stored cannot be billed.",
            "kubectl get podmonitor -A -o yaml",
            "Look for what drops or renames the samples: metricRelabelings of its monitor, the scrape class, limits.",
        )
        for pod, (exposed, lacking) in sorted(found.items())
    ]


def of_labels(states: Mapping[str, LabelState], samples: Mapping[str, Sequence[TokenSum]]) -> list[Drift]:
    """Samples without the namespace that is to be billed."""
    label = _names.REQUIRED_PAIR[1]
    unbilled = {
        pod: sum(
            sample.tokens
            for sample in own
            if exposition.in_total(sample) and label not in exposition.labels_with_data([sample])
        )
        for pod, own in samples.items()
    }
    reason = states[label].reason if label in states else "no header is mapped to it"
    return [
        Drift(
            "unbilled",
            pod,
            f"{tokens:.0f} tokens since its start carry no {label}" + (f": {reason}." if reason else "."),
            "They cannot be billed.",
            _names.VERIFY,
            "Find the callers whose token has no such claim, or who use an API key.",
        )
        for pod, tokens in sorted(unbilled.items())
        if tokens
    ]
