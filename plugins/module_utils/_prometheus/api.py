# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What speaks Prometheus's HTTP API: a pod or a service through the API server, or an address with credentials."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from .. import _progress
from .._errors import MeteringError, MomentError, doc_of
from .._http import RETRIED_READS, InvalidRequestError, UnreachableError, request
from .._kubernetes.client import LOOK_SECONDS, BehindError, Cluster
from .._secrets import Secrets, check_address, without_credentials
from .._tables import shortened

# It is asked again after so many seconds, then after twice as many.
FIRST_PAUSE, PATIENCE = 0.5, 3.0
# A report of hundreds of queries outlives a restart of who answers them.
PATIENCE_FOR_PAST = 60.0
# How long a query may take; what else is asked is only looked up.
QUERY_SECONDS = 60
# Alauda's neutral description of what monitors the cluster.
FEATURES, FEATURE, SECRETS_NAMESPACE = "infrastructure.alauda.io/v1alpha1", "monitoring", "cpaas-system"
# What takes credentials in place of the address.
CREDENTIALS = "scrape_api.username and scrape_api.password, or scrape_api.token"


class NotServedError(MeteringError):
    """The backend has no such path."""


class NotLetInError(MeteringError):
    """The backend does not know who asks."""


class Api(Protocol):
    """Something that speaks Prometheus's API."""

    @property
    def name(self) -> str: ...

    def text(self, path: str, query: Sequence[tuple[str, str]]) -> str: ...

    def hide(self, text: str) -> str:
        """Text that comes from there, without what it repeats of secrets."""


