"""A server of one file that can be told to fail as servers and connections do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """The file, how the next requests are answered, and what was asked for.

    Attributes:
        content: The file.
        plan: One word per request, taken from the front: ``cut`` (half of what was asked for, then the connection
            closes), a status code, ``more`` (twice the promised bytes), ``chunked`` (without a length), ``hold``
            (right, but only once ``release`` is set). Without a word: right.
        always: The word for requests after the plan.
        ranges: Whether Range and If-Range are understood.
        etag: The ETag; None: the server sends none and accepts every If-Range.
        asked: The Range of each request, "" for the whole file.
        sent: The first byte and the number of bytes of each answer with content.
    """

    content: bytes = b""
    plan: list[str] = field(default_factory=list)
    always: str = ""
    ranges: bool = True
    etag: bool = True
    address: str = ""
    release: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    sent: list[tuple[int, int]] = field(default_factory=list)

    @property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:8]}"'


def _as_told(word: str, body: bytes) -> bytes:
    if word == "chunked":
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return {"cut": body[: len(body) // 2], "more": body + body}.get(word, body)


@contextmanager
def served(state: Served) -> Iterator[Served]:
    """Serve ``state`` at ``state.address`` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            word = state.plan.pop(0) if state.plan else state.always
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            self.close_connection = True
            if word == "hold":
                state.release.wait(60)
            if word.isdigit():
                self.send_response(int(word))
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer(word, asked)

        def answer(self, word: str, asked: str) -> None:
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if state.etag and self.headers.get("If-Range", state.tag) != state.tag:
                start = 0
            body = state.content[start:]
            sent = _as_told(word, body)
            state.sent.append((start, len(sent)))  # before the client has a byte: its next request may overtake this
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            if state.etag:
                self.send_header("ETag", state.tag)
            if word == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(sent)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}/a.zip"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
