"""What a file may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.images.image import ImageError


@dataclass(frozen=True)
class ReadLimits:
    """Bounds checked from the header, before anything of the image's size is allocated.

    max_voxels  channels × voxels of one image
    max_bytes   size of the file, and of what a compressed file may unpack to
    """

    max_voxels: int = 2**29
    max_bytes: int = 2**32

    def check_shape(self, path: str, shape: tuple[int, ...]) -> None:
        """Raise ImageError where an image of `shape`, channels included, is too large or empty."""
        voxels = 1
        for length in shape:
            if length <= 0:
                raise ImageError(path, f"the header says a size of {_times(shape)}, which holds no pixels")
            voxels *= int(length)
        if voxels > self.max_voxels:
            raise ImageError(
                path,
                f"the header says {_times(shape)} = {voxels:,} values; the limit is {self.max_voxels:,}",
                "raise max_voxels if the file is genuine",
            )

    def check_bytes(self, path: str, count: int) -> None:
        """Raise ImageError where a file, or what it unpacks to, has more bytes than allowed."""
        if count > self.max_bytes:
            raise ImageError(
                path,
                f"{count:,} bytes, above the limit of {self.max_bytes:,}",
                "raise max_bytes if the file is genuine",
            )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(str(length) for length in shape)
