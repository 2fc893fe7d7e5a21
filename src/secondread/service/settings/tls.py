"""Certificates of a listener or of a connection."""

from __future__ import annotations

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
