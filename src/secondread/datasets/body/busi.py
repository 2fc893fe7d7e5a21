"""BUSI: breast ultrasound without findings, with benign and with malignant lesions, and their outlines.

Layout read from OmSDeshmukh/DatasetHub: Vision/Classification/BUSI/README.md and dataprep.py, and from public
loaders of its names (`benign (4).png`, `benign (4)_mask.png`, `benign (4)_mask_1.png`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form, stem
from secondread.errors import UserError
from secondread.images.several_files import SEPARATOR

_MASK = re.compile(r"(?P<image>.+)_mask(?:_\d+)?$")
_CLASSES = ("normal", "benign", "malignant")


class Busi(Dataset):
    title = "BUSI: breast ultrasound"
    licence = "CC0 1.0 on Kaggle; the authors ask to be cited"
    source = "https://www.kaggle.com/datasets/aryashah2k/breast-ultrasound-images-dataset"
    paper = "Al-Dhabyani et al.: Dataset of breast ultrasound images, Data in Brief 2020"
    layout = "Dataset_BUSI_with_GT: normal, benign and malignant, images and their _mask files (PNG)"
    split = "none: use secondread split"
    read_from = ("OmSDeshmukh/DatasetHub: Vision/Classification/BUSI/README.md and dataprep.py",)
    forms = (Form("class folders", _CLASSES),)
    hint = "busi"
    takes: ClassVar = {"normal": "the classes that count as normal: normal unless given, or also benign"}

    def rows(self) -> Iterable[Row]:
        normal = self.choices.normal or ("normal",)
        if unknown := [name for name in normal if name not in _CLASSES]:
            raise UserError(f"--normal {unknown[0]}: no class of BUSI; they are {', '.join(_CLASSES)}")
        rows = [row for name in _CLASSES for row in self._of(name, name in normal)]
        masks: dict[str, list[str]] = defaultdict(list)
        images = {stem(row.path): row for row in rows if not _MASK.match(stem(row.path))}
        for row in rows:
            found = _MASK.match(stem(row.path))
            if found and found["image"] in images and row.label == "abnormal":
                masks[images[found["image"]].path].append(row.path)
        self.guessed.append(
            "whose images they are is not known: several of one patient may stand in several parts of a split"
        )
        return [replace(row, mask=SEPARATOR.join(masks[row.path])) for row in images.values()]

    def _of(self, name: str, is_normal: bool) -> list[Row]:
        label = "normal" if is_normal else "abnormal"
        return [Row(path, "", label, "" if name == "normal" else name) for path in self.folder.images(name)]
