# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""What a rollout still waits for, and which workload never rolls.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import MeteringError
from .objects import Object, name_of


def never_rolls(kind: str, workload: Object) -> str:
    """Why a changed template reaches no pod of a Deployment or a DaemonSet; an empty text where it does."""
    if kind == "DaemonSet" and (workload["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
        return "replaces its pods only when they are deleted (spec.updateStrategy: OnDelete)"
    if workload["spec"].get("paused"):
        return "is paused (spec.paused)"
    return ""


def refuse_what_never_rolls(found: Iterable[tuple[str, Object]]) -> None:
    """Refuse to change what pods would never get.

    Args:
        found: (kind, object) of those that are to roll.

    Raises:
        MeteringError: a Deployment or a DaemonSet does not roll; all of them are named.
    """
    held = [(kind, item, why) for kind, item in found if (why := never_rolls(kind, item))]
    if not held:
        return
    action = {"Deployment": "rollout resume", "DaemonSet": "get -o yaml"}
    commands = [
        f"kubectl -n {item['metadata']['namespace']} {action[kind]} {kind.lower()}/{item['metadata']['name']}"
        for kind, item, dummy in held
    ]
    raise MeteringError(
        f"{'; '.join(f'{kind} {name_of(item)} {why}' for kind, item, why in held)}.",
        "Its pods would keep their present mapping, and this run would wait until its timeout. Nothing was changed.",
        "Let them roll (for a DaemonSet: spec.provider.kubernetes.envoyDaemonSet.strategy of its EnvoyProxy), or set "
        "labels_restart: false and replace the proxies' pods yourself.",
        "; ".join(commands),
    )


def is_rolled_out(kind: str, workload: Object) -> bool:
    """What `kubectl rollout status` waits for, for a Deployment or a DaemonSet."""
    return not missing_in_rollout(kind, workload)


def missing_in_rollout(kind: str, workload: Object, pods: Iterable[Object] = ()) -> str:
    """What a rollout still waits for, how far it is, and what holds it up; an empty text where it is through.

    Args:
        kind: Deployment or DaemonSet.
        workload: the object.
        pods: its pods, for what holds them up.
    """
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return "the change to be seen"
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, available, old = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0), 0
    else:
        wanted = workload["spec"].get("replicas", 1)
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        old = max(0, status.get("replicas", 0) - updated)
    if updated >= wanted and available >= wanted and not old:
        return ""
    held = "; ".join(_troubles(status, pods))
    return (
        f"{updated} of {wanted} pods to be new, {available} of {wanted} available"
        + (f", {old} old to end" if old else "")
        + (f" ({held})" if held else "")
    )


def _troubles(status: Object, pods: Iterable[Object]) -> list[str]:
    """What a workload's conditions and its pods' containers say against a rollout."""
    found = [
        condition.get("message") or condition.get("reason", "")
        for condition in status.get("conditions") or ()
        if (condition.get("type"), condition.get("status")) in (("ReplicaFailure", "True"), ("Progressing", "False"))
    ]
    for pod in pods:
        own = pod.get("status") or {}
        for container in [*(own.get("initContainerStatuses") or ()), *(own.get("containerStatuses") or ())]:
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason", "PodInitializing") not in ("PodInitializing", "ContainerCreating"):
                found.append(f"{name_of(pod)}: {waiting['reason']}")
        found += [
            f"{name_of(pod)}: {condition.get('message', '')}"
            for condition in own.get("conditions") or ()
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        ]
    return list(dict.fromkeys(found))
