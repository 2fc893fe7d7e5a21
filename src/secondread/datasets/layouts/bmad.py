"""The folders of BMAD's six sets: `train/good`, `valid/good` and `valid/Ungood`, `test/good` and
`test/Ungood`, with the images in them or in `img`, and masks of the same names in `label`.

Layout read from DorisBao/BMAD: README.md, and from RuslanNurieff/moviad:
moviad/datasets/bmad/bmad_dataset.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.class_folders import NORMAL, Named, patient_by, rows_of_classes
from secondread.datasets.public_folder import Form, PublicFolder
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count

PAPER = "Bao et al.: BMAD: Benchmarks for medical anomaly detection, CVPR Workshops 2024"
SOURCE = "https://github.com/DorisBao/BMAD"
READ_FROM = ("DorisBao/BMAD: README.md", "RuslanNurieff/moviad: moviad/datasets/bmad/bmad_dataset.py")
FORM = Form("BMAD", ("train/good", "test/good", "test/ungood"))
_SPLITS = {"train": "train", "valid|val": "validation", "test": "test"}


class Bmad(Dataset):
    """One of the six. `finding` is that of the abnormal images; `patient` finds the patient's id in a file's
    name; `masks` tells whether the set has them."""

    source = SOURCE
    paper = PAPER
    read_from = READ_FROM
    forms = (FORM,)
    finding: ClassVar[str]
    patient: ClassVar[str] = ""
    masks: ClassVar[bool] = False

    def rows(self) -> Iterable[Row]:
        rows = rows_of_bmad(self.folder, self.finding, self.patient, masks=self.masks)
        if any(row.patient_id for row in rows):
            self.guessed.append(f"patient_id: the number in file names, by the pattern {self.patient}")
        else:
            self.guessed.append("file names tell no patients: images of one may stand in several splits")
        self.guessed.append(f"finding: {self.finding} for every image in Ungood")
        return rows


def rows_of_bmad(folder: PublicFolder, finding: str, patient: str, *, masks: bool) -> list[Row]:
    """The images of one of the six; of sets with masks each abnormal image has one. Raises UserError where
    masks lack."""
    classes = {"good": NORMAL, "ungood": Named("abnormal", finding)}
    rows = rows_of_classes(folder, _SPLITS, classes, patient_by(patient) if patient else lambda name: "")
    rows = [row for row in rows if PurePosixPath(row.path).parent.name.lower() != "label"]
    if not masks:
        return rows
    labelled = set(folder.images("valid|val|test/ungood/label"))
    rows = [
        replace(row, mask=mask)
        if row.label == "abnormal" and (mask := _mask_of(row.path)) in labelled
        else row
        for row in rows
    ]
    without = [row.path for row in rows if row.label == "abnormal" and not row.mask]
    if without:
        raise UserError(
            f"{folder.root}: {count(len(without), 'image')} in Ungood without a mask of its name in label: "
            f"{few(without, 3)}; unpack the set again"
        )
    return rows


def _mask_of(path: str) -> str:
    pure = PurePosixPath(path)
    return str(
        (pure.parent.parent if pure.parent.name.lower() == "img" else pure.parent) / "label" / pure.name
    )
