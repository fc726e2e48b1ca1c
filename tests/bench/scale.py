# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module takes in a large cluster: seconds, requests and memory, as the cluster grows by tens.

A benchmark, and no test. The API server and the Prometheus are real. Nothing runs in the pods: their addresses are
this machine's own, where one server answers for every sidecar. It needs root, for the route to these addresses. The
result is written to docs/scale.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".collections"), str(ROOT / "tests" / "stand")]

from standlib import binaries, cluster, images, raising, settings
from standlib.kube import Kubectl, NotTakenError
from standlib.progress import StandError, main_guard, say, step, wait_until

CLUSTER = "aigateway-metering-bench"
CLIENT = "OpenAPI-Generator"
PAGE = ROOT / "docs" / "scale.md"
GATEWAYS, MONITORING, CONTROL = "gateways", "monitoring", "envoy-gateway-system"
PAIRS = ",".join(["x-user-namespace:user_namespace", *(f"x-{number}:label_{number}" for number in range(59))])
PROXY = {
    "app.kubernetes.io/name": "envoy",
    "app.kubernetes.io/component": "proxy",
    "app.kubernetes.io/managed-by": "envoy-gateway",
}
CONTROLLER = {"app.kubernetes.io/name": "ai-gateway-helm"}
# Addresses of this machine for as long as this runs.
NETWORK = "10.99.0.0/16"
SIDECAR, PROMETHEUS = 1064, 9090
TENANTS = 100
# The pods that are somebody else's: each declares so many ports, which are that many targets.
BUSY_NAMESPACES, BUSY_PODS, BUSY_PORTS = 20, 50, 95
MODULES: dict[str, dict[str, Any]] = {
    "gateway_info": {"pairs": "x-user-namespace:user_namespace", "monitor": {}},
    "podmonitor_dedupe": {"_ansible_check_mode": True},
    "merge_metrics_attributes": {"pairs": "x-user-namespace:user_namespace", "_ansible_check_mode": True},
    "proxy_rollout": {"_ansible_check_mode": True},
    "prom_scrape_check": {"timeout": 900},
    "drift_info": {"pairs": "x-user-namespace:user_namespace", "timeout": 900},
}


@dataclass(frozen=True)
class Size:
    gateways: int
    pods: int
    monitors: int
    prometheuses: int

    def __str__(self) -> str:
        objects = f"{self.monitors} PodMonitors, {self.prometheuses} Prometheuses"
        return f"{self.pods} pods of {self.gateways} gateways, {objects}"


# Pods of each gateway.
REPLICAS = 10
SIZES = [Size(5, 50, 100, 2), Size(50, 500, 1000, 20), Size(500, 5000, 10000, 200)]


# -- the cluster -------------------------------------------------------------------------------------------------------


