# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Brings the controller's one flag to a mapping: writes it, waits until it is in force, takes it back if that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _generations, _names, _progress
from .._errors import ConflictError, MeteringError, told
from .._gateway import controller as _controller
from .._gateway import mapping, mapping_flag, reader
from .._gateway import sidecar as _sidecar
from .._gateway.controller import Controller
from .._gateway.mapping import Merge, Pair, Record
from .._gateway.proxy import Proxy
from .._gateway.writer import ignored_warning, refuse_what_would_wait_in_vain, write
from .._kubernetes import objects, rollout_status
from .._kubernetes.client import Cluster
from .._kubernetes.objects import Object
from .mapping_plan import plan_mapping, refuse_to_roll
from .runner import CONTROLLER_OPTION, GATEWAYS_OPTION

ROLLBACK_ATTEMPTS = 5


OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "pairs": {"type": "raw"},
    "allow_per_user": {"type": "bool", "default": False},
    "chargeback_goes": {"type": "bool", "default": False},
    "method": {"type": "str", "choices": ["patch", "verify"], "default": "patch"},
    "restart": {"type": "bool", "default": True},
    "on_failure": {"type": "str", "choices": ["rollback", "keep"], "default": "rollback"},
    "wait_timeout": {"type": "int", "default": 300},
}


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Plan, write, wait, and report: what merge_metrics_attributes returns."""
    options = module.params
    controller = reader.read_controller(cluster, options["controller"])
    proxies = reader.read_proxies(cluster)
    merged, record = plan_mapping(cluster, controller, proxies, options)
    rolls = merged.pairs != controller.pairs
    changed = rolls or record != controller.record
    if rolls and not options["restart"]:
        refuse_to_roll(controller, proxies)
    refuse_what_would_wait_in_vain(
        controller, _sidecar.in_scope(proxies, options["gateways"]), merged.pairs, restart=options["restart"]
    )
    for text in controller.ignored:
        module.warn(ignored_warning(controller, text))
    if rolls and options["method"] == "verify" and not module.check_mode:
        raise MeteringError(
            f"The flag --{controller.flag} of deployment {controller.name} is {controller.value!r}, not "
            f"{merged.value!r}.",
            "The method is verify: something else has to set the flag before this task.",
            "Check that what sets it (the chart's values key, the operator) renders the flag of this generation.",
        )
    if not module.check_mode:
        if changed:
            write(cluster, controller, merged.pairs, record)
        try:
            wait_for_controller(cluster, controller, merged.pairs, options["wait_timeout"])
        except MeteringError as error:
            if not rolls:
                raise
            raise roll_back_flag(cluster, controller, merged, error, options["on_failure"]) from error
    patched = rolls or controller.flag_writer != _names.HELM_FIELD_MANAGER
    if options["method"] == "patch" and patched and record.added and controller.helm:
        module.warn(helm_warning(controller, merged.value))
    return {
        "changed": changed,
        "controller": controller.name,
        "before": controller.value,
        "after": merged.value if rolls else controller.value,
        "added": list(map(str, merged.added)),
        "recovered": list(map(str, merged.recovered)),
        "removed": [str(pair) for pair in controller.pairs if pair not in merged.pairs],
        "sources": dict(merged.sources),
        # Whether the Gateways that are named have proxies, proxy_rollout tells.
        "current": [] if changed or options["gateways"] else up_to_date_proxies(controller, proxies),
        "values_key": _generations.VALUES_KEYS[controller.flag],
        "helm": controller.helm | {"values": {_generations.VALUES_KEYS[controller.flag]: merged.value}}
        if controller.helm
        else {},
        "diff": {
            "before": to_diff(controller.flag, controller.value, controller.record),
            "after": to_diff(controller.flag, merged.value if rolls else controller.value, record),
        },
    }


def up_to_date_proxies(controller: Controller, proxies: Sequence[Proxy]) -> list[str]:
    """The names of all proxies, if each has the controller's mapping in every pod and none is rolling; else none."""
    pending = [proxy for proxy in proxies if proxy.stale(controller) or proxy.unsettled()]
    return [] if pending else [proxy.name for proxy in proxies]


