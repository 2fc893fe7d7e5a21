"""MIIC: electron-microscope images of integrated circuits, with defects and their outlines.

Layout read from wenbihan/MIIC-IAD: README.md, and RuslanNurieff/moviad:
moviad/datasets/miic/miic_dataset.py (folders and file names).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form, stem
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count

_NUMBER = re.compile(r"(\d+)$")


class Miic(Dataset):
    title = "MIIC: microscopic images of integrated circuits"
    licence = "non-commercial research"
    source = "https://researchdata.ntu.edu.sg/dataset.xhtml?persistentId=doi:10.21979/N9/WBLTFI"
    paper = "Huang et al.: Joint anomaly detection and inpainting for microscopy images, ICIP 2021"
    layout = "Anomaly_train, and Anomaly_test with normal_img, abnormal_img and abnormal_mask (JPEG)"
    split = "official: 23,888 normal to learn from, 1,272 normal and 116 abnormal for test"
    read_from = (
        "wenbihan/MIIC-IAD: README.md",
        "RuslanNurieff/moviad: moviad/datasets/miic/miic_dataset.py",
    )
    forms = (
        Form(
            "MIIC",
            (
                "anomaly_train",
                *(f"anomaly_test/{n}" for n in ("normal_img", "abnormal_img", "abnormal_mask")),
            ),
        ),
    )
    hint = "miic"

    def rows(self) -> Iterable[Row]:
        images = self.folder.images
        masks = {_number(path): path for path in images("anomaly_test/abnormal_mask")}
        abnormal = images("anomaly_test/abnormal_img")
        without = [path for path in abnormal if _number(path) not in masks]
        if without:
            raise UserError(
                f"{self.folder.root}: {count(len(without), 'image')} in abnormal_img without a mask of its "
                f"number in abnormal_mask: {few(without, 3)}; unpack the set again"
            )
        self.guessed.append("mask: that with the number of the image at the end of its name")
        self.guessed.append("images for inpainting (Inpainting_train, Inpainting_test) are left out")
        return [
            *(Row(path, "train", "normal") for path in images("anomaly_train")),
            *(Row(path, "test", "normal") for path in images("anomaly_test/normal_img")),
            *(Row(path, "test", "abnormal", "defect", mask=masks[_number(path)]) for path in abnormal),
        ]


def _number(path: str) -> str:
    found = _NUMBER.search(stem(path))
    return found[1] if found else stem(path)
