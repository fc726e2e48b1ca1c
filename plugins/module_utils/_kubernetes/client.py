# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The Kubernetes API, as far as the collection needs it. All that we rely on of kubernetes.core stands in this file.

Authentication is kubernetes.core's: the same parameters, the same K8S_AUTH_* variables, the same in-cluster default.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from .. import _progress
from .._errors import ConflictError, MeteringError, RefusedError
from .._secrets import Secrets, check_address, without_credentials
from .objects import name_of

__all__ = ["AUTH_OPTIONS", "AnsibleK8SModule", "Cluster"]

# kubernetes.core's own, and whether the credentials of the pod in which it runs may be used.
AUTH_OPTIONS: dict[str, Any] = {**AUTH_ARG_SPEC, "in_cluster": {"type": "bool", "default": False}}

# A verb, an API group, a resource (or a subresource, as pods/proxy) and a namespace, which is empty for every one.
Permission: TypeAlias = tuple[str, str, str, str]
PAGE = 500
CONNECT_SECONDS, READ_SECONDS = 10, 60
# What is only looked at behind the API server answers quickly, or hangs.
LOOK_SECONDS = 15
RETRIED = frozenset({429, 500, 502, 503, 504})
ATTEMPTS, PROXIED_ATTEMPTS = 4, 2
ASKED_AT_ONCE = 8
FIELD_MANAGER = "aigateway.metering"
# Of an answer that is no JSON.
SHOWN_CHARACTERS = 120
# As the API server names a field that a kind does not have (apimachinery, strict decoding).
_UNKNOWN_FIELD = re.compile(r'unknown field "([^"]+)"')
# As the API server tells that a role is missing (apiserver, responsewriters/errors.go).
_LACKS_RIGHT = re.compile(r"cannot (create|update|patch|delete|get) resource")


@contextlib.contextmanager
def clients_of_one_run() -> Iterator[None]:
    """Let clients be made as in a new process, and remove what they leave in one that goes on.

    The kubernetes client looks where its configuration is when it is imported, and takes the last configuration for
    the next one's beginning. It removes its files with client keys when Python ends; a worker of Ansible's ends
    otherwise. kubernetes.core keeps its clients, which need these files. Of that, only the default has a public way.
    """
    from kubernetes.client import Configuration
    from kubernetes.config import kube_config

    before = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ.get("KUBECONFIG", "~/.kube/config")
    Configuration.set_default(None)
    try:
        yield
    finally:
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = before
        Configuration.set_default(None)
        with contextlib.suppress(ImportError, AttributeError):
            from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client

            client._pool.clear()
        with contextlib.suppress(AttributeError):
            kube_config._cleanup_temp_files()


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

    def __init__(self, status: int, found: str, why: str, command: str) -> None:
        super().__init__(found, why, command)
        self.status = status
        """Of HTTP; 0 where there was no answer."""


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


# What kubernetes.core takes for enough; anything else, and it looks for a pod's credentials first. An option is given
# as such, or in the environment, for some under their old names as well.
_ADDRESS = ("host",)
_SAYS_WHICH = (
    (("kubeconfig",),),
    (("context",),),
    (_ADDRESS, ("api_key",)),
    (_ADDRESS, ("username",), ("password",)),
    (_ADDRESS, ("client_cert", "cert_file"), ("client_key", "key_file")),
)


def _is_given(module: AnsibleModule, *names: str) -> bool:
    return any(module.params.get(name) or os.environ.get(f"K8S_AUTH_{name.upper()}") for name in names)


def _refuse_pod_credentials(module: AnsibleModule) -> None:
    """Refuse what kubernetes.core takes where nothing says which cluster is meant: the pod's own, if this is a pod.

    Raises:
        MeteringError: the pod's own credentials would be used.
    """
    if any(all(_is_given(module, *name) for name in names) for names in _SAYS_WHICH):
        return
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config

    own = Configuration()
    try:
        load_incluster_config(client_configuration=own)
    except ConfigException:
        return
    raise MeteringError(
        f"Nothing says which cluster is meant, and this runs in a pod: its credentials would be used, for {own.host}.",
        "In a job of AWX that is the cluster on which AWX runs. In a pod, KUBECONFIG and ~/.kube/config are not read.",
        "set metering_kubeconfig, or metering_host and metering_api_key (or K8S_AUTH_*). Where the pod's own "
        "cluster is meant: -e metering_in_cluster=true",
    )


