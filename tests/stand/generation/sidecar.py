"""Stands in for the sidecar of a generation that cannot be built here: its flags, its port, its names of metrics.

Usage: sidecar.py STORED EXPOSED FLAGS..., where STORED is the metric's name for whoever takes UTF-8 names, and EXPOSED
the name for all others. `GET /count?tokens=N&type=T&HEADER=VALUE...` counts tokens as a request with those headers
would.
"""

from __future__ import annotations

import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

STORED, EXPOSED, FLAGS = sys.argv[1], sys.argv[2], sys.argv[3:]
VALUES = {flag.lstrip("-"): value for flag, value in pairwise(FLAGS)}
PORT = next(int(VALUES[flag]) for flag in ("adminPort", "metricsPort") if flag in VALUES)
MAPPINGS = [VALUES.get(f"metricsRequestHeader{what}", "") for what in ("Attributes", "Labels")]
MAPPING = dict(pair.split(":") for pair in next(filter(None, MAPPINGS), "").split(",") if pair)
counted: Counter[tuple[tuple[str, str], ...]] = Counter()


def sample(labels: tuple[tuple[str, str], ...], tokens: int, utf8: bool) -> str:
    if utf8 and "." in STORED:
        text = ",".join(f'"{name}"="{value}"' for name, value in labels)
        return f'{{"{STORED}_sum",{text}}} {tokens}'
    text = ",".join(f'{name.replace(".", "_")}="{value}"' for name, value in labels)
    return f"{EXPOSED}_sum{{{text}}} {tokens}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        utf8 = "escaping=allow-utf-8" in self.headers.get("accept", "")
        body = ""
        if url.path == "/count":
            asked = dict(parse_qsl(url.query))
            own = {"gen_ai.token.type": asked["type"], "gen_ai.request.model": "chat"}
            own |= {label: asked[header] for header, label in MAPPING.items() if header in asked}
            counted[tuple(sorted(own.items()))] += int(asked["tokens"])
        elif url.path == "/metrics":
            body = "\n".join(sample(labels, tokens, utf8) for labels, tokens in sorted(counted.items())) + "\n"
        self.send_response(200)
        escaping = "; version=1.0.0; escaping=allow-utf-8" if utf8 and "." in STORED else "; version=0.0.4"
        self.send_header("content-type", "text/plain" + escaping)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing: Prometheus asks every few seconds."""


ThreadingHTTPServer(("", PORT), Handler).serve_forever()
