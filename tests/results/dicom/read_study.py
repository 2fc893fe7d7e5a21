"""A study that was read: a series whose map shows its lesion, a film, and an image that could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from made_study import slices, write_film, write_series

from secondread.images.image import Image
from secondread.images.read import read_image
from secondread.readings.reading import Reading
from secondread.readings.score_record import ScoreRecord
from secondread.results.dicom.identity import Author
from secondread.results.dicom.source import Source, read_source
from secondread.results.dicom.studies import ImageRead, Study

UID = "1.2.826.0.1.3680043.8.498.1"
SCALE = (0.0, 1.0)


@dataclass(frozen=True)
class Read:
    """One image with its map on the file's grid."""

    reading: Reading
    source: Source
    image: Image
    heat: np.ndarray


def record(**changed: object) -> ScoreRecord:
    told = {
        "started": "2026-03-04T05:06:07+00:00",
        "versions": {"secondread": "0.1.0"},
        "digests": {"bundle": "ab" * 20},
        "recipe": {"about": {"title": "A model"}, "detector": {"name": "spectrum"}},
        "map_scale": SCALE,
        "map_threshold": 0.5,
        "calibration": {
            "false_alarm_rate": 0.05,
            "images": {
                "scores": 60,
                "patients": 41,
                "threshold": 1.2345678901234567,
                "false_alarm_rate_range": (0.0061, 0.1234),
                "words": "At most 5 % of new normal images are flagged, on average.",
            },
        },
    }
    return ScoreRecord.model_validate(told | changed)


def author(**changed: object) -> Author:
    return Author.of(record(**changed), datetime(2000, 1, 1, tzinfo=UTC))


def write_study(folder: Path) -> None:
    place = slices("oblique")
    write_series(folder / "series", place, place.origins[3] + np.array([15.0, 10.0, 5.0]))
    pixels = np.random.default_rng(0).integers(0, 4000, (40, 32)).astype(np.uint16)
    write_film(
        folder / "film.dcm",
        pixels,
        SeriesInstanceUID=f"{UID}.9",
        SeriesNumber=7,
        InstanceNumber=12,
        PatientOrientation=["L", "F"],
        ImageLaterality="L",
    )


def read_series(folder: Path) -> Read:
    image = read_image(str(folder / "series"))
    heat = image.geometry.to_file_axes(image.pixels[0]).astype(np.float32) / 1000
    reading = Reading(
        "series", digest=image.digest, score=1.2345678901234567, p_value=1 / 31, flagged=True,
        remarks=("uneven slices — told",),
    )  # fmt: skip
    return Read(reading, read_source(str(folder / "series")), image, heat)


def read_film(folder: Path) -> Read:
    image = read_image(str(folder / "film.dcm"))
    heat = np.zeros(image.size, np.float32)
    heat[30:35, 5:9] = 1
    reading = Reading("film.dcm", digest=image.digest, score=-3.25e-7)
    return Read(reading, read_source(str(folder / "film.dcm")), image, heat)


def study(*read: Read, unread: str = "") -> Study:
    images = [ImageRead(one.reading, one.source) for one in read]
    if unread:
        images.append(ImageRead(Reading("old/gone.dcm", error=unread), None))
    return Study(UID, tuple(images), (Reading("case 1", score=2.5, p_value=0.25, flagged=False),))
