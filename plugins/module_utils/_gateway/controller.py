# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The AI gateway's controller, as its Deployment shows it.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import _generations, _names
from .._errors import MeteringError, doc_of
from .._kubernetes.objects import Object, containers, name_of
from . import go_flags, mapping
from .mapping import Pair, Record
from .mapping_flag import LISTS, flag_and_value, flags_of, mapping_of, split_program_of
from .sidecar import Sidecar


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
                tuple(mapping.parse_mapping(annotations.get(name, ""), where))
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
        parts = {name: split_program_of(self.lists, name) for name in self.lists}
        kept = [[word] for word in self.words]
        value = mapping.render_mapping(pairs)
        for flag in (self.flag,) if pairs else _generations.HEADER_FLAGS:
            for index, edited in enumerate(go_flags.with_value(self.words, flag, value if pairs else None)):
                kept[index] = edited if edited != [self.words[index]] else kept[index]
        found = {}
        for name, (program, words) in parts.items():
            own, kept = kept[: len(words)], kept[len(words) :]
            found[name] = [*program, *(word for group in own for word in group)]
        if pairs and go_flags.find_flag(self.words, self.flag) is None:
            # In front of all flags it counts, whatever follows.
            first = next((name for name, (dummy, words) in parts.items() if words), [*parts][-1])
            start = len(parts[first][0])
            found[first][start:start] = [f"--{self.flag}={value}"]
        if mapping_of(flags_of(found), f"Deployment {self.name}") != tuple(pairs):
            raise MeteringError(
                f"The flag --{self.flag}={value} cannot be set safely in deployment {self.name}.",
                "With the present arguments, another word would become the value of the flag. Nothing was changed.",
                f"Give the flag --{self.flag} its own value, and put it before all arguments that are not flags.",
                f"kubectl -n {self.namespace} edit deployment {self.deployment['metadata']['name']}",
            )
        return {name: words for name, words in found.items() if words != [*self.lists[name]]}

    @property
    def value(self) -> str:
        """The mapping as it stands."""
        return flag_and_value(self.words)[1]

    @property
    def has_flag(self) -> bool:
        """Whether some flag for the mapping is there already."""
        return any(go_flags.find_flag(self.words, flag) for flag in _generations.HEADER_FLAGS)

    @property
    def ignored(self) -> list[str]:
        """What stands in flags for headers and does not count: an earlier occurrence, or an older name of the flag."""
        found = []
        counts = self.value
        for flag in (*_generations.HEADER_FLAGS, _names.BASE_FLAG):
            *others, last = [place.value for place in go_flags.flag_places(self.words, flag)] or [""]
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


def _controller(deployment: Object) -> Controller | None:
    for container in containers(deployment["spec"]["template"]["spec"]):
        words = flags_of(container)
        if any(go_flags.find_flag(words, flag) for flag in (_names.CONTROLLER_FLAG, *_generations.HEADER_FLAGS)):
            flag = flag_and_value(words)[0]
            where = f"The flag --{flag} of deployment {name_of(deployment)}"
            return Controller(
                deployment,
                container["name"],
                {name: container[name] for name in LISTS if container.get(name)},
                flag,
                mapping_of(words, where),
                tuple(mapping.parse_mapping(go_flags.flag_value(words, _names.BASE_FLAG) or "", where)),
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
            "The mapping of headers to labels is set only in the controller.",
            "Check that Envoy AI Gateway is installed here.",
            f"kubectl get deploy -A -l {_names.CONTROLLER_LABELS}",
        )
    if len(found) > 1:
        raise MeteringError(
            f"Several AI gateway controllers were found: {', '.join(sorted(c.name for c in found))}.",
            "Each has a flag of its own.",
            "Set labels_controller to the right one (namespace/name).",
            doc_of("labels"),
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
            "Its metrics cannot carry the identity of a caller.",
            "Upgrade Envoy AI Gateway to v0.4 or later.",
            f"helm -n {controller.namespace} list",
        )
    if generation is not None:
        return dataclasses.replace(controller, flag=generation.header_flag)
    # Sidecars of an older generation go on after an upgrade: one of a newer tells more.
    known = {sidecar.port_flag for sidecar in sidecars}
    only_old = known == {_generations.PORT_FLAGS[-1]}
    return dataclasses.replace(controller, flag=_generations.HEADER_FLAGS[-1 if only_old else 0])


def refuse_without_pods(controller: Controller) -> None:
    """Refuse to go on with a controller that is scaled to nothing: it gives new proxy pods their sidecar.

    Raises:
        MeteringError: it is.
    """
    if controller.deployment["spec"].get("replicas", 1) == 0:
        raise MeteringError(
            f"Deployment {controller.name} is scaled to 0 (spec.replicas), so no controller runs.",
            "The controller gives new proxy pods their sidecar and mapping. Without it, they would serve unmetered or "
            "not start. Nothing was changed.",
            "",
            f"kubectl -n {controller.namespace} scale deployment/{controller.deployment['metadata']['name']} "
            "--replicas=1",
        )
