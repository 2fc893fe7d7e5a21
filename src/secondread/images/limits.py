"""What a file may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.images.image import ImageError
from secondread.wording.sizes import in_words, times

LARGEST_DEFLATE_RATIO = 1032
"""Bytes that one byte of gzip, zlib or zip can become at most."""


@dataclass(frozen=True)
class ReadLimits:
    """Bounds checked from the header, before anything of the image's size is allocated.

    max_voxels  channels × voxels of one image
    max_bytes   size of the file, and of what a compressed file may unpack to
    max_images  images that one file may hold (frames, volumes, an archive's rows)
    """

    max_voxels: int = 2**29
    max_bytes: int = 2**32
    max_images: int = 500_000

    def check_shape(self, path: str, shape: tuple[int, ...]) -> None:
        """Raise ImageError where an image of `shape`, channels included, is too large or empty."""
        voxels = 1
        for length in shape:
            if length <= 0:
                raise ImageError(path, f"the header says a size of {times(shape)}, which holds no pixels")
            voxels *= int(length)
        if voxels > self.max_voxels:
            raise ImageError(
                path,
                f"the header says {times(shape)} = {voxels:,} values; the limit is {self.max_voxels:,}",
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

    def check_count(
        self, path: str, count: int, what: str, *, least_bytes: float = 0.0, file_bytes: int = 0
    ) -> None:
        """Raise ImageError where a file says that it holds more images than are allowed, or than it can.

        what         a word for the images: `frames`
        least_bytes  that one of them takes in the file; 0 where that is not known
        """
        if count < 1:
            raise ImageError(path, f"the header says {count:,} {what}, so there is none to read")
        if count * least_bytes > file_bytes:
            raise ImageError(
                path,
                f"the header says {count:,} {what}; the file has {in_words(file_bytes)}",
                "copy or export it again",
            )
        if count > self.max_images:
            raise ImageError(
                path,
                f"the header says {count:,} {what}; the limit is {self.max_images:,} in one file",
                "split the file",
            )
