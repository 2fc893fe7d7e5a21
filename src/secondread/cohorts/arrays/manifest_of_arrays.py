"""Arrays and tensors become a manifest: its images lie in a folder that goes with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.cohorts.arrays.labels import labels_of, refuse_other_count, texts_of
from secondread.cohorts.columns import SPLITS
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.row import Row
from secondread.errors import UserError
from secondread.images.colour import refuse_non_finite
from secondread.images.image import Image, ImageError
from secondread.images.in_memory import image_of, single_arrays
from secondread.images.several_files import SEPARATOR
from secondread.outputs.private import make_folder
from secondread.outputs.temporary import TemporaryFolder
from secondread.outputs.whole import cannot_write
from secondread.settings.arguments import checked
from secondread.wording.sizes import times


@checked
def manifest_of_arrays(
    images: Any,
    labels: Iterable[Any] | None = None,
    *,
    rank: int = 2,
    files: int = 1,
    split: str | Iterable[str] = "train",
    patients: Iterable[Any] | None = None,
    masks: Any = None,
    spacing: Sequence[float] | None = None,
    folder: str | Path | None = None,
) -> Manifest:
    """A manifest of images that are in memory, for whatever takes a manifest.

    images    an array or tensor `[n, *spatial]` (grey) or `[n, C, *spatial]` with 1 or 3 channels, or a list
              of single images `[*spatial]` or `[C, *spatial]` of any sizes; integers or floats, as a file
              would have them
    labels    one for each image: `normal` or 0, `abnormal` or 1, None where there is none; without labels
              every image is taken for normal
    rank      2 for pictures, 3 for volumes: it alone decides what the axes are
    files     more than 1: that many channels, each with values and a scale of its own, as a recipe with
              `preprocessing.files` prepares them (the mask of a given foreground counts as the last)
    split     `train`, `validation`, `test` or empty, for all or one for each image
    patients  whose image each is, so that a patient's images stay together; without it every image is a
              patient's own
    masks     like images, grey, not 0 where something is abnormal; in a list None where there is no mask
    spacing   millimetres along each spatial axis, where a recipe resamples
    folder    where to write the images; without it a temporary folder, which is removed with the manifest
              and at the latest when Python ends

    Raises UserError for arrays that are no such images, hold NaN or infinite values, or have another number
    of labels, patients or masks.

    >>> import numpy as np, secondread
    >>> films = np.random.default_rng(0).normal(size=(40, 32, 32))
    >>> manifest = secondread.manifest_of_arrays(films, [0] * 30 + [1] * 10)
    >>> manifest.counts()
    {'train': {'abnormal': 10, 'normal': 30}}
    """
    try:
        given = _images(images, rank, files, spacing)
        outlines = None if masks is None else _masks(masks, rank, given)
    except ImageError as error:
        raise UserError(str(error)) from error
    count = len(given)
    said = ["normal"] * count if labels is None else labels_of(labels, count)
    splits = [split] * count if isinstance(split, str) else texts_of("split", split, count)
    for word in splits:
        if word not in SPLITS:
            raise UserError(f"split: {word!r} is none of train, validation, test or empty")
    whose = [""] * count if patients is None else texts_of("patients", patients, count)
    kept = TemporaryFolder() if folder is None else None
    place = kept.path if kept is not None else Path(folder or "").resolve()
    try:
        make_folder(place)
        paths = _written(place, [image.pixels for image in given], "images", files, spacing)
        marks = [""] * count if outlines is None else _written_masks(place, outlines)
    except OSError as error:
        raise cannot_write(place, error) from error
    rows = tuple(
        Row(path, split=word, label=label, patient_id=patient, mask=mask)
        for path, word, label, patient, mask in zip(paths, splits, said, whose, marks, strict=True)
    )
    notes = ("no labels were given, so every image is taken for normal",) if labels is None else ()
    return Manifest(rows, place, "", notes, kept)


def _images(images: Any, rank: int, files: int, spacing: Sequence[float] | None) -> list[Image]:
    arrays = single_arrays(images, rank, files)
    if not arrays:
        raise UserError("no image was given; give at least one array")
    found = []
    for number, array in enumerate(arrays):
        image = image_of(array, rank, spacing=spacing, source=f"image {number}", files=files)
        refuse_non_finite(image.source, image.pixels)
        found.append(image)
    return found


def _masks(masks: Any, rank: int, images: Sequence[Image]) -> list[NDArray[np.uint8] | None]:
    given = [None if mask is None else mask for mask in masks]
    refuse_other_count("masks", len(given), len(images))
    found: list[NDArray[np.uint8] | None] = []
    for number, (mask, image) in enumerate(zip(given, images, strict=True)):
        if mask is None:
            found.append(None)
            continue
        marked = image_of(mask, rank, source=f"mask {number}")
        if marked.size != image.size:
            raise ImageError(
                marked.source, f"is {times(marked.size)}, and its image is {times(image.size)}", "resize it"
            )
        found.append(np.any(marked.pixels != 0, axis=0, keepdims=True).astype(np.uint8))
    return found


def _written(
    place: Path,
    arrays: Sequence[NDArray[Any]],
    name: str,
    files: int = 1,
    spacing: Sequence[float] | None = None,
) -> list[str]:
    """Write images `[C, *spatial]` and return their references: in one archive where all have one form, each
    in its own where they have not, and with a member for each channel where these are `files`."""
    more: dict[str, Any] = {} if spacing is None else {"spacing": np.asarray(spacing, np.float64)}

    def references(stem: str, stacked: NDArray[Any]) -> list[str]:
        last = np.moveaxis(stacked, 1, -1)
        if files == 1:
            np.savez(place / f"{stem}.npz", image=last, **more)
            return [f"{stem}.npz#image/{number}" for number in range(len(stacked))]
        members = {f"channel{at}": last[..., at : at + 1] for at in range(files)}
        np.savez(place / f"{stem}.npz", **members, **more)  # type: ignore[arg-type]
        return [
            SEPARATOR.join(f"{stem}.npz#channel{at}/{number}" for at in range(files))
            for number in range(len(stacked))
        ]

    if len({(array.shape, array.dtype) for array in arrays}) == 1:
        return references(name, np.stack(arrays))
    return [references(f"{name}-{number}", array[np.newaxis])[0] for number, array in enumerate(arrays)]


def _written_masks(place: Path, masks: Sequence[NDArray[np.uint8] | None]) -> list[str]:
    paths = iter(_written(place, [mask for mask in masks if mask is not None], "masks"))
    return ["" if mask is None else next(paths) for mask in masks]
