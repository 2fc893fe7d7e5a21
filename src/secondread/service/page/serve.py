"""The page's process: the application behind uvicorn, by TLS where there is a certificate."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import uvicorn

from secondread.errors import UserError
from secondread.service.page.app import create_app
from secondread.service.page.certificate import Certificate
from secondread.service.page.guards.patience import Patient
from secondread.service.settings.page import PageSettings
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.away import Stop
from secondread.service.store.database import Database
from secondread.service.store.workers import Registered
from secondread.terminal.events import log_event

CONNECTIONS = 300
"""At once; more are told 503."""
LAST_ANSWERS_S = 20
"""What a graceful stop waits for answers that have begun."""


def run_page(settings: ServiceSettings, stop: Stop, *, listens: Callable[[int], None] | None = None) -> None:
    """Answer until `stop` is set. `listens` hears the port. Raises UserError where the address cannot be had
    or the certificate cannot be read."""
    database = Database(settings.database_url)
    listener = _bind(settings.page)
    try:
        certificate = Certificate.of(settings.page.tls)
        server = _Server(_configured(settings, database, certificate))
        port = listener.getsockname()[1]
        with Registered(database, "page"):
            watcher = threading.Thread(target=_watch, args=(server, certificate, database, stop), daemon=True)
            watcher.start()
            log_event("page listens", port=float(port), tls=certificate is not None)
            if listens is not None:
                listens(port)
            server.run(sockets=[listener])
    finally:
        listener.close()
        database.close()


class _Server(uvicorn.Server):
    """Signals are the affair of the process that it runs in, which sets `stop`."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def _configured(
    settings: ServiceSettings, database: Database, certificate: Certificate | None
) -> uvicorn.Config:
    page = settings.page
    return uvicorn.Config(
        create_app(settings, database),
        loop="asyncio",
        http=Patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=page.behind_proxy,
        forwarded_allow_ips=list(page.proxies),
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
        ssl_context_factory=None if certificate is None else lambda _config, _default: certificate.context,
    )


def _bind(page: PageSettings) -> socket.socket:
    listener = None
    try:
        family = socket.getaddrinfo(page.address, page.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(family[4])
        listener.listen(CONNECTIONS)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise UserError(
            f"page.address {page.address}, port {page.port}: cannot listen there ({error.strerror}); choose "
            "another port, or end what listens there"
        ) from None
    listener.set_inheritable(True)
    return listener


def _watch(server: uvicorn.Server, certificate: Certificate | None, database: Database, stop: Stop) -> None:
    while not stop.wait(0.2):
        if certificate is not None:
            certificate.look(database)
    server.should_exit = True
