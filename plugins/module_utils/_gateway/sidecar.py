# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The sidecar in a running proxy pod: its mapping, its port, and whether it is stale.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from .. import _durations, _generations, _lists, _names
from .._errors import MeteringError
from .._kubernetes.objects import Object, containers, name_of
from . import go_flags, mapping
from .mapping import Pair
from .mapping_flag import flags_of, mapping_of

_NAMED = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+\Z")


def gateway_of(document: Object) -> str:
    """namespace/name of the Gateway that owns a pod or a workload, or an empty string."""
    labels = document["metadata"].get("labels") or {}
    namespace, name = labels.get(_names.GATEWAY_NAMESPACE_LABEL), labels.get(_names.GATEWAY_NAME_LABEL)
    return f"{namespace}/{name}" if namespace and name else ""


class Mapped(Protocol):
    """What maps headers to labels: the controller."""

    @property
    def pairs(self) -> tuple[Pair, ...]: ...

    @property
    def base(self) -> tuple[Pair, ...]: ...


class Owned(Protocol):
    """What belongs to a Gateway."""

    @property
    def gateway(self) -> str: ...


T = TypeVar("T", bound=Owned)


def in_scope(found: Iterable[T], scope: Sequence[str]) -> list[T]:
    """Those of the Gateways in scope (namespace/name); all where the scope is empty."""
    return [item for item in found if not scope or item.gateway in scope]


@dataclass(frozen=True)
class Sidecar:
    """A running proxy pod's sidecar, which counts the tokens."""

    pod: Object
    metrics: tuple[Pair, ...]
    base: tuple[Pair, ...]
    port: int
    port_flag: str = ""
    """Its flag for the port, which generations name differently."""

    @property
    def name(self) -> str:
        return name_of(self.pod)

    @property
    def gateway(self) -> str:
        return gateway_of(self.pod)

    @property
    def ip(self) -> str:
        return (self.pod.get("status") or {}).get("podIP", "")

    @property
    def usage_sums(self) -> tuple[str, ...]:
        """The names under which its token sums may be stored: those of the generations that name its port so."""
        ports = {port.get("name", "") for item in containers(self.pod["spec"]) for port in item.get("ports") or ()}
        return _generations.usage_sums(ports)

    @property
    def address(self) -> str:
        """Where its metrics are served."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    @property
    def min_drain(self) -> float | None:
        """How many seconds the proxy goes on at least once it is told to end; None where that is not known.

        Source: envoyproxy/gateway v1.8.1, internal/infrastructure/kubernetes/proxy/resource.go (the shutdown manager).
        """
        for container in containers(self.pod["spec"]):
            handler = (container.get("lifecycle") or {}).get("preStop") or {}
            command = (handler.get("exec") or {}).get("command") or ()
            # What comes first are the program and its subcommands.
            text = go_flags.flag_value([word for word in command if word.startswith("-")], _names.MIN_DRAIN_FLAG)
            if text:
                return _durations.seconds(text)
        return None

    @property
    def effective(self) -> dict[str, str]:
        """Header to label, as its metrics carry them."""
        return mapping.effective_mapping(self.metrics, self.base)

    @property
    def emitted(self) -> list[Pair]:
        """The pairs that its metrics carry, whichever flag they come from."""
        return [Pair(header, label) for header, label in self.effective.items()]

    def is_stale(self, controller: Mapped) -> bool:
        """Whether it was created from another mapping than the controller's present one."""
        return self.effective != mapping.effective_mapping(controller.pairs, controller.base)


def sidecar_of(pod: Object) -> Sidecar | None:
    """The pod's sidecar; None for a pod that has none (a plain Envoy proxy) or does not run."""
    if pod["metadata"].get("deletionTimestamp") or (pod.get("status") or {}).get("phase") != "Running":
        return None
    for container in containers(pod["spec"]):
        if container["name"] == _names.SIDECAR:
            words = flags_of(container)
            where = f"The sidecar of pod {name_of(pod)}"
            ports = {flag: go_flags.flag_value(words, flag) or "" for flag in _generations.PORT_FLAGS}
            port_flag = next((flag for flag, text in ports.items() if text.isdigit()), "")
            return Sidecar(
                pod,
                mapping_of(words, where),
                tuple(mapping.parse_mapping(go_flags.flag_value(words, _names.BASE_FLAG) or "", where)),
                int(ports[port_flag]) if port_flag else _names.ADMIN_PORT,
                port_flag,
            )
    return None


def sidecars_of(pods: Iterable[Object]) -> list[Sidecar]:
    """The sidecars of the running proxy pods, by name."""
    found = [sidecar for sidecar in map(sidecar_of, pods) if sidecar is not None]
    return sorted(found, key=lambda sidecar: sidecar.name)


def scope_of(given: Sequence[str]) -> list[str]:
    """Gateways to manage, whatever a survey or a file makes of a list of them: lines, commas, JSON.

    Raises:
        MeteringError: something among them is no namespace/name.
    """
    found = [name for word in _lists.words_of(given) for name in word.split()]
    for name in found:
        if not _NAMED.match(name):
            raise MeteringError(
                f"The Gateway {name!r} is not written as NAMESPACE/NAME.",
                "A Gateway is identified by both parts.",
                "Correct metering_gateways: a list of NAMESPACE/NAME, or a text a/b,c/d.",
                "kubectl get gateway -A",
            )
    return list(dict.fromkeys(found))


def require_sidecars(found: Sequence[Sidecar], scope: Sequence[str] = ()) -> None:
    """Refuse to go on without a single sidecar, or without one of some Gateway in scope.

    Raises:
        MeteringError: no running proxy pod carries one.
    """
    known = {sidecar.gateway for sidecar in found}
    unknown = [name for name in scope if name not in known]
    if unknown:
        raise MeteringError(
            f"No running proxy pod with the container {_names.SIDECAR} belongs to the Gateway {', '.join(unknown)}.",
            "metering_gateways has it, but without a sidecar nothing of it can be metered.",
            "Correct metering_gateways (namespace/name).",
            (
                "kubectl get gateway -A; kubectl get pod -A -l "
                f"{_names.PROXY_LABELS} -L {_names.GATEWAY_NAMESPACE_LABEL},{_names.GATEWAY_NAME_LABEL}"
            ),
        )
    if not found:
        raise MeteringError(
            f"No running proxy pod has the container {_names.SIDECAR}.",
            "Tokens are counted there; without one there is nothing to label and nothing to scrape.",
            "Check that a Gateway with an AIGatewayRoute is Programmed, and that the webhook which adds the sidecar "
            "works.",
            "kubectl get gateway,aigatewayroute -A; kubectl get mutatingwebhookconfiguration",
        )
