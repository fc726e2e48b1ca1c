# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands before an API server and spoils some of its answers, also those of who is behind it: pods, Prometheus."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standlib import platform

from .runs import Run
from .stand import Stand

PAGE = b"<!DOCTYPE html><html><title>Bad gateway</title><body>a page of some proxy</body></html>"
SILENT_SECONDS = 30


class Handler(BaseHTTPRequestHandler):
    """A request, which may be spoilt."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # A removal says in its body that it is a dry run, where other writes say it in their address.
        is_dry_removal = self.command == "DELETE" and b'"dryRun"' in body
        path = f"{self.path}?dryRun=All" if is_dry_removal else self.path
        number = self.server.begin(self.command, path)
        if self.server.ends_at(self.command, path):
            _lost(self, body) if self.server.carries_out else _reset(self, body)
            return
        fault = FAULTS.get(self.server.faults.get(number, ""))
        if fault is None or not fault(self, body):
            self.pass_on(body)

    def asked(self, body: bytes) -> tuple[int, bytes, str]:
        """The API server's own answer."""
        names = ("Content-Type", "Accept")
        headers = {name: self.headers[name] for name in names if self.headers.get(name)}
        return self.server.stand.kubectl.api.forward(self.command, self.path, body, headers)

    def pass_on(self, body: bytes) -> None:
        status, data, kind = self.asked(body)
        self.reply(status, data, kind)

    def reply(self, status: int, data: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def reset(self) -> None:
        """End the connection as a crash does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing."""


for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(Handler, f"do_{_method}", Handler.handle_any)


def _status(code: int, reason: str, **headers: str) -> Callable[[Handler, bytes], bool]:
    def spoil(handler: Handler, dummy: bytes) -> bool:
        message = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
        handler.reply(code, json.dumps({**message, "message": f"{reason}, of no cause"}).encode(), **headers)
        return True

    return spoil


def _reset(handler: Handler, dummy: bytes) -> bool:
    handler.reset()
    return True


def _lost(handler: Handler, body: bytes) -> bool:
    handler.asked(body)
    handler.reset()
    return True


def _half(handler: Handler, body: bytes) -> bool:
    status, data, kind = handler.asked(body)
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(data) or 100))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    handler.close_connection = True
    return True


def _cut(handler: Handler, body: bytes) -> bool:
    """Half a document, as a whole answer."""
    status, data, kind = handler.asked(body)
    handler.reply(status, data[: len(data) // 2], kind)
    return True


def _body(status: int, data: bytes, kind: str) -> Callable[[Handler, bytes], bool]:
    def spoil(handler: Handler, dummy: bytes) -> bool:
        handler.reply(status, data, kind)
        return True

    return spoil


def _lost_as_page(handler: Handler, body: bytes) -> bool:
    handler.asked(body)
    handler.reply(200, PAGE, "text/html")
    return True


def _raw(data: bytes) -> Callable[[Handler, bytes], bool]:
    def spoil(handler: Handler, dummy: bytes) -> bool:
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.close_connection = True
        return True

    return spoil


def _silence(handler: Handler, dummy: bytes) -> bool:
    time.sleep(SILENT_SECONDS)
    handler.reset()
    return True


FAULTS: dict[str, Callable[[Handler, bytes], bool]] = {
    "a reset": _reset,
    "a lost answer": _lost,
    "half an answer": _half,
    "half a document": _cut,
    "a page": _body(200, PAGE, "text/html"),
    "a page after it was done": _lost_as_page,
    "nothing": _body(200, b"", "application/json"),
    "null": _body(200, b"null", "application/json"),
    "another kind": _body(200, b'{"kind": "Other", "items": null}', "application/json"),
    "half an error": _body(500, b'{"kind": "Status", "mess', "application/json"),
    "401": _status(401, "Unauthorized"),
    "403": _status(403, "Forbidden"),
    "409": _status(409, "Conflict"),
    "410": _status(410, "Expired"),
    "429": _status(429, "TooManyRequests", Retry_After="1"),
    "500": _status(500, "InternalError"),
    "503": _status(503, "ServiceUnavailable", Retry_After="1"),
    "504": _status(504, "Timeout"),
    "a bad status line": _raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a line that is too long": _raw(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n"),
    "silence": _silence,
}
# What takes half a minute each.
SLOW = ("silence",)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Whoever is cut off by a fault is no error of ours.
    stand: Stand
    faults: Mapping[int, str]

    def handle_error(self, *_: object) -> None:
        """Nothing."""

    def ends_at(self, method: str, path: str) -> bool:
        """Whether whoever asks is ended now."""
        return self.end is not None and self.end(method, path)

    def begin(self, method: str, path: str) -> int:
        """Count a request, from 1 on."""
        with self.lock:
            self.seen.append((method, path))
            return len(self.seen)

    def __init__(self, stand: Stand) -> None:
        self.stand, self.faults, self.seen = stand, {}, []
        self.end: Callable[[str, str], bool] | None = None
        self.carries_out = False
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    seen: list[tuple[str, str]]


class FaultyApiServer:
    """The API server of the stand, behind what spoils answers."""

    def __init__(self, stand: Stand) -> None:
        self._server = _Server(stand)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def spoil(self, faults: Mapping[int, str]) -> None:
        """From now on count anew, and spoil these requests (from 1 on) in these ways."""
        with self._server.lock:
            self._server.seen = []
            self._server.faults = dict(faults)

    def end_at(self, end: Callable[[str, str], bool] | None, *, carries_out: bool = False) -> None:
        """Ask for each request (its method and path) whether whoever asks is ended, and carry it out then or not."""
        self._server.end, self._server.carries_out = end, carries_out

    @property
    def seen(self) -> list[tuple[str, str]]:
        """The requests since, each with its method and path."""
        return list(self._server.seen)

    def environment(self, stand: Stand) -> dict[str, str]:
        """For a run that speaks to it."""
        environment = stand.environment(K8S_AUTH_HOST=self.address, K8S_AUTH_API_KEY="a-secret-word")
        del environment["K8S_AUTH_KUBECONFIG"]
        return environment

    def __enter__(self) -> FaultyApiServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


# Each playbook that changes nothing on a stand that is metered: its words and its variables.
PLAYBOOKS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "site": ((), {}),
    "check": ((), {}),
    "report": ((), {"report_period": "this_month"}),
    "render": ((), {}),
    "chargeback": (("--check",), {}),
    "remove": (("--check",), {}),
}


