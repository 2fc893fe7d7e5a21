"""MedMNIST: small images of many organs in one npz for each set, with its split.

Layout, classes and what they mean read from MedMNIST/MedMNIST: medmnist/info.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

from secondread.cohorts.listing.file_reading import read_each
from secondread.cohorts.listing.npz_rows import Archive, read_archive, rows_of_archive
from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.public_folder import Form
from secondread.errors import UserError
from secondread.images.image import ImageError
from secondread.wording.lists import few


class _Classes(NamedTuple):
    """The names of a set's classes, by number, and which of them are normal; None where several labels per
    image are findings, and an image without any is normal."""

    names: tuple[str, ...]
    normal: tuple[str, ...] | None


_SETS = {
    "pneumoniamnist": _Classes(("normal", "pneumonia"), ("normal",)),
    "octmnist": _Classes(
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"), ("normal",)
    ),
    "breastmnist": _Classes(("malignant", "normal, benign"), ("normal, benign",)),
    "retinamnist": _Classes(("0", "1", "2", "3", "4"), ("0",)),
    "dermamnist": _Classes(
        (
            *("actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma"),
            *("benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi"),
            "vascular lesions",
        ),
        ("melanocytic nevi",),
    ),
    "pathmnist": _Classes(
        (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle"),
            *("normal colon mucosa", "cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
        ),
        ("normal colon mucosa",),
    ),
    "chestmnist": _Classes(
        (
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
            *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
        ),
        None,
    ),
    "nodulemnist3d": _Classes(("benign", "malignant"), ("benign",)),
    "adrenalmnist3d": _Classes(("normal", "hyperplasia"), ("normal",)),
    "vesselmnist3d": _Classes(("vessel", "aneurysm"), ("vessel",)),
}
"""Those of which one class can be called normal; others take --normal with a number."""
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


class Medmnist(Dataset):
    title = "MedMNIST (npz)"
    licence = "CC BY 4.0; DermaMNIST CC BY-NC 4.0"
    source = "https://github.com/MedMNIST/MedMNIST"
    paper = "Yang et al.: MedMNIST v2, Scientific Data 2023"
    layout = (
        "one archive for each set, such as pneumoniamnist.npz or octmnist_224.npz; FOLDER may be the file"
    )
    split = "its own arrays train, val and test"
    read_from = ("MedMNIST/MedMNIST: medmnist/info.py",)
    forms = (Form("MedMNIST", ("*mnist*.npz",)),)
    hint = "mnist"
    takes: ClassVar = {
        "part": "which archive, such as octmnist, where the folder holds several",
        "normal": "the classes that count as normal, by name or number; for sets of organs or cells they are "
        "yours to say",
    }

    def rows(self) -> Iterable[Row]:
        path = self._archive()
        archive = self._read(path)
        rows = rows_of_archive(archive, path)
        classes = next((of for name, of in _SETS.items() if path.lower().startswith(name)), None)
        several = any(labels.shape[1] > 1 for labels in archive.labels.values())
        normal = self._normal(path, classes, several)
        said = {
            f"{path}#{split}_images/{number}": [int(value) for value in line]
            for split, labels in archive.labels.items()
            for number, line in enumerate(labels)
        }
        self.guessed.append(
            "images without any label count as normal"
            if several
            else f"classes that count as normal: {' and '.join(sorted(normal))}"
        )
        return [self._labelled(row, said.get(row.path), classes, normal, several) for row in rows]

    def _read(self, path: str) -> Archive:
        ((_, archive),) = read_each(self.folder.root, [path], read_archive, self.workers)
        if isinstance(archive, ImageError):
            raise archive
        return archive

    def _archive(self) -> str:
        there = [path for path in self.folder.matching("*mnist*.npz") if self._is_meant(path)]
        if len(there) != 1:
            known = few(self.folder.matching("*mnist*.npz"), 8)
            which = f"--part {self.choices.part}: " if self.choices.part else ""
            raise UserError(
                f"{which}{len(there)} archives fit in {self.folder.root}; give --part, of {known}"
            )
        return there[0]

    def _is_meant(self, path: str) -> bool:
        name = PurePosixPath(path).stem.lower()
        if self.choices.part:
            return name == self.choices.part.lower().removesuffix(".npz")
        return self.folder.file in ("", path)

    def _normal(self, path: str, classes: _Classes | None, several: bool) -> set[str]:
        names = classes.names if classes else ()
        if several:
            if self.choices.normal:
                raise UserError(
                    f"--normal: images of {path} have several labels; those without any are normal"
                )
            return set()
        chosen = self.choices.normal or (classes.normal if classes else None)
        if not chosen:
            raise UserError(
                f"{path}: which of its classes are normal? say so with --normal and their numbers (0, 1, …)"
            )
        if unknown := [name for name in chosen if name not in names and not name.isdecimal()]:
            raise UserError(
                f"--normal {unknown[0]}: no class of {path}; they are {few(names, 12) or 'numbers'}"
            )
        return {
            _name(int(name), names) if name.isdecimal() and name not in names else name for name in chosen
        }

    def _labelled(
        self, row: Row, said: list[int] | None, classes: _Classes | None, normal: set[str], several: bool
    ) -> Row:
        if said is None:
            return Row(row.path, row.split)
        names = classes.names if classes else ()
        found = [_name(number, names) for number, value in enumerate(said) if value] if several else []
        found = found or ([] if several else [_name(said[0], names)])
        is_normal = not found or set(found) <= normal
        shown = (
            ""
            if is_normal and not several and len(normal) == 1
            else "; ".join(n.replace(";", ",") for n in found)
        )
        return Row(row.path, row.split, "normal" if is_normal else "abnormal", shown)


def _name(number: int, names: tuple[str, ...]) -> str:
    return names[number] if number < len(names) else f"class-{number}"
