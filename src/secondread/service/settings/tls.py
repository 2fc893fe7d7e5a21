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
