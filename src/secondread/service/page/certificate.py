"""The page's certificate: a renewed one is taken while the page runs, one that ends soon is an alarm."""

from __future__ import annotations

import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from secondread.errors import UserError
from secondread.service.settings.tls import TlsSettings
from secondread.service.store.alarms import close_alarm, open_alarm
from secondread.service.store.away import is_away
from secondread.service.store.database import Database
from secondread.service.store.jobs import now
from secondread.terminal.events import log_event

SOON = timedelta(days=21)
"""So long before its end the alarm is opened."""
LOOK_S, TELL_S = 60.0, 6 * 3600.0


class Certificate:
    """TLS 1.2 or newer with this certificate and key; with an authority a browser has to show one of it.
    Raises UserError where the files cannot be used."""

    def __init__(self, certificate: Path, key: Path, authority: Path | None) -> None:
        self._certificate, self._key = certificate, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._changed = 0.0
        self._looked = self._told = -TELL_S
        self.ends = self._load()
        if authority is not None:
            try:
                self.context.load_verify_locations(authority)
            except OSError as error:
                raise UserError(f"{authority}: no certificates ({error.strerror}); give a PEM file") from None
            self.context.verify_mode = ssl.CERT_REQUIRED

    @classmethod
    def of(cls, tls: TlsSettings | None) -> Certificate | None:
        if tls is None or tls.certificate is None or tls.key is None:
            return None
        return cls(tls.certificate, tls.key, tls.authority)

    def look(self, database: Database) -> None:
        """Call it often: what has to be done now is done, what fails is logged and tried again."""
        at = time.monotonic()
        if at - self._looked < LOOK_S:
            return
        self._looked = at
        try:
            if self._certificate.stat().st_mtime != self._changed:
                self.ends = self._load()
                self._told = at - TELL_S
                log_event("certificate renewed")
            if at - self._told >= TELL_S:
                self._tell(database)
                self._told = at
        except (OSError, UserError) as error:
            log_event("certificate unreadable", level=logging.WARNING, error=type(error).__name__)
        except Exception as error:
            if not is_away(error):
                raise

    def _load(self) -> datetime:
        try:
            changed = self._certificate.stat().st_mtime
            self.context.load_cert_chain(self._certificate, self._key)
            ends = x509.load_pem_x509_certificate(self._certificate.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise UserError(
                f"{self._certificate}, {self._key}: no certificate with its key "
                f"({getattr(error, 'strerror', '') or error}); give PEM files of one pair that "
                "the service's user may read"
            ) from None
        self._changed = changed
        return ends

    def _tell(self, database: Database) -> None:
        with database.write() as session:
            if self.ends - now() > SOON:
                close_alarm(session, "certificate", "page")
                return
            day = self.ends.astimezone(UTC).date().isoformat()
            text = f"the page's certificate {'ended' if self.ends <= now() else 'ends'} on {day}"
            remedy = "put a renewed one in its place; the page takes it without a restart"
            open_alarm(session, "certificate", "page", text, remedy)
