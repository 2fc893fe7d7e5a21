"""What can be known about a configuration before the service starts: one finding a line."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from secondread.errors import DataError, UserError
from secondread.outputs.lock import holder, only_one
from secondread.service.settings.service import ServiceSettings
from secondread.service.settings.tls import TlsSettings
from secondread.service.store.database import Database
from secondread.service.store.migrate import check_version, why_away

Kind = Literal["ok", "warn", "FAULT"]


@dataclass(frozen=True)
class Finding:
    """`warn` is what may be mended while the service runs; a `FAULT` keeps it from working."""

    kind: Kind
    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind:<5}  {self.about:<20} {self.what}"


def check_service(settings: ServiceSettings, *, load: bool = True) -> Iterator[Finding]:
    """Look at everything; with `load` the bundles are loaded too, which takes its time."""
    yield _spool(settings)
    at_work = _holder(settings.spool)
    if at_work:
        yield Finding("warn", "spool", f"a service is at work there ({at_work}): its ports are not free")
    yield _database(settings)
    if load:
        yield from _bundles(settings)
    if not at_work:
        for about, address, port in (
            ("receive", settings.receive.address, settings.receive.port),
            ("page", settings.page.address, settings.page.port),
        ):
            yield _port(about, address, port)
    yield from _peers(settings)
    yield from _certificates(settings)
    yield from _backups(settings)
    yield from _destinations(settings)


def _spool(settings: ServiceSettings) -> Finding:
    """Looked at without making it."""
    place = _nearest(settings.spool)
    if why := _closed(place):
        return Finding("FAULT", "spool", why)
    free = shutil.disk_usage(place).free / 1e9
    if free < settings.receive.free_gb:
        least = settings.receive.free_gb
        return Finding("FAULT", "spool", f"{settings.spool}: {free:.1f} GB free, and {least:g} are asked for")
    return Finding("ok", "spool", f"{settings.spool}: {free:.1f} GB free")


def _nearest(place: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _closed(folder: Path) -> str:
    """Why nothing can be written there; empty where it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder}: cannot be written ({error.strerror})"


def _backups(settings: ServiceSettings) -> Iterator[Finding]:
    """Of the nightly ones: else the first night would tell."""
    if not settings.upkeep.backups:
        return
    folder = Path(settings.upkeep.backups)
    if why := _closed(_nearest(folder)):
        yield Finding("warn", "backups", f"none can be made each night: {why}")
    elif settings.database.startswith("postgresql") and not shutil.which("pg_dump"):
        yield Finding("warn", "backups", "none can be made each night: pg_dump is not installed")
    else:
        yield Finding("ok", "backups", f"{folder}: can be written")


def _holder(spool: Path) -> str:
    if not spool.is_dir():
        return ""
    try:
        with only_one(spool):
            return ""
    except UserError:
        return holder(spool)


def _database(settings: ServiceSettings) -> Finding:
    if not settings.database and not (settings.spool / "service.sqlite").exists():
        return Finding("ok", "database", "SQLite in the spool, made at the first start")
    database = Database(settings.database_url)
    try:
        if not inspect(database.engine).get_table_names():
            return Finding("ok", "database", "empty; its tables are made at the first start")
        check_version(database)
    except DBAPIError as error:
        return Finding("FAULT", "database", f"does not answer: {why_away(error)}")
    except (UserError, DataError) as error:
        older = "brings them there" in str(error)
        return Finding("ok" if older else "FAULT", "database", str(error))
    finally:
        database.close()
    return Finding("ok", "database", "answers, with the tables of this version")


def _bundles(settings: ServiceSettings) -> Iterator[Finding]:
    from secondread.exporting.load import load_model

    known: dict[str, str] = {}
    for one in settings.bundles:
        for number, path in enumerate((one.bundle, *one.shadow)):
            about = f"shadow of {one.name}" if number else f"bundle {one.name}"
            try:
                digest = load_model(path, settings.device).digest
            except (UserError, DataError) as error:
                yield Finding("FAULT", about, str(error))
                continue
            if digest in known:
                said = f"{path}: is the bundle that stands as {known[digest]} already; name it once"
                yield Finding("FAULT", about, said)
            else:
                yield Finding("ok", about, f"{path}: loads")
            known.setdefault(digest, about.removeprefix("bundle "))


def _port(about: str, address: str, port: int) -> Finding:
    if port == 0:
        return Finding("ok", about, f"{address}, any free port")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
    except (OSError, UnicodeError) as error:
        used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another process listens there" if used else getattr(error, "strerror", None) or str(error)
        return Finding("FAULT", about, f"{address}, port {port}: {why}")
    return Finding("ok", about, f"{address}, port {port} is free")


def _peers(settings: ServiceSettings) -> Iterator[Finding]:
    """Whose address is a name that nobody knows: they would be turned away."""
    for peer in settings.receive.peers:
        try:
            socket.getaddrinfo(peer.address, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            yield Finding(
                "warn", f"peer {peer.title}", f"{peer.address}: no such host ({why}); it is turned away"
            )


def _certificates(settings: ServiceSettings) -> Iterator[Finding]:
    sides = [("receive.tls", settings.receive.tls), ("page.tls", settings.page.tls)]
    sides += [(f"receive.peers {one.title}.tls", one.tls) for one in settings.receive.peers]
    sides += [(f"{one.name}.tls", one.tls) for one in settings.send.dicom]
    sides += [(f"{one.name}.tls", one.tls) for one in settings.send.hl7]
    for about, tls in sides:
        if tls is not None:
            try:
                _context(tls)
            except (OSError, ssl.SSLError) as error:
                files = [str(file) for file in (tls.certificate, tls.key, tls.authority) if file is not None]
                unread = [file for file in files if not os.access(file, os.R_OK)]
                said = f"{', '.join(unread or files)}: cannot be used ({error.strerror or error})"
                yield Finding("FAULT", about, said)
            else:
                yield Finding("ok", about, "its files can be used")


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    if tls.authority is not None:
        context.load_verify_locations(tls.authority)
    return context


def _destinations(settings: ServiceSettings) -> Iterator[Finding]:
    """One that is away now is only a warning: what is for it waits."""
    from secondread.service.delivery.echo import ask_everybody

    for asked in ask_everybody(settings):
        yield Finding("ok" if asked.reached else "warn", f"destination {asked.name}", asked.said)
