"""One bundle reads the images of one study that are its own, as `secondread score` reads those files."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from secondread.errors import DataError, UserError
from secondread.images.image import ImageError
from secondread.images.read import read_image
from secondread.preprocessing.prepared import Prepared
from secondread.readings.reading import Reading as ImageReading
from secondread.readings.readings import Readings
from secondread.readings.score_into import score_gathered
from secondread.readings.streamed.item import Item
from secondread.results.write_dicom import write_dicom_results
from secondread.service.reading.at_work import AtWork
from secondread.service.reading.descriptor import NAMES, describe_image
from secondread.service.reading.laid_out import LaidOut, for_readers, laid_out
from secondread.service.reading.thresholds import finite, judged_at
from secondread.service.spool.files import Spool
from secondread.service.store.jobs import now
from secondread.service.store.tables import Instance

RESULTS = "dicom"
"""Folder of the results within that of a reading."""


class NotRead(Exception):
    """The bundle reads none of the study's images: a line says why."""


class CannotRead(Exception):
    """None of the images gave a score, and a line says what the first failed of."""


@dataclass(frozen=True)
class StudyRead:
    """What one bundle said, as the columns of the table `reading` have it.

    results  the DICOM objects: SOP instance UID, SOP class UID, path
    left_out why images were not read that others were read beside
    """

    at: AtWork
    folder: Path
    made: datetime
    seconds: float
    columns: Mapping[str, Any]
    results: Sequence[tuple[str, str, Path]] = ()
    left_out: str = ""


def read_study(
    at: AtWork,
    study: str,
    instances: Sequence[Instance],
    spool: Spool,
    folder: Path,
    *,
    rate: float | None = None,
    pause: Callable[[], None] = lambda: None,
) -> StudyRead:
    """Read a study's instances into `folder`, an empty one of the spool.

    study  stands for the study in its readings
    rate   the false-alarm rate in force; None = the bundle's own
    pause  called before each image is scored; what it raises ends the reading

    Raises NotRead, CannotRead, and UserError and DataError as scoring does.
    """
    began, made = time.monotonic(), now()
    model = judged_at(at.model, rate)
    looked = _Looked(at, pause)
    with laid_out(spool, instances, folder) as laid:
        try:
            inputs = laid.inputs(model.rank, study)
        except UserError as error:
            raise NotRead(f"{at.name}: {error}") from None
        score_gathered(
            model, inputs, folder, prepare=at.prepare, refuse=looked,
            maps=not at.shadow and model.calibration.maps is not None,
        )  # fmt: skip
        readings = Readings.read(folder)
        scored = [row for row in readings.rows if not row.failed]
        if not scored:
            _refuse(at, readings, looked, laid.folder)
        columns = _columns(at, readings, scored, laid, looked)
        results: list[tuple[str, str, Path]] = []
        if not at.shadow:
            results, problem = _results(readings, folder / RESULTS)
            columns["facts"]["no_result"] = problem
    return StudyRead(
        at, folder, made, time.monotonic() - began, columns, results, _left_out(readings, len(scored))
    )


