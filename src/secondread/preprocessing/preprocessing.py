"""Preprocessing: the same way from image to array at fit and at scoring, and back for maps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secondread.errors import UserError
from secondread.images.acquisition import acquisition, thumbnail
from secondread.images.content import content_digest
from secondread.images.dicom.regions import within_regions
from secondread.images.image import FRAMES_IN_TIME, VECTOR, Image, ImageError
from secondread.images.several_files import channels_of
from secondread.images.source import digest_of_parts
from secondread.preprocessing.alignment.align import Aligner
from secondread.preprocessing.colour import to_grey, to_rgb
from secondread.preprocessing.foreground import cut, within, without_mask
from secondread.preprocessing.grid import Grid, fit_grid
from secondread.preprocessing.picture import picture_of
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.prepared import Prepared
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings
from secondread.wording.sizes import times

ARITHMETIC = 1
"""Counted up when the same settings would give other numbers, so that old cache entries are not used."""


@dataclass(frozen=True)
class _Placed:
    """One file's channels `[C, *size]` on the prepared grid, and where they are valid."""

    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_] | None
    remarks: tuple[str, ...]


class Preprocessing:
    """Settings, with what normals have taught (the mean normal image, where the recipe aligns).

        each file (in a given foreground) ─► values: window, percentiles, standardise ─► grid: resample,
        fit to size ─► foreground by a threshold ─► align ─► Prepared

    Deterministic: equal images give equal arrays.
    """

    def __init__(self, settings: PreprocessingSettings, *, aligner: Aligner | None = None) -> None:
        self.settings = settings
        self._aligner = aligner

    def __repr__(self) -> str:
        steps = ", ".join(type(step).__name__.lower() for step in self.settings.steps) or "no step"
        shape = times((self.settings.channels, *self.settings.size))
        return f"<Preprocessing to {shape}: {steps}{' (not fitted)' if self.needs_fit else ''}>"

    @property
    def needs_fit(self) -> bool:
        """Whether `fit` must still see normals before `apply` can be used."""
        return self.settings.align is not None and self._aligner is None

    @property
    def unaligned(self) -> Preprocessing:
        """The same without the align step: it needs no fit, and is what `fit_prepared` reads."""
        steps = tuple(step for step in self.settings.steps if step is not self.settings.align)
        return Preprocessing(self.settings.model_copy(update={"steps": steps}))

    def fit(self, images: Callable[[], Iterator[Image]]) -> Self:
        """Learn from normal images what the steps need; reads none where no step needs it."""
        return self.fit_prepared(lambda: map(self.unaligned.apply, images()))

    def fit_prepared(self, normals: Callable[[], Iterator[Prepared]]) -> Self:
        """`fit` on normals that `unaligned` has prepared already."""
        step = self.settings.align
        if step is not None:
            pixels = (prepared.pixels for prepared in normals())
            self._aligner = Aligner.fit(step.align, self.settings.size, pixels)
        return self

    def apply(self, image: Image) -> Prepared:
        """The image on the prepared grid.

        Raises ImageError where the image does not fit the recipe (rank, channels, spacing missing).
        """
        self._require_fit()
        settings = self.settings
        _refuse_other_rank(image, len(settings.size))
        _refuse_other_vectors(image, settings.size)
        marked = None
        if settings.foreground == "given":
            image, marked = without_mask(image, settings.files)
        elif settings.foreground == "regions":
            marked = within_regions(image)
        files = channels_of(image, settings.files)
        factors = None if settings.resample is None else settings.resample.factors(image)
        grid = fit_grid(image.size, settings.size, settings.fit, factors)
        seen = files if marked is None else [within(file, marked) for file in files]
        placed = [self._placed(file, grid) for file in seen]
        pixels = placed[0].pixels if len(placed) == 1 else np.concatenate([each.pixels for each in placed])
        held = [each.valid for each in placed if each.valid is not None]
        valid = np.logical_and.reduce(held) if held else None
        if marked is not None and valid is not None and not valid.any():
            raise ImageError(
                image.source,
                "nothing of its foreground is left on the prepared grid",
                "prepare it with another fit or size, or look at the mask",
            )
        told: list[str] = []
        if settings.threshold is not None:
            pixels, valid, remarked = cut(pixels, valid, settings.threshold)
            told += remarked
        for file, each in zip(files, placed, strict=True):
            name = f"{os.path.basename(file.source)}: " if len(files) > 1 else ""
            told += [name + remark for remark in (*each.remarks, *_constancy(each.pixels, valid))]
        remarks = (*image.geometry.remarks, *dict.fromkeys(told))
        placement = Placement(grid, image.geometry, remarks=remarks)
        contents = [content_digest(file.pixels) for file in files]
        prepared = Prepared(
            pixels,
            valid,
            placement,
            image.digest,
            contents[0] if len(contents) == 1 else digest_of_parts(contents),
            acquisition(image),
            thumbnail(image),
        )
        return self.align(prepared)

    def _placed(self, image: Image, grid: Grid) -> _Placed:
        """One file's values on the prepared grid."""
        settings = self.settings
        picture = picture_of(image)
        if settings.colour == "grey" and picture.values.shape[0] != 1:
            picture = replace(picture, values=to_grey(picture.values, image.source))
        for step in settings.intensity_steps:
            picture = step.apply(picture)
        low, high = float(picture.values.min()), float(picture.values.max())
        pixels = grid.resample(picture.values)
        np.clip(pixels, low, high, out=pixels)
        inside = grid.inside()
        valid = inside
        if inside is not None:
            pixels[:, ~inside] = low
        if picture.valid is not None:
            held = grid.resample(picture.valid[np.newaxis].astype(np.float32))[0] >= 0.5
            valid = held if inside is None else held & inside
        if settings.colour == "rgb":
            pixels = to_rgb(pixels, image.source)
        return _Placed(pixels, valid, picture.remarks)

    def align(self, prepared: Prepared) -> Prepared:
        """The align step alone, on what `unaligned` prepared; nothing where the recipe has none."""
        self._require_fit()
        if self._aligner is None:
            return prepared
        found = self._aligner.find(prepared.pixels)
        placement = replace(
            prepared.placement, alignment=found.matrix, aligned=found.outcome, similarity=found.similarity
        )
        if found.matrix is None:
            return replace(prepared, placement=placement)
        pixels, valid = self._aligner.move(prepared.pixels, prepared.valid, found.matrix)
        return replace(prepared, pixels=pixels, valid=valid, placement=placement)

    def to_file_grid(
        self, array: NDArray[np.floating], placement: Placement, outside: float | None = None
    ) -> NDArray[np.float32]:
        """A map `[*size]` on the file's own grid and axis order (see Placement.to_file_grid)."""
        return placement.to_file_grid(array, outside)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """What `from_state` needs beside the settings: JSON, and arrays."""
        arrays = {} if self._aligner is None else self._aligner.state()
        return {"arithmetic": ARITHMETIC}, arrays

    @classmethod
    def from_state(
        cls,
        settings: PreprocessingSettings,
        data: Mapping[str, Any],
        arrays: Mapping[str, NDArray[np.float32]],
    ) -> Self:
        """Raises ValueError where the state is of another arithmetic or does not fit the settings."""
        if data.get("arithmetic") != ARITHMETIC:
            raise ValueError(
                f"preprocessing was fitted with arithmetic {data.get('arithmetic')}, "
                f"and this version has {ARITHMETIC}"
            )
        expected = set() if settings.align is None else {"align_mean"}
        if set(arrays) != expected:
            raise ValueError(
                f"preprocessing has arrays {sorted(arrays)}, and the settings need {sorted(expected)}"
            )
        if settings.align is None:
            return cls(settings)
        return cls(settings, aligner=Aligner.from_state(settings.align.align, settings.size, arrays))

    @property
    def digest(self) -> str:
        """Hex BLAKE2b-160 over settings, fitted state and arithmetic: equal digests prepare equally."""
        self._require_fit()
        hashed = hashlib.blake2b(digest_size=20)
        data, arrays = self.state()
        settings = self.settings.model_dump(mode="json")
        if self.settings.foreground == "none":  # so are digests of before there was a foreground
            del settings["foreground"]
        document = {"settings": settings, "state": data}
        hashed.update(json.dumps(document, sort_keys=True).encode())
        for name in sorted(arrays):
            hashed.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
            hashed.update(np.ascontiguousarray(arrays[name]).tobytes())
        return hashed.hexdigest()

    def _require_fit(self) -> None:
        if self.needs_fit:
            raise UserError("preprocessing has an align step and must be fitted on normal images first")


