"""An OpenAI-compatible upstream that answers with the token counts it is asked for, and keeps a ledger of them.

The ledger is the truth that metering is held against. It knows a tenant by `x-stand-caller`, which the traffic
command sets from the token it sends: identity headers that a caller can forge are recorded, never believed.

POST /v1/chat/completions   plain and streamed; `x-stand-usage` (JSON) chooses the counts
GET  /ledger?since=SECONDS  what was served from that time (Unix seconds) on, as JSON
GET  /health
"""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LEDGER = Path(os.environ.get("LEDGER", "/tmp/ledger/ledger.jsonl"))
PORT = int(os.environ.get("PORT", "8080"))
_lock = threading.Lock()


def usage_of(chosen: dict) -> dict:
    """The `usage` object of the chat completions API for the chosen counts."""
    prompt, completion = int(chosen.get("input", 1)), int(chosen.get("output", 1))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": int(chosen.get("cached_input", 0))},
        "completion_tokens_details": {"reasoning_tokens": int(chosen.get("reasoning", 0))},
    }


def record(entry: dict) -> None:
    with _lock, LEDGER.open("a") as ledger:
        ledger.write(json.dumps(entry) + "\n")


def entries(since: float) -> list[dict]:
    with _lock:
        lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    return [entry for entry in map(json.loads, lines) if entry["time"] >= since]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            self.answer(200, {"status": "ok"})
        elif url.path == "/ledger":
            since = float(parse_qs(url.query).get("since", ["0"])[0])
            self.answer(200, {"entries": entries(since)})
        else:
            self.answer(404, {"error": "no such path"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        if urlsplit(self.path).path != "/v1/chat/completions":
            self.answer(404, {"error": "no such path"})
            return
        chosen = json.loads(self.headers.get("x-stand-usage", "{}"))
        usage = usage_of(chosen)
        streamed = bool(body.get("stream"))
        record(
            {
                "time": time.time(),
                "caller": self.headers.get("x-stand-caller", ""),
                "user_namespace": self.headers.get("x-user-namespace", ""),
                "department": self.headers.get("x-user-group", ""),
                "model": body.get("model", ""),
                "stream": streamed,
                "tokens": {
                    "input": usage["prompt_tokens"],
                    "output": usage["completion_tokens"],
                    "cached_input": usage["prompt_tokens_details"]["cached_tokens"],
                    "reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
                },
            }
        )
        if streamed:
            with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            self.stream(body.get("model", ""), usage if with_usage else None)
        else:
            message = {"role": "assistant", "content": "ok"}
            self.answer(
                200,
                self.envelope("chat.completion", body.get("model", ""))
                | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage},
            )

    def envelope(self, kind: str, model: str) -> dict:
        return {"id": "stand", "object": kind, "created": int(time.time()), "model": model}

    def answer(self, status: int, document: dict) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, model: str, usage: dict | None) -> None:
        envelope = self.envelope("chat.completion.chunk", model)
        chunks = [
            envelope | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "o"}}]},
            envelope | {"choices": [{"index": 0, "delta": {"content": "k"}, "finish_reason": "stop"}]},
        ]
        if usage:
            chunks.append(envelope | {"choices": [], "usage": usage})
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events:
            data = event.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
