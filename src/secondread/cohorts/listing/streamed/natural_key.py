"""The order in which people count, for a table that sorts bytes."""

from __future__ import annotations

from secondread.natural_order import natural

_END = b"\0\0"
"""Below everything that a text goes on with: its own zeros are written as 0 1."""


def natural_key(path: str) -> bytes:
    """Bytes that are ordered as `natural` orders paths."""
    key = bytearray()
    for word, number, text in natural(path):
        if not word:
            digits = str(number).encode()
            key += b"\1" + len(digits).to_bytes(4, "big") + digits
        else:
            key += b"\2"
        key += text.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\1") + _END
    return bytes(key)
