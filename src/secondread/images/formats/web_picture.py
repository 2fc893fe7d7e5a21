"""GIF and WebP pictures of one frame."""

from __future__ import annotations

import io
from typing import Any

from secondread.images.formats.raster import damaged, finish, samples_of
from secondread.images.image import Damaged, Image, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.source import Reference
from secondread.images.turn import turn_asked_by

WEB_KINDS = ("gif", "webp")
_NAMES = {"gif": "GIF", "webp": "WebP"}


def web_kind(start: bytes) -> str | None:
    """`gif` or `webp`, from a file's first bytes; None for any other."""
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def webp_size(data: bytes) -> tuple[int, int]:
    """Rows and columns of a WebP, from its first 30 bytes; opening one takes memory for them at once. Raises
    ValueError."""
    if len(data) < 30:
        raise Damaged("no header")
    if data[12:16] == b"VP8X":
        columns, rows = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        columns, rows = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        columns, rows = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return rows, columns


def opened(kind: str, stream: Any) -> Any:
    """What Pillow makes of a picture; its pixels are not decoded."""
    if kind == "gif":
        from PIL.GifImagePlugin import GifImageFile

        return GifImageFile(stream)
    from PIL.WebPImagePlugin import WebPImageFile

    return WebPImageFile(stream)


def read_web_picture(reference: Reference, kind: str, data: bytes, limits: ReadLimits) -> Image:
    """A GIF or a WebP. One that moves is refused. Raises ImageError."""
    name = _NAMES[kind]
    try:
        if kind == "webp":
            limits.check_shape(reference.text, (*webp_size(data), 4))
        with opened(kind, io.BytesIO(data)) as picture:
            limits.check_shape(reference.text, (picture.height, picture.width, len(picture.getbands())))
            if getattr(picture, "is_animated", False):
                raise ImageError(
                    reference.text, f"a {name} of several frames", "write its frames as PNG, into one folder"
                )
            header = {"format": name, "bits": "8", "mode": picture.mode}
            turn = turn_asked_by(picture)
            pixels = samples_of(picture)
    except ImageError:
        raise
    except Exception as error:
        raise damaged(reference, name, error) from error
    return finish(reference, data, pixels, header, turn)
