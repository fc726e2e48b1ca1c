# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What requests of known callers made grow at the sidecars and in Prometheus, and why a label is missing there.

Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .. import _names
from .._tables import in_columns
from . import exposition
from .exposition import TokenSum
from .header_setters import Setters, claim_at


class CounterSeries(NamedTuple):
    """A series of one pod: its labels are sorted, underscored, and without empty ones, which Prometheus drops."""

    pod: str
    labels: tuple[tuple[str, str], ...]

    @property
    def values(self) -> dict[str, str]:
        return dict(self.labels)


Counts = Mapping[CounterSeries, float]


def counter_series(pod: str, labels: Mapping[str, str]) -> CounterSeries:
    named = {name.replace(".", "_"): value for name, value in labels.items() if value}
    return CounterSeries(pod, tuple(sorted(named.items())))


def read_counts(samples: Mapping[str, Sequence[TokenSum]]) -> dict[CounterSeries, float]:
    """What the sidecars expose, by series."""
    return {counter_series(pod, sample.labels): sample.tokens for pod, own in samples.items() for sample in own}


def growth(before: Counts, after: Counts) -> dict[CounterSeries, float]:
    """What was counted in between; a counter that is lower than before has started anew."""
    grown = {}
    for key, value in after.items():
        earlier = before.get(key, 0)
        delta = value - earlier if value >= earlier else value
        if delta:
            grown[key] = delta
    return grown


def claims_of(token: str) -> dict[str, Any] | None:
    """The claims of a JSON Web Token, which the gateway verifies; None for what is none, such as an API key."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _written(value: Any) -> set[str]:
    """How Envoy may write a claim's value into a header; nothing for what is no scalar.

    It reads every number as a double, and writes one without a fraction as an integer, another with six digits
    (envoy v1.38, source/extensions/filters/http/jwt_authn/authenticator.cc).
    """
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, str):
        return {value} - {""}
    if not isinstance(value, (int, float)):
        return set()
    try:
        number = float(value)
    except OverflowError:
        return {str(value)}
    whole = {str(int(number))} if number.is_integer() else set()
    return {str(value), f"{number:g}", *whole}


@dataclass(frozen=True)
class Identity:
    """How the gateway knows a caller: what is mapped, and from which claims the headers come."""

    mapping: Mapping[str, str]
    """Header to label, as the controller has it."""
    setters: Setters
    """What sets headers."""
    stale: Sequence[str] = ()
    """Proxy pods whose sidecar has another mapping."""

    def expected(self, claims: Mapping[str, Any] | None) -> dict[str, set[str]]:
        """By label, the values that a caller's samples can carry; a label of which that is not known is left out.

        Several policies may set one header, each for other requests.
        """
        if self.setters.is_partial:
            return {}
        found = {}
        for header, label in self.mapping.items():
            values = [_written(claim_at(claims or {}, setter.claim)) for setter in self.setters.of(header)]
            if values and all(values):
                found[label] = set().union(*values)
        return found

    def why_absent(self, label: str, claims: Mapping[str, Any] | None) -> str:
        """Why a caller's samples carry no plain value of a label."""
        headers = [header for header, mapped in self.mapping.items() if mapped == label]
        if not headers:
            return "no header is mapped to it"
        if self.stale:
            return f"stale proxies: {', '.join(self.stale)}"
        setters = self.setters.of(headers[0])
        if not setters:
            return self.setters.why_unset(headers[0])
        others = [setter.name for setter in setters if not setter.claim]
        if others:
            return f"{', '.join(dict.fromkeys(others))} can set {headers[0]}, and did not for this caller"
        names = self.setters.names(headers[0])
        if claims is None:
            return f"the caller has no JSON Web Token, but {names} sets {headers[0]} from one of its claims"
        for setter in setters:
            if isinstance(claim_at(claims, setter.claim), list):
                return f"its claim {setter.shown} is an array, which {setter.name} cannot turn into one value"
        if all(claim_at(claims, setter.claim) is None for setter in setters):
            return f"its token has no claim {', '.join(sorted({setter.shown for setter in setters}))}"
        return f"{names} should set {headers[0]}, and did not"


@dataclass
class Caller:
    """One token, and what became of its requests."""

    name: str
    claims: Mapping[str, Any] | None
    statuses: list[int] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """What came with a status other than 200."""
    used: dict[str, int] = field(default_factory=dict)
    """The tokens by type that the answers speak of."""
    grown: dict[CounterSeries, float] = field(default_factory=dict)
    """The series of its own that grew."""
    stored: bool = False

    @property
    def counted(self) -> bool:
        """Whether the sidecars have counted what the answers speak of."""
        totals = totals_by_type(self.grown)
        return bool(totals) and all(totals.get(kind, 0) >= self.used.get(kind, 1) for kind in _names.TOTAL_TOKEN_TYPES)


