# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a request: an answer of whatever status, or a word for why there is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.aigateway.metering.plugins.module_utils import _http

Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers one request with these bytes, whatever they are, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(answer: bytes) -> str:
        def once() -> None:
            connection, dummy = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=once, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    listener.close()


@pytest.mark.parametrize("status", [200, 204, 302, 401, 404, 429, 500, 503])
def test_an_answer_is_one_whatever_its_status_is(serve: Serve, status: int) -> None:
    text = "" if status == 204 else "hello"
    address = serve(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    assert _http.request(address, timeout=5)[:2] == (status, text)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-x\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nhalf", id="half a body"),
        pytest.param(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf", id="half the body of an error"),
        pytest.param(b"HTTP/1.1 200 X\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="a line that is too long"),
    ],
)
def test_an_answer_that_breaks_off_is_none(serve: Serve, answer: bytes) -> None:
    with pytest.raises(_http.UnreachableError, match=r"."):
        _http.request(serve(answer), timeout=5)


def test_where_nobody_listens_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(_http.UnreachableError, match="refused"):
        _http.request(address, timeout=5)


@pytest.mark.parametrize(
    ("address", "headers"),
    [("http://127.0.0.1:1/a b", {}), ("http://127.0.0.1:1", {"X": "a\nb"}), ("nonsense", {})],
    ids=["a blank in the address", "a line break in a header", "no address"],
)
def test_a_request_that_cannot_be_made_says_nothing_of_its_headers(address: str, headers: dict[str, str]) -> None:
    with pytest.raises(_http.InvalidRequestError) as told:
        _http.request(address, headers=headers, timeout=5)
    assert str(told.value) == ""
