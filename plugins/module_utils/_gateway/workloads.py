# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The gateway as read from Kubernetes objects: its controller, and its proxies with their sidecars.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .. import _durations, _generations, _lists, _names
from .._errors import MeteringError
from . import go_flags, mapping
from .mapping import Pair, Record

Object = Mapping[str, Any]
# Of a container, in the order in which its program gets them.
_LISTS = ("command", "args")
_NAMED = re.compile(r"[a-z0-9.-]+/[a-z0-9.-]+\Z")


def name_of(document: Object) -> str:
    """namespace/name, or the name alone for what has no namespace."""
    metadata = document["metadata"]
    return "/".join(part for part in (metadata.get("namespace", ""), metadata["name"]) if part)


def gateway_of(document: Object) -> str:
    """namespace/name of the Gateway that owns a pod or a workload, or an empty string."""
    labels = document["metadata"].get("labels") or {}
    namespace, name = labels.get(_names.GATEWAY_NAMESPACE_LABEL), labels.get(_names.GATEWAY_NAME_LABEL)
    return f"{namespace}/{name}" if namespace and name else ""


def containers(pod_spec: Object) -> list[Object]:
    """Init containers (native sidecars are among them) and containers."""
    return [*(pod_spec.get("initContainers") or ()), *(pod_spec.get("containers") or ())]


@dataclass(frozen=True)
class Controller:
    """The AI gateway's controller: the Deployment that carries the one flag."""

    deployment: Object
    container: str
    lists: Mapping[str, Sequence[str]]
    """The container's `command` and `args`, those of them that it has."""
    flag: str
    """Which of them maps headers to labels of metrics, or is to do so."""
    pairs: tuple[Pair, ...]
    base: tuple[Pair, ...]

    @property
    def name(self) -> str:
        return name_of(self.deployment)

    @property
    def namespace(self) -> str:
        return self.deployment["metadata"]["namespace"]

    @property
    def record(self) -> Record:
        """What earlier runs left on the Deployment."""
        annotations = self.deployment["metadata"].get("annotations") or {}
        where = f"An annotation of deployment {self.name}"
        return Record(
            *(
                tuple(mapping.parse(annotations.get(name, ""), where))
                for name in (_names.ADDED_ANNOTATION, _names.REMOVED_ANNOTATION, _names.MAPPING_ANNOTATION)
            )
        )

    @property
    def words(self) -> tuple[str, ...]:
        """Its flags."""
        return flags_of(self.lists)

    def lists_with(self, pairs: Sequence[Pair]) -> dict[str, list[str]]:
        """Those of its lists that have to change for a mapping, as they are then.

        The flags of both are read as one, and so they are edited as one.

        Raises:
            MeteringError: the flag would not count there.
        """
        parts = {name: _split(self.lists, name) for name in self.lists}
        kept = [[word] for word in self.words]
        value = mapping.render(pairs)
        for flag in (self.flag,) if pairs else _generations.HEADER_FLAGS:
            for index, edited in enumerate(go_flags.edited(self.words, flag, value if pairs else None)):
                kept[index] = edited if edited != [self.words[index]] else kept[index]
        found = {}
        for name, (program, words) in parts.items():
            own, kept = kept[: len(words)], kept[len(words) :]
            found[name] = [*program, *(word for group in own for word in group)]
        if pairs and go_flags.find(self.words, self.flag) is None:
            # In front of all flags it counts, whatever follows.
            first = next((name for name, (dummy, words) in parts.items() if words), [*parts][-1])
            start = len(parts[first][0])
            found[first][start:start] = [f"--{self.flag}={value}"]
        if mapping_of(flags_of(found), f"Deployment {self.name}") != tuple(pairs):
            raise MeteringError(
                f"The flags of deployment {self.name} cannot be brought to --{self.flag}={value} safely.",
                "They are written in a way in which another word would become the flag's value. Nothing was changed.",
                f"kubectl -n {self.namespace} edit deployment {self.deployment['metadata']['name']}: give the flag "
                f"--{self.flag} a value of its own, before all words that are no flags",
            )
        return {name: words for name, words in found.items() if words != [*self.lists[name]]}

    @property
    def value(self) -> str:
        """The mapping as it stands."""
        return _mapping_in(self.words)[1]

    @property
    def has_flag(self) -> bool:
        """Whether some flag for the mapping is there already."""
        return any(go_flags.find(self.words, flag) for flag in _generations.HEADER_FLAGS)

    @property
    def ignored(self) -> list[str]:
        """What stands in flags for headers and does not count: an earlier occurrence, or an older name of the flag."""
        found = []
        counts = self.value
        for flag in (*_generations.HEADER_FLAGS, _names.BASE_FLAG):
            *others, last = [place.value for place in go_flags.places(self.words, flag)] or [""]
            if flag in _generations.HEADER_FLAGS and last not in ("", counts):
                others.append(last)
            kept = counts if flag in _generations.HEADER_FLAGS else last
            found += [f"--{flag}={value}" for value in dict.fromkeys(others) if value not in ("", kept)]
        return found

    @property
    def image(self) -> str:
        spec = self.deployment["spec"]["template"]["spec"]
        return next(item.get("image", "") for item in containers(spec) if item["name"] == self.container)

    @property
    def version(self) -> str:
        """The image's tag, for a person to read: behaviour is detected, not derived from it."""
        return self.image.partition("@")[0].rpartition("/")[2].partition(":")[2]

    @property
    def helm(self) -> dict[str, str]:
        """The Helm release that would render the flag anew on its next upgrade, and its namespace; or nothing."""
        metadata = self.deployment["metadata"]
        annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
        release = annotations.get(_names.HELM_RELEASE_ANNOTATION, "")
        if not release and labels.get(_names.MANAGED_BY_LABEL) == "Helm":
            release = labels.get("app.kubernetes.io/instance", "")
        namespace = annotations.get(_names.HELM_NAMESPACE_ANNOTATION, self.namespace)
        return {"release": release, "namespace": namespace} if release else {}

    @property
    def flag_writer(self) -> str:
        """The field manager that last wrote the container's flags, or an empty string."""
        container = f'k:{{"name":"{self.container}"}}'
        found = []
        for entry in self.deployment["metadata"].get("managedFields") or ():
            fields = entry.get("fieldsV1") or {}
            for key in ("f:spec", "f:template", "f:spec"):
                fields = fields.get(key) or {}
            for containers_key in ("f:containers", "f:initContainers"):
                written = (fields.get(containers_key) or {}).get(container) or {}
                if any(f"f:{name}" in written for name in self.lists):
                    found.append((entry.get("time", ""), entry.get("manager", "")))
        return max(found)[1] if found else ""


