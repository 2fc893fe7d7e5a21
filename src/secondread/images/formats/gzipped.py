"""Gzip streams, unpacked no further than is asked for."""

from __future__ import annotations

import zlib

GZIP_MAGIC = b"\x1f\x8b"
_BEYOND = 1 << 16
"""How far a stream is followed behind what is asked for, to its end and its check sum."""


def gunzip_start(data: bytes, count: int) -> bytes:
    """The first `count` bytes behind gzip compression, or nothing where the stream is damaged."""
    try:
        return gunzip(data, count)[0]
    except zlib.error:
        return b""


def gunzip(data: bytes, count: int) -> tuple[bytes, str]:
    """At most `count` unpacked bytes, and what is wrong with the stream behind them ("" = nothing).

    Streams that follow one another (bgzip) are read as one. The last one is followed to its end, where its
    check sum stands, unless it goes on for long.
    """
    parts: list[bytes] = []
    problem = ""
    while data[:2] == GZIP_MAGIC and count > 0:
        inflater = zlib.decompressobj(wbits=31)
        parts.append(inflater.decompress(data, count))
        count -= len(parts[-1])
        if not inflater.eof:
            try:
                beyond = len(inflater.decompress(inflater.unconsumed_tail, _BEYOND))
            except zlib.error as error:
                problem = "a wrong check sum" if "data check" in str(error) else "damage in its last part"
            else:
                problem = "" if inflater.eof or beyond == _BEYOND else "it has no end"
        data = inflater.unused_data
    return (parts[0] if len(parts) == 1 else b"".join(parts)), problem
