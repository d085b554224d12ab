"""A network that fails on demand: a proxy before an S3 server.

boto3 is left as it is, with its own retries, because what they do to a lost answer matters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_ERROR = "<Error><Code>{}</Code><Message>on demand</Message></Error>"
_CODES = {403: "AccessDenied", 409: "ConditionalRequestConflict", 412: "PreconditionFailed",
          500: "InternalError", 503: "SlowDown"}  # fmt: skip


@dataclass
class Fault:
    """What happens to the next calls of one operation."""

    operation: str
    performed: bool = True
    """Whether the server is given the call before it fails."""
    status: int | None = None
    """What is answered; None breaks the connection."""
    times: int = 1
    cut: int | None = None
    """The server's own answer is given, but for what comes after so many bytes of its body."""
    hang: bool = False
    """No answer comes at all, until the network is closed."""
    garble: bool = False
    """The server is given other bytes than were sent, and its own answer is given."""


@dataclass
class Network:
    """A running proxy. What it let through, and what it does, is set and read by the tests."""

    endpoint: str
    calls: list[str] = field(default_factory=list)
    """The operations asked for, in order."""
    headers: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The headers of each, their names in lower case."""
    faults: list[Fault] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, operation: str, **fault: Any) -> None:
        """Let the next calls of an operation fail."""
        self.faults.append(Fault(operation, **fault))

    def note(self, operation: str, headers: dict[str, str]) -> Fault | None:
        """The fault that meets this call, if any."""
        with self.lock:
            self.calls.append(operation)
            self.headers.append((operation, headers))
            for fault in self.faults:
                if fault.operation == operation and fault.times:
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def network(endpoint: str) -> Iterator[Network]:
    """Put a network before the server at an endpoint."""
    upstream = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer_all(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            fault = made.note(_operation(self.command, self.path), headers)
            if fault and fault.garble:
                body = bytes([body[0] ^ 1]) + body[1:]
            if fault is None or fault.performed:
                # The client's own Host header goes along: it is signed.
                connection = HTTPConnection(upstream)
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
            if fault is None or fault.garble or fault.cut is not None:
                self.pass_on(answer, data, fault.cut if fault else None)
            elif fault.hang:
                made.closed.wait()
                self.close_connection = True
            elif fault.status is None:
                self.close_connection = True
            else:
                text = _ERROR.format(_CODES[fault.status]).encode()
                self.send_response_only(fault.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

        def pass_on(self, answer: HTTPResponse, data: bytes, cut: int | None) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            # HEAD states a length, and has no body.
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(data[:cut])
            self.close_connection = cut is not None

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer_all  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Network(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _operation(method: str, path: str) -> str:
    """What S3 calls this request, as far as an object store asks for it."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    whole_bucket = "/" not in parts.path.strip("/")
    names = {
        ("PUT", "partNumber"): "UploadPart",
        ("PUT", "retention"): "PutObjectRetention",
        ("PUT", "legal-hold"): "PutObjectLegalHold",
        ("POST", "uploads"): "CreateMultipartUpload",
        ("POST", "uploadId"): "CompleteMultipartUpload",
        ("DELETE", "uploadId"): "AbortMultipartUpload",
        ("GET", "versions"): "ListObjectVersions",
        ("GET", "uploads"): "ListMultipartUploads",
    }
    for (verb, mark), name in names.items():
        if verb == method and mark in query:
            return name
    if whole_bucket and method == "GET":
        return "ListObjectsV2"
    return f"{method.capitalize()}Object"
