"""Authenticated requests through the gateways, and the ledger of what the upstream served."""

from __future__ import annotations

import collections
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from . import cluster as clusters
from . import tenants
from .kube import Kubectl

MODELS = ["chat-small", "chat-large"]
TOKEN_TYPES = ["input", "output", "cached_input", "reasoning"]
REQUEST_SECONDS = 20


@dataclass(frozen=True)
class Request:
    """One chat completion and the token counts that its answer is to carry."""

    caller: tenants.Caller
    model: str
    stream: bool
    usage: tuple[tuple[str, int], ...]


def mix(rounds: int, callers: list[tenants.Caller] | None = None) -> list[Request]:
    """Every caller, model and way of answering, `rounds` times, each with counts that no other request has."""
    found = []
    counter = itertools.count(1)
    for _ in range(rounds):
        for caller in callers if callers is not None else tenants.CALLERS:
            for model in MODELS:
                for stream in (False, True):
                    number = next(counter)
                    counts = {"input": 100 + number, "output": 10 + number, "cached_input": number, "reasoning": 3}
                    found.append(Request(caller, model, stream, tuple(counts.items())))
    return found


class Gateways:
    """The addresses of a cluster's gateways, and tokens for its callers."""

    def __init__(self, cluster: str) -> None:
        self.kubectl = Kubectl(cluster)
        # For each request without a whole answer, when (Unix seconds) and why.
        self.unanswered: list[str] = []
        self._key = tenants.signing_key(self.kubectl)
        self._addresses = {
            team.gateway: f"http://127.0.0.1:{clusters.host_port(cluster, team.gateway)}" for team in tenants.TEAMS
        }

    def address(self, gateway: str) -> str:
        return self._addresses[gateway]

    def url(self, gateway: str) -> str:
        return f"{self.address(gateway)}/v1/chat/completions"

    def are_reached(self) -> bool:
        """Whether every gateway answers at its address: a request without a token, which goes no further."""
        try:
            return all(requests.get(address, timeout=2).status_code for address in self._addresses.values())
        except requests.RequestException:
            return False

    def token(self, caller: tenants.Caller) -> str:
        return self._key.token(caller.claims)

    def send(self, request: Request, *, token: str | None = None) -> int:
        """The HTTP status of one request; 0 when there was no answer at all."""
        headers = {
            "authorization": f"Bearer {self.token(request.caller) if token is None else token}",
            "x-stand-caller": request.caller.name,
            "x-stand-usage": json.dumps(dict(request.usage)),
            **request.caller.forged,
        }
        body = {
            "model": request.model,
            "stream": request.stream,
            "messages": [{"role": "user", "content": "hello"}],
        }
        url = self.url(request.caller.gateway)
        try:
            answer = requests.post(url, json=body, headers=headers, timeout=REQUEST_SECONDS)
        except requests.RequestException as error:
            self.unanswered.append(f"{time.time():.1f}: {error}")
            return 0
        if request.stream and answer.ok and "[DONE]" not in answer.text:
            self.unanswered.append(f"{time.time():.1f}: the stream ended early: {answer.text[-80:]!r}")
            return 0
        return answer.status_code


def send_all(gateways: Gateways, wanted: list[Request], workers: int = 4) -> collections.Counter[int]:
    """Send the requests, and count their statuses (0: no answer)."""
    with ThreadPoolExecutor(workers) as pool:
        return collections.Counter(pool.map(gateways.send, wanted))


class SteadyTraffic:
    """Requests one after another in the background, until told to stop: what happens to traffic meanwhile."""

    def __init__(self, gateways: Gateways, wanted: list[Request], pause: float = 0.05) -> None:
        self.statuses: collections.Counter[int] = collections.Counter()
        # When (Unix seconds), and the status (0: no answer).
        self.failures: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(gateways, itertools.cycle(wanted), pause))

    def _run(self, gateways: Gateways, wanted: itertools.cycle[Request], pause: float) -> None:
        while not self._stop.wait(pause):
            status = gateways.send(next(wanted))
            self.statuses[status] += 1
            if status != 200:
                self.failures.append((time.time(), status))

    def __enter__(self) -> SteadyTraffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def failed(self) -> int:
        return len(self.failures)


def ledger(kubectl: Kubectl, since: float) -> list[dict]:
    """What the upstream served from `since` (Unix seconds) on."""
    path = f"/api/v1/namespaces/upstream/services/upstream:80/proxy/ledger?since={since}"
    return kubectl.raw(path)["entries"]


UNKNOWN = "(of no caller of the stand)"
Totals = dict[tuple[str, str, str, str], int]


def ledger_totals(entries: list[dict]) -> Totals:
    """Tokens by (namespace, department, model, token type), tenants taken from the callers' tokens.

    Requests that do not say which caller of the stand they are of, such as those of verify.yml, are UNKNOWN's.
    """
    callers = {caller.name: caller for caller in [*tenants.CALLERS, tenants.NEWCOMER]}
    totals: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
    for entry in entries:
        caller = callers.get(entry["caller"])
        who = (caller.billed_namespace, caller.department) if caller else (UNKNOWN, "")
        for token_type in TOKEN_TYPES:
            key = (*who, entry["model"], token_type)
            totals[key] += entry["tokens"][token_type]
    return {key: value for key, value in totals.items() if value}


def now() -> float:
    return time.time()
