"""Retinal OCT with CNV, DME and drusen (Kermany et al.).

Layout read from AbhiramDodda/Eye_Disease_OCT: README.md, pimpraat/ae_flow: dataloader.py, and
caiyu6666/MedIAnomaly: reconstruction/dataloaders/dataload.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.class_folders import NORMAL, Named, patient_by, rows_of_classes
from secondread.datasets.public_folder import Form

_CLASSES = {
    "normal": NORMAL,
    "cnv": Named("abnormal", "choroidal neovascularisation"),
    "dme": Named("abnormal", "diabetic macular oedema"),
    "drusen": Named("abnormal", "drusen"),
}


class Oct2017(Dataset):
    title = "OCT2017: retinal OCT (Kermany)"
    licence = "CC BY 4.0"
    source = "https://data.mendeley.com/datasets/rscbjbr9sj (Kaggle: paultimothymooney/kermany2018)"
    paper = (
        "Kermany et al.: Identifying medical diagnoses and treatable diseases by image-based deep learning, "
        "Cell 2018"
    )
    layout = "train, test and, from Kaggle, val, each with NORMAL, CNV, DME and DRUSEN (JPEG)"
    split = "official: test 242 or, in version 3, 250 of each class; Kaggle's val 8 of each"
    read_from = (
        "AbhiramDodda/Eye_Disease_OCT: README.md",
        "pimpraat/ae_flow: dataloader.py",
        "caiyu6666/MedIAnomaly: reconstruction/dataloaders/dataload.py",
    )
    forms = (Form("class folders", tuple(f"{s}/{c}" for s in ("train", "test") for c in _CLASSES)),)
    hint = "oct"
    protocols: ClassVar = {
        "official": "train, val and test as they lie there",
        "ae-flow": "the normals of train (26,315) to learn from, the official test; nothing else",
    }

    def rows(self) -> Iterable[Row]:
        splits = {"train": "train", "val": "validation", "test": "test"}
        if self.protocol == "ae-flow":
            splits.pop("val")
        patient = patient_by(r"^[A-Z]+-(\d+)-\d+$")
        rows = rows_of_classes(self.folder, splits, _CLASSES, patient)
        if self.protocol == "ae-flow":
            rows = [row for row in rows if row.split == "test" or row.label == "normal"]
        self.guessed.append("patient_id: the middle number of the file name (disease-patient-number)")
        return rows
