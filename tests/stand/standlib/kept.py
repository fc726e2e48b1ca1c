"""A Prometheus that is asked over connections which are kept, as the API server's is."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import urllib3


class Kept:
    """The API of a Prometheus at a port of this machine."""

    name = "a Prometheus of the tests"

    def __init__(self, port: int) -> None:
        self._connections = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=8, timeout=600)

    @staticmethod
    def hide(text: str) -> str:
        return text

    def text(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._connections.request("POST", path, body=urlencode(query), headers=form).data.decode()
