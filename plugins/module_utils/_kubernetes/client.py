# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The Kubernetes API, as far as the collection needs it: objects, kinds, permissions, and what stands behind it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from .. import _progress
from .._errors import ConflictError, MeteringError, RefusedError
from .._http import RETRIED
from .._lists import words_of
from .._tables import shortened
from .connection import (
    AnsibleK8SModule,
    Connection,
    NoDocumentError,
    OwnWriteError,
    explain,
    is_of_the_api_server,
)
from .objects import Object, is_applied, name_of

__all__ = ["AnsibleK8SModule", "Cluster"]

# A verb, an API group, a resource (or a subresource, as pods/proxy) and a namespace, which is empty for every one.
Permission: TypeAlias = tuple[str, str, str, str]
PAGE = 500
# What is only looked at behind the API server answers quickly, or hangs.
LOOK_SECONDS = 15
PROXIED_ATTEMPTS = 2
# A list that takes long has to begin anew when the API server has forgotten where it was.
LISTS, GONE = 3, 410
ASKED_AT_ONCE = 8
# The kinds of objects that are in no namespace, of those that are listed.
_OF_NO_NAMESPACE = ("namespaces", "clusterrolebindings")
FIELD_MANAGER = "aigateway.metering"
# RFC 1123's label, as Kubernetes has it for the names of namespaces.
_IS_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# As the API server names a field that a kind does not have (apimachinery, strict decoding).
_UNKNOWN_FIELD = re.compile(r'unknown field "([^"]+)"')
# As the API server tells that a role is missing (apiserver, responsewriters/errors.go).
_LACKS_RIGHT = re.compile(r"cannot (create|update|patch|delete|get) resource")


def _options(dry_run: bool) -> list[tuple[str, str]]:
    """The options of a write. Only a dry run is strict: what others have added to an object is theirs."""
    strict = [("dryRun", "All"), ("fieldValidation", "Strict")] if dry_run else []
    return [("fieldManager", FIELD_MANAGER), *strict]


def _path(api: str, kind: str, namespace: str = "", name: str = "") -> str:
    """The REST path of a collection or an object; `api` is `v1` or `group/version`."""
    prefix = f"/api/{api}" if "/" not in api else f"/apis/{api}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{prefix}{scope}/{kind}" + (f"/{quote(name, safe='')}" if name else "")


def _path_of(api: str, kind: str, document: Mapping[str, Any]) -> str:
    """The REST path of an object that was read."""
    metadata = document["metadata"]
    return _path(api, kind, metadata.get("namespace", ""), metadata["name"])


class UnknownFieldsError(Exception):
    """The served kind does not have these fields of an object."""

    def __init__(self, fields: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(fields)))
        self.fields = fields


class BehindError(MeteringError):
    """What stands behind the API server, a pod or a service, answered with an error or not at all."""

    def __init__(self, status: int, found: str, why: str, advice: str, command: str) -> None:
        super().__init__(found, why, advice, command)
        self.status = status
        """Of HTTP; 0 where there was no answer."""
        self.is_moment = status == 0 or status in RETRIED


# What nobody here reads of an object of a list, of which there may be thousands.
_UNREAD_SPEC = ("volumes", "tolerations", "affinity")
_UNREAD_CONTAINER = ("volumeMounts", "resources", "livenessProbe", "readinessProbe", "startupProbe", "securityContext")


