"""Readings on disk watched in their order, a stream for each scanner."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from secondread.bundles.archive import folder_of
from secondread.bundles.operating_point import OperatingPoint
from secondread.calibration.calibration import Calibration
from secondread.calibration.conformal import Conformal
from secondread.drift.draws import draw
from secondread.drift.features import FEATURES, features
from secondread.drift.plan import Plan
from secondread.drift.told import remedy, sentence
from secondread.drift.watch import Change, Study, Watch
from secondread.errors import UserError
from secondread.exporting.export_document import is_exported
from secondread.exporting.exported import Exported
from secondread.readings.readings import Readings
from secondread.readings.rejudging import refuse_other_model
from secondread.readings.streamed.beside_readings import patients_in
from secondread.texts import Places, Texts

Reference = Literal["calibration", "own"]
SCANNER = ("manufacturer", "model")
"""The acquisition facts that tell scanners apart."""
UNKNOWN = "unknown scanner"


@dataclass(frozen=True)
class Stream:
    """The studies of one scanner, watched; `points` of its chart are in `watch.trace`."""

    scanner: str
    watch: Watch
    changes: tuple[Change, ...]

    @property
    def promise(self) -> str:
        plan = self.watch.plan
        return (
            f"at most {plan.per_year:g} false alarms a year on average, at {plan.studies_per_year:g} studies "
            "a year"
        )


@dataclass(frozen=True)
class Drift:
    """What was found in a folder of readings.

    left_out  why -> how many readings were not watched
    per_year  false alarms a year that are promised of all streams together
    """

    streams: tuple[Stream, ...]
    bundle: str
    reference: Reference
    per_year: float
    studies_per_year: float
    left_out: Mapping[str, int]

    @property
    def alarms(self) -> int:
        return sum(len(stream.changes) for stream in self.streams)

    def document(self) -> dict[str, Any]:
        """`drift.json`."""
        return {
            "reference": self.reference,
            "false_alarms_per_year": self.per_year,
            "studies_per_year": self.studies_per_year,
            "promise": "the expected number of false alarms of all streams and watchers together, for any "
            "time, is at most this many a year while studies are exchangeable",
            "left_out": dict(self.left_out),
            "streams": [self._stream(stream) for stream in self.streams],
            "research_use": "research use, not a medical device",
        }

    def _stream(self, stream: Stream) -> dict[str, Any]:
        watch = stream.watch
        return {
            "scanner": stream.scanner,
            "studies": watch.studies,
            "reference_scores": len(watch.plan.reference),
            "false_alarms_per_year": watch.plan.per_year,
            "watchers": watch.plan.shares,
            "alarms": [
                {
                    "watcher": change.watcher,
                    "kind": change.kind,
                    "study": change.study,
                    "since": change.since,
                    "words": sentence(change),
                    "remedy": remedy(change, self.bundle),
                }
                for change in stream.changes
            ],
            "chart": [
                {"study": p.study, "u": p.u, "evidence": p.evidence, "cusum": [p.up, p.down]}
                for p in watch.trace
            ],
        }


def watch_readings(
    readings: str | Path,
    bundle: str | Path,
    *,
    false_alarms_per_year: float = 1.0,
    studies_per_year: float = 5000.0,
    reference: Reference = "calibration",
    prevalence: float | None = None,
    scanner: Sequence[str] = SCANNER,
    seed: int = 0,
) -> Drift:
    """Watch the readings in a folder, in the order of its table, as if they had come in one by one.

    false_alarms_per_year  promised of all scanners and watchers together; see `evidence`
    studies_per_year       how many studies come, of all scanners together
    reference              `calibration`: the stream goes on from the bundle's calibration scores, as normals
                           would; `own`: from its own beginning, as studies of all kinds would
    prevalence             at most such a share of the studies is abnormal: flags are watched; None = they
                           are not
    scanner                acquisition facts that tell streams apart; none = one stream

    Studies are compared where the bundle has study calibration and the readings have studies, else images. Of
    each patient the first counts, and images that the bundle was fitted or calibrated with do not. Raises
    UserError for readings of another model, and where nothing can be watched.
    """
    if not (false_alarms_per_year > 0 and studies_per_year > 0):
        raise UserError("give more than 0 false alarms and studies a year")
    if prevalence is not None and not 0 <= prevalence < 1:
        raise UserError(f"a prevalence of {prevalence} is not a share from 0 up to 1")
    found = Readings.read(readings)
    calibration = _calibration(Path(bundle), found)
    by_study = calibration.studies is not None and bool(found.studies)
    level = calibration.studies if by_study and calibration.studies is not None else calibration.images
    if reference == "calibration" and not level.patients:
        raise UserError(f"{bundle}: no normal has calibrated it; give --reference own")
    rows, left_out = _watched(found, by_study)
    groups: dict[str, array[int]] = {}
    for at in rows:
        facts = found.acquisition.get(found.packed.paths[at], {}) if scanner else {}
        name = " ".join(facts[part] for part in scanner if facts.get(part)) or UNKNOWN
        groups.setdefault(name if scanner else "all", array("q")).append(at)
    if not groups:
        raise UserError(f"{readings}: holds no study that can be watched")
    columns = sorted(next(iter(found.acquisition.values()), {}))  # each image has all
    plan = Plan(
        false_alarms_per_year / len(groups),
        studies_per_year / len(groups),
        tuple(one_for_each_patient(level, seed)) if reference == "calibration" else (),
        calibration.settings.false_alarm_rate,
        level.patients,
        prevalence if level.patients else None,
        tuple(columns),
        FEATURES if found.thumbnails else (),
        seed,
    )
    streams = []
    for name, members in groups.items():
        share = len(members) / len(rows)
        watch = Watch(replace(plan, studies_per_year=studies_per_year * share))
        changes = [change for at in members for change in watch.take(_study(found, at, by_study))]
        streams.append(Stream(name, watch, tuple(changes)))
    return Drift(
        tuple(streams), Path(bundle).name, reference, false_alarms_per_year, studies_per_year, left_out
    )


def one_for_each_patient(level: Conformal, seed: int) -> Iterator[float]:
    """The calibration scores, of which those of patients with several images stay with the chance of their
    weight, so that each patient has one on average."""
    for place, (score, weight) in enumerate(zip(level.scores, level.weights, strict=True)):
        if weight >= 1 or draw(seed, "reference", place) < weight:
            yield float(score)


def calibration_of(bundle: Path) -> tuple[str, Calibration]:
    """Digest and calibration of a bundle or an exported one, without its model. Raises UserError and
    DataError as loading it does."""
    if is_exported(bundle):
        exported = Exported.load(bundle)
        return exported.digest, exported.calibration
    with folder_of(bundle) as folder:
        point = OperatingPoint.read(folder)
        return point.digest, point.calibration


def _calibration(bundle: Path, readings: Readings) -> Calibration:
    if is_exported(bundle):
        exported = Exported.load(bundle)
        if readings.run.digests.bundle not in (exported.digest, exported.bundle):
            raise UserError(f"{readings.directory}: holds readings of another model than {bundle}")
        return exported.calibration
    with folder_of(bundle) as folder:
        point = OperatingPoint.read(folder)
        refuse_other_model(readings.directory, readings.run, point)
        return point.calibration


def _watched(readings: Readings, by_study: bool) -> tuple[array[int], dict[str, int]]:
    """The places of readings to watch, one for each patient, and why others are not; a study's is that of its
    worst image."""
    patients = patients_in(readings.directory)
    left_out = {"without a score": 0, "seen by the bundle": 0, "another image of a patient": 0}
    places, whose = array("q"), Texts()
    for at, path in enumerate(readings.packed.paths):
        row = readings.studies.get(path) if by_study else readings.packed[at]
        if row is None:
            continue  # an image that is not its study's worst
        if row.score is None:
            left_out["without a score"] += 1
        elif row.seen:
            left_out["seen by the bundle"] += 1
        else:
            patient = patients.get(path) or (f"study {row.study_id}" if row.study_id else "")
            places.append(at)
            whose.append((patient and f"patient {patient}") or f"image {path}")
    again = Places(whose).repeated(whose.__getitem__)
    if len(again):
        left_out["another image of a patient"] = len(again)
        places = array("q", np.delete(np.array(places), again).tobytes())
    return places, {why: many for why, many in left_out.items() if many}


def _study(readings: Readings, at: int, by_study: bool) -> Study:
    path = readings.packed.paths[at]
    row = readings.studies[path] if by_study else readings.packed[at]
    thumbnail = readings.thumbnails.get(path)
    return Study(
        row.digest or path,
        row.score if row.score is not None else float("nan"),
        row.p_value,
        {name: _value(text) for name, text in readings.acquisition.get(path, {}).items() if text.strip()},
        {} if thumbnail is None else features(thumbnail),
    )


def _value(text: str) -> float | str:
    """A cell as the number that it is, else as words."""
    try:
        return float(text)
    except ValueError:
        return text
