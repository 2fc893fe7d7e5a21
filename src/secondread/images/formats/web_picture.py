"""GIF and WebP pictures of one frame."""

from __future__ import annotations

import io
from typing import Any

from secondread.images.formats.raster import damaged, finish, samples_of
from secondread.images.image import Image, ImageError
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
