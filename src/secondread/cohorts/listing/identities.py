"""Keyed hashes in place of the ids of patients and studies.

The rule. An id becomes the first 20 hex digits of HMAC-BLAKE2b(key, kind + NUL + id), where kind is
`patient` or `study`. Whoever has no key can neither undo a hash nor test a guess; under one key the same
id always gives the same hash, so that manifests made at different times know each other's patients.

The key is the content of the file that the caller names (`--key FILE`, at least 16 bytes, surrounding
white space ignored). Without one it is `<manifest>.key` beside the manifest: used where it exists, else
made of 32 random bytes, written as hex for its owner alone (0600). A key that others may read is refused.
Keep the key as you keep the ids; delete it to make the hashes final.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from secondread.errors import UserError
from secondread.outputs.whole import write_new

_SHORTEST_KEY = 16
_HEX_DIGITS = 20


def keyed_hash(key: bytes, kind: Literal["patient", "study"], identity: str) -> str:
    """The hash that stands for an id; an empty id stays empty."""
    if not identity:
        return ""
    return hmac.new(key, f"{kind}\0{identity}".encode(), "blake2b").hexdigest()[:_HEX_DIGITS]


def key_mark(key: bytes) -> str:
    """A hash that tells one key from another, and nothing else of it."""
    return keyed_hash(key, "study", "mark")


def read_key(path: str | Path) -> bytes:
    """The key in a file. Raises UserError where it is missing, short, or readable by others."""
    path = Path(path)
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise UserError(f"{path}: other users may read or change this key; run `chmod 600 {path}`")
        key = path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"{path}: the key cannot be read ({error.strerror})") from None
    if len(key) < _SHORTEST_KEY:
        raise UserError(f"{path}: a key of {len(key)} bytes is too short; give at least {_SHORTEST_KEY}")
    return key


def key_beside(manifest: str | Path) -> tuple[bytes, Path]:
    """The key beside a manifest, made where there is none, and its path."""
    path = key_file(manifest)
    if not path.exists():
        try:
            write_new(path, (secrets.token_hex(32) + "\n").encode())
        except FileExistsError:
            pass  # another process has just made it
        except OSError as error:
            raise UserError(f"{path}: the key cannot be written ({error.strerror})") from None
    return read_key(path), path


def key_file(table: str | Path) -> Path:
    """Where the key of a manifest or of readings lies."""
    return Path(table).with_name(f"{Path(table).name}.key")


@contextmanager
def no_stray_key(table: str | Path) -> Iterator[None]:
    """Within the block a key may be made beside the table; where the block fails, it is gone again."""
    file = key_file(table)
    there = file.exists()
    try:
        yield
    except BaseException:
        if not there:
            file.unlink(missing_ok=True)
        raise


def hashing(key: bytes | None) -> Callable[[Literal["patient", "study"], str], str]:
    """What is done to every id: the keyed hash, or nothing where there is no key."""

    def treated(kind: Literal["patient", "study"], identity: str) -> str:
        return identity if key is None else keyed_hash(key, kind, identity)

    return treated