@dataclass(frozen=True)
class Pod:
    """One pod of a scraper, through the API server's pod proxy."""

    cluster: Cluster
    namespace: str
    pod: str
    port: int
    prefix: str
    scheme: str = "http"

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}"

    def text(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        where = (self.namespace, self.pod, self.port, f"{self.prefix}{path}")
        try:
            return self.cluster.proxied(*where, query, _seconds(path), self.scheme)
        except BehindError as error:
            raise _explain_refusal(self.name, error) or error from error

    def hide(self, text: str) -> str:
        return self.cluster.hide(text)


@dataclass(frozen=True)
class Service:
    """A service, through the API server's service proxy."""

    cluster: Cluster
    service: str

    @property
    def name(self) -> str:
        return f"service {self.service}"

    def text(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        try:
            found = self.cluster.service(self.service, path, query, _seconds(path))
        except BehindError as error:
            raise _explain_refusal(self.name, error) or error from error
        if found is None:
            raise _not_served(self.name, path, "404")
        return found

    def hide(self, text: str) -> str:
        return self.cluster.hide(text)


@dataclass(frozen=True)
class Address:
    """An address that is reachable from where this runs, with what it takes to be let in."""

    url: str
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        return without_credentials(self.url).rstrip("/")

    def hide(self, text: str) -> str:
        return Secrets.of(self.options).hide(text)

    def text(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        options = self.options
        # A long selector does not fit into an address.
        posted = path.endswith("/query")
        token = {"Authorization": f"Bearer {options['token']}"} if options.get("token") else {}
        try:
            status, text, after = request(
                f"{self.url.rstrip('/')}{path}" + ("" if posted or not query else f"?{urlencode(query)}"),
                method="POST" if posted else "GET",
                data=urlencode(query) if posted else None,
                headers={**{str(name): str(value) for name, value in options.get("headers", {}).items()}, **token},
                url_username=options.get("username"),
                url_password=options.get("password"),
                force_basic_auth=bool(options.get("username")),
                client_cert=options.get("client_cert"),
                client_key=options.get("client_key"),
                ca_path=options.get("ca_path"),
                validate_certs=options.get("validate_certs", True),
                timeout=_seconds(path),
            )
        except InvalidRequestError as error:
            raise MeteringError(
                f"A request to {self.name} could not be made: the address or a header is not valid.",
                "No request was sent.",
                "Correct scrape_api: url is http://HOST or https://HOST:PORT/PREFIX, without /api/v1.",
                doc_of("scrape"),
            ) from error
        except UnreachableError as error:
            raise MomentError(
                f"{self.name} does not answer {path} (asked for {_seconds(path)} s at most): {self.hide(str(error))}.",
                "Its targets and series cannot be judged without it.",
                "It hangs, has too much to do, or is not reachable from where this runs; or scrape_api (url, ca_path) "
                "is not right.",
                f"curl -sS {shlex.quote(f'{self.name}/api/v1/query?query=1')}",
            ) from error
        if status in (401, 403):
            raise NotLetInError(
                f"{self.name} refused the request of this run: it answered {status}.",
                "Its targets and series cannot be judged without it.",
                "Set what it requires in scrape_api: username and password, token, client_cert and client_key, or "
                "headers such as X-Scope-OrgID.",
                doc_of("scrape"),
            )
        if status in (404, 405, 501):
            raise _not_served(self.name, path, str(status))
        if status in RETRIED_READS:
            moment = _of_a_moment(self, path, status, text)
            moment.after = after
            raise moment
        # What is an error to Prometheus comes with its reason in JSON.
        return text


def _of_a_moment(api: Api, path: str, status: int, text: str) -> MomentError:
    """What is told of an answer that says that it cannot be given now, in its own words where it is Prometheus's."""
    try:
        reason = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        reason = " ".join(text.split())
    return MomentError(
        f"{api.name} answered {status} to {path}: {shortened(api.hide(reason)) or 'no reason given'}.",
        "Its targets and series cannot be judged without it.",
        "It has too much to do or restarts, or something before it has answered in its place. Look at its log.",
        f"curl -sS {shlex.quote(f'{api.name}/api/v1/query?query=1')}",
    )


def _explain_refusal(name: str, error: BehindError) -> MeteringError | None:
    """Why something behind the API server refuses to be asked this way; None where its answer does not say that."""
    why = "The API server forwards no credentials, so it cannot be queried this way."
    advice = (
        "Set scrape_api.url to an address of it that is reachable from here, with scrape_api.token, username and "
        "password, or client_cert and client_key; scrape_api.targets_urls has the address of each replica."
    )
    if error.status in (401, 403):
        return NotLetInError(
            f"{name} answered {error.status}: something in front of it, such as kube-rbac-proxy or oauth-proxy, "
            "requires authentication.",
            why,
            advice,
        )
    if "tls: certificate required" in error.found or "tls: bad certificate" in error.found:
        return NotLetInError(f"{name} asks for a client certificate.", why, advice)
    if "HTTP request to an HTTPS server" in error.found:
        return NotLetInError(
            f"{name} uses HTTPS, but the object that runs it does not show that.",
            "The request was sent in plain HTTP, so it failed.",
            "Set spec.web.tlsConfig of that object, or scrape_api.service to NAMESPACE/https:SERVICE:PORT.",
        )
    return None


def _seconds(path: str) -> int:
    return QUERY_SECONDS if path.endswith("/query") else LOOK_SECONDS


def _not_served(name: str, path: str, status: str) -> NotServedError:
    return NotServedError(
        f"{name} does not serve {path}: it answered {status}.",
        "It has a different API than expected, or its API has a different path prefix.",
        "Correct scrape_api: url is the address before /api/v1 (Mimir's ends with /prometheus).",
        doc_of("scrape"),
    )


def data_of(api: Api, path: str, query: Sequence[tuple[str, str]], key: str, patience: float = PATIENCE) -> Any:
    """What an answer of Prometheus's API has in its `data` under a key; an empty list for null, as Go writes one.

    Args:
        api: who is asked.
        path: below /api/v1/.
        query: the parameters.
        key: that of the data.
        patience: how many seconds it may take in all until it is asked again, where it does not answer or cannot now.
            Where it says when to come back, it is waited for that long.

    Raises:
        MeteringError: it answers with an error, or with something else.
    """
    waited, pause, began, refused = 0.0, FIRST_PAUSE, time.monotonic(), False
    while True:
        try:
            return _data_of_answer(api, path, api.text(f"/api/v1/{path}", query), key)
        except NotLetInError as error:
            # One of several may have started since, and not know yet who asks.
            if refused:
                raise
            refused, told, rest = True, error.found, pause
        except MeteringError as error:
            asked = error.after if isinstance(error, MomentError) else 0.0
            told, rest = error.found, asked or pause
            # What takes long to fail has used the patience, too.
            limit = PATIENCE_FOR_PAST if asked else patience
            if not error.is_moment or max(waited, time.monotonic() - began) + rest > limit:
                raise
        _progress.tell(f"{api.name} does not answer {path} ({told[:80]}), asking again in {rest:.0f} s")
        time.sleep(rest)
        waited, pause = waited + rest, 2 * pause


def _data_of_answer(api: Api, path: str, text: str, key: str) -> Any:
    kind: type[MeteringError] = MeteringError
    try:
        answer = json.loads(text)
        if answer["status"] == "success":
            found = answer["data"][key]
            if found is None or isinstance(found, (list, str)):
                return [] if found is None else found
            raise TypeError
        detail = api.hide(str(answer.get("error", "no reason given")))
        # It is about to end, or has too much to do.
        if answer.get("errorType") in ("unavailable", "canceled", "timeout"):
            kind = MomentError
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = f"no JSON of Prometheus's API: {api.hide(text)[:80]!r}"
        kind = MomentError
    raise kind(
        f"Prometheus {api.name} answered {path} with an error: {detail}.",
        "Its targets and series cannot be judged without it.",
        "Look at its log. If the address is that of a proxy, the proxy may have answered with its own page.",
        "kubectl get pod -A -l app.kubernetes.io/name=prometheus",
    )


def with_credentials(module: Any, cluster: Cluster) -> dict[str, Any]:
    """The options for the API, completed by what the platform says of itself.

    Raises:
        MeteringError: an address is not valid, or the platform was to be asked, and says nothing.
    """
    options = dict(module.params.get("api") or {})
    addresses = [("scrape_api.url", options["url"])] if options.get("url") else []
    addresses += [("scrape_api.targets_urls", url) for url in options.get("targets_urls") or ()]
    for variable, address in addresses:
        check_address(address, variable, CREDENTIALS)
    beside = [key for key in ("username", "password", "token", "headers", "client_cert") if options.get(key)]
    if options.get("service") and beside:
        raise MeteringError(
            f"scrape_api has service together with {', '.join(beside)}.",
            "The API server does not forward these to the service: it uses credentials itself.",
            "Set scrape_api.url to an address of the service instead, or remove the others.",
            doc_of("scrape"),
        )
    if not options.get("feature"):
        return options
    found = cluster.get(FEATURES, "features", "", FEATURE)
    database = (((found or {}).get("spec") or {}).get("accessInfo") or {}).get("database") or {}
    if not database.get("address"):
        raise MeteringError(
            f"The platform shows no address of its monitoring: feature {FEATURE} is absent or has no address.",
            "scrape_api.feature is set, so the address is read from there.",
            "Or set scrape_api.url.",
            f"kubectl get features.infrastructure.alauda.io {FEATURE} -o yaml",
        )
    options["url"] = database["address"]
    check_address(options["url"], f"the address of feature {FEATURE}", CREDENTIALS)
    name = (database.get("basicAuth") or {}).get("secretName")
    secret = cluster.get("v1", "secrets", SECRETS_NAMESPACE, name) if name else None
    if name and secret is None:
        raise MeteringError(
            f"The platform names the secret {SECRETS_NAMESPACE}/{name} for its monitoring, but it does not exist.",
            "Without it, this run has no credentials for the monitoring.",
            "Or set scrape_api.url, username and password.",
            f"kubectl -n {SECRETS_NAMESPACE} get secret {name}",
        )
    if secret is not None:
        for key in ("username", "password"):
            options[key] = base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    return options
