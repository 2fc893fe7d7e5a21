"""MOOD, the Medical Out-of-Distribution Analysis Challenge: volumes without findings of the brain (MR) and
the abdomen (CT), and a toy set of anomalies.

Layout read from MIC-DKFZ/mood: readme.md, scripts/evalresults.py and docker_example/scripts/pred_simple.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import ClassVar

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form, stem
from secondread.errors import UserError
from secondread.wording.lists import few

_LABELS = {"0": "normal", "1": "abnormal"}


class Mood(Dataset):
    title = "MOOD challenge (brain MR, abdominal CT)"
    licence = "challenge terms: research, not to be passed on"
    source = "https://www.synapse.org/mood"
    paper = "Zimmerer et al.: MOOD 2020: A public benchmark, IEEE TMI 2022"
    layout = (
        "brain/brain_train and abdom/abdom_train (NIfTI), each organ with toy and toy_label/pixel and /sample"
    )
    split = "all training volumes are normal; the toy set becomes the test; the real test is secret"
    read_from = (
        "MIC-DKFZ/mood: readme.md",
        "MIC-DKFZ/mood: scripts/evalresults.py",
        "MIC-DKFZ/mood: docker_example/scripts/pred_simple.py",
    )
    forms = (Form("one organ", ("*_train",)), Form("all organs", ("*/*_train",)))
    hint = "mood"
    takes: ClassVar = {
        "part": "brain or abdom; all that are there if none is given",
        "slices": "axial slices in place of volumes, for methods on pictures",
    }

    def rows(self) -> Iterable[Row]:
        pattern = "*_train" if self.folder.form == "one organ" else "*/*_train"
        places = {
            PurePosixPath(path).name.removesuffix("_train"): path for path in self.folder.matching(pattern)
        }
        wanted = [organ for organ in places if self.choices.part in ("", organ)]
        if not wanted:
            raise UserError(f"--part {self.choices.part}: no such organ; there are {few(list(places), 5)}")
        if len(wanted) > 1:
            self.guessed.append(
                f"volumes of {' and '.join(wanted)} in one manifest (column organ): fit one at a time, with "
                f"--where organ={wanted[0]}"
            )
        self.guessed.append("each volume is a patient of its own, by its file name")
        return [row for organ in wanted for row in self._of(organ, places[organ])]

    def _of(self, organ: str, train: str) -> list[Row]:
        place = str(PurePosixPath(train).parent).strip(".")
        place = f"{place}/" if place else ""
        rows = [
            Row(path, "train", "normal", patient_id=f"{organ}-{stem(path)}", extra={"organ": organ})
            for path in self.folder.images(train)
        ]
        for path in self.folder.images(f"{place}toy"):
            label = self._label(path, place)
            mask = f"{place}toy_label/pixel/{PurePosixPath(path).name}"
            there = label == "abnormal" and (self.folder.root / mask).is_file()
            rows.append(
                Row(
                    path,
                    "test",
                    label,
                    patient_id=f"{organ}-{stem(path)}",
                    mask=mask if there else "",
                    extra={"organ": organ},
                )
            )
        return rows

    def _label(self, path: str, place: str) -> str:
        file = self.folder.root / f"{place}toy_label/sample/{PurePosixPath(path).name}.txt"
        if not file.is_file():
            raise UserError(
                f"{file}: missing, and says whether {path} is abnormal; unpack toy_label beside toy"
            )
        said = file.read_text(encoding="utf-8", errors="replace").strip()
        if said not in _LABELS:
            raise UserError(
                f"{file}: {said[:20]!r} where 0 (normal) or 1 (abnormal) was meant; unpack it again"
            )
        return _LABELS[said]
