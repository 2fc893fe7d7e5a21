"""TLS by certificate files, which may be replaced while the service runs."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from secondread.errors import UserError
from secondread.service.settings.tls import TlsSettings


class ListenerCertificates:
    """What a listener shows, read again where a file has changed.

    With an authority the other side has to show a certificate that it signed and that has not expired.
    """

    def __init__(self, tls: TlsSettings) -> None:
        if tls.certificate is None or tls.key is None:
            raise UserError("receive.tls: a listener needs both certificate and key")
        self._tls = tls
        self._files = [path for path in (tls.certificate, tls.key, tls.authority) if path is not None]
        self._lock = threading.Lock()
        self._changed = self._when_changed()
        self._context = _loaded(tls, ssl.PROTOCOL_TLS_SERVER)
        self._expires = expiry(tls.certificate)

    def context(self) -> ssl.SSLContext:
        """As the files are now; as they were, where they cannot be read just now. Raises Expired."""
        with self._lock:
            changed = self._when_changed()
            if changed and changed != self._changed and self._tls.certificate is not None:
                try:
                    self._context = _loaded(self._tls, ssl.PROTOCOL_TLS_SERVER)
                    self._expires, self._changed = expiry(self._tls.certificate), changed
                except UserError:
                    pass  # half of a new pair: the other file is still being written
            if self._expires <= datetime.now(UTC):
                raise Expired(f"the service's own certificate has expired on {self._expires:%Y-%m-%d}")
            return self._context

    def _when_changed(self) -> tuple[int, ...]:
        try:
            return tuple(path.stat().st_mtime_ns for path in self._files)
        except OSError:
            return ()


class Expired(Exception):
    """A certificate is not valid any more."""


def caller_context(tls: TlsSettings) -> ssl.SSLContext:
    """For connections to a peer, whose certificate the authority must have signed; its host name is not
    compared, since devices are known by their addresses. Without an authority the system's are asked."""
    return _loaded(tls, ssl.PROTOCOL_TLS_CLIENT)


def expiry(certificate: Path) -> datetime:
    """When a PEM file's certificate ends. Raises UserError."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise UserError(
            f"{certificate}: no certificate can be read ({_why(error)}); it is a PEM file"
        ) from None


def _loaded(tls: TlsSettings, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    named = tls.certificate
    try:
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
        named = tls.authority
        if tls.authority is not None:
            context.load_verify_locations(cafile=tls.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        elif protocol == ssl.PROTOCOL_TLS_CLIENT:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"{named}: the certificate or its key cannot be used ({_why(error)}); both are PEM files, and "
            "belong together"
        ) from None
    return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no reason given").replace("_", " ").lower()
    return getattr(error, "strerror", None) or "not of that format"
