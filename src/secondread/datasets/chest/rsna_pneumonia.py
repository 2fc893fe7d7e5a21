"""Chest X-rays with boxes around lung opacities: the RSNA Pneumonia Detection Challenge.

Layout read from muichi-mon/rsna-pneumonia-detection: data/README.md, the tables from
mlmed/torchxrayvision: torchxrayvision/datasets.py, and the prepared form from caiyu6666/DDAD-ASR:
data/README.md and data/preprocess_cxr.py. Headers are read: for age, sex and view,
and for the size of images with boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.boxes import BoxColumns, boxes_by_image
from secondread.cohorts.labels.join import join
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.row import Row
from secondread.datasets.dataset import CXR_STEP, Dataset
from secondread.datasets.layouts.film_headers import facts_of_films
from secondread.datasets.layouts.masks import masks_of_boxes
from secondread.datasets.layouts.repartition import PREPARED, rows_of_images
from secondread.datasets.public_folder import Form
from secondread.errors import UserError

_IMAGES = "stage_2_train_images"
_CLASSES, _BOXES = "stage_2_detailed_class_info.csv", "stage_2_train_labels.csv"
_NOT_NORMAL = "No Lung Opacity / Not Normal"
_SIDE = 1024
"""Rows and columns of every image as it is published; boxes are drawn in them."""


class RsnaPneumonia(Dataset):
    title = "RSNA pneumonia (chest X-rays)"
    licence = "terms of the challenge: research and education"
    source = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge"
    paper = (
        "Shih et al.: Augmenting the NIH chest radiograph dataset with expert annotations of possible "
        "pneumonia, Radiology: AI 2019"
    )
    layout = (
        f"{_IMAGES} (DICOM), {_CLASSES} and {_BOXES}; or images and data.json as the DDAD authors have it"
    )
    split = (
        "none: the test's labels are secret; DDAD's: 3,851 normal, a pool of 9,012, 1,000 and 1,000 for test"
    )
    read_from = (
        "muichi-mon/rsna-pneumonia-detection: data/README.md",
        "mlmed/torchxrayvision: torchxrayvision/datasets.py",
        "caiyu6666/DDAD-ASR: data/README.md and data/preprocess_cxr.py",
    )
    forms = (Form("challenge", (_IMAGES, _CLASSES, _BOXES)), PREPARED)
    hint = "rsna"
    protocols: ClassVar = {
        "all": f"normal against all others, of which 11,821 are called {_NOT_NORMAL}",
        "lung-opacity": f"normal against lung opacity, as DDAD has it; {_NOT_NORMAL} is left out",
    }
    as_papers = CXR_STEP

    def rows(self) -> Iterable[Row]:
        if self.folder.form == PREPARED.name:
            return rows_of_images(self.folder)
        root = self.folder.root
        table = LabelTable.read(self.folder.file_at(_CLASSES))
        said = EachAnswer(table, "patientId", label_column="class", normal=("Normal",)).together()
        joined = join(said.of, self.folder.images(_IMAGES), source=table.source, folder=root, way="stem")
        self.notes += [*said.notes, *joined.said]
        masks = self._masks(joined.keys)
        films = facts_of_films(self, list(joined.keys))
        self.guessed.append(
            "patient_id: the patientId of the tables, one for each image; films of one person that NIH has "
            "several of are not told"
        )
        self.guessed.append("stage_2_test_images are left out: their labels are not public")
        rows = []
        for path, key in joined.keys.items():
            answer = said.of[key]
            if self.protocol == "lung-opacity" and _NOT_NORMAL in answer.findings:
                continue
            mask, extra = masks.get(path, ""), films.get(path, {})
            rows.append(Row(path, "", answer.label, answer.finding, key, mask=mask, extra=extra))
        return rows

    def _masks(self, keys: Mapping[str, str]) -> dict[str, str]:
        table = LabelTable.read(self.folder.file_at(_BOXES))
        columns = BoxColumns.recognised(table)
        if columns is None:
            raise UserError(f"{table.source}: no columns x, y, width and height; download it again")
        own = EachAnswer(table, "patientId", label_column="Target", normal=("0",)).together()
        boxes = boxes_by_image(table, own.rows, columns)
        shares = {
            path: [box.scaled(1 / _SIDE, 1 / _SIDE) for box in boxes[key]]
            for path, key in keys.items()
            if key in boxes
        }
        return masks_of_boxes(self, shares, shares=True)
