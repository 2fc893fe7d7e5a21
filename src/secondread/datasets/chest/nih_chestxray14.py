"""Chest X-rays with fourteen findings mined from reports: NIH ChestX-ray14.

Layout read from mlmed/torchxrayvision: torchxrayvision/datasets.py (tables), lulucikyo/CheXNet: README.md
(lists), and sergeyshilin/xray-lightning: data/README.md (folders). Headers of images with boxes are read, for
their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.boxes import BoxColumns, boxes_of
from secondread.cohorts.labels.join import join
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.labels.table_row import TableRow
from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.film_headers import years
from secondread.datasets.layouts.masks import masks_of_boxes
from secondread.datasets.public_folder import Form
from secondread.errors import UserError

_TABLE = "Data_Entry_2017*.csv"
_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
_FURTHER = {
    "age": ("Patient Age",),
    "sex": ("Patient Gender", "Patient Sex"),
    "view": ("View Position",),
    "follow_up": ("Follow-up #",),
}
_SIDE = 1024
"""Rows and columns of every image as it is published; boxes are drawn in them."""


class NihChestxray14(Dataset):
    title = "NIH ChestX-ray14"
    licence = "no restriction; NIH asks to be named and cited"
    source = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
    paper = "Wang et al.: ChestX-ray8: Hospital-scale chest X-ray database and benchmarks, CVPR 2017"
    layout = (
        "images (or images_001/images and so on), Data_Entry_2017.csv or _v2020, train_val_list.txt, "
        "test_list.txt, BBox_List_2017.csv"
    )
    split = "official by patient: 86,524 in train_val_list.txt, 25,596 in test_list.txt"
    read_from = (
        "mlmed/torchxrayvision: torchxrayvision/datasets.py",
        "lulucikyo/CheXNet: README.md",
        "sergeyshilin/xray-lightning: data/README.md",
    )
    forms = (Form("NIH", (_TABLE, "images*")),)
    hint = "nih"
    takes: ClassVar = {"normal": "the labels that count as normal, in place of No Finding"}

    def rows(self) -> Iterable[Row]:
        root = self.folder.root
        table = LabelTable.read(self.folder.file_at(_TABLE))
        normal = self.choices.normal or ("No Finding",)
        said = EachAnswer(table, "Image Index", label_column="Finding Labels", normal=normal).together()
        joined = join(said.of, self.folder.images("images*"), source=table.source, folder=root, way="name")
        self.notes += [*said.notes, *joined.said]
        splits = self._splits()
        masks = self._masks(joined.keys)
        patient = table.column("Patient ID")
        further = {
            name: found
            for name, spellings in _FURTHER.items()
            if (found := next((each for each in spellings if each in table.columns), ""))
        }
        self.guessed.append("labels were mined from reports by their authors' program, and some are wrong")
        return [
            Row(
                path,
                splits.get(key, ""),
                said.of[key].label,
                said.of[key].finding,
                (row := said.rows[key][0])[patient],
                mask=masks.get(path, ""),
                extra=_extra(row, further),
            )
            for path, key in joined.keys.items()
        ]

    def _splits(self) -> dict[str, str]:
        there = {name: self.folder.one(name) for name in _LISTS}
        if lacking := [name for name, path in there.items() if path is None]:
            self.notes.append(
                f"{self.folder.root}: no {' and no '.join(lacking)}; without both there is no split: get "
                f"them from {self.source}, or use secondread split"
            )
            return {}
        splits: dict[str, str] = {}
        for name, path in there.items():
            assert path is not None
            names = path.read_text(encoding="utf-8", errors="replace").split()
            if twice := [each for each in names if each in splits]:
                raise UserError(f"{path}: {twice[0]} is in both lists; download them again")
            splits.update(dict.fromkeys(names, _LISTS[name]))
        return splits

    def _masks(self, keys: Mapping[str, str]) -> dict[str, str]:
        file = self.folder.one("BBox_List_2017*.csv")
        if file is None:
            self.notes.append(
                f"{self.folder.root}: no BBox_List_2017.csv, so no masks of 880 images with boxes"
            )
            return {}
        table = LabelTable.read(file)
        columns = BoxColumns.recognised(table)
        if columns is None:
            raise UserError(f"{file}: no columns with x, y, width and height of boxes; download it again")
        image = table.column("Image Index")
        own: dict[str, list[TableRow]] = {}
        for row in table.rows:
            own.setdefault(row[image], []).append(row)
        shares = {
            path: [box.scaled(1 / _SIDE, 1 / _SIDE) for box in boxes_of(table, own[key], columns)]
            for path, key in keys.items()
            if key in own
        }
        return masks_of_boxes(self, shares, shares=True)


def _extra(row: TableRow, further: Mapping[str, str]) -> dict[str, str]:
    """Further columns; the age in years, which the table of 2017 writes as `058Y`."""
    cells = {name: row[column] for name, column in further.items()}
    return {**cells, "age": years(cells.get("age", ""))}
