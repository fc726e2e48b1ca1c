"""A cluster's API, as far as the stand needs it: asked from this process; what is done once, by kubectl.

A kubectl costs a tenth of a second of a core, and tests look at the cluster many times a second.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
import yaml

from . import binaries
from .progress import StandError, Step
from .settings import kubeconfig

WAIT = "180s"
# All kinds in one answer (Kubernetes' aggregated discovery).
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
GONE_SECONDS = 120


class Kind(NamedTuple):
    """A kind as the API server serves it."""

    api: str
    kind: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of its objects, or of one of them."""
        where = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        return f"{'/apis' if '/' in self.api else '/api'}/{self.api}{where}/{self.plural}" + (
            f"/{name}" if name else ""
        )


class Api:
    """The API server of one of the stand's clusters, with admin rights."""

    def __init__(self, cluster: str) -> None:
        self._kubeconfig = kubeconfig(cluster)
        self._made = 0.0
        self._server = ""
        self._pool = urllib3.PoolManager()
        self._kinds: dict[tuple[str, str], Kind] = {}
        """By apiVersion, which is empty for the preferred one, and one of its names in lower case."""
        self._lock = threading.Lock()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """One request. Raises StandError with the API server's own words."""
        self._connect()
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self._server + path, body=data, headers=headers, retries=2, timeout=60.0)
        if answer.status >= 400:
            raise NotTakenError(answer.status, f"{method} {path}: {_message(answer.data)}")
        return answer.data

    def forward(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        """One request of somebody else's: the status, the body and its type, whatever the status is."""
        self._connect()
        answer = self._pool.request(
            method, self._server + path, body=body, headers=dict(headers), retries=False, timeout=90.0
        )
        return answer.status, answer.data, answer.headers.get("Content-Type", "")

    def _connect(self) -> None:
        """Read the kubeconfig, again where the cluster was made anew meanwhile."""
        with self._lock:
            made = self._kubeconfig.stat().st_mtime
            if made == self._made:
                return
            document = yaml.safe_load(self._kubeconfig.read_text())
            cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
            context = ssl.create_default_context(cadata=decoded(cluster["certificate-authority-data"]))
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as client:
                client.write(decoded(user["client-certificate-data"]) + decoded(user["client-key-data"]))
                client.flush()
                context.load_cert_chain(client.name)
            self._pool = urllib3.PoolManager(maxsize=8, ssl_context=context)
            self._server, self._made, self._kinds = cluster["server"], made, {}

    def _kind(self, name: str, version: str = "") -> Kind:
        """A kind by any of its names, in the preferred version unless another is named."""
        self._connect()
        if (version, name.lower()) not in self._kinds:
            # The core's first: an event or a node of another group is not meant.
            for root in ("/api", "/apis"):
                for group in json.loads(self.request("GET", root, Accept=DISCOVERY))["items"]:
                    self._learn(group)
        if (version, name.lower()) not in self._kinds:
            raise StandError(f"the cluster has no kind {name} {version}")
        return self._kinds[version, name.lower()]

    def _learn(self, group: dict[str, Any]) -> None:
        prefix = group.get("metadata", {}).get("name", "")
        for version in group["versions"]:
            api = f"{prefix}/{version['version']}" if prefix else version["version"]
            for item in version.get("resources", ()):
                kind, plural = item["responseKind"]["kind"], item["resource"]
                found = Kind(api, kind, plural, item["scope"] == "Namespaced")
                self._kinds[api, kind.lower()] = found
                for alias in (plural, kind, item.get("singularResource"), *item.get("shortNames", ())):
                    if alias:
                        self._kinds.setdefault(("", alias.lower()), found)

    def list(self, kind: str, namespace: str = "", labels: str = "", name: str = "") -> list[dict[str, Any]]:
        """The objects of a kind: of a namespace, with labels, or of a name."""
        found = self._kind(kind)
        query = {"labelSelector": labels, "fieldSelector": f"metadata.name={name}" if name else ""}
        asked = urlencode({key: text for key, text in query.items() if text})
        items = json.loads(self.request("GET", f"{found.path(namespace)}?{asked}"))["items"]
        # The items of a list do not say what they are.
        return [{"apiVersion": found.api, "kind": found.kind, **item} for item in items]

    def path_of(self, document: dict[str, Any]) -> str:
        """The path of an object."""
        metadata = document["metadata"]
        kind = self._kind(document["kind"], document["apiVersion"])
        return kind.path(metadata.get("namespace", "default"), metadata["name"])

    def apply(self, document: dict[str, Any]) -> None:
        """As `kubectl apply --server-side --force-conflicts` does."""
        path = self.path_of(document)
        query = urlencode({"fieldManager": "kubectl", "force": "true"})
        self.request("PATCH", f"{path}?{query}", document, **{"Content-Type": PATCHES["apply"]})

    def patch(self, kind: str, namespace: str, name: str, body: Any, how: str, manager: str) -> None:
        path = f"{self._kind(kind).path(namespace, name)}?{urlencode({'fieldManager': manager})}"
        self.request("PATCH", path, body, **{"Content-Type": PATCHES[how]})

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and wait until it is gone; deleting none is fine."""
        path = self._kind(kind).path(namespace, name)
        try:
            uid = json.loads(self.request("GET", path))["metadata"]["uid"]
            self.request("DELETE", path, {"propagationPolicy": "Background"})
            until = time.monotonic() + GONE_SECONDS
            while json.loads(self.request("GET", path))["metadata"]["uid"] == uid:
                if time.monotonic() > until:
                    raise StandError(f"{kind} {namespace}/{name} is still there {GONE_SECONDS} s after it was deleted")
                time.sleep(0.2)
        except NotTakenError as error:
            if error.status != 404:
                raise


class NotTakenError(StandError):
    """The API server did not do what it was asked."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _message(body: bytes) -> str:
    """The API server's own sentence, or what else answered."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:500]


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


class Kubectl:
    """kubectl with the admin rights of one of the stand's clusters, and the same without a process."""

    def __init__(self, cluster: str) -> None:
        self._command = [binaries.tool("kubectl"), "--kubeconfig", str(kubeconfig(cluster))]
        self.api = Api(cluster)

    def run(self, current: Step, *words: str | Path, stdin: str | None = None) -> str:
        return current.run([*self._command, *words], stdin=stdin)

    def get(self, kind: str, namespace: str = "", labels: str = "", name: str = "") -> list[dict[str, Any]]:
        """The objects of a kind: of a namespace, with labels, or of a name."""
        return self.api.list(kind, namespace, labels, name)

    def raw(self, path: str) -> Any:
        """A GET on the API server, proxy subresources included, of JSON."""
        return json.loads(self.text(path))

    def text(self, path: str) -> str:
        """A GET on the API server, proxy subresources included."""
        return self.api.request("GET", path).decode()

    def apply_object(self, document: dict[str, Any]) -> None:
        self.api.apply(document)

    def apply(self, current: Step, path: Path) -> None:
        """Apply a file or a directory, server-side: the operator's CRDs are too large for an annotation."""
        self.run(current, "apply", "--server-side", "--force-conflicts", "-f", path)

    def apply_text(self, current: Step, manifests: str) -> None:
        self.run(current, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)

    def rollout(self, current: Step, namespace: str, *workloads: str) -> None:
        for workload in workloads:
            self.run(current, "rollout", "status", workload, "--namespace", namespace, f"--timeout={WAIT}")

    def wait(self, current: Step, namespace: str, condition: str, name: str) -> None:
        self.run(current, "wait", f"--for=condition={condition}", name, "--namespace", namespace, f"--timeout={WAIT}")
