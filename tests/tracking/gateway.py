"""A gateway in front of an MLflow server that can be made to fail in all the usual ways."""

import http.client
import threading
import time
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Mode(StrEnum):
    """What the gateway does with a request.

    Attributes:
        PASS: Hands it on.
        SLOW: Hands it on after a while.
        ERROR: Answers 500 without handing it on.
        AWAY: Answers with a page, 404, as gateways do whose server is being restarted.
        LOCKED: Answers 403, as for a token that has run out.
        LOST: Hands it on and loses the answer.
        SILENT: Takes it and never answers.
    """

    PASS = "pass"
    SLOW = "slow"
    ERROR = "500"
    AWAY = "404"
    LOCKED = "403"
    LOST = "lost"
    SILENT = "silent"


class Gateway:
    """The gateway, on 127.0.0.1.

    Args:
        target: The server's address.
    """

    def __init__(self, target: str) -> None:
        self.mode = Mode.PASS
        self.requests = 0
        self.is_closed = threading.Event()
        self.target = urlsplit(target).netloc
        gateway = self

        class Handler(_Handler):
            owner = gateway

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it, and whoever waits for an answer."""
        self.is_closed.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Gateway
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        owner, mode = self.owner, self.owner.mode
        owner.requests += 1
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if mode is Mode.SILENT:
            owner.is_closed.wait()
            self.close_connection = True
        elif mode in (Mode.ERROR, Mode.AWAY, Mode.LOCKED):
            self._answer(int(mode.value), b"<html>the gateway's own page</html>", "text/html")
        else:
            if mode is Mode.SLOW:
                time.sleep(1.0)
            self._hand_on(content, is_lost=mode is Mode.LOST)

    def _hand_on(self, content: bytes, *, is_lost: bool) -> None:
        connection = http.client.HTTPConnection(self.owner.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        connection.request(self.command, self.path, content, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if is_lost:
            self.close_connection = True
            return
        self._answer(answer.status, body, answer.headers.get("Content-Type", "text/plain"))

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""
