"""BraTS 2021: gliomas on MR, as MedIAnomaly's or BMAD's slices, or as the challenge's own volumes.

Layout read from caiyu6666/MedIAnomaly: README.md and reconstruction/dataloaders/dataload.py (slices, their
masks named by `seg` in place of `flair`), DorisBao/BMAD: README.md, and Mohith202/kaggle-Tumor: README.md
(the folders of cases).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.bmad import FORM, rows_of_bmad
from secondread.datasets.layouts.class_folders import patient_by
from secondread.datasets.public_folder import Form, stem
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR
from secondread.wording.lists import few
from secondread.wording.numbers import count

_SLICES = Form("MedIAnomaly", ("train", "test/normal", "test/tumor", "test/annotation"))
_CASES = Form("challenge", ("brats2021_*/brats2021_*_flair.nii*",))
_PATIENT = r"^(?:BraTS2021_)?(\d+)"
_MODALITIES = ("flair", "t1", "t1ce", "t2")


class Brats2021(Dataset):
    title = "BraTS 2021 (gliomas on MR)"
    licence = "registration at Synapse; research use"
    source = "https://www.synapse.org/brats2021 (MedIAnomaly's slices: https://zenodo.org/records/12677223)"
    paper = "Baid et al.: The RSNA-ASNR-MICCAI BraTS 2021 benchmark, 2021"
    layout = (
        "MedIAnomaly's train and test with normal, tumor and annotation; or BMAD's folders; or the "
        "challenge's BraTS2021_00000/BraTS2021_00000_flair.nii.gz, _t1, _t1ce, _t2 and _seg"
    )
    split = (
        "MedIAnomaly's: 4,211 normal slices, 828 and 1,948 for test; BMAD's: 7,500, 83 and 3,715; cases: none"
    )
    read_from = (
        "caiyu6666/MedIAnomaly: README.md and reconstruction/dataloaders/dataload.py",
        "DorisBao/BMAD: README.md",
        "Mohith202/kaggle-Tumor: README.md",
    )
    forms = (_SLICES, FORM, _CASES)
    hint = "brats"
    takes: ClassVar = {
        "modality": "of the challenge's cases: flair unless given; several (flair,t1ce) become channels",
        "slices": "the challenge's cases as axial slices (BMAD takes 60-100); one without tumour is normal",
    }

    def rows(self) -> Iterable[Row]:
        if self.folder.form != _CASES.name:
            if self.choices.modality or self.choices.slices:
                option = "modality" if self.choices.modality else "slices"
                raise UserError(
                    f"--{option}: {self.folder.root} holds slices of FLAIR; it is for the challenge's cases"
                )
            self.guessed.append("patient_id: the number of the case, with which file names begin")
            if self.folder.form == FORM.name:
                return rows_of_bmad(self.folder, "glioma", _PATIENT, masks=True)
            return self._slices()
        return self._cases()

    def _slices(self) -> list[Row]:
        images, patient = self.folder.images, patient_by(_PATIENT)
        masks = {stem(path): path for path in images("test/annotation")}
        tumours = images("test/tumor")
        outlined = {path: masks.get(stem(path).replace("flair", "seg"), "") for path in tumours}
        if without := [path for path, mask in outlined.items() if not mask]:
            raise UserError(
                f"{self.folder.root}: {count(len(without), 'slice')} in test/tumor without a mask in "
                f"test/annotation (seg in place of flair): {few(without, 3)}; unpack the set again"
            )
        return [
            *(Row(path, "train", "normal", "", patient(stem(path))) for path in images("train")),
            *(Row(path, "test", "normal", "", patient(stem(path))) for path in images("test/normal")),
            *(
                Row(path, "test", "abnormal", "glioma", patient(stem(path)), mask=mask)
                for path, mask in outlined.items()
            ),
        ]

    def _cases(self) -> list[Row]:
        wanted = tuple(name.strip().lower() for name in (self.choices.modality or "flair").split(","))
        if unknown := [name for name in wanted if name not in _MODALITIES]:
            raise UserError(f"--modality {unknown[0]}: BraTS has {', '.join(_MODALITIES)}")
        rows = []
        for case in dict.fromkeys(
            str(PurePosixPath(path).parent) for path in self.folder.matching(_CASES.marks[0])
        ):
            files = {_modality(path): path for path in self.folder.images(case)}
            if lacking := [name for name in wanted if name not in files]:
                raise UserError(f"{self.folder.root / case}: no {lacking[0]} volume; unpack the case again")
            rows.append(
                Row(
                    SEPARATOR.join(files[name] for name in wanted),
                    "",
                    "abnormal",
                    "glioma",
                    PurePosixPath(case).name,
                    mask=files.get("seg", ""),
                )
            )
        if not self.choices.slices:
            self.guessed.append(
                "every case is abnormal: BraTS has no volume without a tumour to learn from; with "
                "--slices 60-100 slices without tumour are normal"
            )
        self.guessed.append("patient_id: the name of the case's folder")
        return rows


def _modality(path: str) -> str:
    found = re.search(r"_([a-z0-9]+)$", stem(path).lower())
    return found[1] if found else ""
