"""MVTec AD: fifteen kinds of objects and textures with defects and their outlines.

Layout read from openvinotoolkit/anomalib: src/anomalib/data/datasets/image/mvtecad.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form, stem
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count


class MvtecAd(Dataset):
    title = "MVTec AD (industrial objects and textures)"
    licence = "CC BY-NC-SA 4.0"
    source = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
    paper = "Bergmann et al.: MVTec AD, CVPR 2019 and IJCV 2021"
    layout = "for each category train/good, test with good and a folder for each defect, and ground_truth"
    split = "official: normals in train, both in test"
    read_from = ("openvinotoolkit/anomalib: src/anomalib/data/datasets/image/mvtecad.py",)
    forms = (
        Form("one category", ("train/good", "test/good", "ground_truth")),
        Form("all categories", ("*/train/good", "*/test/good", "*/ground_truth")),
    )
    hint = "mvtec"
    takes: ClassVar = {"part": "the category, such as bottle; all that are there if none is given"}

    def rows(self) -> Iterable[Row]:
        if self.folder.form == "one category":
            if self.choices.part not in ("", self.folder.root.name):
                raise UserError(f"{self.folder.root}: is one category, and not {self.choices.part}")
            return self._of("", self.folder.root.name)
        there = [path.split("/")[0] for path in self.folder.matching("*/train/good")]
        wanted = [name for name in there if self.choices.part in ("", name)]
        if not wanted:
            raise UserError(f"--part {self.choices.part}: no such category; there are {few(there, 15)}")
        return [row for name in wanted for row in self._of(f"{name}/", name)]

    def _of(self, place: str, category: str) -> list[Row]:
        masks = {
            (PurePosixPath(path).parent.name, stem(path).removesuffix("_mask")): path
            for path in self.folder.images(f"{place}ground_truth")
        }
        rows = []
        for split in ("train", "test"):
            for path in self.folder.images(f"{place}{split}"):
                defect = PurePosixPath(path).parent.name
                row = Row(path, split, "normal", extra={"category": category})
                if defect != "good":
                    mask = masks.get((defect, stem(path)), "")
                    row = replace(row, label="abnormal", finding=defect.replace("_", " "), mask=mask)
                rows.append(row)
        without = [row.path for row in rows if row.label == "abnormal" and not row.mask]
        if without:
            raise UserError(
                f"{self.folder.root}: {count(len(without), 'image')} with a defect without a mask in "
                f"ground_truth: {few(without, 3)}; unpack the set again"
            )
        return rows
