"""DICOM films of two studies, read with maps; one file is broken, and one film says no directions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from made_study import write_film

if TYPE_CHECKING:
    from secondread.readings.readings import Readings

TELLING = ("Doe", "Jürgen", "J\\u00fcrgen", "P-4711", "19500102", "A77", "Who^Doctor")
"""What names a patient in the made studies."""


@dataclass(frozen=True)
class FilmsRead:
    """`films` as they lie on the disk, and their `readings`, in the folder `out`."""

    films: Path
    out: Path
    readings: Readings


def film(seed: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(500, 900, (48, 40)).astype(np.uint16)
    pixels[10:20, 8:16] = 3000
    return 4095 - pixels  # MONOCHROME1


def write_films(folder: Path) -> Path:
    write_film(folder / "a1.dcm", film(1), PatientOrientation=["L", "F"], PixelSpacing=[0.2, 0.2])
    write_film(folder / "a2.dcm", film(2), InstanceNumber=2)
    write_film(folder / "b1.dcm", film(3), StudyInstanceUID="1.2.3.77", SeriesInstanceUID="1.2.3.77.1")
    data = (folder / "b1.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(data[: data.index(b"\xe0\x7f\x10\x00") + 40])
    return folder
