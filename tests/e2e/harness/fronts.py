# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands before a Prometheus elsewhere: an address with its own way of letting in, in front of the stand's."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standlib import usage

from .stand import Stand

Headers = dict[str, str]


class Front:
    """What stands before a Prometheus: it lets in whom it knows, and may hide some paths."""

    def __init__(self, stand: Stand, lets_in: Callable[[Headers], bool], hidden: tuple[str, ...] = ()) -> None:
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(self.path)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                self.answer(f"{self.path}?{body}")

            def answer(self, path: str) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                if not lets_in(headers):
                    self.reply(401, "no entry")
                elif any(word in path for word in hidden) or not path.startswith("/prefix/api/v1/"):
                    self.reply(404, "404 page not found")
                else:
                    target = f"{usage.PROMETHEUS}{path.removeprefix('/prefix/api/v1')}"
                    self.reply(200, stand.kubectl.text(target))

            def reply(self, status: int, text: str) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Nothing."""

        front.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"

    server: ThreadingHTTPServer

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_port}/prefix"

    def with_tls(self, context: ssl.SSLContext) -> None:
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "https"

    def __enter__(self) -> Front:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def anybody(dummy: Headers) -> bool:
    return True
