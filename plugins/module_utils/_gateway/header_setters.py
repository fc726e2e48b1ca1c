# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What sets a request's headers, as far as objects tell it: policies and routes of Envoy Gateway and the AI gateway.

The sidecar labels by the headers that reach it last, so all of these count. Sources: envoyproxy/gateway v1.8.1
(api/v1alpha1), envoyproxy/ai-gateway v0.4.0 to v1.1.0 (headerMutation). Pure: the objects come in as the API server's
JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .. import _names
from .._kubernetes.objects import Object, name_of

POLICIES = "SecurityPolicy"
# By kind: the API group, and the plural. `aigateway` is the AI gateway's own group, whichever version is served.
KINDS = {
    POLICIES: (_names.ENVOY_GATEWAY_API, "securitypolicies"),
    "ClientTrafficPolicy": (_names.ENVOY_GATEWAY_API, "clienttrafficpolicies"),
    "HTTPRouteFilter": (_names.ENVOY_GATEWAY_API, "httproutefilters"),
    "EnvoyExtensionPolicy": (_names.ENVOY_GATEWAY_API, "envoyextensionpolicies"),
    "EnvoyPatchPolicy": (_names.ENVOY_GATEWAY_API, "envoypatchpolicies"),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "GRPCRoute": ("gateway.networking.k8s.io/v1", "grpcroutes"),
    "AIGatewayRoute": ("aigateway", "aigatewayroutes"),
    "AIServiceBackend": ("aigateway", "aiservicebackends"),
}


class Setter(NamedTuple):
    """Something that sets a header."""

    name: str
    """namespace/name of a SecurityPolicy; of other objects with their kind before it."""
    claim: tuple[str, ...] = ()
    """The keys that lead to the claim of a JSON Web Token that it takes the value from; or none."""

    @property
    def shown(self) -> str:
        """The claim for a person: a dot before each nested key."""
        return ".".join(self.claim)


@dataclass(frozen=True)
class Setters:
    """What sets headers, and what may."""

    known: Mapping[str, Sequence[Setter]] = field(default_factory=dict)
    """By header, in lower case."""
    opaque: Sequence[str] = ()
    """Objects that can set any header, and kinds that could not be read: what they set cannot be told."""
    is_partial: bool = False
    """Whether objects in some namespaces were not read."""

    def of(self, header: str) -> Sequence[Setter]:
        return self.known.get(header.lower(), ())

    def names(self, header: str) -> str:
        """Who sets a header, for a person."""
        return ", ".join(dict.fromkeys(setter.name for setter in self.of(header)))

    def why_unset(self, header: str) -> str:
        """A header that nothing is seen to set, for a person."""
        if not self.opaque:
            return f"no policy or route sets {header}"
        return f"no policy or route was found to set {header}; it is not known if {', '.join(self.opaque)} does"


def claim_at(claims: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value of a claim, by the keys that lead to it; None where there is none."""
    found: Any = claims if path else None
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def setters_of(
    objects: Mapping[str, Iterable[Object]], unread: Sequence[str] = (), *, is_partial: bool = False
) -> Setters:
    """What sets headers.

    Args:
        objects: by kind, those that there are.
        unread: the kinds that could not be read.
        is_partial: whether those in some namespaces were not read.
    """
    known: dict[str, list[Setter]] = {}
    opaque: list[str] = []
    for kind, items in objects.items():
        for item in items:
            for header, setter in _SETTINGS[kind](item, kind):
                if header:
                    known.setdefault(header.lower(), []).append(setter)
                else:
                    opaque.append(setter.name)
    elsewhere = ["something in a namespace that metering_namespaces leaves out"] if is_partial else []
    kinds = [f"a {kind}, which could not be read," for kind in unread]
    return Setters(known, [*dict.fromkeys(opaque), *kinds, *elsewhere], is_partial)


# What an object sets: header and setter; an empty header stands for any.
Settings = Iterator[tuple[str, Setter]]


def _of_security_policy(policy: Object, dummy: str) -> Settings:
    spec, name = policy.get("spec") or {}, name_of(policy)
    for provider in (spec.get("jwt") or {}).get("providers") or ():
        for item in provider.get("claimToHeaders") or ():
            # A dot in `claim` stands before a nested key; in `claimPath` it is a part of one.
            path = item.get("claimPath") or (item.get("claim") or "").split(".")
            yield item.get("header", ""), Setter(name, tuple(filter(None, path)))
    for key, setting in (("apiKeyAuth", "forwardClientIDHeader"), ("basicAuth", "forwardUsernameHeader")):
        header = (spec.get(key) or {}).get(setting)
        if header:
            yield header, Setter(name)
    external = spec.get("extAuth") or {}
    for header in (external.get("http") or {}).get("headersToBackend") or ():
        yield header, Setter(name)
    if "grpc" in external:
        yield "", Setter(f"the external authorization of {name}")
    if (spec.get("oidc") or {}).get("forwardAccessToken"):
        yield "authorization", Setter(name)


def _written(modifier: Mapping[str, Any] | None, setter: Setter) -> Settings:
    """The headers that a modifier sets, adds, or adds where they are absent."""
    for key in ("set", "add", "addIfAbsent"):
        for item in (modifier or {}).get(key) or ():
            yield item.get("name", "") or " ", setter


def _of_client_traffic_policy(policy: Object, kind: str) -> Settings:
    headers = (policy.get("spec") or {}).get("headers") or {}
    setter = Setter(f"{kind} {name_of(policy)}")
    yield from _written(headers.get("earlyRequestHeaders"), setter)
    if headers.get("xForwardedClientCert"):
        yield "x-forwarded-client-cert", setter


def _of_route(route: Object, kind: str) -> Settings:
    setter = Setter(f"{kind} {name_of(route)}")
    for rule in (route.get("spec") or {}).get("rules") or ():
        for holder in (rule, *(rule.get("backendRefs") or ())):
            yield from _written(holder.get("headerMutation"), setter)
            for item in holder.get("filters") or ():
                yield from _written(item.get("requestHeaderModifier"), setter)
                if item.get("externalAuth"):
                    names = (item["externalAuth"].get("http") or {}).get("allowedResponseHeaders")
                    # Without names it may hand on whatever the authorization says.
                    yield from ((name, setter) for name in names or ("",))


def _of_backend(backend: Object, kind: str) -> Settings:
    yield from _written((backend.get("spec") or {}).get("headerMutation"), Setter(f"{kind} {name_of(backend)}"))


def _of_route_filter(document: Object, kind: str) -> Settings:
    injection = (document.get("spec") or {}).get("credentialInjection")
    if injection:
        yield injection.get("header") or "authorization", Setter(f"{kind} {name_of(document)}")


def _of_extension(policy: Object, kind: str) -> Settings:
    spec = policy.get("spec") or {}
    if kind == "EnvoyPatchPolicy" or any(spec.get(key) for key in ("extProc", "wasm", "lua", "dynamicModule")):
        yield "", Setter(f"{kind} {name_of(policy)}")


_SETTINGS = {
    POLICIES: _of_security_policy,
    "ClientTrafficPolicy": _of_client_traffic_policy,
    "HTTPRouteFilter": _of_route_filter,
    "EnvoyExtensionPolicy": _of_extension,
    "EnvoyPatchPolicy": _of_extension,
    "HTTPRoute": _of_route,
    "GRPCRoute": _of_route,
    "AIGatewayRoute": _of_route,
    "AIServiceBackend": _of_backend,
}
