# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The proxies: workloads of Envoy Gateway whose pods carry the sidecar.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import _names
from .._kubernetes.objects import Object, containers, name_of
from .._kubernetes.rollout_status import missing_in_rollout
from .controller import Controller
from .sidecar import Sidecar, gateway_of, sidecars_of


@dataclass(frozen=True)
class Proxy:
    """A workload (Deployment or DaemonSet) of proxy pods, with the sidecars of its running pods."""

    kind: str
    workload: Object
    sidecars: tuple[Sidecar, ...] = ()
    pods: tuple[Object, ...] = ()

    @property
    def name(self) -> str:
        return name_of(self.workload)

    @property
    def gateway(self) -> str:
        return gateway_of(self.workload)

    @property
    def rolls_itself(self) -> bool:
        """Whether the controller rolls it when the mapping changes."""
        annotations = self.workload["spec"]["template"]["metadata"].get("annotations") or {}
        return _names.SELF_ROLL_ANNOTATION in annotations

    def stale(self, controller: Controller) -> list[Sidecar]:
        return [sidecar for sidecar in self.sidecars if sidecar.is_stale(controller)]

    def unsettled(self) -> str:
        """What keeps it from having every pod new and ready; an empty text where nothing does. Old ones may drain."""
        return missing_in_rollout(self.kind, self.workload, self.pods)


def _owns(workload: Object, pod: Object) -> bool:
    wanted = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    same_namespace = workload["metadata"].get("namespace") == pod["metadata"].get("namespace")
    return bool(wanted) and same_namespace and wanted.items() <= labels.items()


def proxies_of(workloads: Iterable[tuple[str, Object]], pods: Sequence[Object]) -> list[Proxy]:
    """The workloads of which some pod carries the sidecar, by name.

    Args:
        workloads: (kind, object) of the Deployments and DaemonSets with the proxies' labels.
        pods: the pods with the proxies' labels, whatever their phase.
    """
    found = []
    for kind, workload in workloads:
        own = [pod for pod in pods if _owns(workload, pod)]
        running = sidecars_of(own)
        carries = any(item["name"] == _names.SIDECAR for pod in own for item in containers(pod["spec"]))
        if carries:
            found.append(Proxy(kind, workload, tuple(running), tuple(own)))
    return sorted(found, key=lambda proxy: proxy.name)
