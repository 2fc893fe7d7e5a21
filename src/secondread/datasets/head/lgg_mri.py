"""MR slices of lower-grade gliomas with outlines of the tumour: LGG segmentation, from TCGA.

Layout read from nastiag67/segmentation: src/config.py, and aayush23bce8443-commits/healthcare_ai: readme.md.
Masks are read: a slice whose mask is empty is normal.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from secondread.cohorts.listing.file_reading import read_each
from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form, stem
from secondread.errors import DataError, UserError
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.wording.lists import few
from secondread.wording.numbers import count


class LggMri(Dataset):
    title = "LGG segmentation (MR slices, lower-grade glioma)"
    licence = "CC BY-NC-SA 4.0"
    source = "https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation"
    paper = "Buda et al.: Association of genomic subtypes of lower-grade gliomas with shape features, 2019"
    layout = "kaggle_3m: a folder for each patient (TCGA_…) with slices and their _mask files (TIFF)"
    split = "none: use secondread split"
    read_from = (
        "nastiag67/segmentation: src/config.py",
        "aayush23bce8443-commits/healthcare_ai: readme.md",
    )
    forms = (Form("Kaggle", ("tcga_*/tcga_*_mask.tif",)),)
    hint = "3m"

    def rows(self) -> Iterable[Row]:
        images = self.folder.images("tcga_*")
        masks = {stem(path).removesuffix("_mask"): path for path in images if stem(path).endswith("_mask")}
        slices = [path for path in images if not stem(path).endswith("_mask")]
        if without := [path for path in slices if stem(path) not in masks]:
            raise UserError(
                f"{self.folder.root}: {count(len(without), 'slice')} without a mask beside it: "
                f"{few(without, 3)}; unpack the set again"
            )
        self.guessed.append(
            "label: a slice with an empty mask is normal, though of a patient with a tumour elsewhere"
        )
        self.guessed.append("patient_id: the folder's name, with the date of the examination")
        self.guessed.append("the three channels of a slice are pre-contrast, FLAIR and post-contrast")
        tumours = self._not_empty([masks[stem(path)] for path in slices])
        return [
            Row(path, "", "abnormal", "glioma", patient, mask=mask)
            if (mask := masks[stem(path)]) in tumours
            else Row(path, "", "normal", "", patient)
            for path in slices
            for patient in (PurePosixPath(path).parent.name,)
        ]

    def _not_empty(self, masks: list[str]) -> set[str]:
        found: set[str] = set()
        for path, marks in read_each(self.folder.root, masks, marks_anything, self.workers):
            if isinstance(marks, ImageError):
                raise DataError(f"{self.folder.root / path}: {marks.problem}; unpack the set again")
            if marks:
                found.add(path)
        return found


def marks_anything(path: str) -> bool:
    """Whether a mask has a value but 0. Raises ImageError."""
    return bool((read_image(path).pixels != 0).any())
