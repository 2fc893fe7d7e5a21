"""Several files that are one image, each a channel: the sequences of one MR examination, say.

A reference names them separated by `|`, in the order of the channels: `t1.nii.gz|t2.nii.gz`. Each is a
reference of its own (`path` or `path#member`). A `|` that belongs to the name of a file which is there stays
in the name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from secondread.images.image import Geometry, Image, ImageError
from secondread.images.masks import same_grid, states_position
from secondread.images.source import digest_of_parts
from secondread.wording.sizes import times

SEPARATOR = "|"
_TO_ONE_GRID = "resample the files of a row to one grid first"


@dataclass(frozen=True)
class SeveralFiles(Image):
    """The files of one reference as one image: `pixels` one channel after another, geometry, display window
    and header those of the first file.

    parts  the images of the files, whose values may have other units, types and windows
    """

    parts: tuple[Image, ...] = ()


def files_of(reference: str, base: str | Path = "") -> tuple[str, ...]:
    """The files that a reference names, as they are written; itself where it names one. `base` is what they
    are relative to."""
    if SEPARATOR not in reference or _is_there(reference, base):
        return (reference,)
    pieces, found = reference.split(SEPARATOR), []
    while pieces:
        ends = range(1, len(pieces) + 1)
        end = next((n for n in ends if _is_there(SEPARATOR.join(pieces[:n]), base)), 1)
        found.append(SEPARATOR.join(pieces[:end]))
        pieces = pieces[end:]
    return tuple(found)


def under(base: str | Path, reference: str) -> str:
    """A reference that is relative to `base` as one that holds where `base` does."""
    return SEPARATOR.join(os.path.join(base, file) for file in files_of(reference, base))


def absolute(reference: str) -> str:
    """A reference with the absolute paths of its files, the same for every way to write them but links."""
    return SEPARATOR.join(str(Path(file).absolute()) for file in files_of(reference))


def as_one_image(parts: Sequence[Image], reference: str) -> SeveralFiles:
    """The images of several files as one. Raises ImageError where they do not lie on one grid."""
    first = parts[0]
    for other in parts[1:]:
        if problem := _apart(first, other):
            raise ImageError(reference, problem, _TO_ONE_GRID)
    remarks = [remark for part in parts for remark in part.geometry.remarks]
    header = dict(first.header)
    if all(part.header.get("file_bytes", "").isdecimal() for part in parts):
        header["file_bytes"] = str(sum(int(part.header["file_bytes"]) for part in parts))
    return SeveralFiles(
        np.concatenate([part.pixels for part in parts]),
        replace(first.geometry, remarks=tuple(dict.fromkeys(remarks))),
        reference,
        digest_of_parts(part.digest for part in parts),
        first.voi,
        first.padding,
        header,
        tuple(parts),
    )


def channels_of(image: Image, count: int, *, masked: bool = False) -> tuple[Image, ...]:
    """The images that give one channel each, where a recipe prepares `count` files as one image, and with
    `masked` that of a mask after them. An array in memory, which no file stands behind, has its channels, and
    the mask, in its first axis.

    Raises ImageError where there are not so many.
    """
    channels, count = count, count + masked
    parts = image.parts if isinstance(image, SeveralFiles) else (image,)
    if len(parts) == 1 and count > 1 and not image.header and len(image.pixels) == count:
        return tuple(replace(image, pixels=image.pixels[channel : channel + 1]) for channel in range(count))
    if len(parts) != count:
        named = f"names {len(parts)} files" if len(parts) > 1 else "names one file"
        if masked:
            raise ImageError(
                image.source,
                f"{named}, and the recipe prepares images of {channels} and a mask of the foreground",
                f"name {count} files, separated by {SEPARATOR}, the mask last, or set "
                "preprocessing.foreground=none",
            )
        raise ImageError(
            image.source,
            f"{named}, and the recipe prepares images of {count} (preprocessing.files)",
            f"set preprocessing.files={len(parts)}, or name {count}, separated by {SEPARATOR}",
        )
    return parts


def _is_there(reference: str, base: str | Path) -> bool:
    if not reference:
        return False
    place = os.path.join(base, reference)
    return os.path.exists(place) or ("#" in reference and os.path.exists(place.rpartition("#")[0]))


def _apart(first: Image, other: Image) -> str:
    """Why two files do not lie on one grid; empty where they do."""
    names = f"{_name(other)} and {_name(first)}"
    if other.size != first.size:
        return f"{names} have other sizes: {times(other.size)} and {times(first.size)}"
    stated = states_position(first.geometry), states_position(other.geometry)
    if all(stated):
        if same_grid(first.geometry, first.size, other.geometry, other.size):
            return ""
        return f"{names} lie on other grids in space (their affines differ)"
    if any(stated):
        return f"of {names} only one says where it lies in space"
    return f"{names} have other spacings" if _other_spacing(first.geometry, other.geometry) else ""


def _other_spacing(first: Geometry, other: Geometry) -> bool:
    if first.spacing is None or other.spacing is None:
        return False
    return not np.allclose(first.spacing, other.spacing, rtol=1e-3)


def _name(image: Image) -> str:
    return os.path.basename(image.source)
