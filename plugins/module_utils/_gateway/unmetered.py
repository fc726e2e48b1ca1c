# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""Which proxies serve and are metered by nobody: what is expected to be metered follows from the routes.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from .. import _names
from .._kubernetes.objects import Object, containers, name_of
from .sidecar import gateway_of

# Envoy's statistics: a proxy whose listener uses the sidecar has some of an external processor.
STATS_PORT = 19001
STATS_PATH = "/stats/prometheus"
STATS_FILTER = "ext_proc|ai-gateway-extproc"


@dataclass(frozen=True)
class Unmetered:
    """A running proxy pod whose tokens nobody counts."""

    pod: str
    """namespace/name."""
    gateway: str
    why: str
    advice: str
    command: str

    def __str__(self) -> str:
        return f"{self.pod} of gateway {self.gateway} is unmetered: {self.why}"

    def as_result(self) -> dict[str, str]:
        return {
            "pod": self.pod,
            "gateway": self.gateway,
            "why": self.why,
            "advice": self.advice,
            "command": self.command,
        }


def gateways_of(routes: Iterable[Object]) -> set[str]:
    """The Gateways (namespace/name) that AIGatewayRoutes attach to: `parentRefs`, and `targetRefs` up to v0.3."""
    found = set()
    for route in routes:
        spec = route["spec"]
        for reference in [*(spec.get("parentRefs") or ()), *(spec.get("targetRefs") or ())]:
            namespace = reference.get("namespace") or route["metadata"]["namespace"]
            found.add(f"{namespace}/{reference['name']}")
    return found


def _is_serving(pod: Object) -> bool:
    """Whether requests reach a pod: it runs, is not about to end, and is ready."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") != "Running":
        return False
    ready = [item.get("status") for item in status.get("conditions") or () if item.get("type") == "Ready"]
    return ready in ([], ["True"])


def _sidecar_is_ready(pod: Object) -> bool:
    status = pod.get("status") or {}
    told = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return all(item.get("ready", True) for item in told if item.get("name") == _names.SIDECAR)


def unmetered_pods(pods: Iterable[Object], expected: Collection[str], scope: Sequence[str] = ()) -> list[Unmetered]:
    """The serving proxy pods of Gateways that are to be metered, without a sidecar that is ready.

    Args:
        pods: the proxies' pods.
        expected: the Gateways to which an AIGatewayRoute attaches.
        scope: the Gateways that are meant; all where it is empty.
    """
    found = []
    for pod in sorted(pods, key=name_of):
        gateway, metadata = gateway_of(pod), pod["metadata"]
        if gateway not in expected or (scope and gateway not in scope) or not _is_serving(pod):
            continue
        if not any(item["name"] == _names.SIDECAR for item in containers(pod["spec"])):
            advice, command = "", f"kubectl -n {metadata['namespace']} delete pod {metadata['name']}"
            why = f"it runs without the container {_names.SIDECAR}"
            if metadata["namespace"] == gateway.partition("/")[0]:
                # Seen with v1.0.0: the webhook looks for the filter's Secret beside the pod, and lets it pass without.
                why += "; Envoy Gateway deploys it in the Gateway's namespace, which the AI gateway does not serve"
                advice = (
                    "Unset provider.kubernetes.deploy.type: GatewayNamespace in the configuration of Envoy Gateway."
                )
                command = "kubectl get configmap -A -l app.kubernetes.io/name=gateway-helm"
            found.append(Unmetered(name_of(pod), gateway, why, advice, command))
        elif not _sidecar_is_ready(pod):
            command = f"kubectl -n {metadata['namespace']} logs {metadata['name']} -c {_names.SIDECAR}"
            found.append(Unmetered(name_of(pod), gateway, f"its container {_names.SIDECAR} is not ready", "", command))
    return found


def unused_sidecars(pod: Object, gateway: str) -> Unmetered:
    """A pod whose sidecar is there, and in no filter chain."""
    return Unmetered(
        name_of(pod),
        gateway,
        "none of its listeners uses the sidecar: its statistics show no external processor",
        "Install Envoy Gateway with the extensionManager of the AI gateway's envoy-gateway-values.yaml, and see that "
        "the AIGatewayRoute is accepted.",
        "kubectl get aigatewayroute -A",
    )


def uses_sidecar(statistics: str) -> bool:
    """Whether Envoy's statistics, asked for with STATS_FILTER, are those of a proxy that uses a sidecar."""
    return any(not line.startswith("#") for line in statistics.splitlines() if line.strip())


def workloads_of(proxies: Iterable[tuple[str, Object]], expected: Collection[str]) -> list[str]:
    """The workloads (namespace/name) whose pods are to be metered."""
    return sorted({name_of(item) for dummy, item in proxies if gateway_of(item) in expected})
