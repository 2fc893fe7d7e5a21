"""Chest X-rays with fourteen observations mined from reports, some of them uncertain: CheXpert.

Layout read from deepMD-io/Chest-X-Ray: README.md (folders), mlmed/torchxrayvision:
torchxrayvision/datasets.py (tables, views, patients) and Telchar22/AI-Chexpert: Settings/settings.py
(columns).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.table import LabelTable
from secondread.cohorts.labels.table_row import TableRow
from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form
from secondread.errors import UserError
from secondread.wording.lists import few
from secondread.wording.numbers import count

_FINDINGS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
)
_PLACE = re.compile(r"(?:^|/)((?:train|valid)/(patient\d+)/(study\d+)/[^/]+)$")
_SPLITS = {"train": "train", "valid": "validation"}


class Chexpert(Dataset):
    title = "CheXpert (chest X-rays)"
    licence = "Stanford's research use agreement; not to be passed on"
    source = "https://stanfordmlgroup.github.io/competitions/chexpert/"
    paper = "Irvin et al.: CheXpert: A large chest radiograph dataset with uncertainty labels, AAAI 2019"
    layout = "CheXpert-v1.0 or CheXpert-v1.0-small: train and valid, train.csv and valid.csv"
    split = "official: 223,414 train, 234 valid; the test, given out later, is not read"
    read_from = (
        "deepMD-io/Chest-X-Ray: README.md",
        "mlmed/torchxrayvision: torchxrayvision/datasets.py",
        "Telchar22/AI-Chexpert: Settings/settings.py",
    )
    forms = (Form("CheXpert", ("train", "train.csv")),)
    hint = "chexpert"
    protocols: ClassVar = {
        "official": "valid is for validation",
        "valid-as-test": "valid is the test, as in papers before the test was given out",
    }

    def rows(self) -> Iterable[Row]:
        self.guessed += [
            "normal: No Finding is 1 and nothing is marked or uncertain; abnormal: one of 12 findings is 1; "
            "uncertain ones (-1) alone, and Support Devices alone, have no label",
            "patient_id and study_id: from the paths",
        ]
        rows: list[Row] = []
        for name, split in _SPLITS.items():
            file = self.folder.one(f"{name}.csv")
            if file is None:
                self.notes.append(f"{self.folder.root}: no {name}.csv; its images are left out")
                continue
            as_test = name == "valid" and self.protocol == "valid-as-test"
            rows += self._of(LabelTable.read(file), "test" if as_test else split)
        return rows

    def _of(self, table: LabelTable, split: str) -> list[Row]:
        said = EachAnswer(table, "Path", finding_columns=_FINDINGS, normal=("No Finding",)).together()
        self.notes += [note for note in said.notes if "without a sure label" in note]
        rows: list[Row] = []
        missing: list[str] = []
        for key, own in said.rows.items():
            found = _PLACE.search(key)
            if found is None:
                raise UserError(
                    f"{table.source}, line {own[0].line}: {key!r} is no path such as "
                    "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg; download the table again"
                )
            path, patient, study = found.groups()
            if not (self.folder.root / path).is_file():
                missing.append(path)
                continue
            answer = said.of[key]
            rows.append(
                Row(
                    path,
                    split,
                    answer.label,
                    answer.finding,
                    patient,
                    f"{patient}-{study}",
                    extra=_further(table, own[0]),
                )
            )
        if missing:
            self.notes.append(
                f"{table.source}: names {count(len(missing), 'image')} that are not there; left out: "
                f"{few(missing, 3)}"
            )
        return rows


def _further(table: LabelTable, row: TableRow) -> dict[str, str]:
    """Sex, age and view (AP, PA or lateral), where the table has them."""
    cells = {name.lower(): row[name] for name in ("Sex", "Age") if name in table.columns}
    if "Frontal/Lateral" in table.columns:
        frontal = row["Frontal/Lateral"].lower() == "frontal"
        cells["view"] = (row["AP/PA"] if frontal and "AP/PA" in table.columns else "") or row[
            "Frontal/Lateral"
        ].lower()
    return cells
