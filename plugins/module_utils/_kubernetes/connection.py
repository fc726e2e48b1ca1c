# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Requests to one API server: how it is reached, what is asked again, and what an answer that is none means.

All that we rely on of kubernetes.core stands in this file and in `credentials.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from .. import _progress
from .._errors import ConflictError, MeteringError, MomentError, RefusedError
from .._http import FIRST_PAUSE, RETRIED, RETRIED_READS, seconds_to_wait
from .._secrets import Secrets, check_address, without_credentials
from .credentials import forget_clients, refuse_pod_credentials

__all__ = ["AnsibleK8SModule", "Connection", "Reply"]

CONNECT_SECONDS, READ_SECONDS = 10, 60
ATTEMPTS = 4
# As long as somebody asks to be left alone (Retry-After), up to this many seconds in all.
PATIENCE_SECONDS = 60
# So long an API server that has just started may not know its roles yet.
STARTING_SECONDS = 10
# Of an answer that is not what it has to be.
SHOWN_CHARACTERS = 120
# What a role allows: a method, a namespace (empty for none) and a resource.
Kind: TypeAlias = tuple[str, str, str]
_OF_A_KIND = re.compile(r"/(?:api/[^/]+|apis/[^/]+/[^/]+)(?:/namespaces/([^/]+)(?=/))?/([^/]+)")


@dataclass(frozen=True)
class Reply:
    """What came back."""

    body: bytes
    lost: bool
    """Whether the answer to the same request, sent before, was lost: that one may have been carried out."""


class OwnWriteError(ConflictError):
    """A conflict of a write that may have been carried out before, when its answer was lost."""


class NoDocumentError(MomentError):
    """An answer that is no JSON of the API server, or of another kind than was asked for."""


class Connection:
    """One API server, spoken to with the rights of whoever runs the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._secrets = Secrets.of(module.params)
        self._is_settled = False
        """Whether a refusal is a refusal: the API server knows its roles."""
        self._starting_until = 0.0
        self._is_gone = False
        """Whether nothing came back of the last request, however often it was sent."""
        self._refused: set[Kind] = set()
        """What was refused twice, and so for good."""
        for name in [name for name in os.environ if name.startswith("K8S_AUTH_") and not os.environ[name]]:
            # Whoever sets one to nothing, as a credential of AWX does, means that it is not set.
            del os.environ[name]
        host = module.params.get("host")
        if host and "@" in host:
            check_address(host, "host (or K8S_AUTH_HOST)", "username and password, or api_key")
        if not module.params.get("in_cluster"):
            refuse_pod_credentials(module)
        self._client = self._connected()
        self.server: str = without_credentials(self._client.configuration.host)

    def _connected(self) -> Any:
        # kubernetes.core asks for the server's version while it makes the client, and gives no time limit.
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(CONNECT_SECONDS)
        try:
            client = get_api_client(self._module).client
        except (CoreException, OSError, ValueError) as error:
            raise self._unreachable(
                f"The cluster's address or credentials could not be read{self._source()}", error
            ) from error
        except (TypeError, AttributeError, KeyError) as error:
            # A kubeconfig that is YAML of another kind.
            raise self._unreachable(f"The kubeconfig is none{self._source()}", error) from error
        except Exception as error:
            # The libraries behind the client have no common class of errors: urllib3's, the kubernetes client's.
            raise self._unreachable("The cluster does not answer", error) from error
        finally:
            socket.setdefaulttimeout(before)
        # urllib3 by itself tries each request three times more, in silence.
        client.client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        return client

    def _source(self) -> str:
        """Where the kubeconfig is read from, where that is a file."""
        given = self._module.params.get("kubeconfig") or os.environ.get("K8S_AUTH_KUBECONFIG")
        return f" from {given}" if isinstance(given, str) else ""

    def hide(self, text: str) -> str:
        """Text that comes from outside, without what it repeats of this run's credentials."""
        return self._secrets.hide(text)

    def _unreachable(
        self, found: str, error: Exception, why: str = "Nothing was read and nothing was changed."
    ) -> MeteringError:
        return MomentError(
            f"{found}: {_in_one_line(error, self.hide)}.",
            why,
            "Check kubeconfig and context (or host and api_key, or the K8S_AUTH_* variables).",
            "kubectl cluster-info",
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, Any]] = (),
        content_type: str = "application/json",
        attempts: int = ATTEMPTS,
        seconds: int = READ_SECONDS,
    ) -> Reply:
        """One request, which is sent again where nothing came back, or where the answer says so.

        A write whose answer was lost meets itself when it is sent again; see `Reply.lost`.

        Raises:
            DynamicApiError: the answer is an error (an exception of the kubernetes client).
            MeteringError: nothing came back.
        """
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        attempt, waited, renewed, lost, refusals, began = 0, 0.0, False, False, 0, time.monotonic()
        retried = _retried(method, query)
        options = {"body": body, "query_params": list(query), "content_type": content_type, "serialize": False}
        options["_request_timeout"] = (CONNECT_SECONDS, seconds)
        while True:
            attempt += 1
            try:
                answer = self._client.request(method, path, **options)
                return Reply(bytes(answer.data), lost)
            except DynamicApiError as error:
                error.metering_lost = lost
                # What stands before the API server may have passed it on.
                lost = lost or error.status >= 500
                if error.status == 401 and not renewed and is_of_the_api_server(error) and self._renew():
                    renewed = True
                    continue
                if error.status == 403 and is_of_the_api_server(error):
                    refusals += 1
                    pause, counts = self._pause_after_refusal(kind_of(method, path), refusals), False
                else:
                    spent = max(waited, time.monotonic() - began)
                    pause, counts = _pause_after(error, retried, attempt, attempts, spent)
                if not pause:
                    raise
                attempt -= not counts
                _progress.tell(f"{path}: answered {error.status}, asking again in {pause:.0f} s")
            except HTTPError as error:
                lost = True
                if attempt >= attempts:
                    raise self._unreachable(
                        f"The API server {self.server} can no longer be reached",
                        error,
                        "The changes made so far are kept. The next run finishes the work.",
                    ) from error
                pause = _pause(attempt)
                _progress.tell(f"{path}: no answer ({type(error).__name__}), asking again")
            waited += pause
            time.sleep(pause)

    def _pause_after_refusal(self, asked_for: Kind, refusals: int) -> float:
        """The seconds after which what was refused so often is sent again, 0 for never."""
        if self._may_be_starting():
            return 1.0
        if refusals > 1:
            self._refused.add(asked_for)
        # One of several API servers may have started since: the same is asked once more, of one of them.
        return 0.0 if asked_for in self._refused else FIRST_PAUSE

    def _renew(self) -> bool:
        """Make the client anew: what has expired may be read again, from a file or from a program of the kubeconfig."""
        forget_clients()
        with contextlib.suppress(MeteringError):
            self._client = self._connected()
            return True
        return False

    def _may_be_starting(self) -> bool:
        """Whether a refusal may be that of an API server that has only just started.

        It then answers before it has read its roles, and `/readyz` says so. Where everybody is refused `/readyz`, too,
        some seconds have to do.
        """
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        if self._is_settled:
            return False
        now = time.monotonic()
        self._starting_until = self._starting_until or now + STARTING_SECONDS
        try:
            self._client.request("get", "/readyz", serialize=False, _request_timeout=(CONNECT_SECONDS, CONNECT_SECONDS))
            self._is_settled = True
        except (DynamicApiError, HTTPError):
            self._is_settled = now >= self._starting_until
        # It may have become ready since it refused.
        return True

    def checked(self, what: str, method: str, path: str, **arguments: Any) -> Reply | None:
        """A request whose refusals are told in our words; None for a 404."""
        from kubernetes.dynamic.exceptions import DynamicApiError

        # Whoever can do without an answer asks for the next thing: that is not waited for as long again.
        attempts = 1 if self._is_gone else ATTEMPTS
        try:
            answer = self.send(method, path, attempts=attempts, **arguments)
            self._is_gone = False
            return answer
        except MeteringError:
            self._is_gone = True
            raise
        except DynamicApiError as error:
            self._is_gone = False
            if error.status == 404:
                return None
            if error.status == 409:
                raise (OwnWriteError if error.metering_lost else ConflictError)(str(error.reason)) from error
            detail = explain(error, self.hide)
            if error.status == 0:
                raise self._unverified(detail) from error
            if error.status in (401, 403):
                raise self.refused(what, method, detail, error.status) from error
            kind = MomentError if error.status in RETRIED else MeteringError
            raise kind(
                f"The API server {self.server} answered {error.status} to {method} {what}: {detail}.",
                "The run cannot go on without it.",
                "Look at the object and at the API server's health, then run this again.",
                "kubectl get --raw '/readyz?verbose'",
            ) from error

    def _unverified(self, detail: str) -> MeteringError:
        """What is told where no secure connection came about; the kubernetes client says 0 for that."""
        return MeteringError(
            f"No secure connection to the API server {self.server} came about: {detail}.",
            "Its certificate is not that of an authority that is known here, or is for another name.",
            "Set metering_ca_cert (or K8S_AUTH_SSL_CA_CERT) to the authority's file, or use the kubeconfig that has "
            "it.",
            "kubectl cluster-info",
        )

    def refused(self, what: str, method: str, detail: str, status: int = 403) -> RefusedError:
        """What is told of an answer 401 or 403."""
        if status == 401:
            unknown = RefusedError(
                f"The API server {self.server} does not accept the credentials of this account: {detail}.",
                "They are wrong, or have expired.",
                "Renew them (log in again, or make a new token), and run this again.",
                "kubectl auth whoami",
            )
            unknown.is_unknown = True
            return unknown
        return RefusedError(
            f"The API server {self.server} does not allow this account to {method} {what}: {detail}.",
            "The run needs that permission.",
            "Bind the rules of docs/rbac.yml to the account that runs this, as a ClusterRole, or as a Role in each "
            "namespace of metering_namespaces; or run it as another.",
            "kubectl auth whoami",
        )

    def read(self, what: str, path: str, *needed: str, **arguments: Any) -> dict[str, Any] | None:
        """A document of the API server; None for a 404. What is none is read again.

        Args:
            what: what is read, for an error.
            path: where.
            needed: the keys that it has to have.
            arguments: those of send().
        """
        for attempt in range(1, ATTEMPTS + 1):
            answer = self.checked(what, "get", path, **arguments)
            if answer is None:
                return None
            try:
                return self.document_of(answer, what, "get", *needed)
            except NoDocumentError:
                if attempt == ATTEMPTS:
                    raise
                _progress.tell(f"{path}: answered with something that is not JSON, asking again")
                time.sleep(_pause(attempt))
        raise AssertionError("the last attempt returns or raises")

    def document_of(self, answer: Reply, what: str, method: str, *needed: str) -> dict[str, Any]:
        """The document of an answer.

        Raises:
            NoDocumentError: a proxy has answered with its own page, or the answer broke off.
        """
        try:
            found = json.loads(answer.body)
        except ValueError:
            found = None
        if isinstance(found, dict) and all(found.get(key) is not None for key in needed):
            return found
        shown = " ".join(self.hide(answer.body.decode("utf-8", "replace")).split())[:SHOWN_CHARACTERS]
        raise NoDocumentError(
            f"The API server {self.server} answered {method} {what} with something that is not "
            f"{'its JSON' if found is None else 'such an object'}: {shown!r}.",
            "Something between here and the API server may have answered in its place.",
            "Look at the proxies and load balancers before it.",
            "kubectl get --raw /version",
        )


def kind_of(method: str, path: str) -> Kind:
    """What a role has to allow for a request, as far as its path tells."""
    found = _OF_A_KIND.match(path)
    return (method, found.group(1) or "", found.group(2)) if found else (method, "", path)


def _retried(method: str, query: Sequence[tuple[str, Any]]) -> Set[int]:
    """The statuses after which a request is sent again; of a list's next page 410 has a cause."""
    goes_on = any(name == "continue" for name, dummy in query)
    return RETRIED_READS if method == "get" and not goes_on else RETRIED


def _pause_after(error: Any, retried: Set[int], attempt: int, attempts: int, waited: float) -> tuple[float, bool]:
    """The seconds after which what ended with an error is sent again, 0 for never; and whether that was an attempt."""
    asked = seconds_to_wait(getattr(error, "headers", None)) if error.status in retried else 0.0
    if asked and waited + asked <= PATIENCE_SECONDS:
        # Whoever says when to come back is there.
        return asked, False
    return (0.0 if attempt >= attempts or error.status not in retried else _pause(attempt)), True


def _pause(attempt: int) -> float:
    return float(FIRST_PAUSE * 2 ** (attempt - 1))


def is_of_the_api_server(error: Any) -> bool:
    """Whether the API server itself has answered, and not what stands behind it."""
    try:
        return bool(json.loads(error.body)["kind"] == "Status")
    except (ValueError, KeyError, TypeError):
        return False


def explain(error: Any, hide: Callable[[str], str]) -> str:
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
    text = re.split(r"\nHTTP response headers|Original traceback:", hide(str(error)), maxsplit=1)[0]
    return " ".join(text.split()).rstrip(".")