class World:
    """A cluster that is filled with objects in which nothing runs."""

    def __init__(self) -> None:
        self.kubectl = Kubectl(CLUSTER)
        self.made: set[str] = set()

    def make(self, namespace: str, kind: str, documents: list[dict[str, Any]]) -> None:
        """Create objects that are not there yet, many at once, with their status."""

        def create(document: dict[str, Any]) -> None:
            path = self.kubectl.api.path_of(document)
            try:
                self.kubectl.api.request("POST", path.rpartition("/")[0], document, **JSON)
            except NotTakenError as error:
                if error.status != 409:
                    raise
            if "status" in document:
                body = {"status": document["status"]}
                self.kubectl.api.request("PATCH", f"{path}/status", body, **MERGE)

        wanted = [item for item in documents if f"{kind} {namespace} {item['metadata']['name']}" not in self.made]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(create, wanted))
        self.made |= {f"{kind} {namespace} {item['metadata']['name']}" for item in wanted}

    def prepare(self) -> None:
        """What there is at every size."""
        names = [GATEWAYS, MONITORING, CONTROL, *tenants(), *busy()]
        self.make(
            "", "Namespace", [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
        )
        wait_until("the accounts of all namespaces", lambda: set(names) <= self.with_accounts(), 120)
        # Nothing is to start, to be counted or to be collected here.
        for program in ("kube-controller-manager", "kube-scheduler"):
            manifest = f"/etc/kubernetes/manifests/{program}.yaml"
            node(f"test ! -e {manifest} || mv {manifest} /root/")
        self.make(CONTROL, "Deployment", [workload("ai-gateway-controller", CONTROL, controller_spec(), replicas=1)])
        self.make(MONITORING, "Pod", [prometheus_pod()])
        for number, namespace in enumerate(busy()):
            self.make(namespace, "Pod", [busy_pod(namespace, number, pod) for pod in range(BUSY_PODS)])

    def with_accounts(self) -> set[str]:
        """The namespaces in which pods can be made: each has an account of that name."""
        return {item["metadata"]["namespace"] for item in self.kubectl.get("serviceaccounts", name="default")}

    def grow(self, size: Size) -> None:
        with step(f"growing to {size}"):
            self.make(GATEWAYS, "Deployment", [proxy(number) for number in range(size.gateways)])
            self.make(GATEWAYS, "Pod", [proxy_pod(number) for number in range(size.pods)])
            for number, namespace in enumerate(tenants()):
                own = range(number, size.monitors, TENANTS)
                self.make(
                    namespace,
                    "PodMonitor",
                    [pod_monitor(f"app-{item}", namespace, {"app": f"a{item}"}) for item in own],
                )
            self.make(MONITORING, "Prometheus", [prometheus(number) for number in range(size.prometheuses)])


JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def tenants() -> list[str]:
    return [f"tenant-{number}" for number in range(TENANTS)]


def busy() -> list[str]:
    return [f"busy-{number}" for number in range(BUSY_NAMESPACES)]


def address(number: int) -> str:
    return f"10.99.{number // 250}.{number % 250 + 1}"


def workload(name: str, namespace: str, spec: dict[str, Any], replicas: int, **labels: str) -> dict[str, Any]:
    """A Deployment that has rolled out."""
    selector = {**labels, "pods-of": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {"app.kubernetes.io/name": "ai-gateway-helm"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": spec},
        },
        "status": {
            "observedGeneration": 1,
            **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), replicas),
        },
    }


def controller_spec() -> dict[str, Any]:
    args = [f"--metricsRequestHeaderAttributes={PAIRS}", "--extProcImage=extproc:v1.0.0"]
    return {"containers": [{"name": "ai-gateway-helm", "image": "ai-gateway-controller:v1.0.0", "args": args}]}


def proxy_spec() -> dict[str, Any]:
    args = ["-adminPort", str(SIDECAR), "-metricsRequestHeaderAttributes", PAIRS]
    sidecar = {
        "name": "ai-gateway-extproc",
        "image": "extproc:v1.0.0",
        "args": args,
        "restartPolicy": "Always",
        "ports": [{"name": "aigw-admin", "containerPort": SIDECAR}],
    }
    return {"initContainers": [sidecar], "containers": [{"name": "envoy", "image": "envoy:v1"}]}


def of_gateway(number: int) -> dict[str, str]:
    return {
        **PROXY,
        "gateway.envoyproxy.io/owning-gateway-namespace": f"tenant-{number % TENANTS}",
        "gateway.envoyproxy.io/owning-gateway-name": f"chat-{number}",
    }


def proxy(number: int) -> dict[str, Any]:
    return workload(f"envoy-{number}", GATEWAYS, proxy_spec(), REPLICAS, **of_gateway(number))


