"""A kind cluster: there, healthy and made from the images of this version, or made anew."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from . import binaries, images
from .progress import StandError, say, step, wait_until
from .settings import CACHE, kubeconfig

READY_SECONDS = 90
KUBE_PROXY_HEALTH = 10256
# kind starts a node's container right after making it; on a busy machine "right after" can take a while.
CREATION_SECONDS = 60
# Node ports that kind publishes on 127.0.0.1, at host ports it picks: two clusters never collide.
NODE_PORTS = {"gateway-a": 30080, "gateway-b": 30081}


# What the API server was asked by a person or a run of the collection, and not by the cluster's own programs.
AUDITED = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # What is proxied to a pod is one request, and would be written down when it begins as well.
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "users": ["kubernetes-admin"]}, {"level": "None"}],
}
AUDIT_POLICY, AUDIT_LOG = "/etc/kubernetes/audit-policy.yaml", "/var/log/kubernetes/audit/audit.log"
_AUDIT_POLICY = CACHE / "kubeconfig" / "audit-policy.yaml"
_AUDITING = {
    "kind": "ClusterConfiguration",
    "apiServer": {
        "extraArgs": [
            {"name": "audit-policy-file", "value": AUDIT_POLICY},
            {"name": "audit-log-path", "value": AUDIT_LOG},
            {"name": "audit-log-maxsize", "value": "100"},
            {"name": "audit-log-maxbackup", "value": "1"},
        ],
        "extraVolumes": [
            {
                "name": "audit-policy",
                "hostPath": AUDIT_POLICY,
                "mountPath": AUDIT_POLICY,
                "readOnly": True,
                "pathType": "File",
            },
            {
                "name": "audit-log",
                "hostPath": str(Path(AUDIT_LOG).parent),
                "mountPath": str(Path(AUDIT_LOG).parent),
                "pathType": "DirectoryOrCreate",
            },
        ],
    },
}


# A machine with several clusters is short of cores, and not of memory.
COLLECTING = [{"name": "GOGC", "value": "400"}]


def _config(built: bool) -> str:
    """kind's configuration; the patches are those that a home-built node without cgroup v2 needs."""
    config: dict = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [
            {
                "role": "control-plane",
                "image": images.NODE,
                "extraPortMappings": [
                    {"containerPort": port, "hostPort": 0, "listenAddress": "127.0.0.1"} for port in NODE_PORTS.values()
                ],
                "extraMounts": [{"hostPath": str(_AUDIT_POLICY), "containerPath": AUDIT_POLICY, "readOnly": True}],
            }
        ],
    }
    patches: list[dict] = [_AUDITING]
    if built:
        # In nftables mode kube-proxy 1.36 fails to sync, for up to 30 s at a time, when a pod of two Services ends: it
        # deletes the pod's element of its map hairpin-connections for each of them.
        config["networking"] = {"disableDefaultCNI": True, "kubeProxyMode": "iptables"}
        patches += [
            {"kind": "InitConfiguration", "skipPhases": ["preflight"]},
            {
                "kind": "KubeletConfiguration",
                "failCgroupV1": False,
                # A changed Prometheus configuration reaches its pod at the next sync: a minute by default.
                "syncFrequency": "5s",
                "cgroupDriver": "cgroupfs",
                "imageGCHighThresholdPercent": 100,
                "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            },
            {
                "kind": "KubeProxyConfiguration",
                "conntrack": {
                    "maxPerCore": 0,
                    "min": 0,
                    "tcpEstablishedTimeout": "0s",
                    "tcpCloseWaitTimeout": "0s",
                },
            },
            {
                "kind": "ClusterConfiguration",
                "etcd": {
                    "local": {"extraArgs": [{"name": "unsafe-no-fsync", "value": "true"}], "extraEnvs": COLLECTING}
                },
                "apiServer": {"extraEnvs": COLLECTING},
                # There is one of each: what they write every two seconds to stay the leader is work for nothing.
                **{
                    program: {"extraArgs": [{"name": "leader-elect", "value": "false"}], "extraEnvs": COLLECTING}
                    for program in ("controllerManager", "scheduler")
                },
            },
        ]
    config["kubeadmConfigPatches"] = [yaml.safe_dump(patch) for patch in patches]
    return yaml.safe_dump(config, sort_keys=False)


def _marker(cluster: str) -> Path:
    """Says that the cluster was made to the end, and from what: an interrupted creation leaves none."""
    return CACHE / "kubeconfig" / f"{cluster}.made-from"


def _made_from(built: bool) -> str:
    node = images._inspect(images.NODE) or {}
    return hashlib.sha256(f"{node.get('Id')} {_config(built)} {AUDITED}".encode()).hexdigest()


def _container(cluster: str) -> dict | None:
    done = subprocess.run(
        ["docker", "inspect", f"{cluster}-control-plane"], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def _ready(cluster: str) -> bool:
    kubectl = [binaries.tool("kubectl"), "--kubeconfig", str(kubeconfig(cluster)), "--request-timeout=3s"]
    nodes = subprocess.run([*kubectl, "get", "nodes", "-o", "json"], capture_output=True, text=True, check=False)
    if nodes.returncode:
        return False
    conditions = [entry for node in json.loads(nodes.stdout)["items"] for entry in node["status"]["conditions"]]
    if not any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions):
        return False
    # A node is Ready before its Services are: kube-proxy says that they are. What is installed earlier may not reach
    # the API server, and some of it does not try for long.
    node = json.loads(nodes.stdout)["items"][0]["metadata"]["name"]
    services = [*kubectl, "get", "--raw", f"/api/v1/nodes/{node}:{KUBE_PROXY_HEALTH}/proxy/healthz"]
    return subprocess.run(services, capture_output=True, check=False).returncode == 0


def _wait_for_node(cluster: str) -> None:
    wait_until(f"the node of {cluster} to be Ready with its Services", lambda: _ready(cluster), READY_SECONDS)


def ensure(cluster: str, built: bool) -> None:
    """Return with a cluster of that name whose node is Ready: the one that is there, or one made anew."""
    if _healthy(cluster, built):
        say(f"cluster {cluster}: there and ready")
        return
    kind = binaries.tool("kind")
    with step(f"cluster {cluster}") as current:
        current.run([kind, "delete", "cluster", "--name", cluster])
        target = kubeconfig(cluster)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        _AUDIT_POLICY.write_text(yaml.safe_dump(AUDITED))
        current.run(
            [kind, "create", "cluster", "--name", cluster, "--kubeconfig", target, "--config", "-", "--retain", "-v1"],
            stdin=_config(built),
        )
        target.chmod(0o600)
        _wait_for_node(cluster)
        _marker(cluster).write_text(_made_from(built))


def _healthy(cluster: str, built: bool) -> bool:
    container = _container(cluster)
    marker = _marker(cluster)
    if container is None or not kubeconfig(cluster).exists():
        return False
    if not marker.exists() or marker.read_text() != _made_from(built):
        say(f"cluster {cluster}: made from other images or not to the end; it is made anew")
        return False
    if _stopped_since_it_was_made(container):
        say(f"cluster {cluster}: its node had stopped since it was made; it is made anew")
        return False
    try:
        _wait_for_node(cluster)
    except StandError as sick:
        say(f"cluster {cluster}: {sick}; it is made anew")
        return False
    return True


def _stopped_since_it_was_made(container: dict) -> bool:
    """Whether the node is down or has come back, by our hand or by its engine's.

    All pods of a node that comes back crash until the one that they need is up, and wait ever longer in between:
    proxies have taken more than three minutes. A new cluster takes one.
    """
    state = container["State"]
    if not state["Running"]:
        return True
    made, started = (datetime.fromisoformat(moment) for moment in (container["Created"], state["StartedAt"]))
    return started - made > timedelta(seconds=CREATION_SECONDS)


def load_images(cluster: str, wanted: Sequence[images.Image] = images.PLATFORM) -> None:
    """Have images on the node, the platform's by default; kind skips those that are there."""
    with step(f"images onto the node of {cluster}") as current:
        references = [image.reference for image in wanted]
        current.run([binaries.tool("kind"), "load", "docker-image", "--name", cluster, *references])


def host_port(cluster: str, gateway: str) -> int:
    """The port on 127.0.0.1 at which a gateway of the stand answers."""
    container = _container(cluster)
    if container is None or not container["State"]["Running"]:
        raise StandError(f"cluster {cluster} is not running; `stand up --cluster {cluster}` raises it")
    return int(container["NetworkSettings"]["Ports"][f"{NODE_PORTS[gateway]}/tcp"][0]["HostPort"])


def names() -> list[str]:
    """The clusters of the stand that exist."""
    done = subprocess.run(
        ["docker", "ps", "-a", "--filter", "label=io.x-k8s.kind.cluster", "--format", "{{.Names}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [name.removesuffix("-control-plane") for name in done.stdout.split()]
    return sorted(name for name in found if name.startswith("aigateway-metering"))


def delete(cluster: str) -> None:
    """Delete the cluster and what the cache knows of it; deleting none is fine."""
    if _container(cluster):
        with step(f"cluster {cluster}: deleting") as current:
            current.run([binaries.tool("kind"), "delete", "cluster", "--name", cluster])
    for path in (kubeconfig(cluster), _marker(cluster)):
        path.unlink(missing_ok=True)


def requests_of(cluster: str, agent: str) -> int:
    """How many requests of a client, told by a word of its User-Agent, are in the API server's audit log."""
    done = subprocess.run(
        ["docker", "exec", f"{cluster}-control-plane", "grep", "--count", agent, AUDIT_LOG],
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stdout or 0)
