# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests from within a cluster, as any of its pods could send them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .cluster import Cluster

# Runs in the pod. A name with several values is sent as often; no library corrects what is odd on purpose.
PROGRAM = """
import http.client, json, ssl, sys

def ask(item):
    host, port = item["host"], item["port"]
    if item["authority"]:
        context = ssl.create_default_context(cadata=item["authority"])
        connection = http.client.HTTPSConnection(host, port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.putrequest(item["method"], item["path"], skip_accept_encoding=True)
        for name, value in item["headers"]:
            connection.putheader(name, value)
        body = item["body"].encode()
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return {"status": answer.status, "text": answer.read().decode("utf-8", "replace")}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "text": repr(error)}
    finally:
        connection.close()

print(json.dumps([ask(item) for item in json.load(sys.stdin)]))
"""


@dataclass(frozen=True)
class Question:
    """A request."""

    host: str
    path: str
    method: str = "GET"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    port: int = 443
    authority: str = ""
    """The authority that is trusted, as PEM; empty for plain HTTP."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    """0 where nobody answered."""
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def ask_from_inside(cluster: Cluster, questions: list[Question]) -> list[Answer]:
    """Send requests from the upstream's pod, one after another."""
    asked = json.dumps([asdict(question) for question in questions])
    words = ("exec", "-i", "-n", "upstream", "deployment/upstream", "--", "python3", "-c", PROGRAM)
    output = cluster.kubectl.run(cluster.step, *words, stdin=asked)
    return [Answer(**item) for item in json.loads(output)]
