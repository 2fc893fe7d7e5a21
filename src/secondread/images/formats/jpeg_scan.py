"""Whether a JPEG's compressed data hold the whole picture.

The decoders that give the pixels fill up what is missing, or what cannot be decoded, with grey, and keep
libjpeg's warning to themselves. Here the stream is decoded once more, by TurboJPEG, whose warnings are heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from secondread.images.image import Damaged
from secondread.images.limits import ReadLimits

_SOI, _EOI, _SOS, _APP0, _APP15, _COMMENT = 0xD8, 0xD9, 0xDA, 0xE0, 0xEF, 0xFE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _LOSSLESS, _JPEG_LS = (0xC0, 0xC1), 0xC3, 0xF7
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}
_SCAN_END = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_PADDING_BYTES = 16


@dataclass(frozen=True)
class _Plain:
    """What `check_jpeg` hands to TurboJPEG, with what its frame header says."""

    stream: bytes
    pixels: int
    components: int
    lossless: bool


def check_jpeg(stream: bytes, tables: bytes = b"", *, most_pixels: int = ReadLimits().max_voxels) -> None:
    """Raise ValueError where a JPEG ends before its last block, holds a code that is in no table, or holds
    bytes that belong to no block or segment (ITU-T T.81; of any precision, lossy or lossless).

    `tables` is the abbreviated stream with the tables that `stream` leaves out, as TIFF keeps them. A few
    bytes of padding before the end marker are allowed. A stream of a kind that TurboJPEG does not decode
    (hierarchical, two components) is not judged: its own decoder has to refuse it. A frame of more than
    `most_pixels` is refused before memory is taken for it.
    """
    import simplejpeg

    plain = _plain(stream, tables)
    if plain.pixels > most_pixels:
        raise Damaged(f"a JPEG of {plain.pixels:,} pixels, where at most {most_pixels:,} are expected")
    in_rgb = plain.lossless and plain.components == 3
    colours = "CMYK" if plain.components == 4 else "RGB" if in_rgb else "GRAY"
    try:
        simplejpeg.decode_jpeg(plain.stream, colours, fastdct=True, fastupsample=True)
    except ValueError as error:
        said = str(error)
        padding = _LEFT_OVER.search(said)
        if padding and int(padding[1]) <= _PADDING_BYTES:
            return
        if "orrupt" in said or "remature" in said:
            raise Damaged(said) from None


def is_jpeg_ls(stream: bytes) -> bool:
    """Whether the frame header is JPEG-LS's (ITU-T T.87), which `check_jpeg` does not judge."""
    return any(marker == _JPEG_LS for marker, _ in _segments(stream))


def _plain(stream: bytes, tables: bytes) -> _Plain:
    """The stream up to its end marker as TurboJPEG decodes it without other warnings.

    Only what entropy decoding needs is kept. The precision is said to be 8 bits, since the coding does not
    depend on it; the spectral range of sequential scans, which some encoders leave at 0, is set; the
    components of a lossless frame get names that ask for no conversion of colour.
    """
    out = bytearray(b"\xff\xd8")
    components = frame = pixels = 0
    for part in (tables, stream):
        for marker, content in _segments(part):
            if _APP0 <= marker <= _APP15 or marker in (_COMMENT, _SOI) or (marker == _EOI and part is tables):
                continue
            body = bytearray(content)
            if marker in _FRAMES and len(body) > 7:
                frame, components, body[2] = marker, body[7], 8
                pixels = int.from_bytes(body[3:5], "big") * int.from_bytes(body[5:7], "big")
                if marker == _LOSSLESS:
                    _rename(body, range(8, len(body), 3))
            elif marker == _SOS and len(body) > 5:
                end = 3 + 2 * body[2]
                if frame in _SEQUENTIAL:
                    body[end : end + 3] = b"\0\x3f\0"
                elif frame == _LOSSLESS:
                    _rename(body, range(3, end, 2))
            out += bytes((0xFF, marker)) + body
    return _Plain(bytes(out), pixels, components, frame == _LOSSLESS)


def _rename(body: bytearray, places: range) -> None:
    for at in places:
        if at < len(body):
            body[at] = (body[at] + 64) % 256


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker with its parameters, a scan's with its compressed data, up to the end marker.

    Raises ValueError for bytes in between, over which some decoders stumble.
    """
    at = 0
    while at + 1 < len(stream):
        if stream[at] != 0xFF:
            raise Damaged("bytes between two segments of the JPEG's header")
        if stream[at + 1] == 0xFF:
            at += 1
            continue
        marker = stream[at + 1]
        at += 2
        end = at
        if marker not in _WITHOUT_LENGTH or marker == _SOS:
            end += int.from_bytes(stream[at : at + 2], "big")
        if marker == _SOS:
            found = _SCAN_END.search(stream, end)
            end = len(stream) if found is None else found.start()
        yield marker, stream[at:end]
        at = end
        if marker == _EOI:
            return
