"""From the readings of images to the readings of studies: a study's score is that of its worst image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from secondread import tables
from secondread.calibration.calibration import Calibration
from secondread.calibration.studies import study_scores
from secondread.readings.reading import Reading, as_text

STUDIES = "studies.csv"
COLUMNS = (
    *("rank", "study_id", "score", "p_value", "flagged"),
    *("images", "failed", "worst_image", "error"),
)


@dataclass(frozen=True)
class StudyReading:
    """One study: the highest score among its images, judged against calibration studies.

    p_value, flagged   None where the calibration normals had no study ids; `flagged` also where they were too
                       few for the false-alarm rate
    failed        images of the study that gave no score; a study with none that did has no score
    worst_image   the path of the image with that score
    error         why no image gave a score, as the first of them says; empty where one did
    """

    study_id: str
    score: float | None
    p_value: float | None
    flagged: bool | None
    images: int
    failed: int
    worst_image: str
    error: str = ""


def read_studies(
    readings: Iterable[Reading], calibration: Calibration, patients: Mapping[str, str] | None = None
) -> list[StudyReading]:
    """Studies in the order of their first image; images without a study id are left out.

    patients  path -> what stands for the image's patient, or empty: as in calibration, equal study ids
              of two patients are two studies
    """
    whose = patients or {}
    grouped: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        if reading.study_id:
            grouped.setdefault((whose.get(reading.path, ""), reading.study_id), []).append(reading)
    scored = [image for images in grouped.values() for image in images if image.score is not None]
    found = study_scores(
        [image.score for image in scored if image.score is not None],
        [image.study_id for image in scored],
        [whose.get(image.path, "") for image in scored],
    )
    nothing = [None] * len(found.scores)
    p_values = nothing if calibration.studies is None else calibration.study_p_values(found.scores).tolist()
    flags = calibration.flag_studies(found.scores).tolist() if calibration.flags_studies else nothing
    judged = zip(found.highest.tolist(), p_values, flags, strict=True)
    return [
        _with_score(study, images, scored, *next(judged))
        if any(image.score is not None for image in images)
        else StudyReading(study, None, None, None, len(images), len(images), "", images[0].error)
        for (_, study), images in grouped.items()
    ]


def _with_score(
    study_id: str,
    images: list[Reading],
    scored: list[Reading],
    highest: int,
    p_value: float | None,
    flagged: bool | None,
) -> StudyReading:
    """A study whose worst image stands at `highest` among all that are `scored`."""
    worst, failed = scored[highest], sum(image.score is None for image in images)
    return StudyReading(study_id, worst.score, p_value, flagged, len(images), failed, worst.path)


def ranked(studies: Iterable[StudyReading]) -> list[StudyReading]:
    """The highest score first, equal scores in the order of their study ids and then of their worst images;
    studies without a score last, in the order of their ids."""
    return sorted(studies, key=place)


def place(study: StudyReading) -> tuple[bool, float, str, str]:
    """What studies are ranked by."""
    return study.score is None, -(study.score or 0.0), study.study_id, study.worst_image


def studies_table(studies: Iterable[StudyReading]) -> str:
    """`studies.csv`: the studies as `ranked`, with their rank from 1; a study without a score has none."""
    return tables.table([COLUMNS, *(cells_of(study, rank) for rank, study in enumerate(ranked(studies), 1))])


def cells_of(study: StudyReading, rank: int | None = None) -> list[str]:
    """One line of `studies.csv`; without a rank that cell is empty."""
    s = study
    values = (
        None if s.score is None else rank,
        *(s.study_id, s.score, s.p_value, s.flagged),
        *(s.images, s.failed, s.worst_image, s.error),
    )
    return [as_text(value) for value in values]