@dataclass
class _Looked:
    """What was seen of each image before it was scored."""

    at: AtWork
    pause: Callable[[], None]
    descriptors: dict[str, list[float]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    gate: dict[str, dict[str, float]] = field(default_factory=dict)

    def __call__(self, item: Item, prepared: Prepared) -> str:
        self.pause()
        found = self.at.gate.look(prepared)
        self.gate[item.path] = dict(found.figures)
        if found.problem:
            self.refused[item.path] = found.problem
            return f"not read: {found.problem}"
        self.descriptors[item.path] = describe_image(prepared.pixels)
        return ""


def _refuse(at: AtWork, readings: Readings, looked: _Looked, folder: Path) -> None:
    """Say why no image has a score. No other try mends a sound image that does not fit the recipe."""
    broken = [row for row in readings.rows if row.path not in looked.refused]
    if broken:
        kind = NotRead if _does_not_fit(at, folder / broken[0].path) else CannotRead
        raise kind(f"{at.name}: {for_readers(broken[0].error)}")
    raise NotRead(f"{at.name}: {next(iter(looked.refused.values()), 'there is no image in it')}")


def _does_not_fit(at: AtWork, image: Path) -> bool:
    try:
        read = read_image(image)
    except ImageError:
        return False
    try:
        at.model.preprocessing.apply(read)
    except ImageError:
        return True
    return False


def _left_out(readings: Readings, scored: int) -> str:
    lost = [row for row in readings.rows if row.failed]
    if not lost:
        return ""
    return f"{len(lost)} of {len(lost) + scored} images not read: {for_readers(lost[0].error)}"


def _columns(
    at: AtWork, readings: Readings, scored: Sequence[ImageReading], laid: LaidOut, looked: _Looked
) -> dict[str, Any]:
    calibration = readings.run.calibration
    assert calibration is not None
    path, study = next(iter(readings.studies.items()), ("", None))
    worst = max(scored, key=lambda row: row.score if row.score is not None else -math.inf)
    if study is not None:
        worst = next(row for row in scored if row.path == path)
    of_study = calibration.studies is not None and study is not None
    level = calibration.studies if of_study else calibration.images
    decided = study if of_study and study is not None else worst
    sources = laid.instances(worst.path)
    source = sources[len(sources) // 2]
    return {
        "score": worst.score,
        "p_value": decided.p_value,
        "flagged": decided.flagged,
        "threshold": finite(None if level is None else level.threshold),
        "false_alarm_rate": calibration.false_alarm_rate,
        "worst": source.sop_instance_uid,
        "scanner": str(source.facts.get("scanner", "")),
        "images": [_image(row, laid, looked, readings.directory) for row in readings.rows],
        "facts": {
            "level": "study" if of_study else "image",
            "acquisition": _numbers(readings.acquisition.get(worst.path, {})),
            **_features(at, scored, looked),
            "image_count": len(scored),
            "beside": at.settings.name if at.shadow else "",
        },
    }


def _image(row: ImageReading, laid: LaidOut, looked: _Looked, folder: Path) -> dict[str, Any]:
    sources = laid.instances(row.path)
    middle = sources[len(sources) // 2] if sources else None
    return {
        "path": row.path,
        "instance": "" if middle is None else middle.sop_instance_uid,
        "instances": len(sources),
        "series": "" if middle is None else middle.series_uid,
        "frame": row.frame,
        "score": row.score,
        "p_value": row.p_value,
        "flagged": row.flagged,
        "parts": {name: value for name, value in row.parts.items() if math.isfinite(value)},
        "baselines": dict(row.baselines),
        "seen": row.seen,
        "error": for_readers(row.error),
        "remarks": list(row.remarks),
        "map": "" if row.map is None else row.map.relative_to(folder).as_posix(),
        "gate": looked.gate.get(row.path, {}),
    }


def _features(at: AtWork, scored: Sequence[ImageReading], looked: _Looked) -> dict[str, Any]:
    """A vector of fixed length for each model: means over the study's images of what the detector and the
    baselines gave and of `describe_image`."""
    baselines = sorted(name.replace("-", "_") for name in at.model.baselines)
    names = [*(f"part_{name}" for name in at.model.parts), *(f"baseline_{name}" for name in baselines)]
    rows = [
        [
            *(row.parts.get(name, math.nan) for name in at.model.parts),
            *(row.baselines.get(name, math.nan) for name in baselines),
            *looked.descriptors.get(row.path, [math.nan] * len(NAMES)),
        ]
        for row in scored
    ]
    means = np.asarray(rows, np.float64).mean(axis=0)
    return {
        "features": [finite(float(value)) for value in means],
        "feature_names": [*names, *(f"image_{name}" for name in NAMES)],
    }


def _numbers(facts: Mapping[str, str]) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for name, said in facts.items():
        try:
            value = float(said)
        except ValueError:
            if said:
                found[name] = said
            continue
        if math.isfinite(value):
            found[name] = value
    return found


def _results(readings: Readings, out: Path) -> tuple[list[tuple[str, str, Path]], str]:
    """The DICOM objects of the readings, and what could not be made. A study whose header no object can be
    made of keeps its reading."""
    from pydicom import dcmread

    problem = ""
    try:
        written = write_dicom_results(readings, out)
        problem = next((why for _, why in written.failed), "")
    except DataError as error:
        problem = str(error)
        shutil.rmtree(out, ignore_errors=True)
    found = []
    for path in sorted(out.rglob("*.dcm")):
        header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID", "SOPClassUID"])
        found.append((str(header.SOPInstanceUID), str(header.SOPClassUID), path))
    return found, problem.replace(str(readings.base or ""), "")
