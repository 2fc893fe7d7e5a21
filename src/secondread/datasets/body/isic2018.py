"""Photographs of skin lesions with seven diagnoses: task 3 of ISIC 2018 (HAM10000).

Layout read from caiyu6666/MedIAnomaly: README.md and reconstruction/dataloaders/dataload.py, and from
miltonbd/ISIC_2018_classification: README.md (diagnoses).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.join import join
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form
from secondread.errors import UserError

_DIAGNOSES = {
    "MEL": "melanoma",
    "NV": "melanocytic nevus",
    "BCC": "basal cell carcinoma",
    "AKIEC": "actinic keratosis or Bowen's disease",
    "BKL": "benign keratosis",
    "DF": "dermatofibroma",
    "VASC": "vascular lesion",
}
_PARTS = {"Training": "train", "Validation": "validation", "Test": "test"}
_USED = {
    "official": _PARTS,
    "medianomaly": {"Training": "train", "Test": "test"},
    "ae-flow": {"Training": "train", "Validation": "test"},
}


class Isic2018(Dataset):
    title = "ISIC 2018 task 3 (skin lesions)"
    licence = "CC BY-NC 4.0"
    source = "https://challenge.isic-archive.com/data/#2018"
    paper = (
        "Codella et al.: Skin lesion analysis toward melanoma detection 2018; Tschandl et al.: HAM10000, 2018"
    )
    layout = "ISIC2018_Task3_Training_Input and _GroundTruth, and the same for Validation and Test"
    split = "official: 10,015 for training, 193 for validation, 1,512 for test"
    read_from = (
        "caiyu6666/MedIAnomaly: README.md and reconstruction/dataloaders/dataload.py",
        "miltonbd/ISIC_2018_classification: README.md",
    )
    forms = (
        Form(
            "ISIC",
            (
                "ISIC2018_Task3_Training_Input",
                "ISIC2018_Task3_Training_GroundTruth|ISIC2018_Task3_Training_GroundTruth.csv",
            ),
        ),
    )
    hint = "isic"
    protocols: ClassVar = {
        "official": "training, validation and test as they are called",
        "medianomaly": "nevi of training to learn from, the official test; validation is left out",
        "ae-flow": "nevi of training to learn from, the official validation (193) as test, as in ReContrast",
    }
    takes: ClassVar = {
        "normal": f"the diagnoses that count as normal, NV unless given; of {', '.join(_DIAGNOSES)}"
    }

    def rows(self) -> Iterable[Row]:
        normal = self.choices.normal or ("NV",)
        if unknown := [name for name in normal if name not in _DIAGNOSES]:
            raise UserError(
                f"--normal {unknown[0]}: no diagnosis of ISIC 2018; they are {', '.join(_DIAGNOSES)}"
            )
        lesions = self._lesions()
        rows = [
            row
            for part, split in _USED[self.protocol].items()
            for row in self._of(part, split, normal, lesions)
            if self.protocol == "official" or split == "test" or row.label == "normal"
        ]
        self.guessed.append(f"normal: {' and '.join(_DIAGNOSES[name] for name in normal)}")
        return rows

    def _of(self, part: str, split: str, normal: tuple[str, ...], lesions: dict[str, str]) -> list[Row]:
        place = f"ISIC2018_Task3_{part}_Input"
        truth = f"ISIC2018_Task3_{part}_GroundTruth"
        images = self.folder.images(place)
        file = self.folder.one(f"{truth}/{truth}.csv") or self.folder.one(f"{truth}.csv")
        if not images or file is None:
            lacking = place if not images else f"{truth}.csv"
            told = f"{self.folder.root}: no {lacking}, which {self.protocol} needs; get it from {self.source}"
            if self.protocol != "official" or part == "Training":
                raise UserError(told)
            self.notes.append(f"{self.folder.root}: no {lacking}; images for {split} are left out")
            return []
        table = LabelTable.read(file)
        said = EachAnswer(table, "image", finding_columns=tuple(_DIAGNOSES), normal=normal).together()
        joined = join(said.of, images, source=table.source, folder=self.folder.root, way="stem")
        self.notes += joined.said
        return [
            Row(
                path,
                split,
                said.of[key].label,
                "; ".join(_DIAGNOSES[name] for name in said.of[key].findings),
                lesions.get(key, ""),
            )
            for path, key in joined.keys.items()
        ]

    def _lesions(self) -> dict[str, str]:
        """The lesion of each training image, where the table of groupings was got too."""
        file = self.folder.one("ISIC2018_Task3_Training_LesionGroupings.csv")
        if file is None:
            self.notes.append(
                "no ISIC2018_Task3_Training_LesionGroupings.csv in the folder: which are of one lesion "
                "is not known"
            )
            return {}
        table = LabelTable.read(file)
        image, lesion = table.column("image"), table.column("lesion_id")
        self.guessed.append("patient_id: the lesion, as patients are not published; test images have none")
        return {row[image]: row[lesion] for row in table.rows}
