# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Mappings of request headers to metric labels: how they read, what may be in them, and how they merge.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import _names
from .._errors import MeteringError

# RFC 9110, section 5.6.2: a field name is a token. A comma or a colon would end it inside the flag anyway.
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
# What Prometheus keeps as it is: anything else becomes `_`, and runs of `_` collapse (OpenTelemetry's exporter).
_LABEL = re.compile(r"[a-zA-Z](_?[a-zA-Z0-9])*\Z")


THIS_RUN = "this run"


class Pair(NamedTuple):
    """One header whose value becomes the value of one metric label."""

    header: str
    label: str

    def __str__(self) -> str:
        return f"{self.header}:{self.label}"


def parse_mapping(text: str, where: str) -> list[Pair]:
    """Read a mapping as the gateway does (internal/internalapi, ParseRequestHeaderAttributeMapping).

    Elements are split at commas and trimmed, each split at its first colon and both sides trimmed; of two elements
    with one header the last wins. An empty text is an empty mapping.

    Args:
        text: `header:label,header:label`.
        where: what is being read, for the error.

    Raises:
        MeteringError: an element without a colon or with an empty side; the gateway's binaries refuse to start on it.
    """
    found: dict[str, str] = {}
    if not text.strip():
        return []
    for element in text.split(","):
        header, colon, label = (part.strip() for part in element.partition(":"))
        if not (colon and header and label):
            raise MeteringError(
                f"{where} has the element {element.strip()!r} in its mapping {text!r}.",
                "Every element must be header:label. With anything else, the gateway does not start.",
                "Correct that element, for example x-user-group:department.",
            )
        found[header] = label
    return [Pair(header, label) for header, label in found.items()]


def render_mapping(pairs: Iterable[Pair]) -> str:
    """A mapping as the flag's value. No blanks: one after a colon breaks the chart's rendering."""
    return ",".join(map(str, pairs))


def stored_label(attribute: str) -> str:
    """The label under which the metric carries an attribute (OpenTelemetry's exporter, from v0.5 of the gateway on).

    What is neither letter, digit nor underscore becomes `_`, runs of `_` one, and a leading digit is put behind `key_`.
    """
    name = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_]", "_", attribute))
    return f"key_{name}" if name[:1].isdigit() else name


def is_per_user(pair: Pair) -> bool:
    """Whether a pair makes one series per user."""
    return pair.header in _names.PER_USER_HEADERS or pair.label in _names.PER_USER_LABELS


def _refuse(pair: Pair, found: str, why: str, advice: str) -> MeteringError:
    return MeteringError(f"The pair {str(pair)!r} {found}.", why, advice)


def check_wanted(wanted: Sequence[Pair]) -> None:
    """Refuse pairs that the gateway or Prometheus would not treat as their author means.

    Raises:
        MeteringError: the first pair that is wrong, with the reason.
    """
    header_of: dict[str, str] = {}
    for pair in wanted:
        header, label = pair
        if header.startswith(":"):
            raise _refuse(
                pair,
                f"maps the pseudo-header {header!r}",
                "The gateway cannot map pseudo-headers.",
                "Map an ordinary header that a SecurityPolicy sets.",
            )
        if header != header.lower():
            raise _refuse(
                pair,
                "has upper-case letters in its header",
                "Envoy passes header names in lower case, and the gateway compares them exactly. So this pair would "
                "never match.",
                f"Write {header.lower()}:{label}.",
            )
        if not _HEADER.match(header):
            raise _refuse(
                pair,
                f"has {header!r} as its header",
                "It is not a valid HTTP field name (RFC 9110), so no request can carry it.",
                "Correct the header name; it usually has only letters, digits and hyphens.",
            )
        _check_label(pair)
        if header_of.setdefault(label, header) != header:
            raise MeteringError(
                f"The headers {header_of[label]!r} and {header!r} are both mapped to the label {label!r}.",
                "The gateway would take the value of either, at random.",
                "Give each header a label of its own.",
            )