def wait_for_controller(cluster: Cluster, controller: Controller, pairs: Sequence[Pair], timeout: float) -> None:
    """Wait until the Deployment has rolled out with the flag and every pod of its own is a new one.

    Raises:
        MeteringError: it takes longer, or somebody writes the flag back.
    """
    namespace, name = controller.name.split("/")
    labels = ",".join(f"{key}={text}" for key, text in controller.deployment["spec"]["selector"]["matchLabels"].items())
    # What was not written was read a moment ago.
    looks = iter([controller.deployment] if tuple(pairs) == controller.pairs else [])

    def missing() -> str:
        deployment = next(looks, None) or cluster.get(reader.APPS, "deployments", namespace, name)
        if deployment is None:
            return "the Deployment, which is gone"
        current = _controller.find_controller([deployment])
        refuse_reverted(current, pairs)
        wanted = current.pairs  # another run may have added more
        pods = cluster.list("v1", "pods", namespace=namespace, labels=labels)
        rolling = rollout_status.missing_in_rollout("Deployment", deployment, pods)
        if rolling:
            return rolling
        old = [
            pod["metadata"]["name"]
            for pod in pods
            # One that was evicted or failed stays listed, and serves nobody.
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            and (pod["metadata"].get("deletionTimestamp") or not _has_flag(pod, controller, wanted))
        ]
        return f"the old pods {', '.join(old)} to end" if old else ""

    still = _progress.wait(f"controller {controller.name}", missing, timeout)
    if still:
        raise MeteringError(
            f"The controller {controller.name} did not roll out within {timeout:.0f} s; it still waits for {still}.",
            "Proxies were not restarted: an old controller pod could give them the old mapping.",
            "",
            f"kubectl -n {namespace} describe deploy {name}; kubectl -n {namespace} get events",
        )


def refuse_reverted(current: Controller, pairs: Sequence[Pair]) -> None:
    """Refuse to go on with a flag that somebody wrote back.

    Raises:
        MeteringError: pairs are gone again; whoever took them is named.
    """
    gone = [pair for pair in pairs if pair not in current.pairs]
    if gone:
        raise MeteringError(
            f"The pairs {mapping.render_mapping(gone)} were written into the flag of deployment {current.name} and are "
            f"gone again: {current.flag_writer or 'somebody'} has set it to {current.value!r}.",
            "The owner of the Deployment reverts each change, so the labels would be lost again.",
            f"Set the mapping where {current.flag_writer or 'the owner'} takes it from (an operator's custom resource, "
            "Helm values), then run this again.",
            "kubectl -n {} get deployment {} -o yaml --show-managed-fields".format(*current.name.split("/")),
        )


def roll_back_flag(
    cluster: Cluster, controller: Controller, merged: Merge, error: MeteringError, on_failure: str
) -> MeteringError:
    """The error, with what became of the flag: put back as it was, or left as the user chose."""
    if error.is_moment:
        # Nothing is known of the controller: a flag that is right is not taken back for that.
        return MeteringError(
            error.found,
            "The new flag stays; it is not known if the controller has rolled out with it.",
            "Run this again when the API server answers.",
            "kubectl get --raw '/readyz?verbose'",
        )
    if on_failure == "keep":
        return MeteringError(
            error.found, f"{error.why} The new flag was kept (on_failure: keep).", error.advice, error.command
        )
    namespace, name = controller.name.split("/")
    for dummy in range(ROLLBACK_ATTEMPTS):
        deployment = cluster.get(reader.APPS, "deployments", namespace, name)
        current = None if deployment is None else _controller.find_controller([deployment])
        if current is None or current.pairs != merged.pairs:
            return error
        try:
            # What else was changed meanwhile stays: only our flag and our record go back.
            write(cluster, current, controller.pairs, controller.record)
        except ConflictError:
            continue
        return MeteringError(error.found, f"{error.why} The previous flag was put back.", error.advice, error.command)
    return MeteringError(
        error.found,
        f"{error.why} The previous flag could not be put back: another writer keeps changing the Deployment.",
        told(error.advice, f"The flag was {controller.value!r}."),
        error.command,
    )


def _has_flag(pod: Object, controller: Controller, wanted: Sequence[Pair]) -> bool:
    for container in objects.containers(pod["spec"]):
        if container["name"] == controller.container:
            found = mapping_flag.mapping_of(mapping_flag.flags_of(container), f"Pod {objects.name_of(pod)}")
            return found == tuple(wanted)
    return False


def helm_warning(controller: Controller, value: str) -> str:
    """What to carry over where Helm renders the flag."""
    release = controller.helm
    return told(
        f"Deployment {controller.name} belongs to the Helm release {release['namespace']}/{release['release']}, whose "
        f"next upgrade overwrites the flag with its values. Set {_generations.VALUES_KEYS[controller.flag]} to "
        f"{value} in them, or run with labels_method: helm.",
        command=f"helm -n {release['namespace']} get values {release['release']}",
    )


def to_diff(flag: str, value: str, record: Record) -> str:
    """Flag and record as lines of a diff."""
    lines = [f"--{flag}={value}"]
    for name, pairs in (
        (_names.ADDED_ANNOTATION, record.added),
        (_names.REMOVED_ANNOTATION, record.removed),
        (_names.MAPPING_ANNOTATION, record.mapping),
    ):
        lines += [f"{name}: {mapping.render_mapping(pairs)}"] if pairs else []
    return "\n".join(lines) + "\n"
