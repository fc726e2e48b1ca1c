# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster of the stand: what to read from it, and what somebody changes in it by hand."""

from __future__ import annotations

import re
from typing import Any

from standlib import platform, settings
from standlib.kube import Kubectl
from standlib.progress import Step, wait_until

CONTROLLER = "ai-gateway-controller"
FLAG = "--metricsRequestHeaderAttributes="
# The annotations that runs leave on the controller's Deployment.
RECORDS = ("added-pairs", "removed-pairs", "mapping")


class Cluster:
    """One cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.step = Step(f"tests on {name}")
        settings.LOGS.mkdir(parents=True, exist_ok=True)
        self.kubectl = Kubectl(name)

    # -- what is there ------------------------------------------------------------------------------------------------

    def get(self, kind: str, namespace: str, labels: str = "", name: str = "") -> list[dict[str, Any]]:
        return self.kubectl.get(kind, namespace, labels, name)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return self.kubectl.get(kind)

    def controller(self) -> dict[str, Any]:
        return self.get("deployments", platform.GATEWAY_NAMESPACE, name=CONTROLLER)[0]

    def flag(self) -> str:
        args = self.controller()["spec"]["template"]["spec"]["containers"][0]["args"]
        return next((word.removeprefix(FLAG) for word in args if word.startswith(FLAG)), "")

    def revisions(self) -> dict[str, int]:
        """The rollouts that each proxy Deployment has had."""
        proxies = self.get("deployments", platform.GATEWAY_NAMESPACE, labels="app.kubernetes.io/component=proxy")
        revision = "deployment.kubernetes.io/revision"
        # One that was just made has none yet.
        return {
            item["metadata"]["name"]: int(item["metadata"].get("annotations", {}).get(revision, 0)) for item in proxies
        }

    def mappings(self) -> dict[str, str]:
        """What each running proxy pod's sidecar was given, straight from its arguments."""
        found = {}
        for pod in self.get("pods", platform.GATEWAY_NAMESPACE, labels="app.kubernetes.io/component=proxy"):
            if "deletionTimestamp" in pod["metadata"] or pod["status"]["phase"] != "Running":
                continue
            (args,) = [
                container["args"]
                for container in pod["spec"]["initContainers"]
                if container["name"] == "ai-gateway-extproc"
            ]
            found[pod["metadata"]["name"]] = args[args.index("-metricsRequestHeaderAttributes") + 1]
        return found

    def exposed_labels(self) -> set[str]:
        """The labels with a value at the sidecars' /metrics, over all proxy pods."""
        found = set()
        for pod in self.mappings():
            path = f"/api/v1/namespaces/{platform.GATEWAY_NAMESPACE}/pods/{pod}:1064/proxy/metrics"
            for line in self.kubectl.text(path).splitlines():
                if line.startswith("gen_ai_client_token_usage_sum{"):
                    found |= {name for name, value in re.findall(r'(\w+)="([^"]*)"', line) if value}
        return found

    def monitors(self) -> set[str]:
        return {f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in self.all("podmonitors")}

    def state(self) -> dict[str, Any]:
        """Everything that a run could change, for a test that says nothing was changed."""
        return {
            "controller": self.controller()["spec"],
            "revisions": self.revisions(),
            "monitors": [(item["metadata"]["name"], item["spec"]) for item in self.all("podmonitors")],
            "dashboards": [(item["metadata"]["name"], item["spec"]) for item in self.all("monitordashboards")],
        }

    def lasting_state(self) -> dict[str, Any]:
        """What a run of `site.yml` leaves behind, however often proxies have been rolled since."""
        state = self.state()
        del state["revisions"]
        return state | {"records": self.records(), "mappings": set(self.mappings().values())}

    def records(self) -> dict[str, str]:
        """What runs have left in annotations on the controller's Deployment."""
        annotations = self.controller()["metadata"].get("annotations") or {}
        return {name: annotations.get(f"aigateway.metering/{name}", "") for name in RECORDS}

    # -- changes by hand ----------------------------------------------------------------------------------------------

    def apply(self, document: dict[str, Any]) -> None:
        self.kubectl.apply_object(document)

    @staticmethod
    def pod_monitor(name: str, **endpoint: Any) -> dict[str, Any]:
        """A PodMonitor for every proxy as somebody would write it by hand: by the port's name."""
        metadata = {"name": name, "namespace": platform.GATEWAY_NAMESPACE, "labels": {"prometheus": "kube-prometheus"}}
        return {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": metadata,
            "spec": {
                "selector": {
                    "matchLabels": {
                        "app.kubernetes.io/component": "proxy",
                        "app.kubernetes.io/managed-by": "envoy-gateway",
                    }
                },
                "podMetricsEndpoints": [{"port": "aigw-admin", "path": "/metrics", "interval": "5s", **endpoint}],
            },
        }

    def delete(self, kind: str, namespace: str, name: str) -> None:
        self.kubectl.api.delete(kind, namespace, name)

    def set_flag(self, mapping: str, manager: str = "kubectl-patch") -> None:
        """Set the controller's flag by hand and wait for its rollout, without touching the proxies."""
        container = self.controller()["spec"]["template"]["spec"]["containers"][0]
        args = [FLAG + mapping if word.startswith(FLAG) else word for word in container["args"]]
        body = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "args": args}]}}}}
        self.patch("deployment", platform.GATEWAY_NAMESPACE, CONTROLLER, body, "strategic", manager)
        self.wait_for_controller()

    def wait_for_controller(self) -> None:
        """Wait until the controller has rolled out and its old pods are gone."""
        self.kubectl.rollout(self.step, platform.GATEWAY_NAMESPACE, f"deployment/{CONTROLLER}")
        wait_until("the old controller pods to end", lambda: len(self._controller_pods()) == 1, 120)

    def annotate_proxies(self, name: str, value: str | None) -> None:
        """Annotate every proxy's pod template, which rolls it, and wait for that."""
        body = {"spec": {"template": {"metadata": {"annotations": {name: value}}}}}
        proxies = list(self.revisions())
        for proxy in proxies:
            self.patch("deployment", platform.GATEWAY_NAMESPACE, proxy, body)
        self.kubectl.rollout(self.step, platform.GATEWAY_NAMESPACE, *(f"deployment/{proxy}" for proxy in proxies))

    def _controller_pods(self) -> list[dict[str, Any]]:
        return self.get("pods", platform.GATEWAY_NAMESPACE, labels="app.kubernetes.io/name=ai-gateway-helm")

    def unscrape(self) -> None:
        """No monitor and no dashboard; the labels stay as they are, so that no proxy is rolled."""
        for kind in ("podmonitors", "monitordashboards"):
            for item in self.all(kind):
                self.delete(kind, item["metadata"]["namespace"], item["metadata"]["name"])

    def reset(self) -> None:
        """Back to what the platform ships: its three pairs everywhere, no monitor, no dashboard."""
        self.unscrape()
        if self.flag() != platform.PLATFORM_MAPPING:
            self.set_flag(platform.PLATFORM_MAPPING)
        gone = {f"aigateway.metering/{name}": None for name in RECORDS}
        self.patch("deployment", platform.GATEWAY_NAMESPACE, CONTROLLER, {"metadata": {"annotations": gone}})
        if set(self.mappings().values()) != {platform.PLATFORM_MAPPING}:
            self.restart_proxies()

    def restart_proxies(self) -> None:
        proxies = ["-l", "app.kubernetes.io/component=proxy", "--namespace", platform.GATEWAY_NAMESPACE]
        self.kubectl.run(self.step, "rollout", "restart", "deployment", *proxies)
        self.kubectl.run(self.step, "rollout", "status", "deployment", *proxies, "--timeout=180s")

    def patch(
        self, kind: str, namespace: str, name: str, body: Any, how: str = "merge", manager: str = "kubectl-patch"
    ) -> None:
        self.kubectl.api.patch(kind, namespace, name, body, how, manager)
