"""Two bundles that are fitted in a moment and see brightness, and what they left of a study as DICOM."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydicom
from pydicom import Dataset
from result_checks import kind_of

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.fitting.fit import fit
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_into
from secondread.recipes.recipe import Recipe
from secondread.results.write_dicom import write_dicom_results

SIZE = 24


def brightness_bundle(folder: Path, rank: int) -> Bundle:
    """Its map is the image's brightness between its darkest and its brightest pixel, so that a bright lesion
    is the map's peak."""
    phantoms = make_phantoms(
        folder / "phantoms", seed=1, rank=rank, n_normal=20, n_abnormal=1, size=(16,) * rank
    )
    recipe = Recipe.from_mapping(
        {
            "about": {"title": "Brightness"},
            "preprocessing": {"size": [SIZE] * rank, "steps": [{"percentiles": {"low": 0, "high": 100}}]},
            "detector": {"name": "intensity", "erosion": 0},
            "cohorts": {"validation": 0.2, "calibration": 0.4},
            "calibration": {"false_alarm_rate": 0.2, "pixel_false_alarm_rate": 0.3},
        }
    )
    return fit(
        recipe, Manifest.read(phantoms), folder / "bundle", cache=folder / "cache", workers=0, device="cpu",
        progress=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What was read of some images, and written of it."""

    readings: Readings
    folder: Path

    @classmethod
    def of(cls, bundle: Bundle, images: list[Path | str], folder: Path) -> Results:
        score_into(bundle, images, folder / "readings", maps=True, workers=0)
        readings = Readings.read(folder / "readings")
        write_dicom_results(readings, folder / "results")
        return cls(readings, folder / "results")

    @cached_property
    def errors(self) -> dict[str, str]:
        """Path of an image -> what could not be made of it."""
        with (self.folder / "dicom.csv").open(newline="", encoding="utf-8") as table:
            return {row["path"]: row["error"] for row in csv.DictReader(table) if row["error"]}

    @cached_property
    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.dcm"))

    @cached_property
    def made(self) -> list[Dataset]:
        return [pydicom.dcmread(file) for file in self.files]

    def of_kind(self, kind: str) -> list[Dataset]:
        return [one for one in self.made if kind_of(one) == kind]
