"""The listener of the storage SCP: who is let in, how many, and what one connection may cost."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import MODE_ACCEPTOR, Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationServer, AssociationSocket

from secondread.service.intake.arriving import ArrivingMessages, Place
from secondread.service.intake.certificates import Expired, ListenerCertificates
from secondread.service.intake.peers import Peers
from secondread.service.intake.refusing import Refuser
from secondread.service.store.refusals import Refusals

LARGEST_PDU = 1 << 18
"""Offered to peers, in bytes."""
MOST_OF_A_PDU = LARGEST_PDU + (1 << 20)
HANDSHAKE_S = 15.0
REQUEST_S = 15.0
WAITS_MS = 50
"""How long whoever connects may take to agree on TLS, and then to ask for an association."""
PERMANENT, BY_USER = 1, 1
CALLING_TITLE, CALLED_TITLE = 3, 7
"""Results, sources and reasons of a rejection (PS3.8 9.3.4)."""
Tell = Callable[[str, dict[str, str]], None]


class Gate(ACSE):
    """Lets in whom the configuration names, under the title of this service."""

    def negotiate_association(self) -> None:
        association: Any = self.assoc
        server: Listener = association._server
        request: Any = self.requestor.primitive
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        address = str(self.requestor.address)
        if called != server.ae_title.strip():
            self._turn_away(CALLED_TITLE, "called AE title", calling, address)
        elif not server.peers.allows(calling, address):
            self._turn_away(CALLING_TITLE, "calling AE title", calling, address)
        else:
            super().negotiate_association()

    def _turn_away(self, reason: int, what: str, title: str, address: str) -> None:
        association: Any = self.assoc
        self.send_reject(PERMANENT, BY_USER, reason)
        association._server.tell("association rejected", {"why": what, "title": title, "address": address})
        association.kill()


class WakingQueue(queue.Queue[Any]):
    """What is to be sent; whoever waits for the peer is woken when something is put in."""

    def __init__(self) -> None:
        super().__init__()
        self.woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        with contextlib.suppress(OSError):
            os.eventfd_write(self.woken, 1)

    def close(self) -> None:
        woken, self.woken = self.woken, -1
        os.close(woken)


class QuickSocket(AssociationSocket):
    """Waits for the peer or for something to send, where pynetdicom looks a thousand times a second; reads in
    large pieces, takes no PDU of any size that somebody says, and has no limit of descriptors."""

    def __init__(self, association: Association, connection: socket.socket, to_send: WakingQueue) -> None:
        super().__init__(association, client_socket=connection)
        self._to_send = to_send
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(to_send.woken, select.POLLIN)

    @property
    def ready(self) -> bool:
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        try:
            found = self._poll.poll(0 if self.event_queue.qsize() else WAITS_MS)
            woken = self._to_send.woken
            if any(descriptor == woken for descriptor, _ in found):
                os.eventfd_read(woken)
            return any(descriptor != woken for descriptor, _ in found)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        if self.socket is None or nr_bytes > MOST_OF_A_PDU:
            raise OSError("a PDU that is larger than any that was agreed on")
        received = bytearray(nr_bytes)
        view, count = memoryview(received), 0
        while count < nr_bytes:
            read = self.socket.recv_into(view[count:])
            if not read:
                break
            count += read
        view.release()
        del received[count:]
        return received


class Admitted(Association):
    """An association that says when it is over, and leaves nothing behind."""

    def __init__(self, ae: ApplicationEntity, server: Listener, connection: socket.socket) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._server = server
        self._connection = connection
        self._to_send = WakingQueue()
        self.dul.to_provider_queue = self._to_send
        self.dul._run_loop_delay = 0.0
        self.set_socket(QuickSocket(self, connection, self._to_send))
        self.acse = Gate(self)
        self.dimse = ArrivingMessages(self, server.place)

    def run(self) -> None:
        try:
            if self._is_asked_for():
                super().run()
            else:
                self.kill()
                self._server.shutdown_request(self._connection)  # type: ignore[union-attr]
        finally:
            if self.dul.is_alive():
                self.dul.kill_dul()
                self.dul.join(5.0)
            self.dimse.discard()  # type: ignore[attr-defined]
            self._to_send.close()
            if self.is_aborted:
                where = {"title": self.requestor.ae_title.strip(), "address": str(self.requestor.address)}
                self._server.tell("association broken off", where)  # type: ignore[union-attr]
            self._server.left(self)  # type: ignore[union-attr]

    def _is_asked_for(self) -> bool:
        """Waits for the request of whoever has connected; False as soon as he is gone or took too long."""
        self.dul.start()
        self._started_dul = True
        self._dul_ready.wait()
        until = time.monotonic() + REQUEST_S
        while self.dul.peek_next_pdu() is None:
            gone = self.dul.socket is None or self.dul.socket.socket is None or not self.dul.is_alive()
            if gone or time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True


class Listener(AssociationServer):
    """Accepts connections; those beyond `associations` are refused for the moment.

    A connection never holds up another: TLS is agreed on in a thread of its own, under a limit of time.
    """

    request_queue_size = 1024

    def __init__(
        self,
        ae: ApplicationEntity,
        contexts: list[PresentationContext],
        handlers: Sequence[tuple[evt.EventType, Callable[..., Any]]],
        place: Place,
        tell: Tell,
        refusals: Refusals,
    ) -> None:
        receiving = place.settings.receive
        self.place, self.tell, self.peers = place, tell, Peers(receiving)
        self.certificates = None if receiving.tls is None else ListenerCertificates(receiving.tls)
        self._refuser = Refuser(None if self.certificates is None else self.certificates.context)
        self._most = receiving.associations
        self._own_handlers = handlers
        self._active: set[object] = set()
        self._lock = threading.Lock()
        self._refusals = refusals
        super().__init__(ae, (receiving.address, receiving.port), receiving.title, contexts)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.2}, name="listener", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def active(self) -> list[Admitted]:
        with self._lock:
            return [one for one in self._active if isinstance(one, Admitted)]

    def start(self) -> None:
        self._refuser.start()
        self._thread.start()

    def stop(self) -> None:
        """No more connections; those that are stay."""
        super(AssociationServer, self).shutdown()
        self._thread.join()
        self.server_close()
        self._refuser.stop()

    def left(self, one: object) -> None:
        with self._lock:
            self._active.discard(one)

    def service_actions(self) -> None:
        """Python collects what is over by itself."""

    def get_request(self) -> tuple[socket.socket, Any]:
        assert self.socket is not None
        return self.socket.accept()

    def process_request(self, request: Any, client_address: Any) -> None:
        token = object()
        with self._lock:
            full = len(self._active) >= self._most
            if not full:
                self._active.add(token)
        if full:
            self._refusals.add("association beyond the limit")
            self._refuser.take(request)
        elif self.certificates is None:
            self._admit(request, client_address, token)
        else:
            threading.Thread(target=self._shake, args=(request, client_address, token), daemon=True).start()

    def _shake(self, request: socket.socket, client_address: Any, token: object) -> None:
        assert self.certificates is not None
        try:
            request.settimeout(HANDSHAKE_S)
            request = self.certificates.context().wrap_socket(request, server_side=True)
        except Exception as error:
            self.left(token)
            request.close()
            self.tell("TLS refused", {"why": why_refused(error), "address": str(client_address[0])})
            return
        self._admit(request, client_address, token)

    def _admit(self, request: socket.socket, client_address: Any, token: object) -> None:
        try:
            request.settimeout(self.ae.network_timeout)
            association = self._association(request, client_address)
            with self._lock:
                self._active.discard(token)
                self._active.add(association)
            association.start()
        except BaseException:
            self.left(token)
            request.close()
            raise

    def _association(self, request: socket.socket, client_address: Any) -> Admitted:
        made = Admitted(self.ae, self, request)
        acceptor = made.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.ae_title
        acceptor.address_info = AddressInformation.from_tuple(self.server_address)
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = self.contexts
        made.requestor.address_info = AddressInformation.from_tuple(client_address)
        for event, handler in self._own_handlers:
            made.bind(event, handler)
        return made

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.tell("connection failed", {"address": str(client_address[0])})
        with contextlib.suppress(OSError):
            request.close()


def why_refused(error: Exception) -> str:
    """One line on a handshake that failed, of fixed words."""
    if isinstance(error, Expired):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no TLS").replace("_", " ").lower()
    return "the connection ended or took too long"
