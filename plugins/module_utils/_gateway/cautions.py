# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What deserves a warning before anything is changed: it lets the run go on, but not the bill be right.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import _generations, _names, _tables
from .._errors import told
from .._kubernetes.objects import Object, name_of
from . import mapping
from .header_setters import Setters
from .mapping import Pair
from .unmetered import Unmetered, gateways_of


def newer_generation(controller: str, version: str) -> list[str]:
    """A gateway that is newer than all that is known: it works by what is detected of it, or says so."""
    if not _generations.is_newer(version):
        return []
    return [
        f"The controller {controller} is {version}, newer than v{_generations.TABLE[-1].version}, the newest that this "
        "collection has data for. It uses the flags, ports and metrics it finds. Look for a newer release of "
        f"aigateway.metering, and check that verify.yml passes. Next: {_names.VERIFY}"
    ]


def in_control_plane(routes: Iterable[Object], namespace: str) -> list[str]:
    """A warning for each AI Gateway in Envoy Gateway's own namespace."""
    return [
        f"Gateway {gateway} is in Envoy Gateway's own namespace. The request filter and SecurityPolicies may not be "
        "applied to its listener, so its callers may go unidentified. Move it to a namespace of its own. "
        f"Next: kubectl -n {namespace} get gateway"
        for gateway in sorted(gateways_of(routes))
        if gateway.startswith(f"{namespace}/")
    ]


def bare(routes: Iterable[Object]) -> list[str]:
    """The AIGatewayRoutes (namespace/name) for which no request cost of their own is configured."""
    return sorted(name_of(route) for route in routes if not route["spec"].get("llmRequestCosts"))


def without_costs(routes: Iterable[Object], gateway_configs: Iterable[Object]) -> list[str]:
    """A warning for the AIGatewayRoutes for which no request cost is configured."""
    if any((config.get("spec") or {}).get("globalLLMRequestCosts") for config in gateway_configs):
        return []
    found = bare(routes)
    if not found:
        return []
    return [
        f"AIGatewayRoute {', '.join(found)} has no llmRequestCosts. Without them the gateway does not ask OpenAI-style "
        "upstreams for the usage of streamed answers, and those count no tokens. Add spec.llmRequestCosts. Next: "
        "kubectl explain aigatewayroute.spec.llmRequestCosts"
    ]


def without_hooks(configuration: Mapping[str, Any] | None, where: str) -> list[str]:
    """A warning where Envoy Gateway does not call the AI gateway while it translates its configuration."""
    manager = ((configuration or {}).get("extensionManager")) or {}
    hooks = ((manager.get("hooks") or {}).get("xdsTranslator") or {}).get("post") or ()
    if configuration is None or ("Translation" in hooks and manager.get("service")):
        return []
    return [
        f"The configuration of Envoy Gateway ({where}) has no extensionManager hooks for the AI gateway. The sidecar "
        "then looks healthy but is in no filter chain, and counts nothing. Install Envoy Gateway with the AI gateway's "
        "envoy-gateway-values.yaml. Next: kubectl get configmap -A -l app.kubernetes.io/name=gateway-helm"
    ]


def unset_headers(pairs: Sequence[Pair], setters: Setters) -> list[str]:
    """A warning for mapped headers that nothing is seen to set: callers can then write what they like."""
    unset = [str(pair) for pair in pairs if not setters.of(pair.header)]
    if not unset:
        return []
    hidden = f" It is not known if {', '.join(setters.opaque)} sets it." if setters.opaque else ""
    return [
        f"No policy or route was found to set the header of {', '.join(unset)}.{hidden} If nothing sets it, the label "
        "stays empty, or has the value that the caller sends. Add claimToHeaders to the SecurityPolicy, or drop the "
        "pair. Next: kubectl get securitypolicy -A"
    ]


def unmetered_proxies(found: Iterable[Unmetered]) -> list[str]:
    """A warning for each proxy that serves and is metered by nobody."""
    return [
        told(f"{item}. The tokens that it serves are not billed.", item.advice, command=item.command) for item in found
    ]


def per_user(pairs: Iterable[Pair]) -> list[str]:
    """A warning for per-user pairs that are there already."""
    found = [str(pair) for pair in pairs if mapping.is_per_user(pair)]
    if not found:
        return []
    return [
        f"The mapping has {', '.join(found)}, which makes one series for each user, model, token type and pod. It was "
        "there before, so this run keeps it. Check that Prometheus can hold these series for its retention. "
        "Next: kubectl get prometheus -A"
    ]


def no_traffic(samples: Mapping[str, Sequence[Any]]) -> list[str]:
    """A warning where no sidecar has counted a token since it started."""
    if any(samples.values()):
        return []
    return [
        "No sidecar has counted a token yet, so it is not known if labels carry data. Send a request through "
        "the gateway and run this again. Next: kubectl get gateway -A"
    ]


def array_claims(arrays: Mapping[str, Sequence[str]]) -> list[str]:
    """A warning for each label that carries arrays, which Envoy encodes into one opaque value."""
    return [
        f"The label {label} carries encoded array claims such as {_tables.shortened(found[0])}. Each combination "
        "becomes one opaque value, so these callers are left out of the panels by that label. Have the identity "
        f"provider send a scalar claim, as docs/howto/identity-providers.md shows. Next: {_names.VERIFY}"
        for label, found in arrays.items()
    ]