def pod(name: str, namespace: str, spec: dict[str, Any], at: str, **labels: str) -> dict[str, Any]:
    """A pod that says that it runs, at an address of this machine."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"automountServiceAccountToken": False, **spec},
        "status": {"phase": "Running", "podIP": at, "podIPs": [{"ip": at}], "conditions": [ready]},
    }


def proxy_pod(number: int) -> dict[str, Any]:
    own = number // REPLICAS
    labels = {**of_gateway(own), "pods-of": f"envoy-{own}"}
    return pod(f"envoy-{own}-{number}", GATEWAYS, proxy_spec(), address(number), **labels)


def busy_pod(namespace: str, number: int, own: int) -> dict[str, Any]:
    ports = [{"containerPort": 20000 + port} for port in range(BUSY_PORTS)]
    spec = {"containers": [{"name": "app", "image": "app:v1", "ports": ports}]}
    return pod(f"app-{own}", namespace, spec, f"10.99.{200 + number}.{own + 1}", app="busy")


def prometheus_pod() -> dict[str, Any]:
    labels = {"operator.prometheus.io/name": "main-0", "app.kubernetes.io/name": "prometheus"}
    spec = {
        "containers": [{"name": "prometheus", "image": "p:v3", "ports": [{"name": "web", "containerPort": PROMETHEUS}]}]
    }
    return pod("prometheus-main-0-0", MONITORING, spec, "10.99.255.1", **labels)


def prometheus(number: int) -> dict[str, Any]:
    """The first takes monitors from everywhere, each other from a namespace of its own."""
    namespaces = {"matchLabels": {"kubernetes.io/metadata.name": f"tenant-{number % TENANTS}"}} if number else {}
    own = {"matchLabels": {"for": f"p{number}"}} if number else {}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": f"main-{number}", "namespace": MONITORING},
        "spec": {"podMonitorSelector": own, "podMonitorNamespaceSelector": namespaces},
    }


def pod_monitor(name: str, namespace: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "podMetricsEndpoints": [{"port": "web", "path": "/metrics"}]},
    }


def node(command: str) -> str:
    done = subprocess.run(
        ["docker", "exec", f"{CLUSTER}-control-plane", "sh", "-c", command], capture_output=True, text=True, check=True
    )
    return done.stdout


# -- what answers at the pods' addresses -------------------------------------------------------------------------------


@contextlib.contextmanager
def routed() -> Iterator[None]:
    """The pods' addresses lead here, also from the cluster's node."""
    here = node("ip route show default | awk '{print $3}'").strip()
    subprocess.run(["ip", "route", "replace", "local", NETWORK, "dev", "lo"], check=True)
    node(f"ip route replace {NETWORK} via {here}")
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", "local", NETWORK, "dev", "lo"], check=False)


LABELS = ",".join(f'label_{number}="v"' for number in range(59))
EXPOSED = "".join(
    f'gen_ai_client_token_usage_{part}{{gen_ai_request_model="m",gen_ai_token_type="{kind}",user_namespace="team",'
    f"{LABELS}}} {value}\n"
    for kind in ("input", "output", "cached_input")
    for part, value in (("sum", 10), ("count", 1))
).encode()


class Exposition(BaseHTTPRequestHandler):
    """What every sidecar says: three token types of one model and caller, with all labels of the mapping."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(EXPOSED)))
        self.end_headers()
        self.wfile.write(EXPOSED)

    def log_message(self, *dummy: Any) -> None:
        pass


@contextlib.contextmanager
def sidecars() -> Iterator[None]:
    server = ThreadingHTTPServer(("0.0.0.0", SIDECAR), Exposition)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