def _constancy(pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> tuple[str, ...]:
    """A remark where the prepared image has one value only: its score then says nothing of the patient."""
    seen = pixels if valid is None else pixels[:, valid]
    lowest = float(seen.min()) if seen.size else 0.0
    if seen.size and float(seen.max()) != lowest:
        return ()
    return (f"constant after preprocessing (every value is {lowest:g}): nothing can be seen in it",)


def _refuse_other_vectors(image: Image, size: Sequence[int]) -> None:
    """A vector is never stretched, cut or padded: its values are no neighbours."""
    if VECTOR in image.header and image.size != tuple(size):
        raise ImageError(
            image.source,
            f"a vector of {image.size[-1]} values, where the recipe's size is {times(size)}",
            f"set preprocessing.size=[1,{image.size[-1]}]",
        )


def _refuse_other_rank(image: Image, rank: int) -> None:
    """Raises ImageError where the image has more or fewer axes than the recipe prepares, or is a clip whose
    first axis is time and no depth."""
    clip = image.rank == 3 and FRAMES_IN_TIME in image.header
    if image.rank != rank:
        raise ImageError(
            image.source,
            f"has {image.rank} spatial axes ({times(image.size)}), "
            f"and the recipe prepares images with {rank}",
            "name its frames one by one, as `secondread index` lists them (#frame/N)"
            if clip
            else "give volumes to a recipe for volumes and pictures to one for pictures",
        )
    if clip:
        raise ImageError(
            image.source,
            f"its {image.size[0]} frames follow one another in time, and the recipe prepares volumes",
            "give it to a recipe for pictures, which reads each frame as an image",
        )
