# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Sends requests through a gateway for verify_token_usage, and reads what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _names, _progress
from .._errors import MeteringError, doc_of, told
from .._gateway import callers as _callers
from .._gateway import mapping as _mapping
from .._gateway import reader
from .._gateway import unmetered as _unmetered
from .._gateway.callers import Caller, Counts, Identity
from .._gateway.sidecar import Sidecar
from .._http import InvalidRequestError, UnreachableError, request
from .._kubernetes.client import Cluster
from .._kubernetes.objects import Object
from .._prometheus import promql
from .._prometheus import replica as _replica
from .._scrape import context, stored_tokens
from .._scrape.backend import Backend
from .._secrets import Secrets, check_address
from .runner import API_OPTION, CONTROLLER_OPTION, GATEWAYS_OPTION, PROMETHEUS_OPTION

# A sidecar counts a request when its answer has ended.
COUNTED_SECONDS = 15
SHOWN_CHARACTERS = 120


OPTIONS: dict[str, Any] = {
    **CONTROLLER_OPTION,
    **GATEWAYS_OPTION,
    **PROMETHEUS_OPTION,
    **API_OPTION,
    "address": {"type": "str", "required": True},
    "path": {"type": "str", "default": "/v1/chat/completions"},
    "model": {"type": "str", "required": True},
    "tokens": {"type": "list", "elements": "str", "required": True, "no_log": True},
    "prompt": {"type": "str", "default": "hi"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "secret_headers": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "address_validate_certs": {"type": "bool", "default": True},
    "address_ca_path": {"type": "path"},
    "request_timeout": {"type": "int", "default": 60},
    "timeout": {"type": "int", "default": 120},
}


def check_tokens(tokens: Sequence[str]) -> None:
    """Refuse tokens that cannot be sent.

    Raises:
        MeteringError: there is none, or one is not one word.
    """
    if not tokens:
        raise MeteringError(
            "No token was given.",
            "The gateway identifies a caller by its token.",
            "Set verify_tokens to a list with one token for each tenant.",
            doc_of("verify"),
        )
    for number, token in enumerate(tokens, start=1):
        if any(character.isspace() or not character.isprintable() for character in token):
            raise MeteringError(
                f"Token {number} has blanks or control characters in it.",
                "It cannot be sent in a header.",
                "Correct verify_tokens; a token is one word.",
                doc_of("verify"),
            )


def run_module(module: Any, cluster: Cluster) -> dict[str, Any]:
    """Send, read, compare: what verify_token_usage returns."""
    options = module.params
    tokens = options["tokens"]
    check_tokens(tokens)
    check_address(options["address"], "verify_address", "verify_tokens, or verify_headers")
    controller = reader.read_controller(cluster, options["controller"])
    view = context.read_context(module, cluster)
    sidecars = view.sidecars
    mapping = _mapping.metric_labels(controller.pairs, controller.base)
    identity = Identity(
        mapping,
        reader.read_header_setters(cluster, mapping),
        [sidecar.name for sidecar in sidecars if sidecar.is_stale(controller)],
    )
    callers = [Caller(f"caller {number}", _callers.claims_of(token)) for number, token in enumerate(tokens, start=1)]
    if module.check_mode:
        return {"changed": False, "skipped": True, "msg": "check mode: no request was sent", "rows": [], "table": []}
    after: Counts = {}
    for caller, token in zip(callers, tokens, strict=True):
        after = ask(cluster, sidecars, identity, caller, token, options)
    wait_until_stored(view.backend, callers, after, options["timeout"])
    gateways = {sidecar.name: sidecar.gateway for sidecar in sidecars}
    rows = [_callers.caller_row(caller, identity, gateways) for caller in callers]
    result = {"changed": False, "rows": rows, "table": _callers.callers_table(rows), "prometheus": view.scraper.name}
    problems = [problem for item in rows for problem in item["problems"]]
    expected = _unmetered.gateways_of(reader.read_routes(cluster))
    unmetered = _unmetered.unmetered_pods(reader.read_proxy_pods(cluster), expected, options["gateways"])
    problems += [told(f"{item}.", item.advice) for item in unmetered]
    if problems:
        raise MeteringError(
            " ".join(problems),
            "These tokens cannot be billed as they are.",
            "Act on these problems; the audit shows whether anything else has drifted.",
            "; ".join(dict.fromkeys([*(item.command for item in unmetered if item.command), _names.CHECK])),
            **result,
        )
    return result


def ask(
    cluster: Cluster, sidecars: list[Sidecar], identity: Identity, caller: Caller, token: str, options: dict[str, Any]
) -> Counts:
    """Send one caller's requests, and read what grew until that is all. Returns what the sidecars expose then."""
    before = _callers.read_counts(reader.read_token_sums(cluster, sidecars))
    for streamed in (False, True):
        _progress.tell(f"{caller.name}: {'streamed' if streamed else 'plain'} request to {options['address']}")
        send(caller, token, streamed, options)
    after: Counts = before

    def missing() -> str:
        nonlocal after
        after = _callers.read_counts(reader.read_token_sums(cluster, sidecars))
        caller.grown = _callers.attribute_to_caller(_callers.growth(before, after), caller, options["model"], identity)
        return "" if caller.counted else "a sidecar to have counted its tokens"

    if set(caller.statuses) == {200}:
        _progress.wait(caller.name, missing, COUNTED_SECONDS)
    return after


def send(caller: Caller, token: str, streamed: bool, options: dict[str, Any]) -> None:
    """One chat completion; its status and the tokens that its answer speaks of are noted with the caller."""
    body: dict[str, Any] = {"model": options["model"], "messages": [{"role": "user", "content": options["prompt"]}]}
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    url = f"{options['address'].rstrip('/')}{options['path']}"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **options["headers"]}
    try:
        status, text, dummy = request(
            url,
            method="POST",
            data=json.dumps(body),
            headers=headers,
            timeout=options["request_timeout"],
            validate_certs=options["address_validate_certs"],
            ca_path=options["address_ca_path"],
        )
    except InvalidRequestError as error:
        raise MeteringError(
            f"The request to {url} could not be made: the address or a header is not valid.",
            "Nothing was sent.",
            "Correct verify_address (http://HOST or https://HOST:PORT) and verify_headers.",
            doc_of("verify"),
        ) from error
    except UnreachableError as error:
        raise MeteringError(
            f"The gateway does not answer at {url}: {error}.",
            "No request could be sent from where this runs.",
            "Set verify_address to an address that is reachable from there, such as http://HOST or https://HOST:PORT.",
            "kubectl get gateway -A",
        ) from error
    caller.statuses.append(status)
    if status >= 300:
        caller.answers.append(repr(Secrets.of(options, token).hide(text)[:SHOWN_CHARACTERS]))
        return
    for kind, tokens in usage_of(text, streamed).items():
        caller.used[kind] = caller.used.get(kind, 0) + tokens


