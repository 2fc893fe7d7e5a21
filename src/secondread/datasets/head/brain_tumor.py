"""MR slices of brain tumours from Kaggle, put together from three sources.

Layout read from begumarici/BrainTumorDetection-DeepLearning: dataset_description.md, the file names from
caiyu6666/DDAD-ASR: data/BrainTumor/data.json, the prepared form from its data/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.class_folders import NORMAL, Named, rows_of_classes
from secondread.datasets.layouts.repartition import PREPARED, rows_of_images
from secondread.datasets.public_folder import Form

_CLASSES = {
    "notumor": NORMAL,
    **{name: Named("abnormal", name) for name in ("glioma", "meningioma")},
    "pituitary": Named("abnormal", "pituitary tumour"),
}


class BrainTumor(Dataset):
    title = "Brain Tumor MRI (Kaggle)"
    licence = "CC0 1.0 on Kaggle; its sources have terms of their own"
    source = "https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset"
    paper = "none; in use as benchmark by Cai et al., Medical Image Analysis 2023"
    layout = (
        "Training and Testing, each with notumor, glioma, meningioma and pituitary (JPEG), or images and "
        "data.json as the DDAD authors have it"
    )
    split = "Kaggle's Training and Testing; DDAD's: 1,000 normal to learn from, a pool, 600 and 600 for test"
    read_from = (
        "begumarici/BrainTumorDetection-DeepLearning: dataset_description.md",
        "caiyu6666/DDAD-ASR: data/README.md and data/BrainTumor/data.json",
    )
    forms = (
        Form("Kaggle", ("training/notumor", "testing/notumor", "testing/glioma|meningioma|pituitary")),
        PREPARED,
    )
    hint = "brain"

    def rows(self) -> Iterable[Row]:
        self.guessed.append(
            "slices without tumour are of another source than those with one: a method may tell the sources "
            "apart, so look at the shortcut check of every report"
        )
        if self.folder.form == PREPARED.name:
            return rows_of_images(self.folder)
        return rows_of_classes(self.folder, {"training": "train", "testing": "test"}, _CLASSES)
