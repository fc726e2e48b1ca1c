# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand as the tests see it. Each worker raises the cluster of its own, while others test already."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Demonstrations import this, too, and pytest's own settings are not theirs.
sys.path[:0] = [str(ROOT / ".collections"), str(ROOT / "tests" / "stand")]

from standlib import cluster, images, platform, raising, settings, tenants, traffic
from standlib.kube import Kubectl
from standlib.progress import Step, wait_until

from ansible_collections.aigateway.metering.plugins.plugin_utils._in_process import (
    Call,
    run_in_process,
)

CONTROLLER = "ai-gateway-controller"
BIN = Path(sys.executable).parent
# In the environment: modules run in processes of their own.
APART = "METERING_TESTS_APART"
FLAG = "--metricsRequestHeaderAttributes="
BARE = "aigateway-metering-bare"
# A shorter interval than the default 30s only makes the tests shorter.
QUICK = {"scrape_interval": "5s"}
# The annotations that runs leave on the controller's Deployment.
RECORDS = ("added-pairs", "removed-pairs", "mapping")


@dataclass(frozen=True)
class Run:
    """A run of a playbook."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        recap = re.search(r"changed=(\d+)", self.output)
        assert recap, self.output
        return int(recap.group(1))

    @property
    def text(self) -> str:
        """The output with its line breaks and JSON escapes undone, to look for sentences in."""
        return re.sub(r"\s+", " ", self.output.replace("\\n", " ").replace('\\"', '"'))


class Stand:
    """One cluster: what to read from it, and what to run against it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.step = Step(f"tests on {name}")
        settings.LOGS.mkdir(parents=True, exist_ok=True)
        self.kubectl = Kubectl(name)
        self.metered_state: dict[str, Any] | None = None

    # -- runs ---------------------------------------------------------------------------------------------------------

    def environment(self, **extra: str) -> dict[str, str]:
        return {
            **os.environ,
            "K8S_AUTH_KUBECONFIG": str(settings.kubeconfig(self.name)),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "PYTHONPATH": str(ROOT / ".collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            **extra,
        }

    def start(
        self, playbook: str, *words: str, environment: dict[str, str] | None = None, **variables: Any
    ) -> subprocess.Popen[str]:
        """Start one of the collection's playbooks in a process group of its own."""
        command = [str(BIN / "ansible-playbook"), f"playbooks/{playbook}.yml", *words]
        command += ["--extra-vars", json.dumps({**QUICK, **variables})]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment or self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(self, playbook: str, *words: str, environment: dict[str, str] | None = None, **variables: Any) -> Run:
        """Run one of the collection's playbooks to its end."""
        process = self.start(playbook, *words, environment=environment, **variables)
        output, dummy = process.communicate()
        return Run(process.returncode, output)

    def site(self, *words: str, environment: dict[str, str] | None = None, **variables: Any) -> Run:
        return self.play("site", *words, environment=environment, **variables)

    def module(self, module: str, environment: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        """Run one module, and return what it returns, failed or not: in this process, or in one of its own."""
        if APART not in os.environ:
            action = importlib.import_module(f"ansible_collections.aigateway.metering.plugins.action.{module}")
            given = {name: value for name, value in options.items() if name != "_ansible_check_mode"}
            check_mode = options.get("_ansible_check_mode", False)
            call = Call(module, given, check_mode, environment=environment or self.environment(), directory=str(ROOT))
            result = run_in_process(action.ActionModule.worker, call, lambda dummy: None)
            if result is not None:
                return result
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("run_module.py")), module],
            input=json.dumps(options),
            env=environment or self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def account(self, tmp_path: Path, rules: list[dict[str, Any]]) -> dict[str, str]:
        """The environment of a run as a ServiceAccount with these rules and no others."""
        name = "limited"
        metadata = {"name": name, "namespace": "upstream"}
        subject = {"kind": "ServiceAccount", **metadata}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        api = "rbac.authorization.k8s.io/v1"
        self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        self.apply({"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
        self.apply(
            {
                "apiVersion": api,
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": role,
                "subjects": [subject],
            }
        )
        token = self.kubectl.run(self.step, "create", "token", name, "--namespace", "upstream").strip()
        config = yaml.safe_load(settings.kubeconfig(self.name).read_text())
        config["users"] = [{"name": name, "user": {"token": token}}]
        config["contexts"] = [{"name": name, "context": {"cluster": config["clusters"][0]["name"], "user": name}}]
        config["current-context"] = name
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        return self.environment(K8S_AUTH_KUBECONFIG=str(path))

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

    def is_metered(self) -> bool:
        """Whether all is still as the last run of the `metered` fixture left it, on the live targets too."""
        return self.lasting_state() == self.metered_state and "pools" in self.module("prom_scrape_check", timeout=60)

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

    def gateways(self) -> traffic.Gateways:
        """The gateways, once no old proxy is ending: on the stand these drain too briefly for requests to miss them."""
        wait_until("old proxies to end", lambda: not self.ending_proxies(), 120)
        gateways = traffic.Gateways(self.name)
        wait_until("every gateway to be reached", gateways.are_reached, 60)
        return gateways

    def ending_proxies(self) -> list[dict[str, Any]]:
        """Old proxies to which a request may still be sent.

        One that was told to end while it began may take all of its five minutes for that; no request reaches it.
        """
        pods = self.get("pods", platform.GATEWAY_NAMESPACE, labels="app.kubernetes.io/component=proxy")
        return [pod for pod in pods if "deletionTimestamp" in pod["metadata"] and told_to_end(pod) > time.time() - 60]

    def send(self, rounds: int = 1) -> None:
        """Traffic of every caller, of which no request may fail."""
        gateways = self.gateways()
        statuses = traffic.send_all(gateways, traffic.mix(rounds))
        assert set(statuses) == {200}, (statuses, gateways.unanswered)

    def answers(self) -> bool:
        """Whether a request of every caller is answered."""
        return set(traffic.send_all(self.gateways(), traffic.mix(1))) == {200}


def told_to_end(pod: dict[str, Any]) -> float:
    """When a pod was told to end (Unix seconds): Kubernetes keeps the time by which it has to have ended."""
    by = datetime.datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    return by.timestamp() - pod["metadata"].get("deletionGracePeriodSeconds", 0)


def kill(process: subprocess.Popen[str]) -> None:
    """End a run as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="session")
def stand(worker_id: str) -> Stand:
    name = settings.cluster_of(worker_id)
    raising.up(name)
    return Stand(name)


@pytest.fixture
def fresh(stand: Stand) -> Stand:
    """The stand as the platform ships it."""
    stand.reset()
    return stand


@pytest.fixture
def unscraped(stand: Stand) -> Stand:
    """The stand without a monitor, whatever its labels are."""
    stand.unscrape()
    return stand


@pytest.fixture
def metered(stand: Stand) -> Stand:
    """The stand as `site.yml` leaves it, with the pair that it adds recorded as its own."""
    if not stand.is_metered():
        if stand.records()["added-pairs"] != "x-user-group:department":
            stand.reset()
        run = stand.site()
        assert run.code == 0, run.output
        stand.metered_state = stand.lasting_state()
    return stand


@pytest.fixture
def self_rolling(fresh: Stand) -> Iterator[Stand]:
    """Proxies that say of themselves that the gateway rolls them, as v1.1's do; nothing rolls them yet."""
    fresh.annotate_proxies("aigateway.envoyproxy.io/extproc-config-hash", "before")
    yield fresh
    fresh.annotate_proxies("aigateway.envoyproxy.io/extproc-config-hash", None)


@pytest.fixture
def default_drain(fresh: Stand) -> Iterator[Stand]:
    """The gateway with two replicas drains its old proxies as upstream ships it."""
    (found,) = fresh.get("envoyproxies", "team-a")

    def set_shutdown(value: dict[str, str] | None) -> None:
        before = fresh.revisions()
        fresh.patch("envoyproxy", "team-a", "gateway-a", {"spec": {"shutdown": value}})
        (proxy,) = [name for name in before if "team-a" in name]
        wait_until("the proxy to be rolled", lambda: fresh.revisions()[proxy] > before[proxy], 60)
        proxies = [f"deployment/{name}" for name in before]
        fresh.kubectl.rollout(fresh.step, platform.GATEWAY_NAMESPACE, *proxies)

    set_shutdown(None)
    yield fresh
    set_shutdown(found["spec"]["shutdown"])


@pytest.fixture(scope="session")
def bare(worker_id: str) -> Iterator[Stand]:
    """A cluster with nothing on it: no gateway, no monitoring."""
    name = f"{BARE}-{worker_id}"
    with raising.one_at_a_time():
        cluster.ensure(name, images.ensure())
    yield Stand(name)
    cluster.delete(name)


@pytest.fixture
def caller() -> Callable[[str], tenants.Caller]:
    """A caller of the stand by name."""
    return lambda name: next(item for item in tenants.CALLERS if item.name == name)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write down which tests took longest, for the table at the end of `make test`."""
    if "SLOWEST" not in os.environ:
        return
    reports = [item for items in terminalreporter.stats.values() for item in items if hasattr(item, "duration")]
    seconds: dict[str, float] = {}
    for report in reports:
        seconds[report.nodeid] = seconds.get(report.nodeid, 0) + report.duration
    path = Path(os.environ["SLOWEST"])
    path.parent.mkdir(parents=True, exist_ok=True)
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:20]
    lines = [f"{value:6.0f} s  {name.removeprefix('tests/e2e/')}" for name, value in slowest]
    path.write_text("\n".join(["the slowest tests, with their fixtures:", *lines, ""]))
