"""Machines that may send by STOW-RS: a file with a line for each, its name and the SHA-256 of its token.

A token has 256 random bits, so a plain hash keeps it: there is nothing to guess. It is shown once, when it is
made.
"""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path

from secondread.errors import DataError, UserError
from secondread.outputs.whole import whole_file
from secondread.service.page.people.sessions import digest_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LINE = re.compile(rf"({NAME.pattern}) sha256:([0-9a-f]{{64}})")


def read(path: Path) -> dict[str, str]:
    """Hashes by names; none where there is no file. Raises DataError for a line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__}); it holds who may send") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = LINE.fullmatch(line.strip())
        if parts is None or parts[1] in found:
            raise DataError(
                f"{path}, line {number}: is no `NAME sha256:HASH`, or a name that was there before"
            )
        found[parts[1]] = parts[2]
    return found


def add(path: Path, name: str) -> str:
    """The new sender's token. Raises UserError where the name is taken."""
    senders = read(path)
    if not NAME.fullmatch(name):
        raise UserError("a sender's name has at most 64 letters, digits and . _ -")
    if name in senders:
        raise UserError(f"{name} is there already; remove it first to give it a new token")
    token = secrets.token_urlsafe(32)
    _write(path, {**senders, name: digest_of(token)})
    return token


def remove(path: Path, name: str) -> None:
    senders = read(path)
    if senders.pop(name, None) is None:
        raise UserError(f"there is no sender {name[:64]!r}")
    _write(path, senders)


class Senders:
    """Who a token belongs to; the file is read again when it has changed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._senders: dict[str, str] = {}

    def sender_of(self, token: str) -> str | None:
        """None for a token that nobody has."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
        except OSError:
            return None
        if seen != self._seen:
            self._senders, self._seen = read(self._path), seen
        given, found = digest_of(token), None
        for name, kept in self._senders.items():
            if hmac.compare_digest(given, kept):
                found = name
        return found


def _write(path: Path, senders: dict[str, str]) -> None:
    text = "".join(f"{name} sha256:{kept}\n" for name, kept in sorted(senders.items()))
    with whole_file(path) as file:
        file.write(text.encode())
