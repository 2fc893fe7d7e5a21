"""Files as ITK writes them, and the same volume as NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

WAYS = (
    *(("v.mha", False), ("v.mha", True), ("v.mhd", False), ("v.mhd", True)),
    *(("v.nrrd", False), ("v.nrrd", True), ("v.nhdr", False), ("v.nhdr", True)),
)


def itk_image(voxels: np.ndarray, turn: np.ndarray | None = None, *, colour: bool = False) -> Any:
    """`[slice, row, column]` (or with channels last) with a spacing, an origin and directions in LPS."""
    image = sitk.GetImageFromArray(voxels, isVector=colour)
    rank = image.GetDimension()
    image.SetSpacing((0.5, 1.25, 2.0)[:rank])
    image.SetOrigin((10.0, -20.0, 30.0)[:rank])
    if turn is not None:
        image.SetDirection(turn.ravel().tolist())
    return image


def written(image: Any, path: Path, packed: bool = False) -> Path:
    sitk.WriteImage(image, str(path), packed)
    return path