def _split(lists: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return go_flags.split_program(lists.get(name) or (), name)


def flags_of(container: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags that a container's program gets: those in its `command`, and then its `args`."""
    return tuple(word for name in _LISTS for word in _split(container, name)[1])


def _mapping_in(words: Sequence[str]) -> tuple[str, str]:
    """The flag that maps headers to labels of metrics, and its value; the newest one where there is none.

    A gateway that knows two such flags reads the older one only as long as the newer is empty, and is told by either.
    """
    there = [flag for flag in _generations.HEADER_FLAGS if go_flags.find(words, flag)]
    values = [go_flags.value(words, flag) for flag in there]
    return next(iter(there), _generations.HEADER_FLAGS[0]), next(filter(None, values), "")


def mapping_of(words: Sequence[str], where: str) -> tuple[Pair, ...]:
    """The pairs of the flag that maps headers to labels of metrics."""
    return tuple(mapping.parse(_mapping_in(words)[1], where))


def _controller(deployment: Object) -> Controller | None:
    for container in containers(deployment["spec"]["template"]["spec"]):
        words = flags_of(container)
        if any(go_flags.find(words, flag) for flag in (_names.CONTROLLER_FLAG, *_generations.HEADER_FLAGS)):
            flag = _mapping_in(words)[0]
            where = f"The flag --{flag} of deployment {name_of(deployment)}"
            return Controller(
                deployment,
                container["name"],
                {name: container[name] for name in _LISTS if container.get(name)},
                flag,
                mapping_of(words, where),
                tuple(mapping.parse(go_flags.value(words, _names.BASE_FLAG) or "", where)),
            )
    return None


def find_controller(deployments: Iterable[Object], named: str = "") -> Controller:
    """The one controller among Deployments, told by its flags.

    Args:
        deployments: Deployments to look through.
        named: namespace/name of the one that is meant, where there are several.

    Raises:
        MeteringError: there is none, or there are several and none is named.
    """
    found = [controller for controller in map(_controller, deployments) if controller is not None]
    if named:
        found = [controller for controller in found if controller.name == named]
    if not found:
        raise MeteringError(
            f"No AI gateway controller was found{' as ' + named if named else ''}: no Deployment has a container with "
            f"the flag --{_names.CONTROLLER_FLAG} or --{_generations.HEADER_FLAGS[0]}.",
            "The mapping of headers to labels is set there and nowhere else.",
            "check that Envoy AI Gateway is installed here: kubectl get deploy -A -l " + _names.CONTROLLER_LABELS,
        )
    if len(found) > 1:
        raise MeteringError(
            f"Several AI gateway controllers were found: {', '.join(sorted(c.name for c in found))}.",
            "Each has a flag of its own.",
            "name the one that is meant with the variable labels_controller (namespace/name).",
        )
    return found[0]


def with_flag_of_its_generation(controller: Controller, sidecars: Iterable[Sidecar]) -> Controller:
    """A controller that has no flag for the mapping yet, with the one that its generation knows.

    An unknown flag ends the controller. Where its image's tag is no version, the sidecars tell the generation, by the
    flag of their port.

    Raises:
        MeteringError: this generation maps no headers at all.
    """
    generation = _generations.of_version(controller.version)
    if generation is not None and not generation.header_flag:
        raise MeteringError(
            f"The controller {controller.name} is v{generation.version} ({controller.image}), which maps no headers.",
            "Its metrics carry no identity, whatever is set.",
            "upgrade Envoy AI Gateway to v0.4 or later.",
        )
    if generation is not None:
        return dataclasses.replace(controller, flag=generation.header_flag)
    # Sidecars of an older generation go on after an upgrade: one of a newer tells more.
    known = {sidecar.port_flag for sidecar in sidecars}
    only_old = known == {_generations.PORT_FLAGS[-1]}
    return dataclasses.replace(controller, flag=_generations.HEADER_FLAGS[-1 if only_old else 0])


class Owned(Protocol):
    """What belongs to a Gateway."""

    @property
    def gateway(self) -> str: ...


T = TypeVar("T", bound=Owned)


def within(found: Iterable[T], scope: Sequence[str]) -> list[T]:
    """Those of the Gateways in scope (namespace/name); all where the scope is empty."""
    return [item for item in found if not scope or item.gateway in scope]


@dataclass(frozen=True)
class Sidecar:
    """A running proxy pod's sidecar, which counts the tokens."""

    pod: Object
    metrics: tuple[Pair, ...]
    base: tuple[Pair, ...]
    port: int
    port_flag: str = ""
    """Its flag for the port, which generations name differently."""

    @property
    def name(self) -> str:
        return name_of(self.pod)

    @property
    def gateway(self) -> str:
        return gateway_of(self.pod)

    @property
    def ip(self) -> str:
        return (self.pod.get("status") or {}).get("podIP", "")

    @property
    def usage_sums(self) -> tuple[str, ...]:
        """The names under which its token sums may be stored: those of the generations that name its port so."""
        ports = {port.get("name", "") for item in containers(self.pod["spec"]) for port in item.get("ports") or ()}
        return _generations.usage_sums(ports)

    @property
    def address(self) -> str:
        """Where its metrics are served."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    @property
    def min_drain(self) -> float | None:
        """How many seconds the proxy goes on at least once it is told to end; None where that is not known.

        Source: envoyproxy/gateway v1.8.1, internal/infrastructure/kubernetes/proxy/resource.go (the shutdown manager).
        """
        for container in containers(self.pod["spec"]):
            handler = (container.get("lifecycle") or {}).get("preStop") or {}
            command = (handler.get("exec") or {}).get("command") or ()
            # What comes first are the program and its subcommands.
            text = go_flags.value([word for word in command if word.startswith("-")], _names.MIN_DRAIN_FLAG)
            if text:
                return _durations.seconds(text)
        return None

    @property
    def effective(self) -> dict[str, str]:
        """Header to label, as its metrics carry them."""
        return mapping.effective(self.metrics, self.base)

    @property
    def emitted(self) -> list[Pair]:
        """The pairs that its metrics carry, whichever flag they come from."""
        return [Pair(header, label) for header, label in self.effective.items()]

    def is_stale(self, controller: Controller) -> bool:
        """Whether it was created from another mapping than the controller's present one."""
        return self.effective != mapping.effective(controller.pairs, controller.base)


def sidecar_of(pod: Object) -> Sidecar | None:
    """The pod's sidecar; None for a pod that has none (a plain Envoy proxy) or does not run."""
    if pod["metadata"].get("deletionTimestamp") or (pod.get("status") or {}).get("phase") != "Running":
        return None
    for container in containers(pod["spec"]):
        if container["name"] == _names.SIDECAR:
            words = flags_of(container)
            where = f"The sidecar of pod {name_of(pod)}"
            ports = {flag: go_flags.value(words, flag) or "" for flag in _generations.PORT_FLAGS}
            port_flag = next((flag for flag, text in ports.items() if text.isdigit()), "")
            return Sidecar(
                pod,
                mapping_of(words, where),
                tuple(mapping.parse(go_flags.value(words, _names.BASE_FLAG) or "", where)),
                int(ports[port_flag]) if port_flag else _names.ADMIN_PORT,
                port_flag,
            )
    return None


def sidecars(pods: Iterable[Object]) -> list[Sidecar]:
    """The sidecars of the running proxy pods, by name."""
    found = [sidecar for sidecar in map(sidecar_of, pods) if sidecar is not None]
    return sorted(found, key=lambda sidecar: sidecar.name)


def scope_of(given: Sequence[str]) -> list[str]:
    """The Gateways that are meant, whatever a survey or a file makes of a list of them: lines, commas, JSON.

    Raises:
        MeteringError: something among them is no namespace/name.
    """
    found = [name for word in _lists.words_of(given) for name in word.split()]
    for name in found:
        if not _NAMED.match(name):
            raise MeteringError(
                f"{name!r} is named as a Gateway, and is not NAMESPACE/NAME.",
                "A Gateway is told from others by both.",
                "correct metering_gateways: a list of NAMESPACE/NAME, or a text a/b,c/d: kubectl get gateway -A",
            )
    return list(dict.fromkeys(found))


def require_sidecars(found: Sequence[Sidecar], scope: Sequence[str] = ()) -> None:
    """Refuse to go on without a single sidecar, or without one of some Gateway in scope.

    Raises:
        MeteringError: no running proxy pod carries one.
    """
    known = {sidecar.gateway for sidecar in found}
    unknown = [name for name in scope if name not in known]
    if unknown:
        raise MeteringError(
            f"No running proxy pod with the container {_names.SIDECAR} belongs to the Gateway {', '.join(unknown)}.",
            "It was named as one that is to be metered.",
            "correct metering_gateways (namespace/name): kubectl get gateway -A; kubectl get pod -A -l "
            f"{_names.PROXY_LABELS} -L {_names.GATEWAY_NAMESPACE_LABEL},{_names.GATEWAY_NAME_LABEL}",
        )
    if not found:
        raise MeteringError(
            f"No running proxy pod has the container {_names.SIDECAR}.",
            "Tokens are counted there; without one there is nothing to label and nothing to scrape.",
            "check that a Gateway with an AIGatewayRoute is Programmed, and that the webhook which adds the sidecar "
            "works: kubectl get gateway,aigatewayroute -A; kubectl get mutatingwebhookconfiguration",
        )


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
    commands = [
        f"kubectl -n {item['metadata']['namespace']} rollout resume {kind.lower()}/{item['metadata']['name']}"
        if kind == "Deployment"
        else f"set spec.updateStrategy of {kind} {name_of(item)} to RollingUpdate (spec.provider.kubernetes."
        "envoyDaemonSet.strategy of its EnvoyProxy)"
        for kind, item, dummy in held
    ]
    raise MeteringError(
        f"{'; '.join(f'{kind} {name_of(item)} {why}' for kind, item, why in held)}.",
        "Its pods would keep the mapping that they have, and this run would wait in vain. Nothing was changed.",
        f"{'; '.join(commands)}; or set labels_restart: false and replace the proxies' pods yourself.",
    )


def refuse_without_pods(controller: Controller) -> None:
    """Refuse to go on with a controller that is scaled to nothing: it gives new proxy pods their sidecar.

    Raises:
        MeteringError: it is.
    """
    if controller.deployment["spec"].get("replicas", 1) == 0:
        raise MeteringError(
            f"Deployment {controller.name} is scaled to 0 (spec.replicas), so no controller runs.",
            "It is what gives new proxy pods their sidecar and the mapping; without it they would serve unmetered or "
            "not start. Nothing was changed.",
            f"kubectl -n {controller.namespace} scale deployment/{controller.deployment['metadata']['name']} "
            "--replicas=1, then run this again.",
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


def _owns(workload: Object, pod: Object) -> bool:
    wanted = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    same_namespace = workload["metadata"].get("namespace") == pod["metadata"].get("namespace")
    return bool(wanted) and same_namespace and wanted.items() <= labels.items()


def proxies(workloads: Iterable[tuple[str, Object]], pods: Sequence[Object]) -> list[Proxy]:
    """The workloads of which some pod carries the sidecar, by name.

    Args:
        workloads: (kind, object) of the Deployments and DaemonSets with the proxies' labels.
        pods: the pods with the proxies' labels, whatever their phase.
    """
    found = []
    for kind, workload in workloads:
        own = [pod for pod in pods if _owns(workload, pod)]
        running = sidecars(own)
        carries = any(item["name"] == _names.SIDECAR for pod in own for item in containers(pod["spec"]))
        if carries:
            found.append(Proxy(kind, workload, tuple(running), tuple(own)))
    return sorted(found, key=lambda proxy: proxy.name)