def _check_label(pair: Pair) -> None:
    label = pair.label
    if not _LABEL.match(label):
        kept = stored_label(label).strip("_")
        hint = f"Write {pair.header}:{kept}." if _LABEL.match(kept) else "Choose another label."
        raise _refuse(
            pair,
            f"has {label!r} as its label",
            "A label has to be letters and digits joined by single underscores, beginning with a letter; Prometheus "
            "would store anything else under another name.",
            hint,
        )
    if label in _names.TARGET_LABELS:
        raise _refuse(
            pair,
            f"has {label!r} as its label",
            f"Prometheus sets that label itself on every target and would rename yours to exported_{label}.",
            f"Choose another label, for example user_{label}.",
        )
    if label in _names.BUILT_IN_LABELS or label.startswith(_names.BUILT_IN_LABEL_PREFIXES):
        raise _refuse(
            pair,
            f"has {label!r} as its label",
            "The gateway itself sets this label, or labels with its prefix. The pair would override them.",
            "Choose another label.",
        )


@dataclass(frozen=True)
class Merge:
    """The mapping that the controller's flag is to carry, and where its pairs come from."""

    pairs: tuple[Pair, ...]
    added: tuple[Pair, ...] = ()
    """Pairs that the caller wants and nobody had."""
    recovered: tuple[Pair, ...] = ()
    """Pairs that sidecars still emit although the controller's flag had lost them."""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each pair, rendered, the names of those that had it."""

    @property
    def value(self) -> str:
        return render_mapping(self.pairs)


@dataclass(frozen=True)
class Record:
    """What is remembered on the controller's Deployment from one run to the next."""

    added: tuple[Pair, ...] = ()
    """Pairs that we added, for whoever takes them back."""
    removed: tuple[Pair, ...] = ()
    """Pairs that we took out: a sidecar that still emits one does not bring it back."""
    mapping: tuple[Pair, ...] = ()
    """The mapping as we left it: a pair of it that is gone was taken by somebody else."""

    def after_merge(self, merged: Merge) -> Record:
        added = dict.fromkeys((*self.added, *merged.added))
        return Record(
            tuple(pair for pair in added if pair in merged.pairs),
            tuple(pair for pair in self.removed if pair not in merged.pairs),
            merged.pairs,
        )

    def after_removal(self, before: Sequence[Pair], merged: Merge, unwanted: Sequence[Pair]) -> Record:
        known = {*before, *self.added}
        removed = dict.fromkeys((*self.removed, *(pair for pair in unwanted if pair in known)))
        return Record(
            tuple(pair for pair in self.added if pair not in unwanted),
            tuple(pair for pair in removed if pair not in merged.pairs),
        )


def _refuse_clash(pair: Pair, source: str, known: Mapping[Pair, str]) -> None:
    """Refuse a pair that cannot be in force together with one that somebody has already."""
    for other, other_source in known.items():
        if other.header == pair.header and other.label != pair.label:
            raise MeteringError(
                f"The header {pair.header!r} is mapped to the label {other.label!r} by {other_source} and to "
                f"{pair.label!r} by {source}.",
                "A header can fill only one label, so one of the two labels would be lost.",
                "Choose one label, set it in the controller's flag and restart the proxies that emit the other.",
            )
        if other.label == pair.label and other.header != pair.header:
            raise MeteringError(
                f"The label {pair.label!r} comes from the header {other.header!r} by {other_source} and from "
                f"{pair.header!r} by {source}.",
                "The gateway would take the value of either, at random.",
                "Give each header a label of its own.",
            )


