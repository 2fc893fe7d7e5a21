"""Fundus photographs with and without suspicion of glaucoma: LAG, the large-scale attention-based database.

Layout read from openmedlab/Awesome-Medical-Dataset: resources/LAG.md, smilell/AG-CNN: README.md, and, for the
prepared form, caiyu6666/DDAD-ASR: data/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.class_folders import NORMAL, Named, rows_of_classes
from secondread.datasets.layouts.repartition import PREPARED, rows_of_images
from secondread.datasets.public_folder import Form


class Lag(Dataset):
    title = "LAG: fundus photographs, glaucoma"
    licence = "academic use, on request; not to be passed on"
    source = "https://github.com/smilell/AG-CNN"
    paper = "Li et al.: Attention based glaucoma detection: a large-scale database and CNN model, CVPR 2019"
    layout = (
        "non_glaucoma/image and suspicious_glaucoma/image (JPEG), or images and data.json as the DDAD "
        "authors have it"
    )
    split = (
        "none of its own; DDAD's: 1,500 normal to learn from, a pool, 811 normal and 811 glaucoma for test"
    )
    read_from = (
        "openmedlab/Awesome-Medical-Dataset: resources/LAG.md",
        "smilell/AG-CNN: README.md",
        "caiyu6666/DDAD-ASR: data/README.md",
    )
    forms = (Form("LAG", ("non_glaucoma/image", "suspicious_glaucoma/image")), PREPARED)
    hint = "lag"

    def rows(self) -> Iterable[Row]:
        if self.folder.form == PREPARED.name:
            return rows_of_images(self.folder)
        classes = {"non_glaucoma": NORMAL, "suspicious_glaucoma": Named("abnormal", "glaucoma suspect")}
        self.guessed.append(
            "no masks: attention_map shows where ophthalmologists looked, and outlines no lesion"
        )
        return rows_of_classes(self.folder, {".": ""}, classes, inner="image")
