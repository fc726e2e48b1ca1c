# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workloads of the shape of a generation that cannot be built here, on a real API server with a real Prometheus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from standlib import images, platform
from standlib.settings import STAND

from ansible_collections.aigateway.metering.plugins.module_utils import _generations

from .cluster import CONTROLLER
from .stand import Stand

NAMESPACE = platform.GATEWAY_NAMESPACE
CLUSTER = "aigateway-metering-generations"
GATEWAYS = {"team-a/gateway-a": 2, "team-b/gateway-b": 1}
IDLE = ["python3", "-c", "import signal; signal.sigwait({signal.SIGTERM})"]
Document = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A generation, and where its sidecar stands."""

    version: str
    native: bool = True
    """In initContainers, as from v0.4 on with Kubernetes 1.33 and later."""
    rolls_itself: bool = False
    """Whether the proxies are marked as those that the gateway rolls; nothing here does so."""

    @property
    def generation(self) -> _generations.Generation:
        found = _generations.of_version(self.version)
        assert found is not None
        return found

    @property
    def image(self) -> str:
        return f"docker.io/envoyproxy/ai-gateway-controller:v{self.version}.0"

    def controller(self, mapping: str) -> Document:
        flags = [f"--{self.generation.header_flag}={mapping}"] if mapping else []
        container = {
            "name": "ai-gateway-helm",
            "image": self.image,
            "command": IDLE,
            "args": ["-logLevel=info", "--extProcImage=docker.io/envoyproxy/ai-gateway-extproc", *flags],
        }
        labels = {"app.kubernetes.io/name": "ai-gateway-helm", "app.kubernetes.io/instance": "ai-gateway"}
        return _deployment(CONTROLLER, labels, labels, 1, {"containers": [container]})

    def proxy(self, gateway: str, replicas: int) -> Document:
        namespace, name = gateway.split("/")
        labels = {
            "app.kubernetes.io/name": "envoy",
            "app.kubernetes.io/component": "proxy",
            "app.kubernetes.io/managed-by": "envoy-gateway",
            "gateway.envoyproxy.io/owning-gateway-namespace": namespace,
            "gateway.envoyproxy.io/owning-gateway-name": name,
        }
        known = self.generation
        sidecar = {
            "name": "ai-gateway-extproc",
            "image": images.PYTHON,
            "command": ["python3", "/app/sidecar.py", known.usage, known.exposed],
            "args": [f"-{known.port_flag}", "1064"],
            "ports": [{"name": port, "containerPort": 1064} for port in known.port_names],
            "readinessProbe": {"tcpSocket": {"port": 1064}, "periodSeconds": 1},
            "volumeMounts": [{"name": "program", "mountPath": "/app"}],
        }
        ports = [{"name": "metrics", "containerPort": 19001}]
        envoy = {"name": "envoy", "image": images.PYTHON, "command": IDLE, "ports": ports}
        spec: Document = {"volumes": [{"name": "program", "configMap": {"name": "sidecar"}}]}
        if self.native:
            spec |= {"containers": [envoy], "initContainers": [{**sidecar, "restartPolicy": "Always"}]}
        else:
            spec |= {"containers": [envoy, sidecar]}
        annotations = {"aigateway.envoyproxy.io/extproc-config-hash": "1"} if self.rolls_itself else {}
        return _deployment(f"envoy-{namespace}-{name}", labels, labels, replicas, spec, annotations)


def _deployment(
    name: str,
    labels: dict[str, str],
    selector: dict[str, str],
    replicas: int,
    spec: Document,
    annotations: dict[str, str] | None = None,
) -> Document:
    template = {
        "metadata": {"labels": selector, "annotations": annotations or {}},
        "spec": {"terminationGracePeriodSeconds": 1, **spec},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": template},
    }


class Gateway:
    """What stands in for the gateway on a cluster of its own."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    def install(self, shape: Shape, mapping: str = platform.PLATFORM_MAPPING) -> None:
        """Put a shape in place of whatever is there; monitors and dashboards stay as they are."""
        stand = self.stand
        node = f"{stand.name}-control-plane"
        stand.step.run(
            ["docker", "exec", node, "ctr", "-n", "k8s.io", "images", "tag", "--force", images.PYTHON, shape.image]
        )
        delete = ["delete", "deployments", "--all", "--namespace", NAMESPACE, "--cascade=foreground"]
        stand.kubectl.run(stand.step, *delete)
        program = json.dumps((STAND / "generation" / "sidecar.py").read_text())
        path = "/spec/initContainers/0/args" if shape.native else "/spec/containers/1/args"
        stand.kubectl.apply_text(
            stand.step, platform.render("50-generation.yaml", {"program": program, "args_path": path})
        )
        workloads = [shape.controller(mapping), *(shape.proxy(*gateway) for gateway in GATEWAYS.items())]
        for workload in workloads:
            # Not a server-side apply, which refuses v0.4's two names of one port.
            stand.kubectl.run(stand.step, "create", "-f", "-", stdin=json.dumps(workload))
        proxies = [f"deployment/{item['metadata']['name']}" for item in stand.get("deployments", NAMESPACE)]
        stand.kubectl.rollout(stand.step, NAMESPACE, *proxies)

    def forget(self) -> None:
        """Remove what runs of the collection have left."""
        for kind in ("podmonitors", "monitordashboards"):
            for item in self.stand.all(kind):
                self.stand.delete(kind, item["metadata"]["namespace"], item["metadata"]["name"])

    def pods(self, gateway: str = "") -> list[Document]:
        name = f",gateway.envoyproxy.io/owning-gateway-name={gateway}" if gateway else ""
        found = self.stand.get("pods", NAMESPACE, labels=f"app.kubernetes.io/component=proxy{name}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def count(self, gateway: str, **asked: str | int) -> None:
        """Have a gateway's sidecar count tokens, as a request with some headers would."""
        pod = self.pods(gateway)[0]["metadata"]["name"]
        query = urlencode({name.replace("_", "-"): value for name, value in asked.items()})
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:1064/proxy/count?{query}"
        self.stand.kubectl.text(path)

    def mappings(self) -> list[str]:
        """What the running sidecars were given."""
        found = []
        for pod in self.pods():
            spec = pod["spec"]
            for container in [*spec.get("initContainers", ()), *spec["containers"]]:
                if container["name"] == "ai-gateway-extproc":
                    found.append(container["args"][-1] if len(container["args"]) > 2 else "")
        return found