def usage_of(text: str, streamed: bool) -> dict[str, int]:
    """The tokens that an answer speaks of, by type; nothing where it does not."""
    documents = [text]
    if streamed:
        documents = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    found: dict[str, int] = {}
    for document in documents:
        try:
            usage = json.loads(document).get("usage") or {}
        except (ValueError, AttributeError):  # [DONE]
            continue
        for kind, key in (("input", "prompt_tokens"), ("output", "completion_tokens")):
            if isinstance(usage.get(key), int):
                found[kind] = usage[key]
    return found


def wait_until_stored(backend: Backend, callers: list[Caller], after: Counts, timeout: int) -> None:
    """Wait until every replica has what the sidecars have counted, and note with each caller whether it has."""
    counted = [caller for caller in callers if caller.grown]
    pods = sorted({key.pod.split("/")[1] for caller in counted for key in caller.grown})
    if not pods:
        return

    def missing() -> str:
        found = [stored(replica, pods) for replica in backend.storing()]
        for caller in counted:
            caller.stored = all(_callers.is_stored(caller.grown, after, replica.items()) for replica in found)
        absent = [caller.name for caller in counted if not caller.stored]
        return f"the next scrape of {len(pods)} pods, for {', '.join(absent)}" if absent else ""

    _progress.wait(f"Prometheus {backend.scraper.name}", missing, timeout)


def stored(replica: _replica.Replica, pods: list[str]) -> Mapping[_callers.CounterSeries, float]:
    """What a replica has of some pods, by series; labels that only a target has do not matter."""
    selector = f'{{__name__=~"{_names.STORED_SUM_PATTERN}",pod=~{promql.alternatives(pods)}}}'
    found = {}
    for item in replica.query(selector):
        labels: Object = item["metric"]
        pod = f"{labels.get('namespace', '')}/{labels['pod']}"
        own = {name: value for name, value in labels.items() if name != "__name__"}
        found[_callers.counter_series(pod, own)] = stored_tokens.value_of(item)
    return found