def merge_mappings(
    controller: Sequence[Pair],
    sidecars: Mapping[str, Sequence[Pair]],
    wanted: Sequence[Pair],
    *,
    base: Sequence[Pair] = (),
    removed: Sequence[Pair] = (),
    consent: bool = False,
) -> Merge:
    """The union of what the controller has, what sidecars emit and what is wanted. No pair is ever lost.

    The controller's pairs keep their order, then those of the sidecars (in the order of their names), then the
    wanted ones. A pair that the base flag provides is not copied: it would override the base flag for ever.

    Args:
        controller: the pairs of the controller's flag.
        sidecars: the pairs that each sidecar emits, by namespace/pod.
        wanted: the pairs to add; checked with check_wanted() first.
        base: the pairs of the base flag.
        removed: pairs that were taken out on purpose: a sidecar that still emits one does not bring it back.
        consent: whether a per-user pair may be added.

    Raises:
        MeteringError: a header with two labels, a label from two headers, or a per-user pair without consent.
    """
    check_wanted(wanted)
    claims = [("the controller's flag", controller)]
    claims += [
        (f"the sidecar of {name}", [pair for pair in sidecars[name] if pair not in removed])
        for name in sorted(sidecars)
    ]
    claims += [(THIS_RUN, wanted)]
    sources = _sources_of(claims)
    result = {pair.header: pair for pair in controller}
    below = {pair: "the base flag" for pair in base if pair.header not in result}
    taken: dict[str, list[Pair]] = {}
    for source, pairs in claims[1:]:
        for pair in pairs:
            _refuse_clash(pair, source, below)
            if pair.header not in result and pair not in below:
                result[pair.header] = pair
                taken.setdefault(source, []).append(pair)
    added = taken.pop(THIS_RUN, [])
    if not consent:
        _refuse_per_user(added)
    recovered = [pair for pairs in taken.values() for pair in pairs]
    return Merge(
        tuple(result.values()),
        tuple(added),
        tuple(recovered),
        {str(pair): tuple(names) for pair, names in sources.items()},
    )


def _sources_of(claims: Iterable[tuple[str, Sequence[Pair]]]) -> dict[Pair, list[str]]:
    """By pair, who has it; pairs that cannot be in force together are refused."""
    sources: dict[Pair, list[str]] = {}
    for source, pairs in claims:
        for pair in pairs:
            _refuse_clash(pair, source, {known: names[0] for known, names in sources.items()})
            sources.setdefault(pair, []).append(source)
    return sources


def _refuse_per_user(added: Iterable[Pair]) -> None:
    for pair in added:
        if is_per_user(pair):
            raise _refuse(
                pair,
                "makes one series for each user",
                "That is users x models x token types x pods series, which can exhaust Prometheus.",
                "check the retention and the number of users, then set labels_allow_per_user: true.",
            )


def remove_pairs(controller: Sequence[Pair], base: Sequence[Pair], unwanted: Sequence[Pair]) -> Merge:
    """The controller's mapping without some pairs; all others keep their order. Pairs that are not there do not matter.

    Raises:
        MeteringError: the base flag provides one of them, and no change of the metrics flag takes it away.
    """
    for pair in unwanted:
        if pair in base:
            raise _refuse(
                pair,
                "comes from the base flag",
                "Metrics carry it, whatever the value of the metrics flag.",
                f"remove it from --{_names.BASE_FLAG} yourself; spans and logs then lose it as well.",
            )
    return Merge(tuple(pair for pair in controller if pair not in unwanted))


def effective_mapping(metrics: Iterable[Pair], base: Iterable[Pair]) -> dict[str, str]:
    """What metrics really carry, header to label: the base flag overlaid, header by header, by the metrics flag."""
    return dict(base) | dict(metrics)


def metric_labels(metrics: Iterable[Pair], base: Iterable[Pair]) -> dict[str, str]:
    """What metrics really carry, header to label, the label as it is stored."""
    return {header: stored_label(label) for header, label in effective_mapping(metrics, base).items()}


def wanted_pairs(text: str) -> list[Pair]:
    """The pairs that a user asks for; the pair that bills a namespace is always among them."""
    pairs = parse_mapping(text, "This run")
    required = Pair(*_names.REQUIRED_PAIR)
    return pairs if required in pairs else [required, *pairs]
