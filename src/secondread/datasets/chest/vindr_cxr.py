"""Chest X-rays with boxes by several radiologists: VinDr-CXR, from PhysioNet or as the VinBigData challenge.

Layout read from vinbigdata-medical/vindr-cxr: README.md (readers and splits), from public loaders of its
tables (annotations/annotations_train.csv, annotations/image_labels_train.csv, train/*.dicom), and, for the
prepared form, caiyu6666/DDAD-ASR: data/README.md. Headers are read: for age, sex and view,
and for the size of images with boxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from secondread.cohorts.labels.answers import same
from secondread.cohorts.labels.boxes import Box, BoxColumns, boxes_of
from secondread.cohorts.labels.join import join
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.labels.table_row import TableRow
from secondread.cohorts.row import Row
from secondread.datasets.dataset import CXR_STEP, Dataset
from secondread.datasets.layouts.film_headers import facts_of_films
from secondread.datasets.layouts.masks import masks_of_boxes
from secondread.datasets.layouts.repartition import PREPARED, rows_of_images
from secondread.datasets.public_folder import Form
from secondread.errors import UserError
from secondread.wording.numbers import count

_PHYSIONET = Form(
    "PhysioNet", ("train", "annotations/annotations_train.csv", "annotations/image_labels_train.csv")
)
_KAGGLE = Form("challenge", ("train", "train.csv"))
_NOTHING = "No finding"

Marks = dict[str, dict[str, set[str]]]
"""Findings by image and reader; an empty set where a reader saw nothing."""


class VindrCxr(Dataset):
    title = "VinDr-CXR (chest X-rays, several readers)"
    licence = "PhysioNet credentialed health data licence; the challenge's terms on Kaggle"
    source = "https://physionet.org/content/vindr-cxr/1.0.0/ (or the VinBigData challenge on Kaggle)"
    paper = "Nguyen et al.: VinDr-CXR: An open dataset of chest X-rays with radiologist's annotations, 2022"
    layout = (
        "PhysioNet: train, test (DICOM) and annotations; Kaggle: train and train.csv; or images and "
        "data.json as the DDAD authors have it"
    )
    split = (
        "PhysioNet: 15,000 train, 3,000 test; DDAD's: 4,000 normal, a pool of 9,000, 1,000 and 1,000 for test"
    )
    read_from = (
        "vinbigdata-medical/vindr-cxr: README.md",
        "CosmoBean/CT-transformer: DatasetInformation.md",
        "caiyu6666/DDAD-ASR: data/README.md and data/preprocess_cxr.py",
    )
    forms = (_PHYSIONET, _KAGGLE, PREPARED)
    hint = "vin"
    takes: ClassVar = {
        "readers": "how many of an image's readers have to mark something for it to be abnormal, 1 unless "
        "given; an image that fewer mark has no label"
    }
    as_papers = CXR_STEP

    def rows(self) -> Iterable[Row]:
        if self.folder.form == PREPARED.name:
            return rows_of_images(self.folder)
        self.guessed.append("whose images they are is not published: each counts as its own patient")
        self.guessed.append("mask: the boxes of all readers together")
        if self.folder.form == _KAGGLE.name:
            self.guessed.append("the challenge's test is left out: its labels are not public there")
            return self._of("train", "", "train.csv", "")
        rows = self._of(
            "train", "train", "annotations/annotations_train.csv", "annotations/image_labels_train.csv"
        )
        labels, boxes = "annotations/image_labels_test.csv", "annotations/annotations_test.csv"
        if not self.folder.matching("test"):
            self.notes.append(f"{self.folder.root}: no folder test; its 3,000 images are left out")
            return rows
        return [*rows, *self._of("test", "test", boxes, labels)]

    def _of(self, folder: str, split: str, boxes_file: str, labels_file: str) -> list[Row]:
        root = self.folder.root
        table = LabelTable.read(self.folder.file_at(boxes_file))
        marks = _marks_of_boxes(table)
        source = table.source
        if labels_file:
            labels = LabelTable.read(self.folder.file_at(labels_file))
            marks, source = _marks_of_labels(labels), labels.source
        needed, most = self.choices.readers or 1, max(map(len, marks.values()))
        if folder == "train" and needed > most:
            raise UserError(f"--readers {needed}: images of {source} have {most} at most")
        joined = join(marks, self.folder.images(folder), source=source, folder=root, way="stem")
        self.notes += joined.said
        masks = self._masks(table, joined.keys)
        films = facts_of_films(self, list(joined.keys))
        rows, unsure = [], 0
        for path, key in joined.keys.items():
            label, findings = _judged(marks[key], needed)
            unsure += not label
            mask = masks.get(path, "") if label == "abnormal" else ""
            rows.append(Row(path, split, label, "; ".join(findings), mask=mask, extra=films.get(path, {})))
        self.guessed.append(
            f"{folder}: images have {count(most, 'reader')}, and one is abnormal where "
            f"{min(needed, most)} or more mark something"
        )
        if unsure:
            self.notes.append(
                f"{count(unsure, 'image')} of {folder}, which fewer readers mark, without a label"
            )
        return rows

    def _masks(self, table: LabelTable, keys: Mapping[str, str]) -> dict[str, str]:
        columns = BoxColumns.recognised(table)
        if columns is None:
            raise UserError(f"{table.source}: no columns x_min, y_min, x_max and y_max; download it again")
        image = table.column("image_id")
        own: dict[str, list[TableRow]] = defaultdict(list)
        for row in table.rows:
            own[row[image]].append(row)
        boxes = {
            path: found for path, key in keys.items() if (found := boxes_of(table, own.get(key, ()), columns))
        }
        sizes = self._published_sizes()
        if not sizes:
            return masks_of_boxes(self, boxes, shares=False)
        shares = {path: _in_shares(found, sizes, keys[path]) for path, found in boxes.items()}
        return masks_of_boxes(self, shares, shares=True)

    def _published_sizes(self) -> dict[str, tuple[float, float]]:
        """Rows and columns of the published images, where a table of a resized copy says them
        (train_meta.csv)."""
        meta: Path | None = self.folder.one("train_meta.csv")
        if meta is None:
            return {}
        table = LabelTable.read(meta)
        names = [table.column(name) for name in ("image_id", "dim0", "dim1")]
        self.guessed.append(f"images were resized: {meta.name} says their published size, and boxes follow")
        return {row[names[0]]: (float(row[names[1]]), float(row[names[2]])) for row in table.rows}


def _in_shares(boxes: Sequence[Box], sizes: Mapping[str, tuple[float, float]], image: str) -> list[Box]:
    if image not in sizes:
        raise UserError(f"train_meta.csv: has no size of {image}, which has boxes; download it again")
    rows, columns = sizes[image]
    return [box.scaled(1 / columns, 1 / rows) for box in boxes]


def _judged(readers: Mapping[str, set[str]], needed: int) -> tuple[str, list[str]]:
    """The label, and the findings that enough readers share, or all where they mark different ones."""
    marking = [found for found in readers.values() if found]
    if not marking:
        return "normal", []
    if len(marking) < min(needed, len(readers)):
        return "", []
    every = sorted(set().union(*marking))
    shared = [name for name in every if sum(name in found for found in marking) >= needed]
    return "abnormal", shared or every


def _marks_of_boxes(table: LabelTable) -> Marks:
    image, name = table.column("image_id"), table.column("class_name")
    reader = next((column for column in table.columns if column == "rad_id"), "")
    marks: Marks = defaultdict(lambda: defaultdict(set))
    for row in table.rows:
        own = marks[row[image]][row[reader] if reader else ""]
        if not same(row[name], (_NOTHING,)):
            own.add(row[name])
    return marks


def _marks_of_labels(table: LabelTable) -> Marks:
    image = table.column("image_id")
    reader = next((column for column in table.columns if column == "rad_id"), "")
    findings = [name for name in table.columns if name not in (image, reader) and not same(name, (_NOTHING,))]
    marks: Marks = defaultdict(lambda: defaultdict(set))
    for row in table.rows:
        own = marks[row[image]][row[reader] if reader else ""]
        own.update(name for name in findings if same(row[name], ("1",)))
    return marks