def totals_by_type(grown: Counts) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in grown.items():
        kind = key.values.get(_names.TOKEN_TYPE_LABELS[0], "")
        found[kind] = found.get(kind, 0) + value
    return found


def attribute_to_caller(grown: Counts, caller: Caller, model: str, identity: Identity) -> dict[CounterSeries, float]:
    """Of all that grew, what can be this caller's: of the model, and with no identity but its own."""
    expected = identity.expected(caller.claims)
    found = {}
    for key, value in grown.items():
        labels = key.values
        models = {labels.get(name) for name in _names.MODEL_LABELS}
        others = [name for name, wanted in expected.items() if name in labels and labels[name] not in wanted]
        if model in models and not others:
            found[key] = value
    return found


def is_stored(grown: Counts, after: Counts, stored: Iterable[tuple[CounterSeries, float]]) -> bool:
    """Whether Prometheus has each grown series at the sidecar's present value; it may have further labels.

    Where the sidecar has ended meanwhile, what it had counted of this caller is the least that has to be there.
    """
    known: dict[str, list[tuple[set[tuple[str, str]], float]]] = {}
    for key, value in stored:
        known.setdefault(key.pod, []).append((set(key.labels), value))
    return all(
        any(set(key.labels) <= labels and value >= after.get(key, least) for labels, value in known.get(key.pod, ()))
        for key, least in grown.items()
    )


def caller_row(caller: Caller, identity: Identity, gateways: Mapping[str, str]) -> dict[str, Any]:
    """A caller's line of the table.

    Args:
        caller: with all that is known of it by now.
        identity: how the gateway knows it.
        gateways: the Gateway of each proxy pod.
    """
    totals = totals_by_type(caller.grown)
    labels: dict[str, str] = {}
    missing: dict[str, str] = {}
    for label in identity.mapping.values():
        values = sorted({key.values.get(label, "") for key in caller.grown})
        plain = [value for value in values if value and not exposition.decoded_array(value)]
        if plain:
            labels[label] = ", ".join(plain)
        elif caller.grown:
            missing[label] = identity.why_absent(label, caller.claims)
    required = _names.REQUIRED_PAIR[1]
    if required not in identity.mapping.values() and caller.grown:
        missing[required] = identity.why_absent(required, caller.claims)
    return {
        "caller": caller.name,
        "statuses": caller.statuses,
        "gateway": ", ".join(sorted({gateways.get(key.pod, "") for key in caller.grown})),
        "labels": labels,
        "missing": missing,
        "input": round(totals.get("input", 0)),
        "output": round(totals.get("output", 0)),
        "counted": caller.counted,
        "stored": caller.stored,
        "problems": problems_of_caller(caller, missing),
    }


def problems_of_caller(caller: Caller, missing: Mapping[str, str]) -> list[str]:
    """What is wrong with a caller's metering."""
    bad = [status for status in caller.statuses if status != 200]
    if bad:
        said = f" ({caller.answers[0]})" if caller.answers else ""
        return [f"{caller.name} was answered with {', '.join(map(str, bad))}{said}."]
    if not caller.counted:
        return [f"{caller.name} was answered, but no sidecar has counted its tokens."]
    required = _names.REQUIRED_PAIR[1]
    found = []
    if required in missing:
        found.append(f"The samples of {caller.name} carry no {required}: {missing[required]}.")
    if not caller.stored:
        found.append(f"The sidecar has counted the tokens of {caller.name}, but Prometheus has not stored them.")
    return found


def callers_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows for a terminal, one line each, and a line for each missing label."""
    required = _names.REQUIRED_PAIR[1]
    others = sorted({label for item in rows for label in item["labels"] if label != required})
    lines = [("caller", "gateway", required, *others, "answers", "input", "output", "sidecar", "Prometheus")]
    for item in rows:
        lines.append(
            (
                item["caller"],
                item["gateway"] or "-",
                *(item["labels"].get(label, "-") for label in (required, *others)),
                " ".join(map(str, item["statuses"])),
                str(item["input"]),
                str(item["output"]),
                "counted" if item["counted"] else "NOT",
                "stored" if item["stored"] else "NOT",
            )
        )
    return in_columns(lines) + [
        f"{item['caller']} has no {label}: {reason}" for item in rows for label, reason in item["missing"].items()
    ]
