"""Certificates of a listener or of a connection."""

from __future__ import annotations

import ssl
from pathlib import Path

from secondread.settings.base import Settings


class TlsSettings(Settings):
    """PEM files.

    certificate, key   of this side
    authority          who signed the certificate of the other side, which then has to show one
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def beside(self, folder: Path) -> TlsSettings:
        """With relative paths taken from the configuration's folder."""
        files = {"certificate": self.certificate, "key": self.key, "authority": self.authority}
        return self.model_copy(update={name: path and folder / path for name, path in files.items()})


def trusting(authority: Path | None) -> ssl.SSLContext:
    """For a client: the other side's certificate and host name are checked, against the system's authorities
    where `authority` names no other.

    Of a named one's certificates no extension is asked that Python 3.13 asks for by default and earlier ones
    do not, such as key identifiers: authorities of hospitals leave them out. Raises OSError where the file
    cannot be used.
    """
    context = ssl.create_default_context(cafile=authority)
    if authority is not None:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
