"""Phantoms: drawn films and heads with known lesions and masks, for the demo, tests and benchmarks.

What varies between normal phantoms (exposure, contrast, size, position, turn, texture, noise) changes
the mean and the single pixels more than a lesion does, so that mean intensity and a nearest neighbour in
pixel space stay weak; what gives a lesion away is local structure that normals do not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from secondread import tables
from secondread.cohorts.phantoms.chest import draw_chest
from secondread.cohorts.phantoms.head import SPACING, draw_head
from secondread.errors import UserError
from secondread.settings.arguments import checked

CHEST_SIZE = (128, 128)
HEAD_SIZE = (32, 64, 64)
LESIONS = {2: ("nodule", "opacity"), 3: ("haemorrhage", "oedema")}


@dataclass(frozen=True)
class _Plan:
    """One image that is to be drawn."""

    patient: int
    study: int
    view: str
    split: str
    finding: str


@checked
def make_phantoms(
    directory: str | Path,
    *,
    seed: int,
    rank: Literal[2, 3] = 2,
    n_normal: int = 300,
    n_abnormal: int = 50,
    n_test_normal: int | None = None,
    n_train_abnormal: int = 0,
    size: tuple[int, ...] | None = None,
    bits: Literal[8, 16] = 8,
    views: Literal[1, 2] = 1,
    lesion_contrast: float = 1.0,
) -> Path:
    """Draw phantoms into a directory and return the path of their manifest.

    rank              2 = chest films as PNG `[row, column]`; 3 = heads as NIfTI `[slice, row, column]`
    n_normal          normal studies; `n_test_normal` of them are test (none given: as many as abnormal
                      test studies, but at most a third), the others train
    n_abnormal        studies with one lesion, each with a mask; `n_train_abnormal` of them are train
    size              spatial size; none = 128×128 and 32×64×64
    bits              of the PNG's pixels
    views             films per study: frontal, or frontal and lateral; each shows the lesion
    lesion_contrast   multiplies the lesions' brightness

    Every fifth patient has two studies, both in one split. The same arguments draw the same pixels.
    Raises UserError for numbers that cannot be met.

    >>> import secondread
    >>> secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4).name
    'manifest.csv'
    """
    directory = Path(directory)
    size = size or (CHEST_SIZE if rank == 2 else HEAD_SIZE)
    if len(size) != rank or min(size) < 16:
        raise UserError(f"phantom size {size}: give {rank} numbers of at least 16")
    if rank == 3 and views != 1:
        raise UserError("head phantoms have one view")
    if n_normal < 1 or not 0 <= n_train_abnormal <= n_abnormal:
        raise UserError("phantoms need at least one normal study, and no more training lesions than lesions")
    if n_test_normal is None:
        n_test_normal = min(n_abnormal - n_train_abnormal, n_normal // 3)
    if not 0 <= n_test_normal < n_normal:
        raise UserError(f"{n_test_normal} of {n_normal} normal studies for test leaves none to learn from")

    groups = [
        ("train", "normal", n_normal - n_test_normal),
        ("train", "abnormal", n_train_abnormal),
        ("test", "normal", n_test_normal),
        ("test", "abnormal", n_abnormal - n_train_abnormal),
    ]
    directory.mkdir(parents=True, exist_ok=True)
    manifest = directory / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        columns = ["path", "split", "label", "finding", "patient_id", "study_id", "mask", "view"]
        stream.write(tables.line(columns))
        for plan in _plans(groups, LESIONS[rank], rank, views):
            path, mask = _draw(directory, plan, seed, rank, size, bits, lesion_contrast)
            label = "abnormal" if plan.finding else "normal"
            patient, study = f"phantom-{plan.patient:05d}", f"study-{plan.study:05d}"
            cells = [path, plan.split, label, plan.finding, patient, study, mask, plan.view]
            stream.write(tables.line(cells))
    return manifest


def _plans(
    groups: list[tuple[str, str, int]], lesions: tuple[str, ...], rank: int, views: int
) -> Iterator[_Plan]:
    names = [""] if rank == 3 else ["PA", "LATERAL"][:views]
    patient = study = 0
    for split, label, count in groups:
        second = False
        for index in range(count):
            finding = lesions[index % len(lesions)] if label == "abnormal" else ""
            for view in names:
                yield _Plan(patient, study, view, split, finding)
            study += 1
            again = patient % 5 == 0 and not second and index + 1 < count
            second = again
            patient += not again


def _draw(
    directory: Path, plan: _Plan, seed: int, rank: int, size: tuple[int, ...], bits: int, contrast: float
) -> tuple[str, str]:
    """Draw one phantom and write it; the paths of image and mask, relative to the directory."""
    body = np.random.default_rng([seed, rank, 0, plan.patient])
    exposure = np.random.default_rng([seed, rank, 1, plan.study, plan.view == "LATERAL"])
    draw = draw_chest if rank == 2 else draw_head
    pixels, lesion = draw(
        size, plan.finding, body, exposure, lateral=plan.view == "LATERAL", contrast=contrast
    )

    label = "abnormal" if plan.finding else "normal"
    stem = f"{plan.study:05d}" + (f"-{plan.view.lower()}" if plan.view else "")
    ending = ".png" if rank == 2 else ".nii.gz"
    path, mask = f"{plan.split}/{label}/{stem}{ending}", ""
    _write(directory / path, pixels, bits)
    if plan.finding:
        mask = f"masks/{stem}{ending}"
        _write(directory / mask, lesion, 8)
    return path, mask


def _write(path: Path, pixels: NDArray[np.floating] | NDArray[np.bool_], bits: int) -> None:
    """Write values of 0 to 1: PNG of 8 or 16 bits, or NIfTI of 16 bits with the heads' spacing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3:
        values = np.rint(pixels * (1000 if pixels.dtype != bool else 1)).astype(np.int16)
        affine = np.diag([*SPACING[::-1], 1.0])
        nibabel.Nifti1Image(values.transpose(2, 1, 0), affine).to_filename(path)
    elif bits == 16:
        Picture.fromarray(np.rint(pixels * 65535).astype(np.uint16)).save(path, compress_level=1)
    else:
        Picture.fromarray(np.rint(pixels * 255.0).astype(np.uint8)).save(path, compress_level=1)
