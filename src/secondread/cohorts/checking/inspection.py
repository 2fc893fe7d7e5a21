"""One image of a manifest, looked at closely: what `check` gathers in the workers that decode."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from secondread.images.acquisition import acquisition
from secondread.images.content import content_digest, is_grey
from secondread.images.image import Image, ImageError
from secondread.images.masks import mask_on
from secondread.images.read import read_image
from secondread.images.several_files import SeveralFiles
from secondread.images.source import digest_of_parts


@dataclass(frozen=True)
class Inspection:
    """Facts of one image.

    digest        of the bytes that made it; `content` of its decoded pixels (see `images.content`), so
                  that a copy in another format is found
    channels      1 where three channels are equal
    files         how many files are its channels
    constant      whether all pixels are equal
    facts         acquisition facts, as in `secondread.images.acquisition`
    mask_problem  what is wrong with its mask; empty where nothing is, or where it has none
    mask_empty    whether its mask marks nothing; None where it has none that could be read
    remarks       what its reader remarks of it (missing slices, a tilted gantry, …)
    """

    digest: str
    content: str
    size: tuple[int, ...]
    channels: int
    modality: str
    constant: bool
    facts: dict[str, float | str] = field(default_factory=dict)
    mask_problem: str = ""
    mask_empty: bool | None = None
    remarks: tuple[str, ...] = ()
    files: int = 1


def inspect(item: tuple[str, str | None]) -> Inspection:
    """Read an image and its mask (references). Raises ImageError where the image cannot be read,
    or holds values that are not finite.
    """
    reference, mask_reference = item
    image = read_image(reference)
    problem, empty = _inspect_mask(mask_reference, image) if mask_reference else ("", None)
    return Inspection(
        digest=image.digest,
        content=_content(image),
        size=image.size,
        channels=1 if is_grey(image.pixels) else image.pixels.shape[0],
        files=len(image.parts) if isinstance(image, SeveralFiles) else 1,
        modality=image.header.get("modality", ""),
        constant=bool(np.all(image.pixels == image.pixels.flat[0])),
        facts=acquisition(image),
        mask_problem=problem,
        mask_empty=empty,
        remarks=image.geometry.remarks,
    )


def _content(image: Image) -> str:
    if isinstance(image, SeveralFiles):
        return digest_of_parts(content_digest(part.pixels) for part in image.parts)
    return content_digest(image.pixels)


def _inspect_mask(reference: str, image: Image) -> tuple[str, bool | None]:
    try:
        marked = mask_on(read_image(reference), image.geometry, image.size, "its image")
    except ImageError as error:
        return f"{error.problem}; {error.advice}" if error.advice else error.problem, None
    return "", not marked.any()