def _address_of_prometheus(stand: Stand, server: FaultyApiServer) -> dict[str, Any]:
    """`scrape_api` for an address at which nobody says that it is the API server's."""
    pods = stand.get("pods", platform.MONITORING_NAMESPACE, labels="app.kubernetes.io/name=prometheus")
    name = min(pod["metadata"]["name"] for pod in pods)
    url = f"{server.address}/api/v1/namespaces/{platform.MONITORING_NAMESPACE}/pods/{name}:9090/proxy"
    return {"url": url, "targets_urls": [url]}


class Trials:
    """Playbooks on one stand whose requests are spoilt, and what is wrong with how they end."""

    def __init__(
        self, stand: Stand, server: FaultyApiServer, directory: Path, *, asks_prometheus_itself: bool = False
    ) -> None:
        """Of a stand that is metered and without traffic, so that every report of it has the same rows.

        Runs ask Prometheus through the API server, or by an address of its own, which the same server spoils.
        """
        self._stand, self.server, self._directory = stand, server, directory
        self._api = {"scrape_api": _address_of_prometheus(stand, server)} if asks_prometheus_itself else {}
        self._playbook = ""
        self._faults: dict[int, str] = {}
        self._rows: Any = None
        self._state = stand.lasting_state()

    def count_requests(self, playbook: str) -> int:
        """How many requests a playbook has, which are then `server.seen`."""
        run = self.play(playbook, {})
        assert run.code == 0, run.output
        if playbook == "report":
            self._rows = self._rows_of_report()
        return len(self.server.seen)

    def play(self, playbook: str, faults: Mapping[int, str]) -> Run:
        """A playbook, with some of its requests (from 1 on) spoilt."""
        words, variables = PLAYBOOKS[playbook]
        self._playbook = playbook
        self._faults = dict(faults)
        more = {name: str(self._directory) for name in ("render_dir", "report_directory") if name.startswith(playbook)}
        self.server.spoil(faults)
        environment = self.server.environment(self._stand)
        return self._stand.play(playbook, *words, environment=environment, **variables, **more, **self._api)

    def requests_spoilt(self) -> list[str]:
        """What the last run asked for where it was answered wrongly."""
        seen = self.server.seen
        return [" ".join(seen[number - 1]) for number in self._faults if number <= len(seen)]

    def wrong_with(self, run: Run) -> list[str]:
        """What is wrong with how the last run has ended."""
        is_report = self._playbook == "report" and run.code == 0
        return [
            text
            for text, wrong in (
                ("a traceback", "Traceback" in run.output),
                ("taken for a bug of ours", "bug in the module" in run.output),
                ("no next command", run.code != 0 and "Next: " not in run.text),
                ("nobody is named", run.code != 0 and not any(name in run.text for name in self._who_may_be_named())),
                ("a secret", "a-secret-word" in run.output),
                ("another bill", is_report and self._rows_of_report() != self._rows),
                ("something was changed", self._stand.lasting_state() != self._state),
            )
            if wrong
        ]

    def _who_may_be_named(self) -> Iterator[str]:
        """The API server, or who stands behind it: the pod or the service of a path that ends in /proxy/..."""
        yield self.server.address
        for request in self.requests_spoilt():
            if "/proxy" in request:
                yield request.partition("/proxy")[0].rpartition("/")[2].split(":")[0]

    def _rows_of_report(self) -> Any:
        return json.loads((self._directory / "localhost.json").read_text())["rows"]
