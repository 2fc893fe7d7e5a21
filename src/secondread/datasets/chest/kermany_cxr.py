"""Chest X-rays of children with and without pneumonia (Kermany et al.).

The Kaggle form has a folder `val` of 16 images, which the form of Mendeley Data has in `train`. Layout read
from hongjiaherng/wqf7009-xai-pneumonia: data/README.md, and pimpraat/ae_flow: dataloader.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.class_folders import NORMAL, Named, rows_of_classes
from secondread.datasets.public_folder import Form, stem

_NAMES = (
    re.compile(r"(?P<patient>person\d+_(?P<germ>bacteria|virus))(?:_\d+)+$"),
    re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?$"),
    re.compile(r"(?P<patient>(?P<germ>BACTERIA|VIRUS|NORMAL)-\d+)-\d+$"),
)
"""Of the Kaggle form (pneumonia, normal) and that of Mendeley Data."""
_GERMS = {"bacteria": "bacterial pneumonia", "virus": "viral pneumonia"}


class KermanyCxr(Dataset):
    title = "Kermany chest X-rays (children, pneumonia)"
    licence = "CC BY 4.0"
    source = "https://data.mendeley.com/datasets/rscbjbr9sj (Kaggle: paultimothymooney/chest-xray-pneumonia)"
    paper = (
        "Kermany et al.: Identifying medical diagnoses and treatable diseases by image-based deep learning, "
        "Cell 2018"
    )
    layout = "train, test and, from Kaggle, val, each with NORMAL and PNEUMONIA (JPEG)"
    split = "official: train 5,232 with Kaggle's val of 16, test 234 normal and 390 pneumonia"
    read_from = ("hongjiaherng/wqf7009-xai-pneumonia: data/README.md", "pimpraat/ae_flow: dataloader.py")
    forms = (Form("class folders", ("train/normal", "test/normal", "test/pneumonia|abnormal")),)
    protocols: ClassVar = {
        "official": "train, val and test as they lie there",
        "ae-flow": "normals of train and val to learn from (1,349), the official test; nothing else",
    }

    def rows(self) -> Iterable[Row]:
        classes = {"normal": NORMAL, "pneumonia|abnormal": Named("abnormal", "pneumonia")}
        splits = {"train": "train", "val": "validation", "test": "test"}
        rows = [_with_name(row) for row in rows_of_classes(self.folder, splits, classes)]
        if self.protocol == "ae-flow":
            rows = [replace(row, split="train") if row.split == "validation" else row for row in rows]
            rows = [row for row in rows if row.split == "test" or row.label == "normal"]
        self.guessed += [
            "patient_id from the file names; person numbers start anew for each germ, so that it is part of "
            "the id, and whether person1_bacteria and person1_virus are one child is not known",
            "finding: bacterial or viral pneumonia, from the file names",
        ]
        return rows


def _with_name(row: Row) -> Row:
    found = next((each for pattern in _NAMES if (each := pattern.match(stem(row.path)))), None)
    if found is None:
        return row
    germ = (found.groupdict().get("germ") or "").lower()
    finding = _GERMS.get(germ, row.finding) if row.label == "abnormal" else ""
    return replace(row, patient_id=found["patient"], finding=finding)
