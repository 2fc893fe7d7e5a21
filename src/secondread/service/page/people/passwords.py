"""Passwords by argon2id: never kept, equally slow for names that nobody has."""

from __future__ import annotations

import threading
import unicodedata
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from secondread.errors import UserError

SHORTEST, LONGEST = 12, 1000
TOO_SHORT = "A password has 12 to 1000 characters"
TOO_EASY = "This password is too easy to guess; take several words"
AT_ONCE = 2
"""Hashes that are computed at the same time: each takes 64 MiB."""


class Busy(Exception):
    """Too many log in at this moment."""


class Passwords:
    """Makes hashes and compares with them. `hasher` says what a hash costs; RFC 9106's second choice where
    it is None."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.BoundedSemaphore(AT_ONCE)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash("nobody has this one")

    def prepare(self) -> None:
        """So that the first unknown name takes no longer than others."""
        _ = self._nobody

    def hash(self, password: str, name: str = "") -> str:
        """Raises UserError where the password is too easy to guess."""
        plain = _plain(password)
        if not SHORTEST <= len(plain) <= LONGEST:
            raise UserError(TOO_SHORT)
        if len(set(plain)) < 5 or (name and plain.casefold().strip() == name.casefold()):
            raise UserError(TOO_EASY)
        with self._turn:
            return self._hasher.hash(plain)

    def matches(self, password: str, kept: str) -> bool:
        """Whether it is the password of `kept`. An empty one, of nobody or of somebody without a password,
        takes as long and never matches. Raises Busy."""
        if not self._turn.acquire(timeout=10):
            raise Busy
        try:
            self._hasher.verify(kept or self._nobody, _plain(password[: LONGEST + 1]))
        except (VerificationError, InvalidHashError):
            return False
        finally:
            self._turn.release()
        return bool(kept)

    def is_outdated(self, kept: str) -> bool:
        """Made with other costs than hashes are made with now."""
        return self._hasher.check_needs_rehash(kept)


def _plain(password: str) -> str:
    """As every keyboard gives it: an umlaut may come as one character or as two."""
    return unicodedata.normalize("NFKC", password)