class Cluster:
    """One cluster, spoken to with the rights of whoever runs the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self._secrets = Secrets.of(module.params)
        self._known_groups: dict[str, dict[str, Any]] = {}
        self._discoveries: dict[str, dict[str, Any] | None] = {}
        host = module.params.get("host")
        if host and "@" in host:
            check_address(host, "host (or K8S_AUTH_HOST)", "username and password, or api_key")
        if not module.params.get("in_cluster"):
            _refuse_pod_credentials(module)
        # kubernetes.core asks for the server's version while it makes the client, and gives no time limit.
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(CONNECT_SECONDS)
        try:
            self._client = get_api_client(module).client
        except (CoreException, OSError, ValueError) as error:
            raise self._unreachable("The cluster's address or credentials could not be read", error) from error
        except Exception as error:
            # The libraries behind the client have no common class of errors: urllib3's, the kubernetes client's.
            raise self._unreachable("The cluster does not answer", error) from error
        finally:
            socket.setdefaulttimeout(before)
        self.server: str = without_credentials(self._client.configuration.host)
        # urllib3 by itself tries each request three times more, in silence.
        self._client.client.rest_client.pool_manager.connection_pool_kw["retries"] = False

    def hide(self, text: str) -> str:
        """Text that comes from outside, without what it repeats of this run's credentials."""
        return self._secrets.hide(text)

    def _unreachable(
        self, found: str, error: Exception, why: str = "Nothing was read and nothing was changed."
    ) -> MeteringError:
        return MeteringError(
            f"{found}: {_in_one_line(error, self.hide)}.",
            why,
            "check kubeconfig and context (or host and api_key, or the K8S_AUTH_* variables): kubectl cluster-info",
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, Any]] = (),
        content_type: str = "application/json",
        attempts: int = ATTEMPTS,
        seconds: int = READ_SECONDS,
    ) -> bytes:
        """One request; connection errors, 429 and 5xx are tried again, for reads and for idempotent writes alike."""
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                answer = self._client.request(
                    method,
                    path,
                    body=body,
                    query_params=list(query),
                    content_type=content_type,
                    serialize=False,
                    _request_timeout=(CONNECT_SECONDS, seconds),
                )
                return bytes(answer.data)
            except DynamicApiError as error:
                if last or error.status not in RETRIED:
                    raise
            except HTTPError as error:
                if last or method == "post":
                    raise self._unreachable(
                        f"The API server {self.server} can no longer be reached",
                        error,
                        "The changes made so far are kept. The next run finishes the work.",
                    ) from error
                _progress.tell(f"{path}: no answer ({type(error).__name__}), asking again")
            time.sleep(0.5 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _checked(self, what: str, method: str, path: str, **arguments: Any) -> bytes | None:
        """A request whose refusals are told in our words; None for a 404."""
        from kubernetes.dynamic.exceptions import DynamicApiError

        try:
            return self._request(method, path, **arguments)
        except DynamicApiError as error:
            if error.status == 404:
                return None
            if error.status == 409:
                raise ConflictError(str(error.reason)) from error
            detail = _message(error, self.hide)
            if error.status in (401, 403):
                raise self._refused(what, method, detail) from error
            raise MeteringError(
                f"The API server {self.server} answered {error.status} to {method} {what}: {detail}.",
                "The run cannot go on without it.",
                "look at the object and at the API server's health, then run this again.",
            ) from error

    def pages(self, api: str, kind: str, *, namespace: str = "", labels: str = "") -> Iterator[dict[str, Any] | None]:
        """The objects of a kind, page by page; a single None where the kind is not served."""
        query: list[tuple[str, Any]] = [("limit", PAGE)]
        if labels:
            query.append(("labelSelector", labels))
        resume = ""
        while True:
            more = [("continue", resume)] if resume else []
            answer = self._checked(kind, "get", _path(api, kind, namespace), query=[*query, *more])
            if answer is None:
                yield None
                return
            document = json.loads(answer)
            yield from (_lighter(kind, item) for item in document["items"])
            resume = document["metadata"].get("continue", "")
            if not resume:
                return

    def list(self, api: str, kind: str, *, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        """The objects of a kind; empty where the kind is not served."""
        return [item for item in self.pages(api, kind, namespace=namespace, labels=labels) if item is not None]

    def _discovered(self, what: str) -> dict[str, Any] | None:
        """What the API server says of one version of a group; it is asked once."""
        if what not in self._discoveries:
            answer = self._checked(what, "get", f"/apis/{what}")
            self._discoveries[what] = None if answer is None else json.loads(answer)
        return self._discoveries[what]

    def _groups(self) -> dict[str, dict[str, Any]]:
        """The groups that the API server serves, by name; one question for all of them."""
        if not self._known_groups:
            answer = self._checked("API groups", "get", "/apis")
            self._known_groups = {item["name"]: item for item in (json.loads(answer)["groups"] if answer else ())}
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
            answer = self._checked(f"the schema of {kind}", "get", f"/openapi/v3/apis/{api}")
        except MeteringError:
            return None
        schemas = json.loads(answer)["components"]["schemas"].values() if answer else ()
        wanted = {"group": group, "version": version, "kind": kind}
        own = [schema for schema in schemas if wanted in schema.get("x-kubernetes-group-version-kind", ())]
        return {name for schema in own for name in _property_names(schema)} or None

    def get(self, api: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        what = "/".join(filter(None, (namespace, name)))
        answer = self._checked(f"{kind} {what}", "get", _path(api, kind, namespace, name))
        return None if answer is None else json.loads(answer)

    def create(self, api: str, kind: str, body: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create an object. Raises ConflictError where it exists by now."""
        namespace = body["metadata"].get("namespace", "")
        answer = self._checked(
            f"{kind} {name_of(body)}", "post", _path(api, kind, namespace), body=body, query=_options(dry_run)
        )
        if answer is None:
            raise ConflictError(f"namespace {namespace} or the kind {kind} is gone")
        return dict(json.loads(answer))

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
        answer = self._checked(
            f"{kind} {name_of(document)}",
            "patch",
            _path_of(api, kind, document),
            body=body,
            query=_options(dry_run),
            content_type=content_type,
        )
        if answer is None:
            raise ConflictError(f"{kind} {name_of(document)} is gone")
        return dict(json.loads(answer))

    def replace(self, api: str, kind: str, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Write an object back as a whole. Raises ConflictError where it has changed since it was read, or is gone."""
        answer = self._checked(
            f"{kind} {name_of(document)}",
            "put",
            _path_of(api, kind, document),
            body=document,
            query=_options(dry_run),
        )
        if answer is None:
            raise ConflictError(f"{kind} {name_of(document)} is gone")
        return dict(json.loads(answer))

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
            detail = _message(cause, self.hide)
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
                "correct the variable that sets it; kubectl explain shows the fields of the kind.",
            ) from error

    def delete(self, api: str, kind: str, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Delete the very object that was read; one of the same name made since is left alone (ConflictError)."""
        self._checked(
            f"{kind} {name_of(document)}",
            "delete",
            _path_of(api, kind, document),
            body={"preconditions": {"uid": document["metadata"]["uid"]}, **({"dryRun": ["All"]} if dry_run else {})},
        )
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
                f"kubectl -n {namespace} get pod {pod}; if it was replaced meanwhile, run this again.",
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
        from urllib3.exceptions import ReadTimeoutError

        target = f"/api/v1/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe=':')}/proxy{path}"
        where = f"{plural.removesuffix('s')} {namespace}/{name.removeprefix('https:')}"
        look = f"kubectl -n {namespace} get {plural}; kubectl -n {namespace} top pod; look at its log."
        try:
            return self._request("get", target, query=query, attempts=PROXIED_ATTEMPTS, seconds=seconds)
        except DynamicApiError as error:
            if error.status == 404:
                return None
            detail = _message(error, self.hide)
            if _is_of_the_api_server(error) and error.status in (401, 403):
                raise self._refused(f"{plural}/proxy {namespace}/{name}{path}", "get", detail) from error
            found = f"{where} answered {error.status} to {path}: {detail}."
            if _is_of_the_api_server(error) and error.status >= 500:
                found = f"{where} cannot be reached by the API server {self.server}: {detail}."
            raise BehindError(error.status, found, "This run needs the answer.", look) from error
        except MeteringError as error:
            if not isinstance(error.__cause__, ReadTimeoutError):
                raise
            raise BehindError(
                0,
                f"{where} did not answer {path} in {PROXIED_ATTEMPTS} attempts of {seconds} s.",
                "It hangs or is overloaded. The API server, which forwarded the request, answers.",
                look,
            ) from error

    def _refused(self, what: str, method: str, detail: str) -> RefusedError:
        return RefusedError(
            f"The API server {self.server} does not allow this account to {method} {what}: {detail}.",
            "The run needs that permission.",
            "bind the ClusterRole of docs/rbac.yml to the account that runs this, or run it as another.",
        )

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
        answer = self._checked("selfsubjectaccessreviews", "post", path, body=review)
        return answer is not None and bool(json.loads(answer)["status"].get("allowed"))


def _property_names(schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of a schema's properties, and of theirs."""
    for name, own in (schema.get("properties") or {}).items():
        yield name
        yield from _property_names(own)
    if "items" in schema:
        yield from _property_names(schema["items"])


def _is_of_the_api_server(error: Any) -> bool:
    """Whether the API server itself has answered, and not what stands behind it."""
    try:
        return bool(json.loads(error.body)["kind"] == "Status")
    except (ValueError, KeyError, TypeError):
        return False


def _message(error: Any, hide: Callable[[str], str]) -> str:
    """The API server's own sentence out of an error, without the rest of the answer; or that of who is behind it."""
    try:
        answer = json.loads(error.body)
        # Prometheus's API, reached through the API server, has its sentence there.
        return hide(str(answer["message"] if "message" in answer else answer["error"])).rstrip(".")
    except (ValueError, KeyError, TypeError):
        body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
        text = " ".join(hide(body).split())[:SHOWN_CHARACTERS]
        return text if text.isprintable() and text else str(error.reason)


def _in_one_line(error: Exception, hide: Callable[[str], str]) -> str:
    """An error's own words, without the dumps that some libraries append to them."""
    return " ".join(hide(str(error)).split("\nHTTP response headers", maxsplit=1)[0].split()).rstrip(".")
