"""One image of a manifest, looked at closely: what `check` gathers in the workers that decode."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from secondread.images.acquisition import acquisition
from secondread.images.content import content_digest, is_grey
from secondread.images.image import ImageError
from secondread.images.read import read_image


@dataclass(frozen=True)
class Inspection:
    """Facts of one image.

    digest        of the bytes that made it; `content` of its decoded pixels (see `images.content`), so
                  that a copy in another format is found
    channels      1 where three channels are equal
    constant      whether all pixels are equal
    facts         acquisition facts, as in `secondread.images.acquisition`
    mask_problem  what is wrong with its mask; empty where nothing is, or where it has none
    mask_empty    whether its mask marks nothing; None where it has none that could be read
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


def inspect(item: tuple[str, str | None]) -> Inspection:
    """Read an image and its mask (references). Raises ImageError where the image cannot be read,
    or holds values that are not finite.
    """
    reference, mask_reference = item
    image = read_image(reference)
    problem, empty = _inspect_mask(mask_reference, image.size) if mask_reference else ("", None)
    return Inspection(
        digest=image.digest,
        content=content_digest(image.pixels),
        size=image.size,
        channels=1 if is_grey(image.pixels) else image.pixels.shape[0],
        modality=image.header.get("modality", ""),
        constant=bool(np.all(image.pixels == image.pixels.flat[0])),
        facts=acquisition(image),
        mask_problem=problem,
        mask_empty=empty,
    )


def _inspect_mask(reference: str, size: tuple[int, ...]) -> tuple[str, bool | None]:
    try:
        mask = read_image(reference)
    except ImageError as error:
        return error.problem, None
    if mask.size != size:
        return f"its size {_times(mask.size)} is not the image's {_times(size)}", None
    return "", not np.any(mask.pixels)


def _times(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))
