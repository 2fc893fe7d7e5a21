"""Connections: with which certificates, and why there is none."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

from secondread.service.delivery.outcome import Away
from secondread.service.settings.tls import TlsSettings, trusting


def tls_context(
    authority: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For a client, as `trusting`, with TLS 1.2 at least and a certificate of its own, where there is one.
    Raises Away where a file cannot be used."""
    try:
        context = trusting(authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (authority, certificate, key) if path is not None)
        raise Away(f"a file of TLS cannot be used ({words(error)}): {files}") from None
    return context


def context_of(tls: TlsSettings | None) -> ssl.SSLContext | None:
    return None if tls is None else tls_context(tls.authority, tls.certificate, tls.key)


def connected(address: str, port: int, tls: TlsSettings | None, timeout_s: float) -> socket.socket:
    """Raises Away with the reason."""
    context = context_of(tls)
    try:
        plain = socket.create_connection((address, port), timeout=timeout_s)
        if context is None:
            return plain
        try:
            return context.wrap_socket(plain, server_hostname=address)
        except BaseException:
            plain.close()
            raise
    except (OSError, UnicodeError) as error:
        raise Away(f"{address}:{port}: {words(error)}") from None


def check_reach(address: str, port: int, tls: TlsSettings | None, timeout_s: float) -> None:
    """Raises Away with the reason where no connection comes about."""
    with contextlib.closing(connected(address, port, tls, timeout_s)):
        pass


def secret_in(path: Path) -> str:
    """The one line of a file that holds a token, a password or a secret. Raises Away."""
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Away(f"{path}: cannot be read ({why})") from None
    if not found or not found.isprintable():
        raise Away(f"{path}: should hold one line")
    return found


def words(error: BaseException) -> str:
    """Why a connection failed, in a few words of ours or the system's."""
    cause: BaseException | None = error
    while cause is not None:  # what httpx and smtplib raise was caused by one of these
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate was not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS ({cause.reason or type(cause).__name__})"
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, socket.gaierror):
            return "no such host is known"
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens there"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    return "the connection broke" if isinstance(error, OSError) else type(error).__name__
