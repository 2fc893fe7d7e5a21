"""Small real servers of the other side: a storage SCP, HTTP, and MLLP with real acknowledgements."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hl7
from free_ports import free_port
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    SecondaryCaptureImageStorage,
    Verification,
)


@dataclass
class Pacs:
    """A storage SCP. `answers`: a status for each object, the last one for all that follow."""

    port: int = field(default_factory=free_port)
    title: str = "PACS"
    answers: list[int] = field(default_factory=lambda: [0x0000])
    stored: list[str] = field(default_factory=list)
    proposed: list[list[str]] = field(default_factory=list)
    """Of each association, the abstract syntaxes."""
    on_store: Callable[[evt.Event], None] = lambda _: None
    kinds: tuple[str, ...] = (ComprehensiveSRStorage, SecondaryCaptureImageStorage, Verification)
    tls: ssl.SSLContext | None = None

    @contextmanager
    def listening(self) -> Iterator[Pacs]:
        entity = AE(self.title)
        entity.require_called_aet = True
        for kind in self.kinds:
            entity.add_supported_context(kind)
        server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            ssl_context=self.tls,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._accepted)],
        )
        try:
            yield self
        finally:
            server.shutdown()

    def _accepted(self, event: evt.Event) -> None:
        asked = event.assoc.requestor.primitive.presentation_context_definition_list
        self.proposed.append(sorted(str(one.abstract_syntax) for one in asked))

    def _store(self, event: evt.Event) -> int:
        self.on_store(event)
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status in (0x0000, 0xB000, 0x0111):
            self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return status


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """An HTTP server. `answer` gives status, headers and body for a request."""

    answer: Callable[[Request], tuple[int, dict[str, str], bytes]]
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def listening(self) -> Iterator[Web]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                web.requests.append(Request(self.command, self.path, headers, body))
                status, more, told = web.answer(web.requests[-1])
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(told))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told)

            do_POST = do_OPTIONS = handle_any

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        self.url = f"{'http' if self.tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class Ris:
    """An MLLP listener. `answers`: what it acknowledges each message with (`AA`, or `AE 207` with a code of
    table 0357, `-` for silence and the end of the connection), the last one for all that follow."""

    answers: list[str] = field(default_factory=lambda: ["AA"])
    messages: list[hl7.Message] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @contextmanager
    def listening(self) -> Iterator[Ris]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            yield self
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        received = b""
        while block := connection.recv(1000):
            received += block
            while b"\x1c\r" in received:
                told, _, received = received.partition(b"\x1c\r")
                assert told.startswith(b"\x0b")
                self.raw.append(told[1:])
                message = hl7.parse(told[1:].decode())
                self.messages.append(message)
                code, _, number = (
                    self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                ).partition(" ")
                if code == "-":
                    return
                answer = "MSH|^~\\&|RIS|||||20240501||ACK^R01|1|P|2.5.1\r"
                answer += f"MSA|{code}|{message.segment('MSH')[10]}\r"
                if number:
                    answer += f"ERR|||{number}^said^HL70357|E||||Doe^Jane is not known\r"
                half = len(answer) // 2  # an answer may come in pieces
                connection.sendall(b"\x0b" + answer[:half].encode())
                connection.sendall(answer[half:].encode() + b"\x1c\r")
