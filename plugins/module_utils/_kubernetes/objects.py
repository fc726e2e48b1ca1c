# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Kubernetes objects as the API server's JSON: their names, their containers, and whether one has what is wanted.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]
JSON_PATCH = "application/json-patch+json"


def name_of(document: Object) -> str:
    """namespace/name, or the name alone for what has no namespace."""
    metadata = document["metadata"]
    return "/".join(part for part in (metadata.get("namespace", ""), metadata["name"]) if part)


def containers(pod_spec: Object) -> list[Object]:
    """Init containers (native sidecars are among them) and containers."""
    return [*(pod_spec.get("initContainers") or ()), *(pod_spec.get("containers") or ())]


def without_server_fields(document: Any) -> Any:
    """An object, or the objects in one, without what only the API server writes."""
    if not isinstance(document, Mapping):
        return document
    hidden = {"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"}
    return {key: without_server_fields(value) for key, value in document.items() if key not in hidden}


def is_contained(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is there as it is wanted; maps may have more keys, as the API server adds them.

    A key whose wanted value is None is to be absent, as a merge patch understands it.
    """
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(
            found.get(key) is None if value is None else key in found and is_contained(value, found[key])
            for key, value in wanted.items()
        )
    if isinstance(wanted, (list, tuple)) and isinstance(found, (list, tuple)):
        return len(wanted) == len(found) and all(map(is_contained, wanted, found))
    return bool(wanted == found)


def without_absent(document: Any) -> Any:
    """An object without the keys that have to be absent: a patch removes them, a creation does not have them."""
    if isinstance(document, dict):
        return {key: without_absent(value) for key, value in document.items() if value is not None}
    return [without_absent(item) for item in document] if isinstance(document, list) else document


def is_applied(body: Any, found: Object, content_type: str = "application/json") -> bool:
    """Whether an object has what a write of it was to leave.

    Args:
        body: that of the write: an object, or a patch.
        found: the object as it is.
        content_type: the kind of a patch.
    """
    if content_type == JSON_PATCH:
        return all(_is_done(step, found) for step in body)
    return _is_merged(_without_version(body), found)


def _without_version(body: Object) -> dict[str, Any]:
    """A body without the version that it was computed from, and other fields that only the API server writes."""
    return {**without_server_fields(body), "metadata": without_server_fields(body.get("metadata") or {})}


def _is_merged(wanted: Any, found: Any) -> bool:
    """As is_contained(), but of lists of named objects, as of containers, only those that are wanted."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(
            found.get(key) is None if value is None else key in found and _is_merged(value, found[key])
            for key, value in wanted.items()
        )
    if isinstance(wanted, (list, tuple)) and isinstance(found, (list, tuple)):
        if all(isinstance(item, Mapping) and "name" in item for item in [*wanted, *found]):
            named = {item["name"]: item for item in found}
            return all(item["name"] in named and _is_merged(item, named[item["name"]]) for item in wanted)
        return len(wanted) == len(found) and all(map(_is_merged, wanted, found))
    return bool(wanted == found)


_ABSENT = object()


def _is_done(step: Mapping[str, Any], found: Any) -> bool:
    """Whether an object is as a step of a JSON patch leaves it."""
    if step["op"] == "test":
        return True
    value: Any = found
    for key in (part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]):
        if isinstance(value, Mapping):
            value = value.get(key, _ABSENT)
        elif isinstance(value, (list, tuple)) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = _ABSENT
    return value is _ABSENT if step["op"] == "remove" else _is_merged(step["value"], value)
