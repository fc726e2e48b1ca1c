"""kubectl, as far as the stand needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import binaries
from .progress import Step
from .settings import kubeconfig

WAIT = "180s"


class Kubectl:
    """kubectl with the admin rights of one of the stand's clusters."""

    def __init__(self, cluster: str) -> None:
        self._command = [binaries.tool("kubectl"), "--kubeconfig", str(kubeconfig(cluster))]

    def run(self, current: Step, *words: str | Path, stdin: str | None = None) -> str:
        return current.run([*self._command, *words], stdin=stdin)

    def apply(self, current: Step, path: Path) -> None:
        """Apply a file or a directory, server-side: the operator's CRDs are too large for an annotation."""
        self.run(current, "apply", "--server-side", "--force-conflicts", "-f", path)

    def apply_text(self, current: Step, manifests: str) -> None:
        self.run(current, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)

    def apply_object(self, current: Step, document: dict[str, Any]) -> None:
        self.apply_text(current, json.dumps(document))

    def get(self, current: Step, kind: str, namespace: str, *words: str) -> dict[str, Any]:
        return json.loads(self.run(current, "get", kind, "--namespace", namespace, "-o", "json", *words))

    def raw(self, current: Step, path: str) -> Any:
        """A GET on the API server, proxy subresources included."""
        return json.loads(self.run(current, "get", "--raw", path))

    def rollout(self, current: Step, namespace: str, *workloads: str) -> None:
        for workload in workloads:
            self.run(current, "rollout", "status", workload, "--namespace", namespace, f"--timeout={WAIT}")

    def wait(self, current: Step, namespace: str, condition: str, name: str) -> None:
        self.run(current, "wait", f"--for=condition={condition}", name, "--namespace", namespace, f"--timeout={WAIT}")