@contextlib.contextmanager
def scraping() -> Iterator[None]:
    """A Prometheus with a pool for the sidecars, and one for each of the busy namespaces."""

    def job(name: str, namespace: str, interval: str, **own: Any) -> dict[str, Any]:
        found = {
            "role": "pod",
            "kubeconfig_file": str(settings.kubeconfig(CLUSTER)),
            "namespaces": {"names": [namespace]},
        }
        return {
            "job_name": name,
            "scrape_interval": interval,
            "scrape_timeout": "10s",
            "kubernetes_sd_configs": [found],
            **own,
        }

    named = [
        {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
        for source, target in (("namespace", "namespace"), ("pod_name", "pod"), ("pod_container_name", "container"))
    ]
    ours = {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "aigw-admin", "action": "keep"}
    jobs = [job(f"podMonitor/{GATEWAYS}/ai-gateway-metrics/0", GATEWAYS, "1m", relabel_configs=[ours, *named])]
    jobs += [job(f"podMonitor/{name}/app/0", name, "1h") for name in busy()]
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory) / "prometheus.yml"
        configuration.write_text(yaml.safe_dump({"scrape_configs": jobs}))
        command = [
            binaries.tool("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory}/data",
        ]
        command += [f"--web.listen-address=0.0.0.0:{PROMETHEUS}", "--log.level=error"]
        with subprocess.Popen(command) as server:
            try:
                yield
            finally:
                server.terminate()


def asked(path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS}/api/v1/{path}", timeout=120) as response:
        return response.read()


def up() -> int:
    """How many sidecars were scraped with success; 0 while Prometheus does not answer yet."""
    try:
        found = json.loads(asked("query?query=sum(up%7Bpod=~%22envoy-.*%22%7D)"))["data"]["result"]
    except OSError:
        return 0
    return int(found[0]["value"][1]) if found else 0


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Took:
    seconds: float
    megabytes: float
    requests: int


def peak_of(pid: int) -> int:
    """The most memory that a process has had so far, in KiB; 0 for one that is ending."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found.group(1)) if found else 0
    return 0


def measured(module: str, options: dict[str, Any]) -> Took:
    """A module in a process of its own. It has to succeed."""
    environment = {
        **os.environ,
        "K8S_AUTH_KUBECONFIG": str(settings.kubeconfig(CLUSTER)),
        "PYTHONPATH": str(ROOT / ".collections"),
    }
    before = cluster.requests_of(CLUSTER, CLIENT)
    began = time.monotonic()
    script = ROOT / "tests" / "e2e" / "harness" / "run_module.py"
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as told:
        json.dump(options, given)
        given.seek(0)
        process = subprocess.Popen([sys.executable, str(script), module], stdin=given, stdout=told, env=environment)
        peak = 0
        # What wait4() tells begins with the memory of this process, which is larger.
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            time.sleep(0.02)
        seconds = time.monotonic() - began
        told.seek(0)
        result = json.loads(told.read())
    if result.get("failed") or result.get("problems"):
        raise SystemExit(f"{module}: {result.get('msg') or result['problems']}")
    return Took(seconds, peak / 1024, cluster.requests_of(CLUSTER, CLIENT) - before)


def moved() -> str:
    """What the check of the targets moves, beside what all targets are."""
    pool = f"podMonitor/{GATEWAYS}/ai-gateway-metrics/0"
    own = len(asked("status/config")) + len(asked(f"targets?state=active&scrapePool={pool}"))
    whole = asked("targets?state=active")
    targets = len(json.loads(whole)["data"]["activeTargets"])
    return f"{own / 1e6:.2f} MB of {len(whole) / 1e6:.0f} MB ({own / len(whole):.1%}) for {targets} targets"


def measure() -> list[str]:
    world = World()
    with step("what there is at every size"):
        world.prepare()
    rows: dict[str, list[Took]] = {module: [] for module in MODULES}
    shares = []
    with routed(), sidecars(), scraping():
        for size in SIZES:
            world.grow(size)
            # As somebody would have it who has run site.yml.
            monitor = pod_monitor("ai-gateway-metrics", GATEWAYS, PROXY)
            monitor["spec"]["podMetricsEndpoints"] = [{"port": "aigw-admin", "path": "/metrics", "interval": "1m"}]
            monitor["spec"]["selector"]["matchLabels"] = {key: PROXY[key] for key in list(PROXY)[1:]}
            world.make(GATEWAYS, "PodMonitor", [monitor])
            wait_until(f"{size.pods} sidecars to be scraped", lambda size=size: up() == size.pods, 600, 5)
            shares.append(moved())
            for module, options in MODULES.items():
                rows[module].append(measured(module, options))
                say(f"{module}: {rows[module][-1]}")
    return page(rows, shares)


def page(rows: dict[str, list[Took]], shares: list[str]) -> list[str]:
    heads = ["module", *(f"{size.pods} pods" for size in SIZES)]

    def table(cell: Callable[[Took], str]) -> list[str]:
        lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        return [*lines, *(f"| `{module}` | {' | '.join(map(cell, took))} |" for module, took in rows.items())]

    return [
        "# Large clusters",
        "",
        "`make bench-scale` fills an API server by tens, and writes this page. The API server and the Prometheus are",
        "real; nothing runs in the pods, whose sidecars have 60 pairs each. Nothing is to be done, nothing is doubled.",
        "",
        *(f"- {size}. The live targets are proven by {share}." for size, share in zip(SIZES, shares, strict=True)),
        "",
        "Seconds, each module in a process of its own:",
        "",
        *table(lambda took: f"{took.seconds:.1f}"),
        "",
        "Requests to the API server, of which one for each sidecar reads what it exposes:",
        "",
        *table(lambda took: str(took.requests)),
        "",
        "Peak memory in MB:",
        "",
        *table(lambda took: f"{took.megabytes:.0f}"),
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores.",
    ]


def is_served(kubectl: Kubectl) -> bool:
    try:
        kubectl.get("scrapeconfigs")
    except StandError:
        return False
    return True


def main() -> None:
    with raising.one_at_a_time():
        built = images.ensure()
        cluster.ensure(CLUSTER, built)
    kubectl = Kubectl(CLUSTER)
    operator = binaries.module_directory("github.com/prometheus-operator/prometheus-operator")
    try:
        with step("kinds") as current:
            for kind in ("podmonitors", "prometheuses", "servicemonitors", "scrapeconfigs"):
                kubectl.apply(current, operator / f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml")
        wait_until("the kinds to be served", lambda: is_served(kubectl), 60)
        PAGE.write_text("\n".join(measure()) + "\n")
    finally:
        cluster.delete(CLUSTER)
    say(f"written to {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main_guard(main)