def _lighter(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    """An object of a list without what nobody here reads of its kind."""
    if kind in ("pods", "podmonitors", "servicemonitors", "probes", "vmpodscrapes"):
        item.get("metadata", {}).pop("managedFields", None)
    if kind == "pods":
        spec = item.get("spec") or {}
        for name in _UNREAD_SPEC:
            spec.pop(name, None)
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            for name in _UNREAD_CONTAINER:
                container.pop(name, None)
    return item


class Cluster:
    """One cluster, spoken to with the rights of whoever runs the module."""

    _named: Sequence[str] = ()
    """The only namespaces that are read, as the run was told; empty where all are."""

    def __init__(self, module: AnsibleModule) -> None:
        self._connection = Connection(module)
        self._named = words_of(module.params.get("namespaces"))
        self._known_groups: dict[str, dict[str, Any]] = {}
        self._discoveries: dict[str, dict[str, Any] | None] = {}

    @property
    def server(self) -> str:
        """The API server's address, without credentials."""
        return self._connection.server

    def hide(self, text: str) -> str:
        """Text that comes from outside, without what it repeats of this run's credentials."""
        return self._connection.hide(text)

    @property
    def namespaces(self) -> list[str]:
        """The only ones that are read; empty where all are."""
        return [item["metadata"]["name"] for item in self._read_namespaces]

    @property
    def limits(self) -> str:
        """What a person has to know of what is read; empty where everything is."""
        if not self._named:
            return ""
        return (
            f"Only the namespaces {', '.join(self.namespaces)} are read (metering_namespaces). What other namespaces "
            "have is not known."
        )

    def reads(self, namespace: str) -> bool:
        """Whether a namespace is one of those that are read; what is in none (an empty text) is."""
        return not (namespace and self._named) or namespace in self.namespaces

    @functools.cached_property
    def _read_namespaces(self) -> list[dict[str, Any]]:
        """The namespaces that are the only ones to be read. A role in a namespace may allow to get that namespace."""
        wrong = [shortened(name) for name in self._named if not _IS_NAMESPACE.fullmatch(name)]
        if wrong:
            raise MeteringError(
                f"metering_namespaces has {', '.join(map(repr, wrong))}.",
                "A namespace's name has only lower-case letters, digits and hyphens. Nothing was read and nothing was "
                "changed.",
                "Set metering_namespaces to a list of names, or to names with commas between them.",
            )
        with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
            names = list(dict.fromkeys(self._named))
            found = dict(zip(names, threads.map(self._get_namespace, names), strict=True))
        unread = [shortened(name) for name, item in found.items() if item is None]
        if unread:
            raise MeteringError(
                f"metering_namespaces names {', '.join(unread)}: there is no such namespace, or this account may not "
                "get it.",
                "Only the namespaces that it names are read. Nothing was read and nothing was changed.",
                "Correct metering_namespaces, or bind the rules of docs/rbac.yml to the account, as a Role in each of "
                "them.",
                "kubectl auth whoami",
            )
        return [item for item in found.values() if item is not None]

    def _get_namespace(self, name: str) -> dict[str, Any] | None:
        """A namespace; None where there is none, which an account that may not get it is not told."""
        try:
            return self.get("v1", "namespaces", "", name)
        except RefusedError as error:
            if error.is_unknown:
                raise
            return None

    def pages(self, api: str, kind: str, *, namespace: str = "", labels: str = "") -> Iterator[dict[str, Any] | None]:
        """The objects of a kind, page by page; a single None where the kind is not served."""
        if kind == "namespaces" and self._named:
            yield from self._read_namespaces
            return
        everywhere = namespace or kind in _OF_NO_NAMESPACE or not self._named
        if everywhere:
            yield from self._pages_of(api, kind, namespace, labels)
            return
        # There may be hundreds, and each is a request.
        with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
            for found in threads.map(lambda own: list(self._pages_of(api, kind, own, labels)), self.namespaces):
                if None in found:
                    yield None
                    return
                yield from found

    def _pages_of(self, api: str, kind: str, namespace: str, labels: str) -> Iterator[dict[str, Any] | None]:
        query: list[tuple[str, Any]] = [("limit", PAGE)]
        if labels:
            query.append(("labelSelector", labels))
        resume = ""
        while True:
            more = [("continue", resume)] if resume else []
            page = self._connection.read(kind, _path(api, kind, namespace), "items", "metadata", query=[*query, *more])
            if page is None:
                yield None
                return
            yield from (_lighter(kind, item) for item in page["items"])
            resume = page["metadata"].get("continue", "")
            if not resume:
                return

    def list(self, api: str, kind: str, *, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """The objects of a kind; empty where the kind is not served."""
        for number in range(1, LISTS + 1):
            try:
                return [item for item in self.pages(api, kind, namespace=namespace, labels=labels) if item is not None]
            except MeteringError as error:
                if getattr(error.__cause__, "status", 0) != GONE or number == LISTS:
                    raise
                _progress.tell(f"{kind}: the list has changed too much while it was read, reading it anew")
        raise AssertionError("the last list returns or raises")

    def _discovered(self, what: str) -> dict[str, Any] | None:
        """What the API server says of one version of a group; it is asked once."""
        if what not in self._discoveries:
            self._discoveries[what] = self._connection.read(what, f"/apis/{what}", "resources")
        return self._discoveries[what]

    def _groups(self) -> dict[str, dict[str, Any]]:
        """The groups that the API server serves, by name; one question for all of them."""
        if not self._known_groups:
            found = self._connection.read("API groups", "/apis", "groups")
            self._known_groups = {item["name"]: item for item in (found["groups"] if found else ())}
        return self._known_groups

    def serves(self, api: str, kind: str) -> bool:
        """Whether the API server serves a kind."""
        group = self._groups().get(api.partition("/")[0])
        if group is None or all(item["groupVersion"] != api for item in group["versions"]):
            return False
        found = self._discovered(api)
        return found is not None and any(item["name"] == kind for item in found["resources"])

    def preferred(self, group: str) -> str:
        """`group/version` of a group's preferred version; empty where the group is not served."""
        found = self._groups().get(group)
        return "" if found is None else str(found["preferredVersion"]["groupVersion"])

    def fields_of(self, api: str, kind: str) -> set[str] | None:
        """The names of all fields that a kind (as PodMonitor) has, at any depth; None where its schema is not told."""
        group, dummy, version = api.partition("/")
        try:
            document = self._connection.read(f"the schema of {kind}", f"/openapi/v3/apis/{api}", "components")
        except MeteringError:
            return None
        schemas = ((document or {}).get("components") or {}).get("schemas", {}).values()
        wanted = {"group": group, "version": version, "kind": kind}
        own = [schema for schema in schemas if wanted in schema.get("x-kubernetes-group-version-kind", ())]
        return {name for schema in own for name in _property_names(schema)} or None

    def get(self, api: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        what = "/".join(filter(None, (namespace, name)))
        return self._connection.read(f"{kind} {what}", _path(api, kind, namespace, name), "metadata")

    def create(self, api: str, kind: str, body: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create an object. Raises ConflictError where it exists by now."""
        namespace = body["metadata"].get("namespace", "")
        found = self._write(
            "post", api, kind, body, body, path=_path(api, kind, namespace), query=_options(dry_run), dry_run=dry_run
        )
        if found is None:
            raise ConflictError(f"namespace {namespace} or the kind {kind} is gone")
        return found

    def _write(
        self,
        method: str,
        api: str,
        kind: str,
        document: Object,
        body: Any,
        *,
        path: str,
        dry_run: bool,
        content_type: str = "application/json",
        **arguments: Any,
    ) -> dict[str, Any] | None:
        """A write, and the object as it then is; None for a 404.

        One whose answer was lost, or is none, is recognised by what it has left: it is not denied, and nobody takes it
        for somebody else's.
        """
        what = f"{kind} {name_of(document)}"
        try:
            answer = self._connection.checked(what, method, path, body=body, content_type=content_type, **arguments)
            return None if answer is None else self._connection.document_of(answer, what, method, "metadata")
        except (OwnWriteError, NoDocumentError):
            metadata = document["metadata"]
            there = None if dry_run else self.get(api, kind, metadata.get("namespace", ""), metadata["name"])
            if there is None or not is_applied(body, there, content_type):
                raise
            return there

    def patch(
        self,
        api: str,
        kind: str,
        document: Mapping[str, Any],
        body: Any,
        *,
        content_type: str,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Patch an object as it was read. Raises ConflictError where it has changed since, or is gone.

        A JSON patch must itself test the version; a merge patch carries it in its metadata.
        """
        found = self._write(
            "patch",
            api,
            kind,
            document,
            body,
            path=_path_of(api, kind, document),
            query=_options(dry_run),
            content_type=content_type,
            dry_run=dry_run,
        )
        if found is None:
            raise ConflictError(f"{kind} {name_of(document)} is gone")
        return found

    def replace(self, api: str, kind: str, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Write an object back as a whole. Raises ConflictError where it has changed since it was read, or is gone."""
        found = self._write(
            "put",
            api,
            kind,
            document,
            document,
            path=_path_of(api, kind, document),
            query=_options(dry_run),
            dry_run=dry_run,
        )
        if found is None:
            raise ConflictError(f"{kind} {name_of(document)} is gone")
        return found

    def rehearse(self, write: Callable[..., dict[str, Any]], *arguments: Any, **options: Any) -> dict[str, Any] | None:
        """What a write of this cluster would make of an object, by a dry run: nothing is changed.

        Returns:
            The object as it would be stored; None where that cannot be known, because a webhook knows no dry run, or
            somebody else has just written.

        Raises:
            RefusedError: the account may not write it.
            UnknownFieldsError: the served kind lacks fields of it.
            MeteringError: the API server would refuse it.
        """
        from kubernetes.dynamic.exceptions import DynamicApiError

        try:
            return write(*arguments, **options, dry_run=True)
        except ConflictError:
            return None
        except MeteringError as error:
            cause = error.__cause__
            if not isinstance(cause, DynamicApiError):
                raise
            detail = explain(cause, self.hide)
            # A quota, a policy or a namespace that ends refuse with the same status as a missing role.
            if cause.status == 403 and _LACKS_RIGHT.search(detail):
                raise
            if "does not support dry run" in detail:
                return None
            if cause.status in RETRIED or cause.status == 401:
                raise
            fields = frozenset(_UNKNOWN_FIELD.findall(detail))
            if fields:
                raise UnknownFieldsError(fields) from error
            raise MeteringError(
                f"The API server {self.server} would reject a change that this run has to make: {detail}.",
                "Nothing was changed.",
                "Correct the variable that sets it; kubectl explain shows the fields of a kind.",
                "kubectl api-resources",
            ) from error

    def delete(self, api: str, kind: str, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Delete the very object that was read; one of the same name made since is left alone (ConflictError)."""
        what, metadata = f"{kind} {name_of(document)}", document["metadata"]
        body = {"preconditions": {"uid": metadata["uid"]}, **({"dryRun": ["All"]} if dry_run else {})}
        answer = self._connection.checked(what, "delete", _path_of(api, kind, document), body=body)
        try:
            if answer is not None:
                self._connection.document_of(answer, what, "delete", "kind")
        except NoDocumentError:
            # A page in its place does not say whether it was done.
            there = self.get(api, kind, metadata.get("namespace", ""), metadata["name"])
            if there is not None and there["metadata"].get("uid") == metadata["uid"]:
                raise
        return dict(document)

    def proxied(
        self,
        namespace: str,
        pod: str,
        port: int,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        seconds: int = LOOK_SECONDS,
        scheme: str = "http",
    ) -> str:
        """A GET to a pod's port through the API server, which may take so many seconds.

        The API server does not verify the certificate of a pod that speaks HTTPS.

        Raises:
            MeteringError: the pod, or the right to reach it, is not there, or it does not answer.
        """
        name = f"{pod}:{port}" if scheme == "http" else f"{scheme}:{pod}:{port}"
        answer = self._proxied("pods", namespace, name, path, query, seconds)
        if answer is None:
            raise MeteringError(
                f"Pod {namespace}/{pod} does not serve {path} on port {port}, or is gone.",
                "This run needs the answer, and sent the request through the API server's pod proxy.",
                "If it was replaced meanwhile, run this again.",
                f"kubectl -n {namespace} get pod {pod}",
            )
        return answer.decode("utf-8", "replace")

    def _proxied(
        self, plural: str, namespace: str, name: str, path: str, query: Sequence[tuple[str, str]], seconds: int
    ) -> bytes | None:
        """A GET to what stands behind the API server; None for a 404.

        Raises:
            BehindError: what stands there answered with an error, or the API server cannot reach it.
            MeteringError: the API server does not let this run through, or is not reached itself.
        """
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import ProtocolError, ReadTimeoutError

        target = f"/api/v1/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe=':')}/proxy{path}"
        where = f"{plural.removesuffix('s')} {namespace}/{name.removeprefix('https:')}"
        look = f"kubectl -n {namespace} get {plural}; kubectl -n {namespace} top pod"
        try:
            return self._connection.send("get", target, query=query, attempts=PROXIED_ATTEMPTS, seconds=seconds).body
        except DynamicApiError as error:
            if error.status == 404:
                return None
            detail = explain(error, self.hide)
            if is_of_the_api_server(error) and error.status in (401, 403):
                what = f"{plural}/proxy {namespace}/{name}{path}"
                raise self._connection.refused(what, "get", detail, error.status) from error
            found = f"{where} answered {error.status} to {path}: {detail}."
            if is_of_the_api_server(error) and error.status >= 500:
                found = f"{where} cannot be reached by the API server {self.server}: {detail}."
            raise BehindError(error.status, found, "This run needs the answer.", "Its log says more.", look) from error
        except MeteringError as error:
            why = "It hangs or is overloaded. The API server, which forwarded the request, answers."
            if isinstance(error.__cause__, ReadTimeoutError):
                found = f"{where} did not answer {path} in {PROXIED_ATTEMPTS} attempts of {seconds} s."
                raise BehindError(0, found, why, "Its log says more.", look) from error
            if isinstance(error.__cause__, ProtocolError) and "IncompleteRead" in str(error.__cause__):
                raise BehindError(
                    0, f"{where} broke off its answer to {path}.", why, "Its log says more.", look
                ) from error
            raise

    def service(self, service: str, path: str, query: Sequence[tuple[str, str]], seconds: int) -> str | None:
        """A GET to a service, `namespace/[https:]name[:port]`, through the API server; None for an unknown path."""
        namespace, dummy, name = service.partition("/")
        answer = self._proxied("services", namespace, name, path, query, seconds)
        return None if answer is None else answer.decode("utf-8", "replace")

    def lacking(self, permissions: Sequence[Permission]) -> Sequence[Permission]:
        """Those of some permissions that the account that runs this does not have; the API server is asked at once."""
        with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
            granted = list(threads.map(lambda item: self._may(*item), permissions))
        return [item for item, may in zip(permissions, granted, strict=True) if not may]

    def _may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        kind, dummy, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": kind, "subresource": subresource}
        if namespace:
            attributes["namespace"] = namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._connection.checked("selfsubjectaccessreviews", "post", path, body=review)
        if answer is None:
            return False
        found = self._connection.document_of(answer, "selfsubjectaccessreviews", "post", "status")
        return bool(found["status"].get("allowed"))


def _property_names(schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of a schema's properties, and of theirs."""
    for name, own in (schema.get("properties") or {}).items():
        yield name
        yield from _property_names(own)
    if "items" in schema:
        yield from _property_names(schema["items"])
